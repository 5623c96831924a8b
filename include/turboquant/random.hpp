// Random bits that are the same on every machine, compiler and standard library.
//
// A counter-based generator: word i of the stream (seed, stream) is mix(key + (i + 1)·φ), with key a hash of seed and
// stream, φ = 2^64/golden ratio and mix the finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014; constants by
// Stafford, variant 13). No state: any word can be computed alone. std:: distributions are never used, since they
// differ between libraries.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "turboquant/config.hpp"

TURBOQUANT_NAMESPACE_BEGIN

// Streams of one seed, one per purpose, so that no two parts of a quantizer share random bits. A sketch that reused the
// rotation's signs would be biased.
enum class RandomStream : std::uint64_t {
    rotation = 1,
    sketch = 2,
    gaussian_sketch = 3,
    haar = 4,
    register_order = 5
};

class RandomBits {
public:
    RandomBits(std::uint64_t seed, RandomStream stream) noexcept
        : key_(mix(seed + kGolden * static_cast<std::uint64_t>(stream)) ^
               static_cast<std::uint64_t>(stream)) {}

    // Word i of the stream: 64 uniform bits.
    std::uint64_t word(std::uint64_t i) const noexcept { return mix(key_ + (i + 1) * kGolden); }

    // Draw i as a double uniform on (0, 1): the centres of 2^52 equal cells, never 0 or 1.
    double uniform(std::uint64_t i) const noexcept {
        return (static_cast<double>(word(i) >> 12) + 0.5) * 0x1p-52;
    }

private:
    static constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15u;
    static std::uint64_t mix(std::uint64_t z) noexcept {
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    std::uint64_t key_;
};

namespace detail {

// The natural logarithm of a positive finite x, within 1e-15 relative, and the same bits everywhere, which
// std::log does not promise: x = 2^e·m with m in [sqrt(1/2), sqrt(2)) and z = (m - 1)/(m + 1), |z| < 0.1716,
// give ln x = e·ln 2 + 2 atanh(z), by the Taylor series up to z^21 (next term < 1e-18).
inline double natural_log(double x) noexcept {
    constexpr double kLn2High = 0x1.62e42feep-1;  // ln 2 in two parts, as in fdlibm: e·kLn2High is exact
    constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
    int exponent = 0;
    double m = std::frexp(x, &exponent);
    if (m < 0.70710678118654752) {
        m = m + m;
        --exponent;
    }
    const double z = (m - 1.0) / (m + 1.0);
    const double square = rounded(z * z);
    double series = 1.0 / 21.0;
    for (int k = 19; k >= 3; k -= 2) series = 1.0 / k + rounded(square * series);
    const double twice = z + z;
    const double fine = rounded(rounded(square * series) * twice) + rounded(exponent * kLn2Low);
    return rounded(exponent * kLn2High) + (twice + fine);
}

// Writes n independent standard normal deviates: Marsaglia's polar method ("A convenient method for
// generating normal variables", SIAM Review 1964). Words 0, 1, 2, … are consumed in order, two per trial; a
// trial is accepted with probability pi/4 and gives two deviates.
inline void fill_standard_normal(const RandomBits& bits, double* out, std::size_t n) noexcept {
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < n;) {
        const double u = 2.0 * (bits.uniform(word) - 0.5);
        const double v = 2.0 * (bits.uniform(word + 1) - 0.5);
        word += 2;
        const double s = rounded(u * u) + rounded(v * v);
        if (!(s < 1.0)) continue;  // s > 0 always: uniform() is never exactly 1/2
        const double factor = std::sqrt(-2.0 * natural_log(s) / s);
        out[i++] = rounded(u * factor);
        if (i < n) out[i++] = rounded(v * factor);
    }
}

}  // namespace detail

TURBOQUANT_NAMESPACE_END
