#include "attention_baseline.hpp"

#include <cmath>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"  // both from g++ 12's own _mm512_undefined_ps()
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#if defined(__clang__)
#define BASELINE_UNROLL _Pragma("unroll")
#else
#define BASELINE_UNROLL _Pragma("GCC unroll 16")
#endif
#endif

namespace attention_baseline {
namespace {

constexpr int kBlock = 64;

#if defined(__x86_64__)

// 2^f on [−½, ½] of degree 5: relative error 3e-7, as in the library.
constexpr float kPolynomial[6] = {1.0f,          6.9314718e-1f, 2.4022107e-1f,
                                  5.5503570e-2f, 9.6760318e-3f, 1.3390863e-3f};

namespace avx512 {
#define BASELINE_TARGET __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")))
#define BASELINE_OP BASELINE_TARGET inline __attribute__((always_inline))
using Vec = __m512;
constexpr int kWidth = 16;
BASELINE_OP Vec load(const float* p) { return _mm512_loadu_ps(p); }
BASELINE_OP Vec load(const std::uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
BASELINE_OP void store(float* p, Vec a) { _mm512_storeu_ps(p, a); }
BASELINE_OP Vec zero() { return _mm512_setzero_ps(); }
BASELINE_OP Vec broadcast(float x) { return _mm512_set1_ps(x); }
BASELINE_OP Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
BASELINE_OP Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
BASELINE_OP Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
BASELINE_OP Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
BASELINE_OP Vec larger(Vec a, Vec b) { return _mm512_max_ps(a, b); }
BASELINE_OP float largest(Vec a) { return _mm512_reduce_max_ps(a); }
BASELINE_OP float total_of(Vec a) { return _mm512_reduce_add_ps(a); }
BASELINE_OP Vec exp2_of(Vec x) {
    x = _mm512_max_ps(x, _mm512_set1_ps(-126.0f));
    const Vec n = _mm512_roundscale_ps(x, 8);
    const Vec f = _mm512_sub_ps(x, n);
    Vec p = _mm512_set1_ps(kPolynomial[5]);
    BASELINE_UNROLL
    for (int i = 4; i >= 0; --i) p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kPolynomial[i]));
    return _mm512_scalef_ps(p, n);
}
// out[i] = the sum of the lanes of v[i].
BASELINE_OP void sum_lanes(const Vec (&v)[16], float* out) {
    Vec a[8], b[4], c[2];
    BASELINE_UNROLL
    for (int i = 0; i < 8; ++i)
        a[i] = _mm512_add_ps(_mm512_unpacklo_ps(v[2 * i], v[2 * i + 1]),
                             _mm512_unpackhi_ps(v[2 * i], v[2 * i + 1]));
    BASELINE_UNROLL
    for (int i = 0; i < 4; ++i) {
        const __m512d x = _mm512_castps_pd(a[2 * i]), y = _mm512_castps_pd(a[2 * i + 1]);
        b[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)),
                             _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
    }
    BASELINE_UNROLL
    for (int i = 0; i < 2; ++i)
        c[i] = _mm512_add_ps(_mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0x88),
                             _mm512_shuffle_f32x4(b[2 * i], b[2 * i + 1], 0xdd));
    _mm512_storeu_ps(
        out, _mm512_add_ps(_mm512_shuffle_f32x4(c[0], c[1], 0x88), _mm512_shuffle_f32x4(c[0], c[1], 0xdd)));
}
#include "attention_baseline.inl"
#undef BASELINE_TARGET
#undef BASELINE_OP
}  // namespace avx512

namespace avx2 {
#define BASELINE_TARGET __attribute__((target("avx2,fma,f16c")))
#define BASELINE_OP BASELINE_TARGET inline __attribute__((always_inline))
using Vec = __m256;
constexpr int kWidth = 8;
BASELINE_OP Vec load(const float* p) { return _mm256_loadu_ps(p); }
BASELINE_OP Vec load(const std::uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
BASELINE_OP void store(float* p, Vec a) { _mm256_storeu_ps(p, a); }
BASELINE_OP Vec zero() { return _mm256_setzero_ps(); }
BASELINE_OP Vec broadcast(float x) { return _mm256_set1_ps(x); }
BASELINE_OP Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
BASELINE_OP Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
BASELINE_OP Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
BASELINE_OP Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
BASELINE_OP Vec larger(Vec a, Vec b) { return _mm256_max_ps(a, b); }
BASELINE_OP float largest(Vec a) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}
BASELINE_OP float total_of(Vec a) {
    __m128 m = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    m = _mm_add_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_add_ss(m, _mm_movehdup_ps(m)));
}
BASELINE_OP Vec exp2_of(Vec x) {
    x = _mm256_max_ps(x, _mm256_set1_ps(-126.0f));
    const Vec n = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const Vec f = _mm256_sub_ps(x, n);
    Vec p = _mm256_set1_ps(kPolynomial[5]);
    BASELINE_UNROLL
    for (int i = 4; i >= 0; --i) p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(kPolynomial[i]));
    return _mm256_castsi256_ps(
        _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23)));
}
BASELINE_OP void sum_lanes(const Vec (&v)[8], float* out) {
    Vec a[4], b[2];
    BASELINE_UNROLL
    for (int i = 0; i < 4; ++i) a[i] = _mm256_hadd_ps(v[2 * i], v[2 * i + 1]);
    BASELINE_UNROLL
    for (int i = 0; i < 2; ++i) b[i] = _mm256_hadd_ps(a[2 * i], a[2 * i + 1]);
    _mm256_storeu_ps(out, _mm256_add_ps(_mm256_permute2f128_ps(b[0], b[1], 0x20),
                                        _mm256_permute2f128_ps(b[0], b[1], 0x31)));
}
#include "attention_baseline.inl"
#undef BASELINE_TARGET
#undef BASELINE_OP
}  // namespace avx2

bool has_avx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

template <class T>
void attend(const T* keys, const T* values, std::ptrdiff_t tokens, const float* q, int queries, float* out) {
    using Kernel = void (*)(const T*, const T*, std::ptrdiff_t, const float*, float*);
    static constexpr Kernel wide[] = {avx512::attend<T, 1>, avx512::attend<T, 2>, avx512::attend<T, 4>,
                                      avx512::attend<T, 8>};
    static constexpr Kernel narrow[] = {avx2::attend<T, 1>, avx2::attend<T, 2>, avx2::attend<T, 4>,
                                        avx2::attend<T, 8>};
    const int index = queries == 1 ? 0 : queries == 2 ? 1 : queries == 4 ? 2 : 3;
    (has_avx512() ? wide : narrow)[index](keys, values, tokens, q, out);
}

#endif

}  // namespace

#if defined(__x86_64__)
const char* target() { return has_avx512() ? "avx512" : has_avx2() ? "avx2" : nullptr; }
void attend_float(const float* keys, const float* values, std::ptrdiff_t tokens, const float* q, int queries,
                  float* out) {
    attend(keys, values, tokens, q, queries, out);
}
void attend_half(const std::uint16_t* keys, const std::uint16_t* values, std::ptrdiff_t tokens,
                 const float* q, int queries, float* out) {
    attend(keys, values, tokens, q, queries, out);
}
#else
const char* target() { return nullptr; }
void attend_float(const float*, const float*, std::ptrdiff_t, const float*, int, float*) {}
void attend_half(const std::uint16_t*, const std::uint16_t*, std::ptrdiff_t, const float*, int, float*) {}
#endif

}  // namespace attention_baseline
