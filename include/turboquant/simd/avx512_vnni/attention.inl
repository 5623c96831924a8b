// AVX-512 with VNNI: what attention needs beyond vector.inl. Contracts in scalar/attention.inl.

#include "turboquant/simd/avx512/attention_floats.inl"

// vpdpbusd multiplies unsigned by signed bytes: here the weights are the unsigned ones.
inline constexpr int kWeightBits = 8;

template <int Shift>
TURBOQUANT_INLINE void store_weights(std::uint8_t* p, Floats a) noexcept {
    __m512i bits = _mm512_srli_epi32(_mm512_castps_si512(a.v), Shift);
    if (kWeightBits < 8) bits = _mm512_and_si512(bits, _mm512_set1_epi32(127));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(bits));
}
struct WeightQuad {
    __m512i v;
};
TURBOQUANT_INLINE WeightQuad load_weights(const std::uint8_t* p) noexcept {
    std::int32_t bits;
    std::memcpy(&bits, p, 4);
    return {_mm512_set1_epi32(bits)};
}
template <int Bits>
struct SignedLookup : CodeLookup<Bits> {
    TURBOQUANT_INLINE explicit SignedLookup(const std::int8_t* centroids) noexcept
        : CodeLookup<Bits>(centroids) {
        TURBOQUANT_UNROLL
        for (int t = 0; t < CodeLookup<Bits>::kTables; ++t)
            this->tables[t] = _mm512_xor_si512(this->tables[t], _mm512_set1_epi8(static_cast<char>(kOffset)));
    }
};
TURBOQUANT_INLINE Sums dot_weights(Sums sums, Row row, WeightQuad weights) noexcept {
    return {
        reinterpret_cast<Int32x16>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sums.v), weights.v, row.v))};
}
TURBOQUANT_INLINE Sums add_upper_plane(Sums lower, Sums upper) noexcept { return {lower.v + upper.v * 256}; }

// --- Two bytes a centroid, for kernels/attention_wide.inl ------------------------------------------------------------------

// The same centroids with both bytes signed: c = 256·high + low.
template <int Bits>
struct SignedWideLookup : WideLookup<Bits> {
    TURBOQUANT_INLINE SignedWideLookup(const std::uint8_t* low, const std::uint8_t* high) noexcept
        : WideLookup<Bits>(low, high) {
        TURBOQUANT_UNROLL
        for (int t = 0; t < WideLookup<Bits>::kTables; ++t) {
            const __m512i offset =
                _mm512_xor_si512(this->high_tables[t], _mm512_set1_epi8(static_cast<char>(128)));
            const __mmask64 carry = _mm512_movepi8_mask(this->low_tables[t]);
            this->high_tables[t] = _mm512_mask_sub_epi8(offset, carry, offset, _mm512_set1_epi8(-1));
        }
    }
};

// Bytes of four tokens side by side: dword 4·i + j of out[k] holds byte 16·i + 4·(First + k) + j of each.
template <int First, int Count>
TURBOQUANT_INLINE void interleave_tokens(const Row (&tokens)[4], Row (&out)[Count]) noexcept {
    TURBOQUANT_UNROLL
    for (int k = 0; k < Count; k += 2) {
        const bool low = First + k == 0;
        const __m512i even = low ? _mm512_unpacklo_epi8(tokens[0].v, tokens[1].v)
                                 : _mm512_unpackhi_epi8(tokens[0].v, tokens[1].v);
        const __m512i odd = low ? _mm512_unpacklo_epi8(tokens[2].v, tokens[3].v)
                                : _mm512_unpackhi_epi8(tokens[2].v, tokens[3].v);
        out[k].v = _mm512_unpacklo_epi16(even, odd);
        out[k + 1].v = _mm512_unpackhi_epi16(even, odd);
    }
}

TURBOQUANT_INLINE Floats float_sums(Sums sums) noexcept {
    return {_mm512_cvtepi32_ps(reinterpret_cast<__m512i>(sums.v))};
}

// Lane i: the sum of row i's lanes.
TURBOQUANT_INLINE __m512 add_interleaved(__m512 a, __m512 b) noexcept {
    return _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
}
TURBOQUANT_INLINE __m512 add_quarters(__m512 a, __m512 b) noexcept {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}
TURBOQUANT_INLINE Floats lane_sums(const float (&rows)[16][16]) noexcept {
    __m512 fours[4];  // lane i of 128 bits: the i-th quarters of rows 4·k … 4·k + 3
    TURBOQUANT_UNROLL
    for (int k = 0; k < 4; ++k) {
        const __m512 low = add_interleaved(load(rows[4 * k]).v, load(rows[4 * k + 1]).v);
        const __m512 high = add_interleaved(load(rows[4 * k + 2]).v, load(rows[4 * k + 3]).v);
        fours[k] = _mm512_add_ps(_mm512_shuffle_ps(low, high, 0x44), _mm512_shuffle_ps(low, high, 0xee));
    }
    return {add_quarters(add_quarters(fours[0], fours[1]), add_quarters(fours[2], fours[3]))};
}

#include "turboquant/simd/kernels/softmax.inl"
