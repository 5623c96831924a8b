// AVX-512, with VNNI and without: int32 sums to vectors of 16 floats, and floats to bytes.

TURBOQUANT_INLINE Floats to_floats(const std::int32_t* p, std::int32_t offset) noexcept {
    return {_mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_loadu_si512(p), _mm512_set1_epi32(offset)))};
}
TURBOQUANT_INLINE std::uint32_t reached(Floats a, Floats b) noexcept {
    return _cvtmask16_u32(_mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ));
}
TURBOQUANT_INLINE void store_rounded(std::int8_t* p, Floats a) noexcept {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(a.v)));
}
