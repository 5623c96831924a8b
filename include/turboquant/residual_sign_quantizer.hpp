// One bit per coordinate: the signs of a random sketch, and one scale.
//
//   stored: sign(S r) and a scale g;   r̂ = g·f·Sᵀ sign(S r),   <q, r̂> = g·f·<S q, sign(S r)>
//
//   gaussian     S has i.i.d. N(0, 1) entries, g = ‖r‖, f = √(π/2)/d: QJL (arXiv 2406.03482), unbiased;
//                d·E[(<q, r̂> − <q, r>)²] = π/2·‖q‖²‖r‖² for q ⊥ r
//   orthogonal   S is a random rotation, g = ‖r‖²/‖S r‖₁, f = 1: unbiased for a uniform S (EDEN/DRIVE, RaBitQ),
//                with π/2 − 1 in place of π/2: 2.75 times less variance, and O(d log d)
//
// TurboQuantizer applies it to what MseQuantizer leaves over; alone it is a 1-bit quantizer.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "turboquant/quantizer.hpp"

TURBOQUANT_NAMESPACE_BEGIN

template <int Dim, SketchKind Kind = SketchKind::orthogonal>
class ResidualSignQuantizer : public QuantizerInterface<ResidualSignQuantizer<Dim, Kind>, Dim, 0, true> {
    using Base = QuantizerInterface<ResidualSignQuantizer, Dim, 0, true>;
    using Tables = std::shared_ptr<const detail::RotationTables>;

public:
    // Whether no matrix of it is dense by choice.
    static constexpr bool kStructured = Kind == SketchKind::orthogonal;
    static constexpr const char* kName = "ResidualSignQuantizer";
    static constexpr SketchKind kKind = Kind;

    // Fixed Dim only.
    template <int D = Dim, std::enable_if_t<D != Eigen::Dynamic, int> = 0>
    explicit ResidualSignQuantizer(std::uint64_t seed = 0) : ResidualSignQuantizer(Dim, seed) {}

    // Throws std::invalid_argument when dim < 1, or differs from a fixed Dim.
    ResidualSignQuantizer(Index dim, std::uint64_t seed)
        : ResidualSignQuantizer(make_tables(detail::checked_dim<Dim>(kName, dim), seed), seed) {}

    // S as a plan for kernels. Its random bits are independent of those of the Rotation with the same seed.
    const simd::RotationPlan& sketch() const noexcept { return tables_->plan; }

private:
    ResidualSignQuantizer(Tables tables, std::uint64_t seed)
        : Base(make_id(*tables, seed), make_plan(*tables)), tables_(std::move(tables)) {}

    static Tables make_tables(int dim, std::uint64_t seed) {
        return Kind == SketchKind::gaussian
                   ? detail::make_gaussian_tables(dim, seed)
                   : detail::make_rotation_tables(RotationKind::hadamard, dim, seed, RandomStream::sketch);
    }
    static CodecId make_id(const detail::RotationTables& tables, std::uint64_t seed) {
        CodecId id;
        id.kind = QuantizerKind::residual_sign;
        id.dim = tables.plan.dim;
        id.bits = 1;
        id.sketch = Kind;
        id.seed = seed;
        return id;
    }
    static simd::CodecPlan make_plan(const detail::RotationTables& tables) {
        simd::CodecPlan plan;
        plan.dim = tables.plan.dim;
        plan.sketch = &tables.plan;
        plan.gaussian = Kind == SketchKind::gaussian;
        return plan;
    }

    Tables tables_;
};

TURBOQUANT_NAMESPACE_END
