// 64 windows of trellis codes to their int8 centroids, as in scalar/trellis_lookup.inl: windows from the upper half of the table
// are looked up by their complements, in eight rows of 16, and what is found changes its sign.

// A lookup right after its unpacking waits for it: a fifth of the time.
inline constexpr int kTrellisTogether = 4;

// A lane of 128 bits takes four dwords from the one that holds the byte before its codes, which for the first is the last of 64.
template <int Bits>
inline constexpr WindowWords<4> kWindowWords = make_window_words<4>(Bits, {3, (2 * Bits + 3) % 4, 3,
                                                                           (2 * Bits + 3) % 4});
struct LaneDwords {
    alignas(64) std::int32_t dwords[16];
};
constexpr LaneDwords make_lane_dwords(int bits) noexcept {
    LaneDwords table{};
    for (int i = 0; i < 16; ++i) table.dwords[i] = ((2 * bits * (i / 4) + 3) / 4 - 1 + i % 4) & 15;
    return table;
}
template <int Bits>
inline constexpr LaneDwords kLaneDwords = make_lane_dwords(Bits);

template <int Bits>
struct TrellisLookup {
    using Windows = __m512i;
    static constexpr int kReads = 8 * Bits;
    __m512i rows[8], dwords, bytes[2], multipliers[2];
    TURBOQUANT_INLINE explicit TrellisLookup(const TrellisTable& trellis) noexcept
        : dwords(_mm512_loadu_si512(kLaneDwords<Bits>.dwords)) {
        TURBOQUANT_UNROLL
        for (int odd = 0; odd < 2; ++odd) {
            bytes[odd] = _mm512_loadu_si512(kWindowWords<Bits>.bytes[odd]);
            multipliers[odd] = _mm512_loadu_si512(kWindowWords<Bits>.multipliers[odd]);
        }
        TURBOQUANT_UNROLL
        for (int k = 0; k < 8; ++k)
            rows[k] = _mm512_broadcast_i32x4(
                _mm_loadu_si128(reinterpret_cast<const __m128i*>(trellis.int8_centroids + 16 * k)));
    }
    TURBOQUANT_INLINE Row find(Windows windows) const noexcept {
        const __m512i index = _mm512_min_epu8(windows, _mm512_xor_si512(windows, _mm512_set1_epi8(-1)));
        const __mmask64 bit4 = _mm512_test_epi8_mask(index, _mm512_set1_epi8(16));
        const __mmask64 bit5 = _mm512_test_epi8_mask(index, _mm512_set1_epi8(32));
        const __mmask64 bit6 = _mm512_test_epi8_mask(index, _mm512_set1_epi8(64));
        __m512i pairs[4];
        TURBOQUANT_UNROLL
        for (int k = 0; k < 4; ++k)
            pairs[k] = _mm512_mask_shuffle_epi8(_mm512_shuffle_epi8(rows[2 * k], index), bit4,
                                                rows[2 * k + 1], index);
        const __m512i magnitude =
            _mm512_mask_blend_epi8(bit6, _mm512_mask_blend_epi8(bit5, pairs[0], pairs[1]),
                                   _mm512_mask_blend_epi8(bit5, pairs[2], pairs[3]));
        const __m512i found =
            _mm512_mask_sub_epi8(magnitude, _mm512_movepi8_mask(windows), _mm512_setzero_si512(), magnitude);
        return {{_mm512_castsi512_si256(found), _mm512_extracti64x4_epi64(found, 1)}};
    }
    TURBOQUANT_INLINE Windows windows(const std::uint8_t* packed, std::uint8_t before) const noexcept {
        const __m512i source =
            _mm512_mask_set1_epi8(_mm512_maskz_loadu_epi8((__mmask64{1} << 8 * Bits) - 1, packed),
                                  __mmask64{1} << 63, static_cast<char>(before));
        const __m512i lanes = _mm512_permutexvar_epi32(dwords, source);
        const __m512i even = _mm512_mulhi_epu16(_mm512_shuffle_epi8(lanes, bytes[0]), multipliers[0]);
        const __m512i odd = _mm512_mullo_epi16(_mm512_shuffle_epi8(lanes, bytes[1]), multipliers[1]);
        return _mm512_mask_blend_epi8(0xaaaaaaaaaaaaaaaau, even, odd);
    }
};
