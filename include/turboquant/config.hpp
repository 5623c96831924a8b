// Compile-time configuration: the ABI namespace, compiler attributes, error reporting, and the one function through
// which every rounded product passes.
//
// Everything of ours lives in an inline namespace whose name encodes each compiler flag that may change code or layout
// (instruction set, exceptions, OpenMP, fast-math, Eigen's alignment, our version). Two translation units built with
// different flags therefore share no symbol: neither can end up running code that was compiled for the other's machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <Eigen/Core>

#include "turboquant/version.hpp"

#if EIGEN_VERSION_AT_LEAST(3, 4, 0) == 0
#error "TurboQuant needs Eigen 3.4 or newer."
#endif

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define TURBOQUANT_X86 1
#else
#define TURBOQUANT_X86 0
#endif
#if defined(__aarch64__) && (defined(__GNUC__) || defined(__clang__)) && \
    (!defined(__BYTE_ORDER__) || __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
#define TURBOQUANT_ARM64 1
#else
#define TURBOQUANT_ARM64 0
#endif

// --- ABI namespace ---------------------------------------------------------------------------------------------------
#if defined(__AVX512BW__)
#define TURBOQUANT_ABI_ISA avx512
#elif defined(__AVX512F__)
#define TURBOQUANT_ABI_ISA avx512f
#elif defined(__AVX2__) && defined(__FMA__)
#define TURBOQUANT_ABI_ISA avx2fma
#elif defined(__AVX2__)
#define TURBOQUANT_ABI_ISA avx2
#elif defined(__AVX__)
#define TURBOQUANT_ABI_ISA avx
#elif defined(__SSE4_1__)
#define TURBOQUANT_ABI_ISA sse4
#elif defined(__ARM_FEATURE_SVE)
#define TURBOQUANT_ABI_ISA sve
#elif defined(__ARM_FEATURE_DOTPROD)
#define TURBOQUANT_ABI_ISA dotprod
#else
#define TURBOQUANT_ABI_ISA base
#endif

#if defined(_OPENMP)
#define TURBOQUANT_ABI_OMP omp
#else
#define TURBOQUANT_ABI_OMP seq
#endif

#if defined(__cpp_exceptions) || defined(__EXCEPTIONS) || defined(_CPPUNWIND)
#define TURBOQUANT_EXCEPTIONS 1
#define TURBOQUANT_ABI_EXC exc
#else
#define TURBOQUANT_EXCEPTIONS 0
#define TURBOQUANT_ABI_EXC noexc
#endif

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#define TURBOQUANT_ABI_MATH fast
#else
#define TURBOQUANT_ABI_MATH ieee
#endif

#define TURBOQUANT_CONCAT_(a, b, c, d, e, f, g, h) v##a##_##b##_##c##_##d##_##e##_##f##_##g##_a##h
#define TURBOQUANT_CONCAT(a, b, c, d, e, f, g, h) TURBOQUANT_CONCAT_(a, b, c, d, e, f, g, h)
#define TURBOQUANT_STRING_(x) #x
#define TURBOQUANT_STRING(x) TURBOQUANT_STRING_(x)
#define TURBOQUANT_ABI                                                                                 \
    TURBOQUANT_CONCAT(TURBOQUANT_VERSION_MAJOR, TURBOQUANT_VERSION_MINOR, TURBOQUANT_VERSION_PATCH,    \
                      TURBOQUANT_ABI_ISA, TURBOQUANT_ABI_OMP, TURBOQUANT_ABI_EXC, TURBOQUANT_ABI_MATH, \
                      EIGEN_MAX_ALIGN_BYTES)

#if defined(__GNUC__) || defined(__clang__)
#define TURBOQUANT_ABI_TAG __attribute__((__abi_tag__(TURBOQUANT_STRING(TURBOQUANT_ABI))))
#else
#define TURBOQUANT_ABI_TAG
#endif

#define TURBOQUANT_NAMESPACE_BEGIN \
    namespace turboquant {         \
    inline namespace TURBOQUANT_ABI {
#define TURBOQUANT_NAMESPACE_END \
    }                            \
    }

namespace turboquant {
inline namespace TURBOQUANT_ABI TURBOQUANT_ABI_TAG {}
}  // namespace turboquant

// --- Compiler attributes ---------------------------------------------------------------------------------------------
#if defined(__GNUC__) || defined(__clang__)
#define TURBOQUANT_INLINE inline __attribute__((__always_inline__))
#define TURBOQUANT_NOINLINE __attribute__((__noinline__))
#define TURBOQUANT_COLD __attribute__((__noinline__, __cold__))  // what builds messages
#define TURBOQUANT_RESTRICT __restrict__
#else
#define TURBOQUANT_INLINE inline
#define TURBOQUANT_NOINLINE
#define TURBOQUANT_COLD
#define TURBOQUANT_RESTRICT
#endif

// Full unrolling of loops over register arrays: without it g++ -O2 keeps the array in memory.
#if defined(__clang__)
#define TURBOQUANT_UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define TURBOQUANT_UNROLL _Pragma("GCC unroll 32")
#else
#define TURBOQUANT_UNROLL
#endif

#if !TURBOQUANT_EXCEPTIONS
#include <cstdio>
#include <cstdlib>
#else
#include <stdexcept>
#endif

#if defined(__ELF__)
#if EIGEN_DEFAULT_ALIGN_BYTES == 0 || EIGEN_DEFAULT_ALIGN_BYTES == 32
#define TURBOQUANT_ALIGN_BIT_0
#else
#define TURBOQUANT_ALIGN_BIT_0 thread_local
#endif
#if EIGEN_DEFAULT_ALIGN_BYTES <= 16
#define TURBOQUANT_ALIGN_BIT_1
#else
#define TURBOQUANT_ALIGN_BIT_1 thread_local
#endif
namespace turboquant {
inline TURBOQUANT_ALIGN_BIT_0 char all_translation_units_need_one_EIGEN_DEFAULT_ALIGN_BYTES = 0;
inline TURBOQUANT_ALIGN_BIT_1 char all_translation_units_need_one_EIGEN_DEFAULT_ALIGN_BYTES_ = 0;
}  // namespace turboquant
#endif

TURBOQUANT_NAMESPACE_BEGIN

using Index = Eigen::Index;
inline constexpr int Dynamic = Eigen::Dynamic;

namespace detail {

// The value of a product (or any expression) rounded to its type: the compiler cannot fuse it into a following addition.
// On x86 and Arm the barrier costs no instruction. Without it the same source gives different bits under
// -march=native or -ffp-contract=fast.
template <class Float>
TURBOQUANT_INLINE Float rounded(Float x) noexcept {
#if TURBOQUANT_X86
    asm("" : "+x"(x));
    return x;
#elif TURBOQUANT_ARM64
    asm("" : "+w"(x));
    return x;
#else
    volatile Float stored = x;
    return stored;
#endif
}

// Called where an object of ours holds Eigen matrices. How Eigen allocates and frees them depends on the instruction set
// (EIGEN_DEFAULT_ALIGN_BYTES), but its functions do not tell in their names: where translation units disagree, one frees what
// the other's allocator gave. GNU ld and gold refuse to link them (lld only where the newer one comes first), since a variable
// is thread-local in one and not in the other: two variables for the values 0, 16, 32 and 64.
inline void need_one_eigen_allocator() noexcept {
#if defined(__ELF__)
    asm volatile("" : : "r"(&all_translation_units_need_one_EIGEN_DEFAULT_ALIGN_BYTES));
    asm volatile("" : : "r"(&all_translation_units_need_one_EIGEN_DEFAULT_ALIGN_BYTES_));
#endif
}

// std::less<> by a name of ours: std::sort with the standard's is one symbol for translation units of all flags.
struct Less {
    template <class T>
    bool operator()(const T& a, const T& b) const noexcept {
        return a < b;
    }
};

#if TURBOQUANT_EXCEPTIONS
[[noreturn]] TURBOQUANT_COLD inline void throw_invalid_argument(const std::string& message) {
    throw std::invalid_argument("turboquant: " + message);
}
[[noreturn]] TURBOQUANT_COLD inline void throw_runtime_error(const std::string& message) {
    throw std::runtime_error("turboquant: " + message);
}
#else
[[noreturn]] TURBOQUANT_COLD inline void throw_invalid_argument(const std::string& message) {
    std::fprintf(stderr, "turboquant: %s\n", message.c_str());
    std::abort();
}
[[noreturn]] TURBOQUANT_COLD inline void throw_runtime_error(const std::string& message) {
    throw_invalid_argument(message);
}
#endif

}  // namespace detail

TURBOQUANT_NAMESPACE_END
