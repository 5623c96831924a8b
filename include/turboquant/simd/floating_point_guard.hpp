// The floating-point environment in which kernels run: round to nearest, denormals kept.
//
// A host may have set another rounding mode, and any library linked with -ffast-math sets flush-to-zero for the whole
// process. Codes must not depend on either, so each kernel call runs under this guard, which sets the control register
// and restores it (about 9 ns a call).
#pragma once

#include "turboquant/config.hpp"

#if TURBOQUANT_X86
#include <xmmintrin.h>
#elif !TURBOQUANT_ARM64
#include <cfenv>
#endif

TURBOQUANT_NAMESPACE_BEGIN
namespace simd {

class FloatingPointGuard {
public:
#if TURBOQUANT_X86
    // 0x1f80: all exceptions masked, round to nearest, no flush-to-zero, no denormals-are-zero.
    FloatingPointGuard() noexcept : saved_(_mm_getcsr()) { _mm_setcsr(0x1f80u); }
    ~FloatingPointGuard() { _mm_setcsr(saved_); }
#elif TURBOQUANT_ARM64
    FloatingPointGuard() noexcept {
        asm volatile("mrs %0, fpcr" : "=r"(saved_));
        asm volatile("msr fpcr, %0" : : "r"(std::uint64_t{0}) : "memory");
    }
    ~FloatingPointGuard() { asm volatile("msr fpcr, %0" : : "r"(saved_) : "memory"); }
#else
    FloatingPointGuard() noexcept : saved_(std::fegetround()) { std::fesetround(FE_TONEAREST); }
    ~FloatingPointGuard() { std::fesetround(saved_); }
#endif
    FloatingPointGuard(const FloatingPointGuard&) = delete;
    FloatingPointGuard& operator=(const FloatingPointGuard&) = delete;

private:
#if TURBOQUANT_X86
    unsigned saved_;
#elif TURBOQUANT_ARM64
    std::uint64_t saved_ = 0;
#else
    int saved_;
#endif
};

}  // namespace simd
TURBOQUANT_NAMESPACE_END
