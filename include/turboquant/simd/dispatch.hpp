// The kernels of every target, and the table that a call looks up once.
//
// Kernels are templates on the index bits, so that a program compiles those that it uses. Each target's namespace
// includes the same kernel sources over its own vector types, inside a region that carries the target's flags.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "turboquant/config.hpp"
#include "turboquant/simd/attention_plan.hpp"
#include "turboquant/simd/codebook_table.hpp"
#include "turboquant/simd/floating_point_guard.hpp"
#include "turboquant/simd/graded_keys.hpp"
#include "turboquant/simd/packing.hpp"
#include "turboquant/simd/plan.hpp"
#include "turboquant/simd/scan_layout.hpp"
#include "turboquant/simd/target.hpp"
#include "turboquant/simd/trellis_table.hpp"
#include "turboquant/simd/value_layout.hpp"

#if TURBOQUANT_X86
#include <immintrin.h>
#elif TURBOQUANT_ARM64
#include <arm_neon.h>
#endif

// A region: every function defined in it is compiled for the named features, without contraction or fast-math.
#define TURBOQUANT_PRAGMA(x) _Pragma(#x)
#if defined(__clang__)
#define TURBOQUANT_REGION_BEGIN(features)                                                           \
    TURBOQUANT_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function)) \
    _Pragma("clang fp contract(off)")
#define TURBOQUANT_REGION_END _Pragma("clang attribute pop")
#else
#define TURBOQUANT_REGION_BEGIN(features)                               \
    _Pragma("GCC push_options") TURBOQUANT_PRAGMA(GCC target(features)) \
        TURBOQUANT_PRAGMA(GCC optimize("no-fast-math", "fp-contract=off"))
#define TURBOQUANT_REGION_END _Pragma("GCC pop_options")
#endif

TURBOQUANT_NAMESPACE_BEGIN
namespace simd {

// In each namespace the vectors come before the kernels.
// clang-format off

// Unrolled, arrays of the scalar target's vectors would be many times the code for no speed.
#pragma push_macro("TURBOQUANT_UNROLL")
#undef TURBOQUANT_UNROLL
#define TURBOQUANT_UNROLL
namespace scalar {
#include "turboquant/simd/scalar/vector.inl"
#include "turboquant/simd/scalar/trellis.inl"
#include "turboquant/simd/scalar/int8.inl"
#include "turboquant/simd/scalar/trellis_lookup.inl"
#include "turboquant/simd/scalar/attention.inl"
#include "turboquant/simd/kernels/all.inl"
#include "turboquant/simd/kernels/int8.inl"
}  // namespace scalar
#pragma pop_macro("TURBOQUANT_UNROLL")

#if TURBOQUANT_X86
TURBOQUANT_REGION_BEGIN("avx2,fma,f16c,bmi,bmi2")
namespace avx2 {
#include "turboquant/simd/avx2/vector.inl"
#include "turboquant/simd/avx2/trellis.inl"
#include "turboquant/simd/avx2/int8.inl"
#include "turboquant/simd/avx2/trellis_lookup.inl"
#include "turboquant/simd/avx2/attention.inl"
#include "turboquant/simd/kernels/all.inl"
#include "turboquant/simd/kernels/int8.inl"
}  // namespace avx2
TURBOQUANT_REGION_END

#if !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // from g++ 12's own _mm512_undefined_ps()
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
TURBOQUANT_REGION_BEGIN("avx2,fma,f16c,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl")
namespace avx512 {
#include "turboquant/simd/avx512/vector.inl"
#include "turboquant/simd/avx512/trellis.inl"
#include "turboquant/simd/avx512/int8.inl"
#include "turboquant/simd/avx512/trellis_lookup.inl"
#include "turboquant/simd/avx512/attention.inl"
#include "turboquant/simd/kernels/all.inl"
#include "turboquant/simd/kernels/rotation_shifted.inl"
#include "turboquant/simd/kernels/int8.inl"
}  // namespace avx512
TURBOQUANT_REGION_END

// Only what int8 dot products change.
TURBOQUANT_REGION_BEGIN("avx2,fma,f16c,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")
namespace avx512_vnni {
#include "turboquant/simd/avx512/vector.inl"
#include "turboquant/simd/avx512_vnni/int8.inl"
#include "turboquant/simd/kernels/scales.inl"
#include "turboquant/simd/avx512_vnni/attention.inl"
#include "turboquant/simd/avx512_vnni/trellis_lookup.inl"
#include "turboquant/simd/kernels/int8.inl"
#include "turboquant/simd/kernels/rows_wide.inl"
#include "turboquant/simd/kernels/attention_wide.inl"
}  // namespace avx512_vnni
TURBOQUANT_REGION_END
#if !defined(__clang__)
#pragma GCC diagnostic pop
#endif
#endif

#if TURBOQUANT_ARM64
namespace neon {
#include "turboquant/simd/neon/vector.inl"
#include "turboquant/simd/neon/trellis.inl"
#include "turboquant/simd/neon/int8.inl"
#include "turboquant/simd/neon/trellis_lookup.inl"
#include "turboquant/simd/neon/attention.inl"
#include "turboquant/simd/kernels/all.inl"
#include "turboquant/simd/kernels/int8.inl"
}  // namespace neon
namespace neon_dotprod {
#define TURBOQUANT_INT8_DOTPROD 1
#include "turboquant/simd/neon/vector.inl"
#include "turboquant/simd/neon/int8.inl"
#include "turboquant/simd/kernels/scales.inl"
#include "turboquant/simd/neon/attention.inl"
#include "turboquant/simd/neon/trellis_lookup.inl"
#include "turboquant/simd/kernels/int8.inl"
#undef TURBOQUANT_INT8_DOTPROD
}  // namespace neon_dotprod
#endif

// clang-format on

// The kernel of the target in use. avx512_vnni and neon_dotprod have kernels of their own where there are int8 dot
// products (kernels/int8.inl), and those of their smaller siblings elsewhere. Each kernel is chosen on its own, so that a
// program compiles those that it calls.
#if TURBOQUANT_X86
template <class Kernel>
Kernel* select_kernel(Kernel* scalar_kernel, Kernel* avx2_kernel, Kernel* avx512_kernel) {
    switch (active_target()) {
        case Target::avx2:
            return avx2_kernel;
        case Target::avx512:
        case Target::avx512_vnni:
            return avx512_kernel;
        default:
            return scalar_kernel;
    }
}
#define TURBOQUANT_KERNEL(...)                                                  \
    ::turboquant::simd::select_kernel(&::turboquant::simd::scalar::__VA_ARGS__, \
                                      &::turboquant::simd::avx2::__VA_ARGS__,   \
                                      &::turboquant::simd::avx512::__VA_ARGS__)
#define TURBOQUANT_INT8_KERNEL(...)                                     \
    (::turboquant::active_target() == ::turboquant::Target::avx512_vnni \
         ? &::turboquant::simd::avx512_vnni::__VA_ARGS__                \
         : TURBOQUANT_KERNEL(__VA_ARGS__))
#elif TURBOQUANT_ARM64
template <class Kernel>
Kernel* select_kernel(Kernel* scalar_kernel, Kernel* neon_kernel) {
    return active_target() == Target::scalar ? scalar_kernel : neon_kernel;
}
#define TURBOQUANT_KERNEL(...)                                                  \
    ::turboquant::simd::select_kernel(&::turboquant::simd::scalar::__VA_ARGS__, \
                                      &::turboquant::simd::neon::__VA_ARGS__)
#define TURBOQUANT_INT8_KERNEL(...)                                      \
    (::turboquant::active_target() == ::turboquant::Target::neon_dotprod \
         ? &::turboquant::simd::neon_dotprod::__VA_ARGS__                \
         : TURBOQUANT_KERNEL(__VA_ARGS__))
#else
template <class Kernel>
Kernel* select_kernel(Kernel* scalar_kernel) {
    (void)active_target();  // an unsupported choice throws on every machine
    return scalar_kernel;
}
#define TURBOQUANT_KERNEL(...) ::turboquant::simd::select_kernel(&::turboquant::simd::scalar::__VA_ARGS__)
#define TURBOQUANT_INT8_KERNEL(...) TURBOQUANT_KERNEL(__VA_ARGS__)
#endif

}  // namespace simd
TURBOQUANT_NAMESPACE_END
