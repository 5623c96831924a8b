// 64 windows of trellis codes to their int8 centroids, plus kOffset, as in kernels/trellis_lookup.inl: vpmultishiftqb cuts eight
// windows out of a quadword, two vpermi2b and a blend look them up in four registers.
template <int Bits>
struct TrellisLookup {
    __m512i tables[4], bytes, shifts;
    TURBOQUANT_INLINE explicit TrellisLookup(const std::int8_t* centroids) noexcept
        : bytes(_mm512_loadu_si512(kQuadwordWindows<Bits>.bytes)),
          shifts(_mm512_loadu_si512(kQuadwordWindows<Bits>.shifts)) {
        TURBOQUANT_UNROLL
        for (int t = 0; t < 4; ++t)
            tables[t] = _mm512_xor_si512(_mm512_loadu_si512(centroids + 64 * t),
                                         _mm512_set1_epi8(static_cast<char>(kOffset)));
    }
    TURBOQUANT_INLINE Row operator()(const std::uint8_t* packed, std::uint8_t before) const noexcept {
        const __m512i source = _mm512_mask_set1_epi8(load_bytes<8 * Bits>(packed).v, __mmask64{1} << 63,
                                                     static_cast<char>(before));
        const __m512i windows = _mm512_multishift_epi64_epi8(shifts, _mm512_permutexvar_epi8(bytes, source));
        return {_mm512_mask_blend_epi8(_mm512_movepi8_mask(windows),
                                       _mm512_permutex2var_epi8(tables[0], windows, tables[1]),
                                       _mm512_permutex2var_epi8(tables[2], windows, tables[3]))};
    }
};
