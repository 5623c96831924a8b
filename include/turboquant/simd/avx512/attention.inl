// AVX-512 without VNNI: what attention needs beyond vector.inl. Contracts in scalar/attention.inl.

#include "turboquant/simd/avx512/attention_floats.inl"

TURBOQUANT_INLINE Sums add_upper_plane(Sums lower, Sums upper) noexcept {
    return {{_mm256_add_epi32(lower.v[0], _mm256_slli_epi32(upper.v[0], 7)),
             _mm256_add_epi32(lower.v[1], _mm256_slli_epi32(upper.v[1], 7))}};
}
