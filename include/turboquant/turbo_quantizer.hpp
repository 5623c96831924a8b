// TurboQuant's Algorithm 2 (arXiv 2504.19874, section 3.2): unbiased inner products at b bits per coordinate.
//
// MseQuantizer at b − 1 bits, then the 1-bit sketch of what it leaves over, taken in the rotated domain:
//
//   r = Πx − ‖x‖c[idx],   stored: idx, sign(S r), ‖x‖ and the sketch's scale g
//   x̂ = Πᵀ(‖x‖c[idx] + g·f·Sᵀ sign(S r)),   E<q, x̂> = <q, x> for every q and x
//
// d·E[(<q, x̂> − <q, x>)²] = v·D(b−1)·‖q‖²‖x‖² for q ⊥ x, with v = π/2 − 1 (orthogonal S) or π/2 (gaussian S) and D the
// distortion of MseQuantizer. b = 1 is the sketch alone.
#pragma once

#include <cstdint>
#include <type_traits>

#include "turboquant/mse_quantizer.hpp"
#include "turboquant/quantizer.hpp"
#include "turboquant/residual_sign_quantizer.hpp"

TURBOQUANT_NAMESPACE_BEGIN

template <int Dim, int Bits, SketchKind Kind = SketchKind::orthogonal, class RotationT = Rotation<Dim>>
class TurboQuantizer
    : public QuantizerInterface<TurboQuantizer<Dim, Bits, Kind, RotationT>, Dim, Bits - 1, true> {
    static_assert(Bits >= 1 && Bits <= 8, "turboquant: TurboQuantizer stores 1 to 8 bits per coordinate");
    static_assert(std::is_same_v<RotationT, Rotation<Dim, RotationT::kKind>>,
                  "turboquant: RotationT must be Rotation<Dim, Kind> for the quantizer's own Dim");
    using Base = QuantizerInterface<TurboQuantizer, Dim, Bits - 1, true>;

    // At one bit there are no indices, hence no first stage.
    struct NoIndices {
        NoIndices(Index, std::uint64_t) noexcept {}
    };
    using FirstStage =
        std::conditional_t<(Bits > 1), MseQuantizer<Dim, (Bits > 1 ? Bits - 1 : 1), RotationT>, NoIndices>;
    using SecondStage = ResidualSignQuantizer<Dim, Kind>;

public:
    // Whether no matrix of it is dense by choice.
    static constexpr bool kStructured =
        Kind == SketchKind::orthogonal && RotationT::kKind == RotationKind::hadamard;
    static constexpr const char* kName = "TurboQuantizer";
    static constexpr int kBits = Bits;
    static constexpr SketchKind kKind = Kind;

    // Fixed Dim only.
    template <int D = Dim, std::enable_if_t<D != Eigen::Dynamic, int> = 0>
    explicit TurboQuantizer(std::uint64_t seed = 0) : TurboQuantizer(Dim, seed) {}

    // Throws std::invalid_argument when dim < 1, or differs from a fixed Dim.
    TurboQuantizer(Index dim, std::uint64_t seed)
        : TurboQuantizer(detail::checked_dim<Dim>(kName, dim), seed, Checked()) {}

private:
    struct Checked {};
    TurboQuantizer(int dim, std::uint64_t seed, Checked)
        : TurboQuantizer(FirstStage(dim, seed), SecondStage(dim, seed)) {}
    TurboQuantizer(FirstStage first, SecondStage second)
        : Base(make_id(first, second), make_plan(first, second)),
          first_(std::move(first)),
          second_(std::move(second)) {}

    static CodecId make_id(const FirstStage&, const SecondStage& second) {
        CodecId id = second.id();
        id.kind = QuantizerKind::turbo;
        id.bits = Bits;
        id.rotation = RotationT::kKind;
        return id;
    }
    static simd::CodecPlan make_plan(const FirstStage& first, const SecondStage& second) {
        simd::CodecPlan plan = second.plan();
        if constexpr (Bits > 1) {
            plan = first.plan();
            plan.sketch = second.plan().sketch;
            plan.gaussian = second.plan().gaussian;
        }
        (void)first;
        return plan;
    }

    FirstStage first_;
    SecondStage second_;
};

TURBOQUANT_NAMESPACE_END
