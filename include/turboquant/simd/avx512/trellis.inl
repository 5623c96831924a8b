// What trellis codes need beyond vector.inl; contracts in scalar/trellis.inl.

TURBOQUANT_INLINE Floats minimum(Floats a, Floats b) noexcept { return {_mm512_min_ps(a.v, b.v)}; }

template <int Times>
TURBOQUANT_INLINE Floats repeat(Floats a, int part) noexcept {
    return {_mm512_permutexvar_ps(_mm512_loadu_si512(kRepeatLanes<16, Times>.lanes[part]), a.v)};
}

template <int Bits>
TURBOQUANT_INLINE Floats mark(Floats a, int k) noexcept {
    // (a & ~mask) | (k & mask)
    return {_mm512_castsi512_ps(_mm512_ternarylogic_epi32(
        _mm512_set1_epi32((1 << Bits) - 1), _mm512_castps_si512(a.v), _mm512_set1_epi32(k), 0xac))};
}
template <int Bits>
TURBOQUANT_INLINE Ints marks(Floats a, int shift) noexcept {
    return {_mm512_slli_epi32(_mm512_and_si512(_mm512_castps_si512(a.v), _mm512_set1_epi32((1 << Bits) - 1)),
                              static_cast<unsigned>(shift))};
}
TURBOQUANT_INLINE Ints merge(Ints a, Ints b) noexcept { return {_mm512_or_si512(a.v, b.v)}; }
TURBOQUANT_INLINE void store_low_bytes(std::uint8_t* p, Ints a) noexcept {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
}

TURBOQUANT_INLINE Floats load_integers(const std::uint8_t* p) noexcept {
    return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
