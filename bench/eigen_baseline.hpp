// The rotation everybody writes first: a dense d × d matrix times the vectors, by Eigen's GEMM. Its translation unit alone
// is compiled with -march=native, so that Eigen may use every instruction of this machine; the rest of the program is
// built as users build theirs.
#pragma once

#include <cstddef>

namespace eigen_baseline {

// out = matrix · x, all column-major: dim × dim times dim × count. O(dim²) a vector.
void dense_rotation(const float* matrix, const float* x, float* out, std::ptrdiff_t dim,
                    std::ptrdiff_t count);

// "native" where the build system found -march=native, else "default".
const char* target() noexcept;

}  // namespace eigen_baseline
