// What search on codes is measured against: all scores in float32 or fp16, written as well as we can for AVX-512, and as
// Eigen does it (eigen_baseline.hpp).
//
// One query: four vectors at a time, two sums each. Several queries: tiles of 64 vectors, 4 × 4 scores in registers at a
// time, so that each value loaded is used four times; fp16 tiles are converted once for all queries. Scores go through the
// same heap as FlatIndex's, 16 at a time against the threshold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace baselines {

struct BruteForce {
    const char* name;    // "float32" or "fp16"
    const char* target;  // "avx512"
    std::size_t bytes;   // per coordinate
    // The k best of `count` vectors (one after another, `dim` each) for every query (floats): k a query, best first.
    void (*search)(const void* vectors, std::ptrdiff_t dim, std::ptrdiff_t count, const float* queries,
                   std::ptrdiff_t query_count, std::ptrdiff_t k, float* scores, std::int64_t* ids);
};

// Those that this machine runs.
const std::vector<BruteForce>& brute_force();

// float32 to IEEE half.
void to_half(const float* x, std::size_t count, std::uint16_t* out);

}  // namespace baselines
