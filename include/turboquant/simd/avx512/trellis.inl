// What trellis codes need beyond vector.inl; contracts in scalar/trellis.inl.

TURBOQUANT_INLINE Floats minimum(Floats a, Floats b) noexcept { return {_mm512_min_ps(a.v, b.v)}; }

template <int Times, int Group>
TURBOQUANT_INLINE Floats repeat(Floats a, int part) noexcept {
    return {_mm512_permutexvar_ps(_mm512_loadu_si512(kRepeatLanes<16, Times, Group>.lanes[part]), a.v)};
}

template <int Bits>
TURBOQUANT_INLINE Floats mark(Floats a, int k) noexcept {
    // (a & ~mask) | (k & mask), in the register of a
    return {_mm512_castsi512_ps(_mm512_ternarylogic_epi32(
        _mm512_castps_si512(a.v), _mm512_set1_epi32((1 << Bits) - 1), _mm512_set1_epi32(k), 0xb8))};
}
template <int Bits>
TURBOQUANT_INLINE Ints marks(Floats a, int shift) noexcept {
    return {_mm512_slli_epi32(_mm512_and_si512(_mm512_castps_si512(a.v), _mm512_set1_epi32((1 << Bits) - 1)),
                              static_cast<unsigned>(shift))};
}
TURBOQUANT_INLINE Ints merge(Ints a, Ints b) noexcept { return {_mm512_or_si512(a.v, b.v)}; }

TURBOQUANT_INLINE Ints load_ints(const std::int32_t* p) noexcept { return {_mm512_loadu_si512(p)}; }
TURBOQUANT_INLINE void store_ints(std::int32_t* p, Ints a) noexcept { _mm512_storeu_si512(p, a.v); }
TURBOQUANT_INLINE Ints both(Ints a, int mask) noexcept {
    return {_mm512_and_si512(a.v, _mm512_set1_epi32(mask))};
}
TURBOQUANT_INLINE Ints shift_left(Ints a, int count) noexcept {
    return {_mm512_sll_epi32(a.v, _mm_cvtsi32_si128(count))};
}
TURBOQUANT_INLINE Ints shift_right(Ints a, int count) noexcept {
    return {_mm512_srl_epi32(a.v, _mm_cvtsi32_si128(count))};
}
TURBOQUANT_INLINE Ints shift_right(Ints a, Ints counts) noexcept {
    return {_mm512_srlv_epi32(a.v, counts.v)};
}
TURBOQUANT_INLINE Ints choose(Ints a, int least, Ints yes, Ints no) noexcept {
    return {_mm512_mask_mov_epi32(no.v, _mm512_cmpge_epi32_mask(a.v, _mm512_set1_epi32(least)), yes.v)};
}

TURBOQUANT_INLINE Floats load_integers(const std::uint8_t* p) noexcept {
    return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
