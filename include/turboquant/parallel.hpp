// The `threads` argument of quantizer calls: vectors are shared out in consecutive parts by OpenMP.
//
// Each vector's bytes depend on nothing but the vector, so the results are the same at every number of threads. In a
// program that is compiled without OpenMP the argument is accepted, and everything runs on the caller's thread.
#pragma once

#include <algorithm>
#include <string>

#include "turboquant/config.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace detail {

// Fewer vectors than this are not worth a thread: starting and joining one costs about as much as encoding them.
inline constexpr Index kVectorsPerPart = 64;
inline constexpr Index kMaxParts = 256;

[[noreturn]] TURBOQUANT_COLD inline void throw_wrong_threads(const std::string& where, int threads) {
    throw_invalid_argument(where + ": expected a number of threads of at least 1, but it is " +
                           std::to_string(threads));
}

// How many parts `count` vectors are split into.
inline int part_count(Index count, int threads) noexcept {
#if defined(_OPENMP)
    const Index useful = std::max<Index>(1, count / kVectorsPerPart);
    return static_cast<int>(std::min({static_cast<Index>(threads), useful, kMaxParts}));
#else
    (void)count, (void)threads;
    return 1;
#endif
}

inline Index part_begin(Index count, int parts, int part) noexcept { return count * part / parts; }

// body(part, first, count) for each of `parts` parts of `count` vectors, on as many threads. It must not throw.
template <class Body>
void for_each_part(Index count, int parts, const Body& body) {
    if (parts == 1) return body(0, Index{0}, count);
#if defined(_OPENMP)
#pragma omp parallel for num_threads(parts) schedule(static, 1)
    for (int part = 0; part < parts; ++part) {
        const Index first = part_begin(count, parts, part);
        body(part, first, part_begin(count, parts, part + 1) - first);
    }
#endif
}

}  // namespace detail
TURBOQUANT_NAMESPACE_END
