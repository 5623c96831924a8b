#include "brute_force.hpp"

#include <algorithm>
#include <limits>

#include <Eigen/Core>

#include "turboquant/top_k.hpp"

#if defined(__x86_64__)
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"  // both from g++ 12's own _mm512_undefined_ps()
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#endif

namespace baselines {
namespace {

#if defined(__x86_64__)
#define BENCH_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")))

using turboquant::detail::TopK;

constexpr std::ptrdiff_t kTile = 64;  // vectors scored before the heaps look at them

// How far ahead one query's vectors are asked for, in bytes: 24.7 GB/s of float32 at d = 128, against 17.2 without, 17.7 at
// 2048 and 20.8 at 4096.
constexpr std::size_t kAhead = 8192;

struct Float32 {
    using Element = float;
    BENCH_AVX512 static __m512 load(const float* p, __mmask16 lanes) {
        return _mm512_maskz_loadu_ps(lanes, p);
    }
};
struct Float16 {
    using Element = std::uint16_t;
    BENCH_AVX512 static __m512 load(const std::uint16_t* p, __mmask16 lanes) {
        return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, p));
    }
};

BENCH_AVX512 __mmask16 lanes_from(std::ptrdiff_t i, std::ptrdiff_t dim) {
    return static_cast<__mmask16>(dim - i >= 16 ? 0xffff : (1u << (dim - i)) - 1u);
}

// The sums of four registers, side by side.
BENCH_AVX512 __m128 sums_of(__m512 a, __m512 b, __m512 c, __m512 d) {
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)),
                 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const __m512 all = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

// Scores of a tile to the heap. Places beyond `count` hold anything.
BENCH_AVX512 void offer(const float* scores, std::ptrdiff_t first, std::ptrdiff_t count, TopK& best) {
    for (std::ptrdiff_t i = 0; i < count; i += 16) {
        const __m512 threshold = _mm512_set1_ps(best.threshold());
        unsigned lanes = _mm512_cmp_ps_mask(_mm512_loadu_ps(scores + i), threshold, _CMP_GE_OQ);
        if (count - i < 16) lanes &= (1u << (count - i)) - 1u;
        for (int lane = 0; lanes != 0; ++lane, lanes >>= 1)
            if ((lanes & 1u) != 0) best.push(scores[i + lane], first + i + lane);
    }
}

template <class Type>
BENCH_AVX512 void score_one(const typename Type::Element* x, std::ptrdiff_t dim, std::ptrdiff_t count,
                            const float* query, float* scores) {
    for (std::ptrdiff_t v = 0; v < count; v += 4) {
        const typename Type::Element* at[4];
        for (std::ptrdiff_t j = 0; j < 4; ++j) at[j] = x + std::min(v + j, count - 1) * dim;
        __m512 a0 = _mm512_setzero_ps(), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
        std::ptrdiff_t i = 0;
        for (; i + 32 <= dim; i += 32) {
            const __m512 q0 = _mm512_loadu_ps(query + i), q1 = _mm512_loadu_ps(query + i + 16);
            for (std::size_t line = 0; line < 2 * sizeof(typename Type::Element);
                 ++line)  // as much as is read
                _mm_prefetch(reinterpret_cast<const char*>(x + v * dim + 4 * i) + kAhead + 64 * line,
                             _MM_HINT_T0);
            a0 = _mm512_fmadd_ps(Type::load(at[0] + i, 0xffff), q0, a0);
            b0 = _mm512_fmadd_ps(Type::load(at[1] + i, 0xffff), q0, b0);
            c0 = _mm512_fmadd_ps(Type::load(at[2] + i, 0xffff), q0, c0);
            d0 = _mm512_fmadd_ps(Type::load(at[3] + i, 0xffff), q0, d0);
            a1 = _mm512_fmadd_ps(Type::load(at[0] + i + 16, 0xffff), q1, a1);
            b1 = _mm512_fmadd_ps(Type::load(at[1] + i + 16, 0xffff), q1, b1);
            c1 = _mm512_fmadd_ps(Type::load(at[2] + i + 16, 0xffff), q1, c1);
            d1 = _mm512_fmadd_ps(Type::load(at[3] + i + 16, 0xffff), q1, d1);
        }
        for (; i < dim; i += 16) {
            const __mmask16 lanes = lanes_from(i, dim);
            const __m512 q0 = _mm512_maskz_loadu_ps(lanes, query + i);
            a0 = _mm512_fmadd_ps(Type::load(at[0] + i, lanes), q0, a0);
            b0 = _mm512_fmadd_ps(Type::load(at[1] + i, lanes), q0, b0);
            c0 = _mm512_fmadd_ps(Type::load(at[2] + i, lanes), q0, c0);
            d0 = _mm512_fmadd_ps(Type::load(at[3] + i, lanes), q0, d0);
        }
        _mm_storeu_ps(scores + v, sums_of(_mm512_add_ps(a0, a1), _mm512_add_ps(b0, b1), _mm512_add_ps(c0, c1),
                                          _mm512_add_ps(d0, d1)));
    }
}

// scores[kTile·q + v] of four queries with four vectors; rows beyond the last repeat it.
BENCH_AVX512 void score_4x4(const float* const (&x)[4], const float* const (&q)[4], std::ptrdiff_t dim,
                            float* scores) {
    __m512 s[4][4];
#pragma GCC unroll 4
    for (int a = 0; a < 4; ++a) {
#pragma GCC unroll 4
        for (int b = 0; b < 4; ++b) s[a][b] = _mm512_setzero_ps();
    }
    for (std::ptrdiff_t i = 0; i < dim; i += 16) {
        const __mmask16 lanes = lanes_from(i, dim);
        __m512 values[4];
#pragma GCC unroll 4
        for (int b = 0; b < 4; ++b) values[b] = _mm512_maskz_loadu_ps(lanes, x[b] + i);
#pragma GCC unroll 4
        for (int a = 0; a < 4; ++a) {
            const __m512 query = _mm512_maskz_loadu_ps(lanes, q[a] + i);
#pragma GCC unroll 4
            for (int b = 0; b < 4; ++b) s[a][b] = _mm512_fmadd_ps(values[b], query, s[a][b]);
        }
    }
#pragma GCC unroll 4
    for (int a = 0; a < 4; ++a)
        _mm_storeu_ps(scores + a * kTile, sums_of(s[a][0], s[a][1], s[a][2], s[a][3]));
}

BENCH_AVX512 void score_tile(const float* x, std::ptrdiff_t dim, std::ptrdiff_t count, const float* queries,
                             std::ptrdiff_t query_count, float* scores) {
    for (std::ptrdiff_t q = 0; q < query_count; q += 4) {
        const float *query[4], *vector[4];
        for (std::ptrdiff_t j = 0; j < 4; ++j) query[j] = queries + std::min(q + j, query_count - 1) * dim;
        for (std::ptrdiff_t v = 0; v < count; v += 4) {
            for (std::ptrdiff_t j = 0; j < 4; ++j) vector[j] = x + std::min(v + j, count - 1) * dim;
            score_4x4(vector, query, dim, scores + q * kTile + v);
        }
    }
}

BENCH_AVX512 void widen(const std::uint16_t* x, std::ptrdiff_t count, float* out) {
    for (std::ptrdiff_t i = 0; i < count; i += 16) {
        const __mmask16 lanes = lanes_from(i, count);
        _mm512_mask_storeu_ps(out + i, lanes, Float16::load(x + i, lanes));
    }
}
const float* as_floats(const float* x, std::ptrdiff_t, std::vector<float>&) { return x; }
const float* as_floats(const std::uint16_t* x, std::ptrdiff_t count, std::vector<float>& memory) {
    memory.resize(static_cast<std::size_t>(count));
    widen(x, count, memory.data());
    return memory.data();
}

template <class Type>
void search_avx512(const void* vectors, std::ptrdiff_t dim, std::ptrdiff_t count, const float* queries,
                   std::ptrdiff_t query_count, std::ptrdiff_t k, float* scores, std::int64_t* ids) {
    const auto* x = static_cast<const typename Type::Element*>(vectors);
    std::vector<TopK> best;
    for (std::ptrdiff_t q = 0; q < query_count; ++q) best.emplace_back(scores + q * k, ids + q * k, k);
    std::vector<float> tile(static_cast<std::size_t>((query_count + 3) / 4 * 4 * kTile)), floats;
    for (std::ptrdiff_t first = 0; first < count; first += kTile) {
        const std::ptrdiff_t some = std::min(kTile, count - first);
        if (query_count == 1)
            score_one<Type>(x + first * dim, dim, some, queries, tile.data());
        else
            score_tile(as_floats(x + first * dim, some * dim, floats), dim, some, queries, query_count,
                       tile.data());
        for (std::ptrdiff_t q = 0; q < query_count; ++q)
            offer(tile.data() + q * kTile, first, some, best[static_cast<std::size_t>(q)]);
    }
    for (TopK& one : best) one.sort();
}
#endif

}  // namespace

const std::vector<BruteForce>& brute_force() {
    static const std::vector<BruteForce> list = [] {
        std::vector<BruteForce> found;
#if defined(__x86_64__)
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
            found.push_back({"float32", "avx512", 4, search_avx512<Float32>});
            found.push_back({"fp16", "avx512", 2, search_avx512<Float16>});
        }
#endif
        return found;
    }();
    return list;
}

void to_half(const float* x, std::size_t count, std::uint16_t* out) {
    for (std::size_t i = 0; i < count; ++i)
        out[i] = Eigen::numext::bit_cast<std::uint16_t>(Eigen::half(x[i]));
}

}  // namespace baselines
