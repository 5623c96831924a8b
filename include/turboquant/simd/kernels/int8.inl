// The kernels on int8 rows. Included once per target, after its int8.inl.
// clang-format off
#include "turboquant/simd/kernels/rows.inl"
#include "turboquant/simd/kernels/trellis_rows.inl"
#include "turboquant/simd/kernels/scan.inl"
#include "turboquant/simd/kernels/attention_codes.inl"
// clang-format on
