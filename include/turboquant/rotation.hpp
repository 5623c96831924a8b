// A random orthogonal matrix Π. After it, the coordinates of any vector behave like those of a uniformly random
// direction, which is what the codebook is optimal for (TurboQuant, arXiv 2504.19874, section 3.1).
//
// Kind `haar` is the paper's: uniformly distributed, dense, O(d²) a vector. Kind `hadamard` costs O(d log d) for any d:
// rounds of random signs and Hadamard transforms, with no padding. Distortion of both is the same within the bounds
// tested in tests/distortion_test.cpp, on adversarial inputs too.
//
// Construction of `hadamard`: three rounds of random signs and Hadamard transforms, and between rounds a tilt of 32
// coordinates by an angle of tan⁻¹(3/4). W is the largest power of two ≤ d. By dimension:
//   d = 2^k ≥ 32     a round gives signs and takes a d-point Hadamard. Without the tilt even 4 are too few at 64.
//   other d ≥ 33     a round permutes registers of 16 coordinates, gives signs to the first W coordinates and takes their
//                    Hadamard transform, then does the same to the last W. The permutation brings half of what each window
//                    had into either one. Where 16 does not divide d it also shifts the registers' boundaries by d mod 16,
//                    and the tilt is of two registers that come from different windows: of neighbours, it would undo
//                    the last transform of a single spike (4 bits, d = 63: 47 % worse, whatever the number of rounds).
//                    Where 16 divides d, the windows' transforms inside registers are taken once, of all registers.
//   the rest         the dense matrix: cheap at these sizes, and exact.
// Two rounds fail on a few spikes (d = 127, 4 bits: one coordinate 28 % worse, two neighbours 36 %).
#pragma once

#include <cstdint>
#include <memory>

#include "turboquant/columns.hpp"
#include "turboquant/config.hpp"
#include "turboquant/random.hpp"
#include "turboquant/rotation_tables.hpp"
#include "turboquant/simd/dispatch.hpp"
#include "turboquant/simd/kernels.hpp"
#include "turboquant/simd/plan.hpp"

TURBOQUANT_NAMESPACE_BEGIN

namespace detail {

// Πx, or Πᵀx, of each column, into memory with `stride` floats from column to column. Returns the first column that is
// not finite, or −1.
inline Index rotate_columns(const simd::RotationPlan& plan, bool transpose, const simd::InputColumns& in,
                            float* out, std::ptrdiff_t stride) {
    simd::RotateKernel* const kernel = simd::rotate_kernel();
    Index bad = -1;
    with_scratch(simd::work_floats(2, plan.dim), [&](float* scratch) {
        const simd::FloatingPointGuard guard;
        bad = static_cast<Index>(kernel(plan, transpose, in, out, stride, scratch, nullptr));
    });
    return bad;
}

}  // namespace detail

// The rotation for vectors of dimension Dim (or Eigen::Dynamic). A copy is cheap: copies share their tables.
template <int Dim, RotationKind Kind = RotationKind::hadamard>
class Rotation {
public:
    static constexpr RotationKind kKind = Kind;
    using Matrix = Eigen::Matrix<float, Dim, Eigen::Dynamic>;

    // Fixed Dim only. Equal seeds give equal rotations, on every machine.
    template <int D = Dim, std::enable_if_t<D != Eigen::Dynamic, int> = 0>
    explicit Rotation(std::uint64_t seed = 0) : Rotation(Dim, seed) {}

    // Throws std::invalid_argument when dim < 1, or differs from a fixed Dim.
    Rotation(Index dim, std::uint64_t seed) : Rotation(dim, seed, RandomStream::rotation) {}

    // For parts that need a rotation independent of the one with the same seed.
    Rotation(Index dim, std::uint64_t seed, RandomStream stream)
        : tables_(
              detail::make_rotation_tables(Kind, detail::checked_dim<Dim>("Rotation", dim), seed, stream)),
          seed_(seed) {}

    Index dim() const noexcept { return tables_->plan.dim; }
    std::uint64_t seed() const noexcept { return seed_; }

    // Πx of each column of x (Dim × n). Norms are kept to float rounding; a column with a NaN or an infinity gives no finite values.
    // Throws std::invalid_argument when x has other than dim() rows.
    template <class X>
    Matrix apply(const Eigen::MatrixBase<X>& x) const {
        return rotated(x, false, "Rotation::apply");
    }

    // Πᵀy = Π⁻¹y of each column of y (Dim × n).
    template <class Y>
    Matrix apply_transpose(const Eigen::MatrixBase<Y>& y) const {
        return rotated(y, true, "Rotation::apply_transpose");
    }

    // The same into the caller's memory, Dim × n; allocates nothing.
    template <class X>
    void apply(const Eigen::MatrixBase<X>& x, Eigen::Ref<Eigen::MatrixXf> out) const {
        rotate_into(x, false, out, "Rotation::apply");
    }
    template <class Y>
    void apply_transpose(const Eigen::MatrixBase<Y>& y, Eigen::Ref<Eigen::MatrixXf> out) const {
        rotate_into(y, true, out, "Rotation::apply_transpose");
    }

    // For kernels.
    const simd::RotationPlan& plan() const noexcept { return tables_->plan; }

private:
    template <class X>
    Matrix rotated(const Eigen::MatrixBase<X>& x, bool transpose, const char* where) const {
        detail::check_rows(where, dim(), x.rows());
        Matrix out(dim(), x.cols());
        const detail::Columns<X> columns(x.derived());
        detail::rotate_columns(plan(), transpose, columns.input(), out.data(), dim());
        return out;
    }

    template <class X>
    void rotate_into(const Eigen::MatrixBase<X>& x, bool transpose, Eigen::Ref<Eigen::MatrixXf>& out,
                     const char* where) const {
        detail::check_rows(where, dim(), x.rows());
        if (out.rows() != dim() || out.cols() != x.cols())
            detail::throw_wrong_output(where, dim(), x.cols(), out.rows(), out.cols());
        const detail::Columns<X> columns(x.derived());
        detail::rotate_columns(plan(), transpose, columns.input(), out.data(), out.outerStride());
    }

    std::shared_ptr<const detail::RotationTables> tables_;
    std::uint64_t seed_;
};

TURBOQUANT_NAMESPACE_END
