// AVX-512 with VNNI: what attention needs beyond vector.inl. Contracts in scalar/attention.inl.

#include "turboquant/simd/avx512/attention_floats.inl"

TURBOQUANT_INLINE Sums add_upper_plane(Sums lower, Sums upper) noexcept { return {lower.v + upper.v * 128}; }
