// What attention needs beyond vector.inl: contracts in scalar/attention.inl.

TURBOQUANT_INLINE Floats maximum(Floats a, Floats b) noexcept { return {_mm256_max_ps(a.v, b.v)}; }
TURBOQUANT_INLINE float largest(Floats a) noexcept {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}
TURBOQUANT_INLINE Floats quotient(Floats a, Floats b) noexcept { return {_mm256_div_ps(a.v, b.v)}; }
TURBOQUANT_INLINE Floats two_to_the(Floats p, Floats t) noexcept {
    return {_mm256_castsi256_ps(
        _mm256_add_epi32(_mm256_castps_si256(p.v), _mm256_slli_epi32(_mm256_castps_si256(t.v), 23)))};
}
TURBOQUANT_INLINE float lane_sum(Floats a) noexcept {
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}

inline constexpr int kWeightBits = 7;

template <int Shift>
TURBOQUANT_INLINE void store_weights(std::uint8_t* p, Floats a) noexcept {
    const __m256i bits =
        _mm256_and_si256(_mm256_srli_epi32(_mm256_castps_si256(a.v), Shift), _mm256_set1_epi32(127));
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
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
