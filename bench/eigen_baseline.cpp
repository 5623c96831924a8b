// Eigen under another name: the same templates compiled for two instruction sets would be one symbol, and the linker
// would keep either, so that the rest of the program could end up running (or aligning for) this file's instructions.
#define Eigen EigenNative
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"  // both from g++ 12's own _mm512_undefined_ps()
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include "eigen_baseline.hpp"

#include <Eigen/Core>

namespace eigen_baseline {

void dense_rotation(const float* matrix, const float* x, float* out, std::ptrdiff_t dim,
                    std::ptrdiff_t count) {
    using Matrix = EigenNative::MatrixXf;
    const EigenNative::Map<const Matrix> rotation(matrix, dim, dim), columns(x, dim, count);
    EigenNative::Map<Matrix>(out, dim, count).noalias() = rotation * columns;
}

const char* target() noexcept {
#if defined(TURBOQUANT_BENCH_NATIVE)
    return "native";
#else
    return "default";
#endif
}

}  // namespace eigen_baseline
