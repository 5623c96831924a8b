// AVX-512 without VNNI: rows of codes as on AVX2, and what meets vectors of 16 floats.
// The operations and their contracts are listed in scalar/int8.inl.

#define TURBOQUANT_INT8_OF_AVX512 1
#include "turboquant/simd/avx2/int8.inl"
#undef TURBOQUANT_INT8_OF_AVX512
#include "turboquant/simd/avx512/int8_floats.inl"
