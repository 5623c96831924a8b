// AVX-512 without VNNI: what attention needs beyond vector.inl. Contracts in scalar/attention.inl.

#include "turboquant/simd/avx512/attention_floats.inl"

inline constexpr int kWeightBits = 7;

template <int Shift>
TURBOQUANT_INLINE void store_weights(std::uint8_t* p, Floats a) noexcept {
    __m512i bits = _mm512_srli_epi32(_mm512_castps_si512(a.v), Shift);
    if (kWeightBits < 8) bits = _mm512_and_si512(bits, _mm512_set1_epi32(127));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(bits));
}
template <int Bits>
using SignedLookup = CodeLookup<Bits>;
// Weights below 128 keep a pair of products inside int16.
struct WeightQuad {
    __m256i v;
};
TURBOQUANT_INLINE WeightQuad load_weights(const std::uint8_t* p) noexcept {
    std::int32_t bits;
    std::memcpy(&bits, p, 4);
    return {_mm256_set1_epi32(bits)};
}
TURBOQUANT_INLINE Sums dot_weights(Sums sums, Row row, WeightQuad weights) noexcept {
    TURBOQUANT_UNROLL
    for (int h = 0; h < 2; ++h)
        sums.v[h] = _mm256_add_epi32(
            sums.v[h], _mm256_madd_epi16(_mm256_maddubs_epi16(weights.v, row.v[h]), _mm256_set1_epi16(1)));
    return sums;
}
TURBOQUANT_INLINE Sums add_upper_plane(Sums lower, Sums upper) noexcept {
    return {{_mm256_add_epi32(lower.v[0], _mm256_slli_epi32(upper.v[0], 7)),
             _mm256_add_epi32(lower.v[1], _mm256_slli_epi32(upper.v[1], 7))}};
}

#include "turboquant/simd/kernels/softmax.inl"
