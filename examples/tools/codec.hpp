// What the options of a command say about a quantizer.
#pragma once

#include <cstdint>
#include <string>

namespace tools {

// The scale of MseQuantizer or TrellisQuantizer, in the order of ScaleRule; or TurboQuantizer with the orthogonal sketch.
enum class Estimator { norm, unbiased, least_squares, turbo };
inline constexpr const char* kEstimatorNames[] = {"norm", "unbiased", "least_squares", "turbo"};

struct Codec {
    int bits = 4;
    Estimator estimator = Estimator::norm;
    bool trellis = false;  // TrellisQuantizer instead of MseQuantizer
    std::uint64_t seed = 0;
    int window = 8;  // of trellis codes, in bits

    std::string name() const {  // without the bits
        return kEstimatorNames[static_cast<int>(estimator)] + std::string(trellis ? ", trellis" : "") +
               (window < 8 ? "/" + std::to_string(window) : "");
    }
};

}  // namespace tools
