// Trellis-coded quantization of the rotated coordinates: the distortion of a long block code at the price of a scalar one.
//
//   y = √d·Πx/‖x‖;   stored: b bits for each coordinate, one scale s;   x̂ = s·Πᵀc/√d,   c_j = value(the last 8 bits up to j's)
//
// A coordinate's value depends on its own b bits and on those before it, so that the values of 256 windows are 256/2^b
// codebooks that share the bits among them. Decoding stays a table lookup, coordinate by coordinate; the encoder finds the bits
// of least ‖y − c‖ among all 2^(b·d) by Viterbi's algorithm over 2^(8−b) states. (Ungerboeck 1982; Marcellin and Fischer 1990;
// windows of bits: QTIP, arXiv 2406.11235.) The first windows take what they lack from the last bits, so that exactly b bits a
// coordinate are stored (d ≥ 8).
//
// E‖x − x̂‖² relative to ‖x‖², for every x, d = 128 and beyond; Lloyd-Max of the same bits; and the bound of all codes, 4^-b:
//
//    b       1      2      3       4
//   here   .285   .0765   .0205   .0056
//   scalar .361   .116    .0340   .0093
//   bound  .25    .0625   .0156   .0039
//
// Encoding takes 2.3 to 2.5 µs at d = 128, in proportion to d (AVX-512; AVX2 1.7 times as long), 40 to 50 times MseQuantizer's.
// Decoding takes 1.1 to 1.5 times as long as MseQuantizer's. Inner products of one query and of eight: 1.8 and 1.4 times with
// AVX-512 VBMI (3.3 ns a record of d = 128), 1.8 and 1.6 times with AVX-512, 2.6 and 1.7 times with AVX2 (bench/paper/trellis.md).
#pragma once

#include <cstdint>
#include <type_traits>

#include "turboquant/mse_quantizer.hpp"
#include "turboquant/quantizer.hpp"
#include "turboquant/trellis_codebook.hpp"

TURBOQUANT_NAMESPACE_BEGIN

// ScaleT and the scale rules: as of MseQuantizer.
template <int Dim, int Bits, class RotationT = Rotation<Dim>, class ScaleT = float>
class TrellisQuantizer : public QuantizerInterface<TrellisQuantizer<Dim, Bits, RotationT, ScaleT>, Dim,
                                                   simd::kTrellis + Bits, false> {
    static_assert(Bits >= 1 && Bits <= 4, "turboquant: TrellisQuantizer stores 1 to 4 bits per coordinate");
    static_assert(std::is_same_v<RotationT, Rotation<Dim, RotationT::kKind>>,
                  "turboquant: RotationT must be Rotation<Dim, Kind> for the quantizer's own Dim");
    using Base = QuantizerInterface<TrellisQuantizer, Dim, simd::kTrellis + Bits, false>;

public:
    static constexpr bool kStructured = RotationT::kKind == RotationKind::hadamard;
    static constexpr const char* kName = "TrellisQuantizer";
    static constexpr int kBits = Bits;
    // Of the encoder's trellis.
    static constexpr int kStates = simd::kWindows >> Bits;

    // Fixed Dim only.
    template <int D = Dim, std::enable_if_t<D != Eigen::Dynamic, int> = 0>
    explicit TrellisQuantizer(std::uint64_t seed = 0, ScaleRule rule = ScaleRule::norm)
        : TrellisQuantizer(Dim, seed, rule) {}

    // Throws std::invalid_argument when dim < 1, or differs from a fixed Dim.
    TrellisQuantizer(Index dim, std::uint64_t seed, ScaleRule rule = ScaleRule::norm)
        : TrellisQuantizer(RotationT(detail::checked_dim<Dim>(kName, dim), seed), rule) {}

    ScaleRule scale_rule() const noexcept { return static_cast<ScaleRule>(this->plan_.scale_rule); }
    const RotationT& rotation() const noexcept { return rotation_; }

private:
    TrellisQuantizer(RotationT rotation, ScaleRule rule)
        : Base(detail::scalar_id<ScaleT>(QuantizerKind::trellis, Bits, rotation), make_plan(rotation, rule)),
          rotation_(std::move(rotation)) {}

    static simd::CodecPlan make_plan(const RotationT& rotation, ScaleRule rule) {
        simd::CodecPlan plan = detail::scalar_plan<ScaleT>(Bits, rotation, rule);
        plan.trellis = &detail::trellis_table(plan.dim, Bits);
        return plan;
    }

    RotationT rotation_;
};

template <class Quantizer>
struct SerializationTraits;

template <int Dim, int Bits, class RotationT, class ScaleT>
struct SerializationTraits<TrellisQuantizer<Dim, Bits, RotationT, ScaleT>> {
    using Quantizer = TrellisQuantizer<Dim, Bits, RotationT, ScaleT>;
    static CodecId id() noexcept {
        CodecId id;
        id.kind = QuantizerKind::trellis;
        id.dim = Dim;
        id.bits = Bits;
        id.rotation = RotationT::kKind;
        id.scale = detail::scale_type_of<ScaleT>();
        return id;
    }
    static int scale_rule(const Quantizer& quantizer) noexcept {
        return static_cast<int>(quantizer.scale_rule());
    }
    static Quantizer make(Index dim, std::uint64_t seed, int rule) {
        return Quantizer(dim, seed, static_cast<ScaleRule>(rule));
    }
};

TURBOQUANT_NAMESPACE_END
