// Run-time choice of the instruction set.
//
// Each kernel is compiled once per target, in a region of the source that carries the target's flags; the user's program
// needs none. The best target that the processor and the operating system support is chosen at first use. The
// environment variable TURBOQUANT_TARGET or set_target() force another: codes are the same on every target, so the
// choice changes speed alone.
//
//   target       needs                                       vector
//   scalar       nothing                                     4 floats, plain C++
//   avx2         AVX2, FMA, F16C                             8 floats
//   avx512       AVX-512 F, BW, DQ, VL (and avx2's)          16 floats
//   avx512_vnni  AVX-512 VNNI, VBMI (and avx512's)           16 floats, int8 dot products
//   neon         Arm64                                       4 floats
//   neon_dotprod Arm64 with the dot product extension        4 floats, int8 dot products
#pragma once

#include <atomic>
#include <cstdlib>
#include <string>
#include <vector>

#include "turboquant/config.hpp"

#if TURBOQUANT_X86
#include <cpuid.h>
#elif TURBOQUANT_ARM64 && defined(__linux__)
#include <sys/auxv.h>
#endif

TURBOQUANT_NAMESPACE_BEGIN

enum class Target : int { scalar = 0, avx2, avx512, avx512_vnni, neon, neon_dotprod };

// The target's name as TURBOQUANT_TARGET spells it.
inline const char* target_name(Target target) noexcept {
    switch (target) {
        case Target::scalar:
            return "scalar";
        case Target::avx2:
            return "avx2";
        case Target::avx512:
            return "avx512";
        case Target::avx512_vnni:
            return "avx512_vnni";
        case Target::neon:
            return "neon";
        case Target::neon_dotprod:
            return "neon_dotprod";
    }
    return "unknown";
}

namespace detail {

inline constexpr Target kAllTargets[] = {Target::scalar,      Target::avx2, Target::avx512,
                                         Target::avx512_vnni, Target::neon, Target::neon_dotprod};

// Whether this processor and operating system run the target. __builtin_cpu_supports checks with xgetbv that the
// operating system saves the wide registers.
inline bool target_supported(Target target) noexcept {
    if (target == Target::scalar) return true;
#if TURBOQUANT_X86
    __builtin_cpu_init();
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    // F16C (leaf 1, ECX bit 29) is not a feature name that clang 14 knows.
    const bool f16c = __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx >> 29 & 1u) != 0;
    const bool avx2 = f16c && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                      __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (target == Target::avx2) return avx2;
    if (target == Target::avx512) return avx512;
    if (target == Target::avx512_vnni)
        return avx512 && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi");
#elif TURBOQUANT_ARM64
    if (target == Target::neon) return true;
    if (target == Target::neon_dotprod) {
#if defined(__ARM_FEATURE_DOTPROD)
        return true;
#elif defined(__linux__)
        return (getauxval(AT_HWCAP) >> 20 & 1u) != 0;  // HWCAP_ASIMDDP
#else
        return false;
#endif
    }
#endif
    return false;
}

inline std::string supported_target_list() {
    std::string names;
    for (Target target : kAllTargets)
        if (target_supported(target)) names += std::string(names.empty() ? "" : ", ") + target_name(target);
    return names;
}

inline Target parse_target(const std::string& name, const char* origin) {
    for (Target target : kAllTargets)
        if (name == target_name(target) && target_supported(target)) return target;
    throw_invalid_argument(
        std::string(origin) + " names the target '" + name +
        "', which is unknown or not supported by this machine; supported: " + supported_target_list());
}

inline Target default_target() {
    if (const char* name = std::getenv("TURBOQUANT_TARGET"); name != nullptr && *name != '\0')
        return parse_target(name, "the environment variable TURBOQUANT_TARGET");
    Target best = Target::scalar;
    for (Target target : kAllTargets)
        if (target_supported(target)) best = target;
    return best;
}

// The only mutable state of the library besides immutable caches. -1: not chosen yet.
inline std::atomic<int>& target_choice() noexcept {
    static std::atomic<int> choice{-1};
    return choice;
}

}  // namespace detail

// The targets that this machine can run, slowest first.
inline std::vector<Target> supported_targets() {
    std::vector<Target> targets;
    for (Target target : detail::kAllTargets)
        if (detail::target_supported(target)) targets.push_back(target);
    return targets;
}

// The target in use. Throws std::invalid_argument at first use when TURBOQUANT_TARGET names one that this machine lacks.
inline Target active_target() {
    int choice = detail::target_choice().load(std::memory_order_relaxed);
    if (choice < 0) {
        choice = static_cast<int>(detail::default_target());
        detail::target_choice().store(choice, std::memory_order_relaxed);
    }
    return static_cast<Target>(choice);
}

// Forces a target for every later call in this program. Throws std::invalid_argument when this machine lacks it.
inline void set_target(Target target) {
    if (!detail::target_supported(target)) detail::parse_target(target_name(target), "set_target");
    detail::target_choice().store(static_cast<int>(target), std::memory_order_relaxed);
}
inline void set_target(const std::string& name) { set_target(detail::parse_target(name, "set_target")); }

TURBOQUANT_NAMESPACE_END
