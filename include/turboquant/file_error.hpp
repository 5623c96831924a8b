// What is said of files that cannot be read or written.
#pragma once

#include <cstdint>
#include <string>

#include "turboquant/config.hpp"

#if defined(__unix__) || defined(__APPLE__)
#define TURBOQUANT_POSIX 1
#else
#define TURBOQUANT_POSIX 0
#endif

TURBOQUANT_NAMESPACE_BEGIN
namespace detail {

[[noreturn]] TURBOQUANT_NOINLINE inline void throw_bad_file(const std::string& where,
                                                            const std::string& what) {
    throw_runtime_error(where + ": " + what);
}
[[noreturn]] TURBOQUANT_NOINLINE inline void throw_unexpected(const std::string& where,
                                                              const std::string& what, std::uint64_t expected,
                                                              std::uint64_t got) {
    throw_bad_file(where,
                   what + ": expected " + std::to_string(expected) + ", but got " + std::to_string(got));
}
[[noreturn]] TURBOQUANT_NOINLINE inline void throw_truncated(const std::string& where, std::uint64_t expected,
                                                             std::uint64_t got) {
    throw_bad_file(
        where, "truncated: expected " + std::to_string(expected) + " bytes, but got " + std::to_string(got));
}

// How a call on a path is named.
inline std::string quoted(const char* call, const std::string& path) {
    return std::string(call) + "(\"" + path + "\")";
}

}  // namespace detail
TURBOQUANT_NAMESPACE_END
