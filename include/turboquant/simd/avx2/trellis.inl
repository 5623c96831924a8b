// What trellis codes need beyond vector.inl; contracts in scalar/trellis.inl.

TURBOQUANT_INLINE Floats minimum(Floats a, Floats b) noexcept { return {_mm256_min_ps(a.v, b.v)}; }

template <int Times, int Group>
TURBOQUANT_INLINE Floats repeat(Floats a, int part) noexcept {
    return {_mm256_permutevar8x32_ps(a.v, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(
                                              kRepeatLanes<8, Times, Group>.lanes[part])))};
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

TURBOQUANT_INLINE Ints load_ints(const std::int32_t* p) noexcept {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
}
TURBOQUANT_INLINE void store_ints(std::int32_t* p, Ints a) noexcept {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v);
}
TURBOQUANT_INLINE Ints both(Ints a, int mask) noexcept {
    return {_mm256_and_si256(a.v, _mm256_set1_epi32(mask))};
}
TURBOQUANT_INLINE Ints shift_left(Ints a, int count) noexcept {
    return {_mm256_sll_epi32(a.v, _mm_cvtsi32_si128(count))};
}
TURBOQUANT_INLINE Ints shift_right(Ints a, int count) noexcept {
    return {_mm256_srl_epi32(a.v, _mm_cvtsi32_si128(count))};
}
TURBOQUANT_INLINE Ints shift_right(Ints a, Ints counts) noexcept {
    return {_mm256_srlv_epi32(a.v, counts.v)};
}
TURBOQUANT_INLINE Ints choose(Ints a, int least, Ints yes, Ints no) noexcept {
    const __m256i chosen = _mm256_cmpgt_epi32(a.v, _mm256_set1_epi32(least - 1));
    return {_mm256_blendv_epi8(no.v, yes.v, chosen)};
}

TURBOQUANT_INLINE Floats load_integers(const std::uint8_t* p) noexcept {
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))))};
}
