// The kernels, each file after those it builds on. Included once per target, after its vector.inl.
// clang-format off
#include "turboquant/simd/kernels/hadamard.inl"
#include "turboquant/simd/kernels/rotation.inl"
#include "turboquant/simd/kernels/input.inl"
#include "turboquant/simd/kernels/centre.inl"
#include "turboquant/simd/kernels/encode.inl"
#include "turboquant/simd/kernels/encode_batch.inl"
#include "turboquant/simd/kernels/refine.inl"
#include "turboquant/simd/kernels/scales.inl"
#include "turboquant/simd/kernels/trellis.inl"
#include "turboquant/simd/kernels/trellis_encode.inl"
#include "turboquant/simd/kernels/decode.inl"
#include "turboquant/simd/kernels/trellis_decode.inl"
#include "turboquant/simd/kernels/attention.inl"
#include "turboquant/simd/kernels/block_mean.inl"
// clang-format on
