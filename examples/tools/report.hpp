// What several commands measure and print.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <string>

#include "../common/progress.hpp"
#include "../common/timer.hpp"

namespace tools {

using examples::Timer;

// Vectors between two steps of a progress bar.
inline constexpr std::ptrdiff_t kChunk = 4096;

// body(first, count) for chunk after chunk, with a progress bar.
template <class Body>
void in_chunks(const std::string& what, std::ptrdiff_t total, const Body& body) {
    examples::ProgressBar bar(what, total);
    for (std::ptrdiff_t first = 0; first < total; first += kChunk) {
        const std::ptrdiff_t count = std::min(kChunk, total - first);
        body(first, count);
        bar.advance(count);
    }
}

inline std::string megabytes(double bytes) {
    char text[32];
    std::snprintf(text, sizeof text, bytes < 1e5 ? "%.2f kB" : "%.2f MB",
                  bytes * (bytes < 1e5 ? 1e-3 : 1e-6));
    return text;
}

}  // namespace tools
