// A random orthogonal matrix Π. After it, the coordinates of any vector behave like those of a uniformly random
// direction, which is what the codebook is optimal for (TurboQuant, arXiv 2504.19874, section 3.1).
//
// Kind `haar` is the paper's: uniformly distributed, dense, O(d²) a vector. Kind `hadamard` costs O(d log d) for any d:
// rounds of random signs and Hadamard transforms, with no padding. Distortion of both is the same within the bounds
// tested in tests/distortion_test.cpp, on adversarial inputs too.
//
// Construction of `hadamard`: rounds of random signs and Hadamard transforms, with a tilt of 32 coordinates by an angle
// of tan⁻¹(3/4) between rounds. By dimension (fewer rounds fail on a few spikes, sooner or later):
//   d = 2^k ≥ 32     3 rounds of signs and a d-point Hadamard. Without the tilt 4 are too few at 64.
//   other d ≥ 48     n = ⌊d/16⌋ registers of 16 coordinates, P the largest power of two ≤ n. A round exchanges the d − 16n
//                    coordinates at the end (over which it passes) with others, permutes the registers, gives signs,
//                    takes a 16-point Hadamard in every register, a P-point one across the first P, fresh signs and a
//                    P-point one across the last P. 3 rounds where 16 | d; elsewhere 4 (5 between 96 and 128), so that
//                    each coordinate takes part often enough.
//   the rest         the dense matrix: cheap at these sizes, and exact (but O(d³) to make: 5 µs at 16, 0.1 ms at 47).
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "turboquant/columns.hpp"
#include "turboquant/config.hpp"
#include "turboquant/haar_matrix.hpp"
#include "turboquant/random.hpp"
#include "turboquant/simd/dispatch.hpp"
#include "turboquant/simd/plan.hpp"

TURBOQUANT_NAMESPACE_BEGIN

enum class RotationKind : int { hadamard, haar };

namespace detail {

// The tables of one rotation, built once, shared by copies.
struct RotationTables {
    simd::RotationPlan plan;
    std::vector<float> floats;  // factors, or the matrix and its transpose
    std::vector<std::int32_t> order;

    // `count` floats equal to `value`, on a boundary of 64 bytes: vectors that cross one take twice as long to load.
    float* make_floats(std::size_t count, float value) {
        floats.assign(count + 15, value);
        const auto address = reinterpret_cast<std::uintptr_t>(floats.data());
        return floats.data() + (64 - address % 64) % 64 / sizeof(float);
    }
};

// Between 96 and 128 the two windows share but one or two registers.
inline int structured_rounds(int dim) noexcept {
    if (dim % 16 == 0) return simd::kSignedRounds;
    return dim > 96 && dim < 128 ? 5 : 4;
}

// Π as a dense matrix, column j from dense[j·dim].
inline void fill_dense_tables(RotationTables& tables, const std::vector<float>& dense) {
    const std::ptrdiff_t dim = tables.plan.dim, stride = simd::padded(dim);
    float* matrix = tables.make_floats(static_cast<std::size_t>(2 * dim * stride), 0.0f);
    float* transpose = matrix + dim * stride;
    for (std::ptrdiff_t j = 0; j < dim; ++j) {
        for (std::ptrdiff_t i = 0; i < dim; ++i) {
            const float value = dense[static_cast<std::size_t>(j * dim + i)];
            matrix[j * stride + i] = value;
            transpose[i * stride + j] = value;
        }
    }
    tables.plan.matrix = matrix;
    tables.plan.transpose = transpose;
}

// The sign bits of four floats, two to a word, by four random bits.
struct SignTable {
    std::uint64_t words[16][2];
};
constexpr SignTable make_sign_table() noexcept {
    SignTable table{};
    for (unsigned bits = 0; bits < 16; ++bits)
        for (unsigned j = 0; j < 4; ++j)
            table.words[bits][j / 2] |= static_cast<std::uint64_t>(bits >> j & 1u) << (31 + 32 * (j % 2));
    return table;
}
inline constexpr SignTable kSignTable = make_sign_table();

// Count copies of ±magnitude (count a multiple of 16) by the stream's bits, from word `word` on; returns the next free
// word. Four at a time, since engines construct quantizers by the hundred.
inline std::uint64_t fill_signs(const RandomBits& bits, std::uint64_t word, float magnitude, int count,
                                float* out) {
    std::uint32_t half;
    std::memcpy(&half, &magnitude, 4);
    const std::uint64_t pattern = half | static_cast<std::uint64_t>(half) << 32;
    for (int i = 0; i < count; i += 64, ++word) {
        std::uint64_t signs = bits.word(word);
        const int end = count - i < 64 ? count : i + 64;
        for (int j = i; j < end; j += 4, signs >>= 4) {
            const std::uint64_t* pair = kSignTable.words[signs & 15u];
            const std::uint64_t values[2] = {pattern | pair[0], pattern | pair[1]};
            std::memcpy(out + j, values, 16);
        }
    }
    return word;
}

// Where round `round`'s registers come from, and last the register that gives its first `tail` lanes for the coordinates
// at the end (from the second round on).
//
// Registers at odd places come first, then those at even ones, backwards in odd rounds; the end is exchanged with the
// first register, the middle one, the last. Among the orders tried (random ones, strides, shuffles), this spreads the
// energy of the worst single coordinate most evenly: its expectation varies by less than 6 % (root mean square over
// coordinates) for every d.
inline void fill_order(int registers, int round, std::int32_t* order) {
    const int n = registers, odd = n / 2;
    for (int i = 0; i < n; ++i) {
        const int place = (round & 1) ? n - 1 - i : i;
        order[i] = 16 * (place < odd ? 2 * place + 1 : 2 * (place - odd));
    }
    order[n] = 16 * (round == 1 ? 0 : round == 2 ? n / 2 : n - 1);
}

inline void fill_structured_tables(RotationTables& tables, std::uint64_t seed, RandomStream stream) {
    simd::RotationPlan& plan = tables.plan;
    const int dim = plan.dim;
    plan.registers = dim / 16;
    plan.window = 1;
    while (2 * plan.window <= plan.registers) plan.window *= 2;
    plan.rounds = structured_rounds(dim);
    const double round_growth = std::sqrt(16.0 * plan.window);
    for (int round = 0; round < plan.rounds; ++round) plan.growth *= round_growth;

    const int n = plan.registers, window = plan.window, rounds = plan.rounds;
    const RandomBits bits(seed, stream);
    std::uint64_t word = 0;
    tables.order.resize(static_cast<std::size_t>(n + 1) * unsigned(rounds + 1));
    plan.order = tables.order.data();
    float* factors =
        tables.make_floats(static_cast<std::size_t>(plan.factors_per_round()) * unsigned(rounds), 1.0f);
    plan.factors = factors;
    const float root = static_cast<float>(std::sqrt(static_cast<double>(window)));
    const float inverse_root = static_cast<float>(1.0 / std::sqrt(static_cast<double>(window)));
    // In their own order where there is but one window, and after all rounds.
    for (std::size_t i = 0; i < tables.order.size(); ++i)
        tables.order[i] = 16 * static_cast<std::int32_t>(i % static_cast<std::size_t>(n + 1));
    for (int round = 0; round < rounds; ++round, factors += plan.factors_per_round()) {
        if (!plan.plain()) fill_order(n, round, tables.order.data() + (n + 1) * round);
        word = fill_signs(bits, word, 1.0f, 16 * window, factors);
        word = fill_signs(bits, word, root, 16 * (n - window), factors + 16 * window);
        if (window < n)
            word = fill_signs(bits, word, inverse_root, 16 * window, factors + 16 * n + 16 * (n - window));
    }
}

inline std::shared_ptr<const RotationTables> make_rotation_tables(RotationKind kind, int dim,
                                                                  std::uint64_t seed, RandomStream stream) {
    const simd::FloatingPointGuard guard;
    auto tables = std::make_shared<RotationTables>();
    tables->plan.dim = dim;
    if (kind == RotationKind::haar || !simd::structured(dim))
        fill_dense_tables(*tables, haar_matrix(seed, dim, stream));
    else
        fill_structured_tables(*tables, seed, stream);
    return tables;
}

// i.i.d. N(0, 1) entries, the sketch of QJL.
inline std::shared_ptr<const RotationTables> make_gaussian_tables(int dim, std::uint64_t seed) {
    const simd::FloatingPointGuard guard;
    auto tables = std::make_shared<RotationTables>();
    tables->plan.dim = dim;
    const std::size_t count = static_cast<std::size_t>(dim) * unsigned(dim);
    std::vector<double> normal(count);
    fill_standard_normal(RandomBits(seed, RandomStream::gaussian_sketch), normal.data(), count);
    fill_dense_tables(*tables, std::vector<float>(normal.begin(), normal.end()));
    return tables;
}

// Πx, or Πᵀx, of each column, into memory with `stride` floats from column to column. Returns the first column that is
// not finite, or −1.
inline Index rotate_columns(const simd::RotationPlan& plan, bool transpose, const simd::InputColumns& in,
                            float* out, std::ptrdiff_t stride) {
    const auto kernel = TURBOQUANT_KERNEL(rotate_columns);
    Index bad = -1;
    with_scratch(simd::work_floats(2, plan.dim), [&](float* scratch) {
        const simd::FloatingPointGuard guard;
        bad = static_cast<Index>(kernel(plan, transpose, in, out, stride, scratch));
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
