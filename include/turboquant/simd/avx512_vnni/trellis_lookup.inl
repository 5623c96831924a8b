// 64 windows of trellis codes to their int8 centroids, plus kOffset, as in scalar/trellis_lookup.inl: vpmultishiftqb cuts eight
// windows out of a quadword, two vpermi2b and a blend look them up in four registers.
inline constexpr int kTrellisTogether = 1;

template <int Bits>
struct TrellisLookup {
    using Windows = Row;
    static constexpr int kReads = 8 * Bits;
    __m512i tables[4], bytes, shifts;
    TURBOQUANT_INLINE explicit TrellisLookup(const TrellisTable& trellis) noexcept
        : bytes(_mm512_loadu_si512(kQuadwordWindows<Bits>.bytes)),
          shifts(_mm512_loadu_si512(kQuadwordWindows<Bits>.shifts)) {
        TURBOQUANT_UNROLL
        for (int t = 0; t < 4; ++t)
            tables[t] = _mm512_xor_si512(_mm512_loadu_si512(trellis.int8_centroids + 64 * t),
                                         _mm512_set1_epi8(static_cast<char>(kOffset)));
    }
    TURBOQUANT_INLINE Windows windows(const std::uint8_t* packed, std::uint8_t before) const noexcept {
        const __m512i source = _mm512_mask_set1_epi8(load_bytes<8 * Bits>(packed).v, __mmask64{1} << 63,
                                                     static_cast<char>(before));
        return {_mm512_multishift_epi64_epi8(shifts, _mm512_permutexvar_epi8(bytes, source))};
    }
    TURBOQUANT_INLINE Row find(Windows windows) const noexcept {
        return {_mm512_mask_blend_epi8(_mm512_movepi8_mask(windows.v),
                                       _mm512_permutex2var_epi8(tables[0], windows.v, tables[1]),
                                       _mm512_permutex2var_epi8(tables[2], windows.v, tables[3]))};
    }
};
