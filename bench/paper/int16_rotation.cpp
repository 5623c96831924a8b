// How far a rotation in 16-bit integers goes: twice the lanes of float, and rounding. Prints distortions beside those of the
// same rotation in float, at every number of bits; and, with AVX-512BW, times beside the library's. See int16_rotation.md.
//
// A vector is brought to the length kLength, so that no coordinate can leave 16 bits: within a round a transform's coordinates
// are at most the vector's length times √d, which each round's last step divides away again.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <random>
#include <vector>

#include "turboquant/turboquant.hpp"

#if TURBOQUANT_X86
#include <immintrin.h>
#endif

namespace {

namespace tq = turboquant;

constexpr int kRounds = 3, kLanes = 32;

// What a vector's length becomes, and the shifts to the right on the way through a round's log2(d) stages that keep
// coordinates below 2^15: where every second stage shifts by one, a round changes no length.
struct Scaling {
    float length;
    bool shifts;  // at every second stage; else one multiplication at the end of a round
};
Scaling scaling(int dim, bool shifts) {
    const float margin = .995f;  // for what rounding adds
    return {margin * 32767.0f / (shifts ? std::sqrt(2.0f) : std::sqrt(static_cast<float>(dim))), shifts};
}

std::vector<float> signs(int dim, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<float> s(static_cast<std::size_t>(dim) * kRounds);
    for (float& sign : s) sign = random() & 1 ? -1.0f : 1.0f;
    return s;
}

// --- The rotation, coordinate by coordinate ---------------------------------------------------------------------------------

// In float without rounding, or with an integer's.
struct InFloat {
    static float half(float x) { return x * .5f; }
    static float normalised(float x, int dim) { return x / std::sqrt(static_cast<float>(dim)); }
};
struct InInt16 {
    static float half(float x) { return std::floor((x + 1) * .5f); }
    static float normalised(float x, int dim) {  // vpmulhrsw
        const float factor = std::nearbyint(32768.0f / std::sqrt(static_cast<float>(dim)));
        return std::floor((x * factor + 16384.0f) / 32768.0f);
    }
};

// One stage within registers a and b: their coordinates are dealt out by `low` and `high` (places in a and then b), added and
// subtracted.
void stage(float* a, float* b, const int (&low)[kLanes], const int (&high)[kLanes]) {
    float x[2 * kLanes];
    std::copy(a, a + kLanes, x);
    std::copy(b, b + kLanes, x + kLanes);
    for (int i = 0; i < kLanes; ++i) {
        a[i] = x[low[i]] + x[high[i]];
        b[i] = x[low[i]] - x[high[i]];
    }
}

// As vpunpcklwd and vpunpckhwd (3 stages), vshufi64x2 (1) and again (1) deal them out.
struct Deals {
    int low[3][kLanes], high[3][kLanes];
    Deals() {
        for (int i = 0; i < kLanes; ++i) {
            const int lane = i / 8, at = i % 8;
            low[0][i] = 8 * lane + at / 2 + kLanes * (at % 2);
            high[0][i] = low[0][i] + 4;
            low[1][i] = 8 * (lane % 2) + at + kLanes * (lane / 2);
            high[1][i] = low[1][i] + 16;
            low[2][i] = 16 * (lane % 2) + at + kLanes * (lane / 2);
            high[2][i] = low[2][i] + 8;
        }
    }
};

// dim = 32·registers, a power of two of at least 64. Overflows are counted.
template <class Arithmetic>
void rotate(std::vector<float>& x, const std::vector<float>& sign, bool shifts, int& overflows) {
    static const Deals deals;
    const int dim = static_cast<int>(x.size()), registers = dim / kLanes;
    const auto done = [&](int& stages) {
        for (float& value : x) overflows += std::fabs(value) > 32767.0f;
        if (shifts && stages++ % 2 == 1)
            for (float& value : x) value = Arithmetic::half(value);
    };
    for (int round = 0; round < kRounds; ++round) {
        for (int i = 0; i < dim; ++i) x[std::size_t(i)] *= sign[std::size_t(round * dim + i)];
        int stages = 0;
        for (int step = registers / 2; step > 0; step /= 2, done(stages))
            for (int r = 0; r < registers; ++r)
                if ((r & step) == 0)
                    for (int i = 0; i < kLanes; ++i) {
                        float &a = x[std::size_t(kLanes * r + i)],
                              &b = x[std::size_t(kLanes * (r + step) + i)];
                        const float sum = a + b, difference = a - b;
                        a = sum;
                        b = difference;
                    }
        for (int deal : {0, 0, 0, 1, 2}) {
            for (int r = 0; r < registers; r += 2)
                stage(&x[std::size_t(kLanes * r)], &x[std::size_t(kLanes * (r + 1))], deals.low[deal],
                      deals.high[deal]);
            done(stages);
        }
        if (!shifts) {
            for (float& value : x) value = Arithmetic::normalised(value, dim);
        } else if (stages % 2 == 1) {  // √2 is left
            for (float& value : x) value = Arithmetic::normalised(value, 2);
        }
    }
}

// --- Distortion --------------------------------------------------------------------------------------------------------------

std::vector<float> input(int kind, int dim, std::mt19937_64& random) {
    std::vector<float> x(static_cast<std::size_t>(dim), kind == 2 ? 1.0f : 0.0f);
    std::normal_distribution<float> normal;
    if (kind == 0)
        for (float& value : x) value = normal(random);
    if (kind == 1) x[random() % x.size()] = 1;
    if (kind == 3)
        for (int i = 0; i < dim; ++i) x[std::size_t(i)] = 1.0f / static_cast<float>(i + 1);
    double squares = 0;
    for (float value : x) squares += static_cast<double>(value) * static_cast<double>(value);
    for (float& value : x) value /= static_cast<float>(std::sqrt(squares));
    return x;
}

// Mean of ‖y − c‖², y the exact rotation of a unit vector, c the centroids nearest to y or to its integers.
template <int Bits>
void distortion(int dim, int kind, bool shifts) {
    const tq::LloydMaxCodebook<tq::Dynamic, Bits> codebook(dim, 0);
    const Eigen::VectorXf centroids = codebook.centroids(), thresholds = codebook.thresholds();
    const auto nearest = [&](float y) {
        const auto* const begin = thresholds.data();
        return centroids[std::upper_bound(begin, begin + thresholds.size(), y) - begin];
    };
    const Scaling scale = scaling(dim, shifts);
    double in_float = 0, in_int16 = 0;
    int overflows = 0, unused = 0;
    const int samples = 2000;
    for (int i = 0; i < samples; ++i) {
        std::mt19937_64 random(static_cast<std::uint64_t>(i));
        const std::vector<float> sign = signs(dim, random()), x = input(kind, dim, random);
        std::vector<float> y = x, z = x;
        rotate<InFloat>(y, sign, false, unused);
        for (float& value : z) value = std::nearbyint(value * scale.length);
        rotate<InInt16>(z, sign, shifts, overflows);
        for (int j = 0; j < dim; ++j) {
            const float exact = y[std::size_t(j)], rounded = z[std::size_t(j)] / scale.length;
            in_float += std::pow(static_cast<double>(exact - nearest(exact)), 2);
            in_int16 += std::pow(static_cast<double>(exact - nearest(rounded)), 2);
        }
    }
    static const char* const kNames[] = {"gaussian", "one-hot", "constant", "1/i"};
    std::printf("| %d | %d | %s | %s | %.6f | %.6f | %+.2f %% | %d |\n", dim, Bits, kNames[kind],
                shifts ? "shifts" : "once", in_float / samples, in_int16 / samples,
                100 * (in_int16 / in_float - 1), overflows);
}

// --- Time --------------------------------------------------------------------------------------------------------------------

#if TURBOQUANT_X86
#if !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"  // from g++ 12's own _mm256_undefined_pd()
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")
#define INT16_TARGET
#else
#define INT16_TARGET __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")))
#endif

// 128 coordinates in four registers, of which kVectors are rotated together.
constexpr int kDim = 128, kVectors = 4;
struct Plan {
    __mmask32 negative[kRounds][4];
    alignas(64) std::int16_t base[64],
        threshold[64];  // of y's bin (y >> 5) + 32: the code below, and where the next begins
    float length;
};

INT16_TARGET inline __attribute__((always_inline)) void butterfly(__m512i& a, __m512i& b) {
    const __m512i sum = _mm512_add_epi16(a, b), difference = _mm512_sub_epi16(a, b);
    a = sum;
    b = difference;
}
INT16_TARGET inline __attribute__((always_inline)) void rotate_registers(const Plan& plan, __m512i (&v)[4]) {
    const __m512i normalised = _mm512_set1_epi16(2896);  // 2^15/√128
    const __m512i low = _mm512_setr_epi64(0, 1, 2, 3, 8, 9, 10, 11),
                  high = _mm512_setr_epi64(4, 5, 6, 7, 12, 13, 14, 15);
    const __m512i even = _mm512_setr_epi64(0, 1, 4, 5, 8, 9, 12, 13),
                  odd = _mm512_setr_epi64(2, 3, 6, 7, 10, 11, 14, 15);
#pragma GCC unroll 3
    for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 4
        for (int r = 0; r < 4; ++r)
            v[r] = _mm512_mask_sub_epi16(v[r], plan.negative[round][r], _mm512_setzero_si512(), v[r]);
        butterfly(v[0], v[2]);
        butterfly(v[1], v[3]);
        butterfly(v[0], v[1]);
        butterfly(v[2], v[3]);
#pragma GCC unroll 2
        for (int r = 0; r < 4; r += 2) {
            __m512i a = v[r], b = v[r + 1];
#pragma GCC unroll 3
            for (int i = 0; i < 3; ++i) {
                const __m512i dealt = _mm512_unpacklo_epi16(a, b);
                b = _mm512_unpackhi_epi16(a, b);
                a = dealt;
                butterfly(a, b);
            }
            __m512i dealt = _mm512_permutex2var_epi64(a, low, b);
            b = _mm512_permutex2var_epi64(a, high, b);
            a = dealt;
            butterfly(a, b);
            dealt = _mm512_permutex2var_epi64(a, even, b);
            b = _mm512_permutex2var_epi64(a, odd, b);
            a = dealt;
            butterfly(a, b);
            v[r] = _mm512_mulhrs_epi16(a, normalised);
            v[r + 1] = _mm512_mulhrs_epi16(b, normalised);
        }
    }
}

// Where Encode, records of 64 bytes of codes and the norm; else the rotated integers.
template <bool Encode>
INT16_TARGET __attribute__((noinline)) void encode(const Plan& plan, const float* x, int count,
                                                   std::uint8_t* out) {
    const std::size_t record = Encode ? 68 : 256;
    for (int i = 0; i < count; i += kVectors, x += kVectors * kDim, out += kVectors * record) {
        __m512i v[kVectors][4];
#pragma GCC unroll 4
        for (int k = 0; k < kVectors; ++k) {
            __m512 f[8], sums[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
#pragma GCC unroll 8
            for (int r = 0; r < 8; ++r) {
                f[r] = _mm512_loadu_ps(x + k * kDim + 16 * r);
                sums[r % 2] = _mm512_fmadd_ps(f[r], f[r], sums[r % 2]);
            }
            const float norm = std::sqrt(_mm512_reduce_add_ps(_mm512_add_ps(sums[0], sums[1])));
            const __m512 factor = _mm512_set1_ps(plan.length / norm);
#pragma GCC unroll 4
            for (int r = 0; r < 4; ++r)
                v[k][r] = _mm512_packs_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(f[2 * r], factor)),
                                             _mm512_cvtps_epi32(_mm512_mul_ps(f[2 * r + 1], factor)));
            if (Encode) __builtin_memcpy(out + k * record + 64, &norm, 4);
        }
#pragma GCC unroll 4
        for (int k = 0; k < kVectors; ++k) rotate_registers(plan, v[k]);
#pragma GCC unroll 4
        for (int k = 0; k < kVectors; ++k) {
            std::uint8_t* const to = out + k * record;
            if (!Encode) {
#pragma GCC unroll 4
                for (int r = 0; r < 4; ++r) _mm512_storeu_si512(to + 64 * r, v[k][r]);
                continue;
            }
            const __m512i base[2] = {_mm512_load_si512(plan.base), _mm512_load_si512(plan.base + 32)};
            const __m512i threshold[2] = {_mm512_load_si512(plan.threshold),
                                          _mm512_load_si512(plan.threshold + 32)};
            __m512i code[4];
#pragma GCC unroll 4
            for (int r = 0; r < 4; ++r) {
                const __m512i y = _mm512_min_epi16(_mm512_max_epi16(v[k][r], _mm512_set1_epi16(-1024)),
                                                   _mm512_set1_epi16(1023));
                const __m512i bin = _mm512_add_epi16(_mm512_srai_epi16(y, 5), _mm512_set1_epi16(32));
                const __m512i below = _mm512_permutex2var_epi16(base[0], bin, base[1]);
                const __mmask32 above =
                    _mm512_cmpgt_epi16_mask(y, _mm512_permutex2var_epi16(threshold[0], bin, threshold[1]));
                code[r] = _mm512_mask_add_epi16(below, above, below, _mm512_set1_epi16(1));
            }
            const __m512i first = _mm512_or_si512(code[0], _mm512_slli_epi16(code[1], 4));
            const __m512i second = _mm512_or_si512(code[2], _mm512_slli_epi16(code[3], 4));
            _mm512_storeu_si512(to, _mm512_packus_epi16(first, second));
        }
    }
}

#if !defined(__clang__)
#pragma GCC pop_options
#pragma GCC diagnostic pop
#endif

template <class Body>
double nanoseconds(int vectors, const Body& body) {
    std::vector<double> times;
    for (int i = 0; i < 201; ++i) {
        const auto start = std::chrono::steady_clock::now();
        body();
        times.push_back(
            std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count());
    }
    std::nth_element(times.begin(), times.begin() + 100, times.end());
    return times[100] / vectors;
}

void compare_times() {
    if (!__builtin_cpu_supports("avx512bw")) return;
    constexpr int kCount = 2048;
    Eigen::MatrixXf x(kDim, kCount), rotated(kDim, kCount);
    std::mt19937_64 random(1);
    std::normal_distribution<float> normal;
    for (Eigen::Index i = 0; i < x.size(); ++i) x.data()[i] = normal(random);

    Plan plan;
    plan.length = scaling(kDim, false).length;
    for (auto& round : plan.negative)
        for (__mmask32& mask : round) mask = static_cast<__mmask32>(random());
    const Eigen::VectorXf thresholds = tq::LloydMaxCodebook<kDim, 4>().thresholds();
    for (int bin = 0; bin < 64; ++bin) {
        const auto first = static_cast<float>(32 * (bin - 32));
        int code = 0;
        while (code < 15 && thresholds[code] * plan.length < first) ++code;
        plan.base[bin] = static_cast<std::int16_t>(code);
        const float next = code < 15 ? thresholds[code] * plan.length : 32767.0f;
        plan.threshold[bin] = static_cast<std::int16_t>(std::min(32767.0f, std::floor(next)));
    }
    std::vector<std::uint8_t> out(256 * kCount);
    const tq::Rotation<kDim> rotation(1);
    const tq::MseQuantizer<kDim, 4> quantizer(1);
    tq::Codes codes;
    std::printf("\n| d = 128, ns a vector | float (library) | int16 |\n|---|---|---|\n");
    for (int repeat = 0; repeat < 3; ++repeat) {
        const double rotate_float = nanoseconds(kCount, [&] { rotation.apply(x, rotated); });
        const double rotate_int16 =
            nanoseconds(kCount, [&] { encode<false>(plan, x.data(), kCount, out.data()); });
        const double encode_float = nanoseconds(kCount, [&] { quantizer.encode(x, codes); });
        const double encode_int16 =
            nanoseconds(kCount, [&] { encode<true>(plan, x.data(), kCount, out.data()); });
        std::printf("| load, norm, rotation | %.1f (no norm) | %.1f |\n| encode, 4 bits | %.1f | %.1f |\n",
                    rotate_float, rotate_int16, encode_float, encode_int16);
    }
}
#else
void compare_times() {}
#endif

template <int Bits>
void distortions() {
    for (int dim : {128, 1024})
        for (int kind = 0; kind < 4; ++kind)
            for (bool shifts : {false, true}) distortion<Bits>(dim, kind, shifts);
}

}  // namespace

int main() {
    compare_times();
    std::printf(
        "\n| d | b | input | normalised | float | int16 | more | overflows "
        "|\n|---|---|---|---|---|---|---|---|\n");
    distortions<2>();
    distortions<4>();
    distortions<6>();
    distortions<8>();
}
