// What trellis codes need beyond vector.inl; contracts in scalar/trellis.inl.

TURBOQUANT_INLINE Floats minimum(Floats a, Floats b) noexcept { return {vminq_f32(a.v, b.v)}; }

template <int Times, int Group>
TURBOQUANT_INLINE Floats repeat(Floats a, int part) noexcept {
    static_assert(Group == 1, "turboquant: four states fill a register");
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

TURBOQUANT_INLINE Ints load_ints(const std::int32_t* p) noexcept {
    return {vreinterpretq_u32_s32(vld1q_s32(p))};
}
TURBOQUANT_INLINE void store_ints(std::int32_t* p, Ints a) noexcept {
    vst1q_s32(p, vreinterpretq_s32_u32(a.v));
}
TURBOQUANT_INLINE Ints both(Ints a, int mask) noexcept {
    return {vandq_u32(a.v, vdupq_n_u32(static_cast<std::uint32_t>(mask)))};
}
TURBOQUANT_INLINE Ints shift_left(Ints a, int count) noexcept { return {vshlq_u32(a.v, vdupq_n_s32(count))}; }
TURBOQUANT_INLINE Ints shift_right(Ints a, int count) noexcept {
    return {vshlq_u32(a.v, vdupq_n_s32(-count))};
}
TURBOQUANT_INLINE Ints shift_right(Ints a, Ints counts) noexcept {
    return {vshlq_u32(a.v, vnegq_s32(vreinterpretq_s32_u32(counts.v)))};
}
TURBOQUANT_INLINE Ints choose(Ints a, int least, Ints yes, Ints no) noexcept {
    return {vbslq_u32(vcgeq_u32(a.v, vdupq_n_u32(static_cast<std::uint32_t>(least))), yes.v, no.v)};
}

TURBOQUANT_INLINE Floats load_integers(const std::uint8_t* p) noexcept {
    std::int32_t four;
    std::memcpy(&four, p, 4);
    const int16x8_t words = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)));
    return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(words)))};
}
