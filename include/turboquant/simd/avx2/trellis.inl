// What trellis codes need beyond vector.inl; contracts in scalar/trellis.inl.

TURBOQUANT_INLINE Floats minimum(Floats a, Floats b) noexcept { return {_mm256_min_ps(a.v, b.v)}; }

template <int Times>
TURBOQUANT_INLINE Floats repeat(Floats a, int part) noexcept {
    return {_mm256_permutevar8x32_ps(
        a.v, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kRepeatLanes<8, Times>.lanes[part])))};
}

template <int Bits>
TURBOQUANT_INLINE Floats mark(Floats a, int k) noexcept {
    const __m256i cleared = _mm256_andnot_si256(_mm256_set1_epi32((1 << Bits) - 1), _mm256_castps_si256(a.v));
    return {_mm256_castsi256_ps(_mm256_or_si256(cleared, _mm256_set1_epi32(k)))};
}
template <int Bits>
TURBOQUANT_INLINE Ints marks(Floats a, int shift) noexcept {
    return {_mm256_slli_epi32(_mm256_and_si256(_mm256_castps_si256(a.v), _mm256_set1_epi32((1 << Bits) - 1)),
                              shift)};
}
TURBOQUANT_INLINE Ints merge(Ints a, Ints b) noexcept { return {_mm256_or_si256(a.v, b.v)}; }
TURBOQUANT_INLINE void store_low_bytes(std::uint8_t* p, Ints a) noexcept {
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(a.v), _mm256_extracti128_si256(a.v, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
}

TURBOQUANT_INLINE Floats load_integers(const std::uint8_t* p) noexcept {
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))))};
}
