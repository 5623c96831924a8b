// What a quantizer is measured against: the cheap ways to store the same floats, written as well as we can for each
// instruction set, so that nobody wins against a straw man.
//
//   memcpy     the vectors themselves; the floor of any pass over them
//   fp16       float32 to IEEE half, 2 bytes a coordinate
//   absmax4    blocks of 32: a half scale s = m/−8, with m the entry of largest magnitude and its sign, and 4-bit
//              round(x/s) + 8 clamped to 15: 18 bytes (the idea of ggml's q4_0; the code is ours)
//   absmax8    blocks of 32: a half scale s = max|x|/127 and 8-bit round(x/s): 34 bytes (the idea of q8_0)
//
// No rotation, hence no bound that holds for every input: their error here is that of Gaussian data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace baselines {

struct Baseline {
    const char* name;
    const char* target;  // "avx512" or "avx2"; "libc" for memcpy, which chooses for itself
    std::size_t block;   // floats per block; counts below are multiples of it
    std::size_t block_bytes;
    void (*encode)(const float* x, std::size_t count, std::uint8_t* out);
    void (*decode)(const std::uint8_t* codes, std::size_t count, float* out);  // plain C++, to measure errors

    std::size_t bytes(std::size_t count) const noexcept { return count / block * block_bytes; }
};

// The baselines that this machine runs.
const std::vector<Baseline>& all();

// Bytes per second that one core reads from memory: the best of a few passes over 256 MiB, far more than a core's share
// of any cache, with the widest loads. Measured at the first call (about .2 s), remembered afterwards.
double read_bandwidth();
// Measured now.
double measure_read_bandwidth();

}  // namespace baselines
