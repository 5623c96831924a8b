// A d × d orthogonal matrix drawn from the Haar measure, the dense random rotation of TurboQuant (arXiv
// 2504.19874, section 3.1), for the `haar` kind of Rotation and as the yardstick of structured rotations.
//
// The Q of the factorisation A = QR with positive diagonal of R, where A has independent N(0, 1) entries
// (Stewart 1980; Mezzadri 2007). Modified Gram-Schmidt in double computes exactly that Q; its loss of
// orthogonality, about cond(A)·1e-16 with cond(A) of the order of d, stays far below what float can hold. A
// column that loses most of its length to the earlier ones is orthogonalised once more. All sums run in a
// fixed order, so the bits are the same everywhere.
//
// 2d³ operations: 1 µs at d = 8, 5 µs at d = 16, 1 s at d = 1536 (plain SSE2 code). Build once and keep.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "turboquant/config.hpp"
#include "turboquant/random.hpp"

TURBOQUANT_NAMESPACE_BEGIN

namespace detail {

// Two doubles at a time where the compiler has vector types: rounded() on single doubles would rule out SSE2.
#if TURBOQUANT_X86 || TURBOQUANT_ARM64
using HaarPair = double __attribute__((__vector_size__(16)));
#else
struct HaarPair {
    double low, high;
    friend HaarPair operator+(HaarPair a, HaarPair b) noexcept { return {a.low + b.low, a.high + b.high}; }
    friend HaarPair operator-(HaarPair a, HaarPair b) noexcept { return {a.low - b.low, a.high - b.high}; }
    friend HaarPair operator*(HaarPair a, HaarPair b) noexcept {
        return {rounded(a.low * b.low), rounded(a.high * b.high)};
    }
};
#endif

TURBOQUANT_INLINE HaarPair load_pair(const double* p) noexcept {
    HaarPair pair;
    std::memcpy(&pair, p, sizeof(pair));
    return pair;
}

// Columns are padded with zeros to a multiple of eight elements, one lane of the sums each.
inline constexpr std::size_t kHaarLanes = 8;

// Σ a_i b_i over `padded` elements: lane k sums the elements k, k + 8, …; then the lanes are added by halves.
inline double haar_dot(const double* a, const double* b, std::size_t padded) noexcept {
    HaarPair sums[kHaarLanes / 2] = {};
    for (std::size_t i = 0; i < padded; i += kHaarLanes) {
        TURBOQUANT_UNROLL
        for (std::size_t k = 0; k < kHaarLanes / 2; ++k) {
            sums[k] = sums[k] + rounded(load_pair(a + i + 2 * k) * load_pair(b + i + 2 * k));
        }
    }
    const HaarPair sum = (sums[0] + sums[2]) + (sums[1] + sums[3]);
    double ends[2];
    std::memcpy(ends, &sum, sizeof(ends));
    return ends[0] + ends[1];
}

// a -= factor·q.
inline void haar_subtract(double* a, const double* q, double factor, std::size_t padded) noexcept {
    const HaarPair factors = {factor, factor};
    for (std::size_t i = 0; i < padded; i += 2) {
        const HaarPair difference = load_pair(a + i) - rounded(factors * load_pair(q + i));
        std::memcpy(a + i, &difference, sizeof(difference));
    }
}

// Column-major, d·d floats, d >= 1: columns (and rows) orthonormal to float rounding. Element (i, j) of A is
// deviate j·d + i of the stream.
inline std::vector<float> haar_matrix(std::uint64_t seed, int d, RandomStream stream = RandomStream::haar) {
    const auto size = static_cast<std::size_t>(d);
    const std::size_t padded = (size + kHaarLanes - 1) / kHaarLanes * kHaarLanes;
    std::vector<float> result(size * size);
    std::vector<double> columns(size * padded);  // zero: the padding stays so
    std::vector<double> deviates(size * size);
    fill_standard_normal(RandomBits(seed, stream), deviates.data(), deviates.size());

    for (std::size_t j = 0; j < size; ++j) {
        double* column = columns.data() + j * padded;
        for (std::size_t i = 0; i < size; ++i) column[i] = deviates[j * size + i];
        double square = haar_dot(column, column, padded);
        double before = 0.0;
        do {
            before = square;
            for (std::size_t i = 0; i < j; ++i) {
                const double* q = columns.data() + i * padded;
                haar_subtract(column, q, haar_dot(column, q, padded), padded);
            }
            square = haar_dot(column, column, padded);
            // Once more where the length shrank 10^4-fold: the rounding errors grew as much against it.
        } while (square < 1e-8 * before);
        const double norm = std::sqrt(square);
        for (std::size_t i = 0; i < size; ++i) {
            column[i] = column[i] / norm;
            result[j * size + i] = static_cast<float>(column[i]);
        }
    }
    return result;
}

}  // namespace detail

TURBOQUANT_NAMESPACE_END
