// The codebooks of TrellisQuantizer: a value for each of the 64, 128 or 256 windows, for a Gaussian coordinate of unit deviation.
//
// Found by Lloyd's iteration on Gaussian noise of this library's generator, with a Viterbi search in place of the nearest
// centroid (Marcellin and Fischer, IEEE Trans. Commun. 1990); bench/paper/trellis_codebooks prints them. No data has a part in
// it. Squared error per coordinate of a long sequence at b = 1 … 4: with windows of 8 bits .2789, .0763, .0205, .00565, of 7 bits
// .2829, .0782, .0217, .00600, of 6 bits .2866, .0800, .0231, .00658, where D(R) = 4^-b. A coordinate of a unit vector in R^d is
// not quite Gaussian; for d = 64 the values for windows of 8 bits lose less than 1 %.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <mutex>
#include <utility>

#include "turboquant/config.hpp"
#include "turboquant/simd/trellis_table.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace detail {

// Of the 2^Window windows the first half's values are step·values[w]; that of window 2^Window − 1 − w is the negative.
template <int Window>
struct TrellisCodebook {
    double step;
    std::int8_t values[1 << (Window - 1)];
};
// One for each number of bits.
template <int Window>
inline constexpr TrellisCodebook<Window> kTrellisCodebooks[4] = {};
template <>
inline constexpr TrellisCodebook<6> kTrellisCodebooks<6>[4] = {
    {0.014399169, {-21, 96,  38, -60, 23,  -86, 127, -13, -31,  58, 21,  -113, -37, 47, -41, 55,
                   35,  -52, 36, -58, -22, 92,  37,  -57, -111, 8,  -26, 89,   -31, 57, 18,  -95}},
    {0.019644251, {-9, 31,  -57, -127, 9,   57,  -32, 115, -16, 79, 18,  -60, 48,  -82, 7,   -25,
                   80, -47, 29,  -9,   -93, -52, 40,  -17, -56, 1,  -17, 36,  -29, 12,  -82, 56}},
    {0.0226661239, {0,    86,  -79, 61, -18, -40, 17,  37,  127, -67, 25,  -91, 64, -56, -12, -36,
                    -102, -35, 9,   -3, 45,  26,  -54, -16, -20, 31,  -48, 43,  21, 7,   0,   71}},
    {0.0249141502, {-22, -13, 23, -63, -77, 71, 39,  -48, 9,   -30, -93, -36, -3,  53, 105, 16,
                    26,  32,  53, -3,  -31, 18, 127, 66,  -57, -84, 3,   10,  -43, 43, -9,  -18}},
};
template <>
inline constexpr TrellisCodebook<7> kTrellisCodebooks<7>[4] = {
    {0.0161252529, {-48, 9,   36,  -37, 13,  -26, 71,  -105, 0,   88,  -68, 19,  -35, 47,  -58,  40,
                    -81, 27,  -39, 28,  -12, 15,  56,  -48,  33,  -29, 113, -47, -80, 21,  50,   -27,
                    -67, 28,  87,  -17, -34, 87,  -42, 37,   -11, 99,  20,  -96, 38,  -46, 38,   -24,
                    39,  -35, 35,  -69, 41,  -49, 0,   100,  -33, 31,  -29, 101, -37, 34,  -127, -14}},
    {0.021710561,
     {-54, -15, 67,   28,  8,  -16, -71, 55,  3,   -35, -60, 77, -5,  20,  -35, 38, -86, -12, 104, 32, 37, -2,
      -60, -39, -16,  8,   56, -42, 16,  -22, 54,  -81, 35,  12, -15, -58, 76,  22, 100, -28, -32, 1,  43, 2,
      31,  -13, -127, -54, 11, -36, -90, 92,  -35, 22,  -18, 66, -11, 16,  -51, 49, -15, 47,  -58, 10}},
    {0.0241734156, {28,  -58, -48, 50,  -20, 15,  -5,  -29,  43,  -3,  85,  62,  -26, 15,  -9,  26,
                    86,  25,  18,  4,   61,  -16, -41, 41,   15,  68,  -32, 90,  -76, 33,  3,   -11,
                    -8,  -77, 49,  -24, -40, 4,   32,  -105, -2,  -18, -56, -34, 11,  101, 36,  68,
                    -46, -16, -75, 127, 12,  -34, -21, -62,  -21, -65, 55,  8,   37,  -3,  -37, -50}},
    {0.0264098644,
     {26,  56, 15, 8,   -61, 20,  44, -35, 79, -8,  -46, -24, -16, 4,  -3, 35,  66,  -27, 37,  -84, 53,   -5,
      -15, 9,  2,  108, -72, 90,  31, -48, 14, 20,  -69, 41,  97,  50, 11, 33,  20,  1,   -41, 27,  -127, -17,
      -26, 62, -9, -52, -24, -37, 77, 41,  4,  -13, -20, 31,  15,  -2, 24, -44, -31, -62, 56,  -8}},
};
template <>
inline constexpr TrellisCodebook<8> kTrellisCodebooks<8>[4] = {
    {0.0173536173,
     {-66, 61,  43,  -11, 22,  -92, -4,  -26, 57,  -35, 33,  -36, -1,  20,  3,   117, -53, 39,  -126,
      -5,  -25, 59,  -76, 18,  -5,  -10, -93, 41,  88,  -34, 32,  -46, -13, 45,  -35, 50,  30,  -53,
      25,  -60, -41, 33,  57,  -33, -38, 74,  36,  -8,  14,  3,   90,  -82, 21,  -70, 82,  -18, 22,
      -76, -60, 26,  14,  -2,  -33, 29,  41,  -35, 4,   -9,  82,  -22, -36, 90,  -41, 38,  -28, 40,
      -99, 7,   89,  -14, 127, 35,  12,  -79, -43, 33,  18,  -42, -50, 38,  -30, 42,  27,  -77, -24,
      65,  2,   -87, -36, 51,  72,  -17, -2,  -24, 74,  -41, 22,  -50, -29, 20,  33,  -42, -36, 41,
      100, 6,   -31, 29,  -39, 81,  -23, -63, -1,  61,  -91, 39,  26,  -22}},
    {0.0234322886,
     {-20, 6,   56,  26,  -69, 60,  -40, 1,   59,  8,   -14, -36, 5,   28,  -68, -29,  -12, 49,  19,
      70,  13,  -91, -47, 79,  14,  108, -60, -13, 8,   34,  -33, -14, 127, -28, 26,   66,  53,  -6,
      -34, 20,  30,  -28, -7,  -64, -26, 7,   30,  89,  5,   -81, -36, 43,  0,   -52,  46,  -20, -18,
      15,  -34, 20,  87,  46,  15,  -47, 21,  71,  -10, -43, 21,  -29, 8,   -63, -43,  -94, 7,   38,
      52,  -6,  -20, 23,  58,  4,   -67, -27, 13,  94,  -20, 52,  40,  -27, 16,  -101, 10,  40,  -54,
      -16, -31, -1,  3,   32,  -38, 7,   86,  46,  -38, -6,  49,  23,  2,   -60, -21,  44,  -70, -36,
      41,  6,   75,  43,  -24, 12,  3,   -44, -3,  -68, 21,  -8,  -34, 57}},
    {0.0260679666,
     {32,  127, 13,  -4,  -40, -17, -85, -29, -61, -19, -42, 16,  -5,  41, 77,  38,  -20, -42,  72,
      -7,  44,  -60, 27,  6,   -67, 54,  -31, -17, -9,  11,  36,  -48, 6,  22,  42,  -48, -104, -9,
      -33, -74, 95,  59,  -10, -71, -26, -43, 21,  5,   -32, 4,   -87, 52, 24,  33,  -16, 17,   13,
      -46, -4,  -61, -25, 35,  61,  30,  27,  -13, 8,   1,   -25, -53, -5, 20,  34,  39,  83,   27,
      54,  15,  3,   -18, 24,  60,  -66, -38, 9,   -16, -1,  39,  -37, 18, -17, -36, -54, 51,   -3,
      -73, -13, -91, 28,  -29, -53, 52,  12,  -1,  12,  -46, 107, 49,  75, -21, 29,  -4,  -67,  24,
      0,   -22, -5,  -38, 8,   43,  -13, -30, 36,  1,   15,  -56, 23,  74}},
    {0.0278609437,
     {2,   20,  -22,  -48, -5,  -11, 53,  -16, 79, 63,  38,  12,  -63, 29,  46,  -99, 70,  -12, 11,
      44,  26,  -25,  -1,  54,  -62, 8,   -6,  20, -51, 83,  33,  -16, 28,  1,   21,  32,  -49, 12,
      127, -57, 68,   -26, 56,  43,  -37, -16, -9, 6,   48,  -14, -42, 6,   2,   31,  -94, 36,  24,
      -6,  -23, -109, 38,  -56, 57,  15,  -52, 33, -34, 24,  18,  1,   45,  -7,  -18, -63, -27, -42,
      -12, 10,  69,   89,  22,  -6,  76,  16,  8,  41,  12,  0,   -46, -35, -17, 4,   29,  -27, 20,
      61,  -44, 76,   4,   -2,  32,  -8,  -27, 11, -72, -18, 18,  39,  8,   -38, 25,  -34, 8,   -5,
      0,   -68, -30,  -48, -39, 85,  -23, 19,  32, -13, 16,  53,  40,  27}},
};

// The last `Window` bits of each of the 256 windows of a table count: the codebook is repeated. A unit vector's coordinates in
// R^dim are scaled by 1/√dim.
template <int Window>
void fill_trellis_table(const TrellisCodebook<Window>& codebook, int dim, simd::TrellisTable& table) {
    constexpr int kCount = 1 << Window;
    table.unit = static_cast<float>(codebook.step / std::sqrt(static_cast<double>(dim)));
    for (int i = 0; i < simd::kWindows; ++i) {
        const int w = i % kCount;
        const int value = w < kCount / 2 ? codebook.values[w] : -codebook.values[kCount - 1 - w];
        table.int8_centroids[i] = static_cast<std::int8_t>(value);
        table.values[i] = static_cast<float>(value);
    }
    for (int w = 0; w < simd::kWindows / 2; ++w) {
        const int before = w / 16 % 2 == 0 ? 0 : table.int8_centroids[w - 16];
        table.row_pairs[w] = static_cast<std::int8_t>(table.int8_centroids[w] ^ before);
    }
}

// Made once for each dimension.
template <int Window>
const simd::TrellisTable& trellis_table(int dim, int bits) {
    struct Cache {
        std::mutex mutex;
        std::map<std::pair<int, int>, simd::TrellisTable> entries;  // a map never moves its entries
    };
    // Never destroyed: quantizers with static storage may outlive any static object of ours.
    static Cache& cache = *new Cache;
    const std::lock_guard<std::mutex> lock(cache.mutex);
    const auto [entry, inserted] = cache.entries.try_emplace({dim, bits});
    if (inserted) fill_trellis_table(kTrellisCodebooks<Window>[bits - 1], dim, entry -> second);
    return entry->second;
}

}  // namespace detail
TURBOQUANT_NAMESPACE_END
