// What trellis codes need beyond vector.inl; contracts in scalar/trellis.inl.

TURBOQUANT_INLINE Floats minimum(Floats a, Floats b) noexcept { return {vminq_f32(a.v, b.v)}; }

template <int Times>
TURBOQUANT_INLINE Floats repeat(Floats a, int part) noexcept {
    const float32x4_t v = a.v;
    if constexpr (Times == 2) return {part == 0 ? vzip1q_f32(v, v) : vzip2q_f32(v, v)};
    return {part == 0   ? vdupq_laneq_f32(v, 0)
            : part == 1 ? vdupq_laneq_f32(v, 1)
            : part == 2 ? vdupq_laneq_f32(v, 2)
                        : vdupq_laneq_f32(v, 3)};
}

template <int Bits>
TURBOQUANT_INLINE Floats mark(Floats a, int k) noexcept {
    const uint32x4_t mask = vdupq_n_u32((1u << Bits) - 1u);
    return {vreinterpretq_f32_u32(
        vbslq_u32(mask, vdupq_n_u32(static_cast<std::uint32_t>(k)), vreinterpretq_u32_f32(a.v)))};
}
template <int Bits>
TURBOQUANT_INLINE Ints marks(Floats a, int shift) noexcept {
    const uint32x4_t low = vandq_u32(vreinterpretq_u32_f32(a.v), vdupq_n_u32((1u << Bits) - 1u));
    return {vshlq_u32(low, vdupq_n_s32(shift))};
}
TURBOQUANT_INLINE Ints merge(Ints a, Ints b) noexcept { return {vorrq_u32(a.v, b.v)}; }
TURBOQUANT_INLINE void store_low_bytes(std::uint8_t* p, Ints a) noexcept {
    const uint16x4_t words = vmovn_u32(a.v);
    const uint8x8_t low = vmovn_u16(vcombine_u16(words, words));
    std::uint8_t bytes[8];
    vst1_u8(bytes, low);
    std::memcpy(p, bytes, 4);
}

TURBOQUANT_INLINE Floats load_integers(const std::uint8_t* p) noexcept {
    std::int32_t four;
    std::memcpy(&four, p, 4);
    const int16x8_t words = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)));
    return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(words)))};
}
