// What attention needs beyond vector.inl: contracts in scalar/attention.inl.

TURBOQUANT_INLINE Floats maximum(Floats a, Floats b) noexcept { return {vmaxq_f32(a.v, b.v)}; }
TURBOQUANT_INLINE float largest(Floats a) noexcept { return vmaxvq_f32(a.v); }
TURBOQUANT_INLINE Floats quotient(Floats a, Floats b) noexcept { return {vdivq_f32(a.v, b.v)}; }
TURBOQUANT_INLINE Floats two_to_the(Floats p, Floats t) noexcept {
    return {vreinterpretq_f32_u32(
        vaddq_u32(vreinterpretq_u32_f32(p.v), vshlq_n_u32(vreinterpretq_u32_f32(t.v), 23)))};
}
TURBOQUANT_INLINE float lane_sum(Floats a) noexcept { return vaddvq_f32(a.v); }

inline constexpr int kWeightBits = 7;

template <int Shift>
TURBOQUANT_INLINE void store_weights(std::uint8_t* p, Floats a) noexcept {
    uint32x4_t bits = vreinterpretq_u32_f32(a.v);
    if constexpr (Shift > 0) bits = vshrq_n_u32(bits, Shift);
    bits = vandq_u32(bits, vdupq_n_u32(127));
    const uint16x4_t words = vmovn_u32(bits);
    std::uint8_t lanes[8];
    vst1_u8(lanes, vmovn_u16(vcombine_u16(words, words)));
    std::memcpy(p, lanes, 4);
}
// Weights below 128 are signed bytes too.
using WeightQuad = Quad;
TURBOQUANT_INLINE WeightQuad load_weights(const std::uint8_t* p) noexcept {
    return load_quad(reinterpret_cast<const std::int8_t*>(p));
}
template <int Bits>
using SignedLookup = CodeLookup<Bits>;
TURBOQUANT_INLINE Sums dot_weights(Sums sums, Row row, WeightQuad weights) noexcept {
    return dot(sums, row, weights);
}
TURBOQUANT_INLINE Sums add_upper_plane(Sums lower, Sums upper) noexcept {
    TURBOQUANT_UNROLL
    for (int i = 0; i < 4; ++i) lower.v[i] = vaddq_s32(lower.v[i], vshlq_n_s32(upper.v[i], 7));
    return lower;
}

#include "turboquant/simd/kernels/softmax.inl"
