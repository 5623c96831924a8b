// What several commands measure and print.
#pragma once

#include <algorithm>
#include <cstdio>
#include <string>

#include "../common/progress.hpp"
#include "../common/timer.hpp"
#include "any_quantizer.hpp"

namespace tools {

using examples::Timer;

// Vectors between two steps of a progress bar.
inline constexpr Index kChunk = 4096;

// body(first, count) for chunk after chunk, with a progress bar.
template <class Body>
void in_chunks(const std::string& what, Index total, const Body& body) {
    examples::ProgressBar bar(what, total);
    for (Index first = 0; first < total; first += kChunk) {
        const Index count = std::min(kChunk, total - first);
        body(first, count);
        bar.advance(count);
    }
}

// Mean over the columns of ‖x − x̂‖²/‖x‖², of those that are not zero, when the codes are decoded.
double mean_distortion(const AnyQuantizer& quantizer, tq::CodesView codes, const Eigen::MatrixXf& x,
                       int threads);

inline std::string megabytes(double bytes) {
    char text[32];
    std::snprintf(text, sizeof text, bytes < 1e5 ? "%.2f kB" : "%.2f MB",
                  bytes * (bytes < 1e5 ? 1e-3 : 1e-6));
    return text;
}

}  // namespace tools
