// Trellis-coded quantization of the rotated coordinates: the distortion of a long block code at the price of a scalar one.
//
//   y = √d·Πx/‖x‖;   stored: b bits for each coordinate, one scale s;   x̂ = s·Πᵀc/√d,   c_j = value(the last 8 bits up to j's)
//
// A coordinate's value depends on its own b bits and on those before it, so that the values of 256 windows are 256/2^b
// codebooks that share the bits among them. Decoding stays a table lookup, coordinate by coordinate; the encoder finds the bits
// of least ‖y − c‖ among all 2^(b·d) by Viterbi's algorithm over 2^(8−b) states. (Ungerboeck 1982; Marcellin and Fischer 1990;
// windows of bits: QTIP, arXiv 2406.11235.) The first windows take what they lack from the last bits, so that exactly b bits a
// coordinate are stored (d ≥ 8). Fewer states, by windows of 7 or 6 bits, are searched in half or a quarter of the time.
//
// E‖x − x̂‖² relative to ‖x‖², for every x, d = 128 and beyond; Lloyd-Max of the same bits; and the bound of all codes, 4^-b:
//
//    b                   1      2      3       4     encoding, ns
//    256 >> b states   .285   .0765   .0205   .0056   1300 to 2100
//    128 >> b states   .287   .0783   .0217   .0060    720 to 1150
//    64 >> b states    .290   .0803   .0231   .0066    470 to 630
//    scalar            .361   .116    .0340   .0093     45 to 60
//    bound             .25    .0625   .0156   .0039
//
// Encoding: d = 128, AVX-512, nine vectors or more to a call; AVX2 takes twice as long. A register has a vector to each lane. Fewer
// vectors are searched for one by one or a few at a time, 1.5 to 3.3 µs each, and so are those of d > 192 with 256 >> b states and
// of d > 1536 with any. Time is in proportion to d. MseQuantizer's Refinement::scale_search takes 280 to 330 ns.
// Decoding takes 1.1 to 1.5 times as long as MseQuantizer's. Inner products of one query and of eight: 1.8 and 1.4 times with
// AVX-512 VBMI (3.3 ns a record of d = 128), 1.8 and 1.6 times with AVX-512, 2.6 and 1.7 times with AVX2 (bench/paper/trellis.md).
#pragma once

#include <cstdint>
#include <type_traits>

#include "turboquant/mse_quantizer.hpp"
#include "turboquant/quantizer.hpp"
#include "turboquant/trellis_codebook.hpp"

TURBOQUANT_NAMESPACE_BEGIN

// States: 256, 128 or 64, divided by 2^Bits. ScaleT and the scale rules: as of MseQuantizer.
template <int Dim, int Bits, int States = (256 >> Bits), class RotationT = Rotation<Dim>,
          class ScaleT = float>
class TrellisQuantizer : public QuantizerInterface<TrellisQuantizer<Dim, Bits, States, RotationT, ScaleT>,
                                                   Dim, simd::kTrellis + Bits, false> {
    static_assert(Bits >= 1 && Bits <= 4, "turboquant: TrellisQuantizer stores 1 to 4 bits per coordinate");
    static_assert(States == 256 >> Bits || States == 128 >> Bits || States == 64 >> Bits,
                  "turboquant: the States of a TrellisQuantizer are 256, 128 or 64, divided by 2^Bits");
    static_assert(std::is_same_v<RotationT, Rotation<Dim, RotationT::kKind>>,
                  "turboquant: RotationT must be Rotation<Dim, Kind> for the quantizer's own Dim");
    using Base = QuantizerInterface<TrellisQuantizer, Dim, simd::kTrellis + Bits, false>;

public:
    static constexpr bool kStructured = RotationT::kKind == RotationKind::hadamard;
    static constexpr const char* kName = "TrellisQuantizer";
    static constexpr int kBits = Bits;
    static constexpr int kStates = States;
    // Bits of a window.
    static constexpr int kWindow = States == 256 >> Bits ? 8 : States == 128 >> Bits ? 7 : 6;

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
        : Base(make_id(rotation), make_plan(rotation, rule)), rotation_(std::move(rotation)) {}

    static CodecId make_id(const RotationT& rotation) {
        CodecId id = detail::scalar_id<ScaleT>(QuantizerKind::trellis, Bits, rotation);
        id.window = kWindow;
        return id;
    }

    static simd::CodecPlan make_plan(const RotationT& rotation, ScaleRule rule) {
        simd::CodecPlan plan = detail::scalar_plan<ScaleT>(Bits, rotation, rule);
        plan.trellis = &detail::trellis_table<kWindow>(plan.dim, Bits);
        plan.encoder = &simd::trellis_encode_kernel<Bits, kWindow>;
        return plan;
    }

    RotationT rotation_;
};

template <class Quantizer>
struct SerializationTraits;

template <int Dim, int Bits, int States, class RotationT, class ScaleT>
struct SerializationTraits<TrellisQuantizer<Dim, Bits, States, RotationT, ScaleT>> {
    using Quantizer = TrellisQuantizer<Dim, Bits, States, RotationT, ScaleT>;
    static CodecId id() noexcept {
        CodecId id;
        id.kind = QuantizerKind::trellis;
        id.dim = Dim;
        id.bits = Bits;
        id.window = Quantizer::kWindow;
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
