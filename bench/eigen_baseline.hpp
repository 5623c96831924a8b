// What everybody writes first, by Eigen's matrix products: a dense d × d rotation, and search among floats. Their
// translation unit alone is compiled with -march=native, so that Eigen may use every instruction of this machine; the rest of the program is
// built as users build theirs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace eigen_baseline {

// out = matrix · x, all column-major: dim × dim times dim × count. O(dim²) a vector.
void dense_rotation(const float* matrix, const float* x, float* out, std::ptrdiff_t dim,
                    std::ptrdiff_t count);

// The k best of `count` vectors (columns of dim × count, float or half) for every query (dim × query_count): k a query,
// best first. Scores by Eigen's matrix product, 1024 vectors at a time; halfs converted before.
void search_float32(const float* vectors, std::ptrdiff_t dim, std::ptrdiff_t count, const float* queries,
                    std::ptrdiff_t query_count, std::ptrdiff_t k, float* scores, std::int64_t* ids);
void search_fp16(const std::uint16_t* vectors, std::ptrdiff_t dim, std::ptrdiff_t count, const float* queries,
                 std::ptrdiff_t query_count, std::ptrdiff_t k, float* scores, std::int64_t* ids);

// "native" where the build system found -march=native, else "default".
const char* target() noexcept;

}  // namespace eigen_baseline
