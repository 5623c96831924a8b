// Attention on float32 and fp16 keys and values of 128 coordinates, as well as we can write it for this machine: what
// compressed attention is measured against.
#pragma once

#include <cstddef>
#include <cstdint>

namespace attention_baseline {

inline constexpr int kDim = 128;

// "avx512", "avx2", or nullptr where there is none for this machine.
const char* target();

// Tokens (a multiple of 64) side by side, 128 elements each; 1, 2, 4 or 8 queries, multiplied by scale·log2(e), likewise.
void attend_float(const float* keys, const float* values, std::ptrdiff_t tokens, const float* q, int queries,
                  float* out);
void attend_half(const std::uint16_t* keys, const std::uint16_t* values, std::ptrdiff_t tokens,
                 const float* q, int queries, float* out);

}  // namespace attention_baseline
