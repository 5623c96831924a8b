// TurboQuant's Algorithm 1 (arXiv 2504.19874, section 3.1): rotate, then send each coordinate to its nearest centroid.
//
//   y = Πx/‖x‖,   idx_j = argmin_k |y_j − c_k|,   stored: idx (b bits each) and one scale s;   x̂ = s·Πᵀc[idx]
//
// Expected ‖x − x̂‖² = D·‖x‖² for every x, with D = LloydMaxCodebook::distortion(): .363, .117, .0345, .0095 at
// b = 1 … 4, near 2.7·4^-b; no quantizer of b bits has less than 4^-b on every input.
#pragma once

#include <cstdint>
#include <type_traits>

#include "turboquant/lloyd_max_codebook.hpp"
#include "turboquant/quantizer.hpp"

TURBOQUANT_NAMESPACE_BEGIN

// What the stored scale of a vector is. The decoder is the same for all three.
enum class ScaleRule : int {
    norm,  // ‖x‖, Algorithm 1 as published; <q, x̂> shrinks by 1 − D (.637, .883, .966, .991 at b = 1 … 4)
    unbiased,       // ‖x‖²/<Πx, c>: E<q, x̂> = <q, x> (RaBitQ, EDEN); squared error D/(1 − D)
    least_squares,  // <Πx, c>/‖c‖²: the least ‖x − x̂‖ for these indices
};

// How the indices of a vector are chosen. Records and decoder are the same.
enum class Refinement : int {
    none,  // the nearest centroid of every coordinate: least ‖y − c‖
    // The indices of largest <y, c>²/‖c‖² among the nearest centroids of t·y, t = .78 … 1.25 in 16 steps: what counts where
    // the stored scale is chosen for the indices (RaBitQ's extension, SIGMOD 2025, searches t likewise). Never worse than
    // `none`. Squared error and variance of inner products fall at b = 2/3/4/5/8 by 1.0/5.7/14.6/20/23 % at d = 128, by
    // .1/.6/2.1/4/8 % at d = 1536 (4000 and 500 Gaussian vectors). Encoding takes 5 times as long at d = 128 (290 ns instead of
    // 55 to 64), 3 times at d = 1536; with 8 bits 10 and 8 times.
    scale_search,
};

namespace detail {

// A quantizer with the given rule, where its type has one.
template <class Quantizer>
Quantizer make_quantizer(Index dim, std::uint64_t seed, ScaleRule rule) {
    if constexpr (std::is_constructible_v<Quantizer, Index, std::uint64_t, ScaleRule>)
        return Quantizer(dim, seed, rule);
    else
        return Quantizer(dim, seed);
}

template <class Scale>
constexpr simd::ScaleType scale_type_of() noexcept {
    static_assert(std::is_same_v<Scale, float> || std::is_same_v<Scale, Eigen::half> ||
                      std::is_same_v<Scale, Eigen::bfloat16>,
                  "turboquant: ScaleT must be float, Eigen::half or Eigen::bfloat16");
    return std::is_same_v<Scale, float>         ? simd::ScaleType::float32
           : std::is_same_v<Scale, Eigen::half> ? simd::ScaleType::float16
                                                : simd::ScaleType::bfloat16;
}

// Identity and plan of a quantizer that stores indices of `bits` and one scale; its codebook is still to come.
template <class ScaleT, int Dim, RotationKind Kind>
CodecId scalar_id(QuantizerKind kind, int bits, const Rotation<Dim, Kind>& rotation) {
    CodecId id;
    id.kind = kind;
    id.dim = static_cast<std::int32_t>(rotation.dim());
    id.bits = bits;
    id.rotation = Kind;
    id.scale = scale_type_of<ScaleT>();
    id.seed = rotation.seed();
    return id;
}
template <class ScaleT, int Dim, RotationKind Kind>
simd::CodecPlan scalar_plan(int bits, const Rotation<Dim, Kind>& rotation, ScaleRule rule) {
    simd::CodecPlan plan;
    plan.dim = static_cast<int>(rotation.dim());
    plan.bits = bits;
    plan.rotation = &rotation.plan();
    plan.scale_rule = static_cast<int>(rule);
    plan.scale_type = scale_type_of<ScaleT>();
    return plan;
}

}  // namespace detail

// ScaleT is how the scale is stored: float; Eigen::half, two bytes less a vector, relative error up to 2^-11 and norms
// from 6e-5 (below it the error grows; below 3e-8 it is all) to 65504; Eigen::bfloat16, two bytes less, float's range,
// relative error up to 2^-8. The scale's error adds its square to the relative squared error: nothing against D up to
// 5 bits with half, up to 3 bits with bfloat16.
template <int Dim, int Bits, class RotationT = Rotation<Dim>, class ScaleT = float>
class MseQuantizer : public QuantizerInterface<MseQuantizer<Dim, Bits, RotationT, ScaleT>, Dim, Bits, false> {
    static_assert(Bits >= 1 && Bits <= 8, "turboquant: MseQuantizer stores 1 to 8 bits per coordinate");
    static_assert(std::is_same_v<RotationT, Rotation<Dim, RotationT::kKind>>,
                  "turboquant: RotationT must be Rotation<Dim, Kind> for the quantizer's own Dim");
    using Base = QuantizerInterface<MseQuantizer, Dim, Bits, false>;

public:
    // Whether no matrix of it is dense by choice.
    static constexpr bool kStructured = RotationT::kKind == RotationKind::hadamard;
    static constexpr const char* kName = "MseQuantizer";
    static constexpr int kBits = Bits;

    // Fixed Dim only.
    template <int D = Dim, std::enable_if_t<D != Eigen::Dynamic, int> = 0>
    explicit MseQuantizer(std::uint64_t seed = 0, ScaleRule rule = ScaleRule::norm)
        : MseQuantizer(Dim, seed, rule) {}

    // Throws std::invalid_argument when dim < 1, or differs from a fixed Dim.
    MseQuantizer(Index dim, std::uint64_t seed, ScaleRule rule = ScaleRule::norm)
        : MseQuantizer(RotationT(detail::checked_dim<Dim>(kName, dim), seed), rule) {}

    // The same with a choice of indices. Files do not keep it: what they load encodes with Refinement::none. Throws
    // std::invalid_argument where ScaleRule::norm is to be refined: with it the nearest centroids have the least error.
    MseQuantizer(Index dim, std::uint64_t seed, ScaleRule rule, Refinement refinement)
        : MseQuantizer(dim, seed, rule) {
        if (refinement == Refinement::none) return;
        if (rule == ScaleRule::norm)
            detail::throw_invalid_argument(
                "MseQuantizer: expected ScaleRule::unbiased or least_squares with Refinement::scale_search, "
                "but got "
                "ScaleRule::norm, for which the nearest centroids are best");
        this->plan_.encoder = &simd::refined_encode_kernel<Bits>;
    }
    // Fixed Dim only.
    template <int D = Dim, std::enable_if_t<D != Eigen::Dynamic, int> = 0>
    MseQuantizer(std::uint64_t seed, ScaleRule rule, Refinement refinement)
        : MseQuantizer(Dim, seed, rule, refinement) {}

    Refinement refinement() const noexcept {
        return this->plan_.encoder != nullptr ? Refinement::scale_search : Refinement::none;
    }
    ScaleRule scale_rule() const noexcept { return static_cast<ScaleRule>(this->plan_.scale_rule); }
    const RotationT& rotation() const noexcept { return rotation_; }
    LloydMaxCodebook<Dim, Bits> codebook() const { return LloydMaxCodebook<Dim, Bits>(this->dim(), 0); }

private:
    MseQuantizer(RotationT rotation, ScaleRule rule)
        : Base(detail::scalar_id<ScaleT>(QuantizerKind::mse, Bits, rotation), make_plan(rotation, rule)),
          rotation_(std::move(rotation)) {}

    static simd::CodecPlan make_plan(const RotationT& rotation, ScaleRule rule) {
        simd::CodecPlan plan = detail::scalar_plan<ScaleT>(Bits, rotation, rule);
        plan.codebook = &detail::codebook(plan.dim, Bits).table;
        return plan;
    }

    RotationT rotation_;
};

TURBOQUANT_NAMESPACE_END
