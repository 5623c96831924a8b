// AVX-512, with VNNI and without: what attention needs beyond vector.inl. Contracts in scalar/attention.inl.

TURBOQUANT_INLINE Floats maximum(Floats a, Floats b) noexcept { return {_mm512_max_ps(a.v, b.v)}; }
TURBOQUANT_INLINE float largest(Floats a) noexcept {
    const __m256 half = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}
TURBOQUANT_INLINE Floats quotient(Floats a, Floats b) noexcept { return {_mm512_div_ps(a.v, b.v)}; }
TURBOQUANT_INLINE Floats two_to_the(Floats p, Floats t) noexcept {
    return {_mm512_castsi512_ps(
        _mm512_add_epi32(_mm512_castps_si512(p.v), _mm512_slli_epi32(_mm512_castps_si512(t.v), 23)))};
}
TURBOQUANT_INLINE float lane_sum(Floats a) noexcept {
    const __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
