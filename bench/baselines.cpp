#include "baselines.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>

#if defined(__x86_64__)
#include <immintrin.h>
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"  // both from g++ 12's own _mm512_undefined_ps()
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#define BASELINES_AVX2 __attribute__((target("avx2,fma,f16c")))
#define BASELINES_AVX512 __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")))
#endif

namespace baselines {
namespace {

constexpr std::size_t kBlock = 32;       // coordinates that share a scale
constexpr std::size_t kGroup = 4;        // blocks at a time: their four reductions share one tree of shuffles
constexpr std::size_t kBytes4 = 2 + 16;  // half scale, then nibbles: coordinate i low, i + 16 high
constexpr std::size_t kBytes8 = 2 + 32;

float read_half(const std::uint8_t* at) {
    std::uint16_t bits;
    std::memcpy(&bits, at, 2);
    return static_cast<float>(Eigen::numext::bit_cast<Eigen::half>(bits));
}

void copy(const float* x, std::size_t count, std::uint8_t* out) { std::memcpy(out, x, 4 * count); }

void copy_back(const std::uint8_t* codes, std::size_t count, float* out) {
    std::memcpy(out, codes, 4 * count);
}

void decode_half(const std::uint8_t* codes, std::size_t count, float* out) {
    for (std::size_t i = 0; i < count; ++i) out[i] = read_half(codes + 2 * i);
}

void decode4(const std::uint8_t* codes, std::size_t count, float* out) {
    for (std::size_t i = 0; i < count; i += kBlock, codes += kBytes4) {
        const float scale = read_half(codes);
        for (std::size_t j = 0; j < 16; ++j) {
            out[i + j] = scale * static_cast<float>((codes[2 + j] & 15) - 8);
            out[i + 16 + j] = scale * static_cast<float>((codes[2 + j] >> 4) - 8);
        }
    }
}

void decode8(const std::uint8_t* codes, std::size_t count, float* out) {
    for (std::size_t i = 0; i < count; i += kBlock, codes += kBytes8) {
        const float scale = read_half(codes);
        for (std::size_t j = 0; j < kBlock; ++j)
            out[i + j] = scale * static_cast<float>(static_cast<std::int8_t>(codes[2 + j]));
    }
}

// All groups of four blocks of a call; the last, short one by way of a padded copy.
template <std::size_t BlockBytes, class EncodeGroup>
inline __attribute__((always_inline)) void encode_groups(const float* x, std::size_t count, std::uint8_t* out,
                                                         EncodeGroup encode_group) {
    constexpr std::size_t kFloats = kGroup * kBlock;
    std::size_t i = 0;
    for (; i + kFloats <= count; i += kFloats, out += kGroup * BlockBytes) encode_group(x + i, out);
    if (i == count) return;
    float rest[kFloats] = {};
    std::uint8_t codes[kGroup * BlockBytes];
    std::copy(x + i, x + count, rest);
    encode_group(rest, codes);
    std::copy(codes, codes + (count - i) / kBlock * BlockBytes, out);
}

#if defined(__x86_64__)

void write_half(std::uint8_t* at, int bits) {
    const auto low = static_cast<std::uint16_t>(bits);
    std::memcpy(at, &low, 2);
}

// ---- AVX-512 ----

BASELINES_AVX512 void half_avx512(const float* x, std::size_t count, std::uint8_t* out) {
    std::size_t i = 0;
    for (; i + 16 <= count; i += 16)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 2 * i),
                            _mm512_cvtps_ph(_mm512_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
    if (i == count) return;
    const auto mask = static_cast<__mmask16>((1u << (count - i)) - 1u);
    const __m512 rest = _mm512_maskz_loadu_ps(mask, x + i);
    _mm256_mask_storeu_epi16(out + 2 * i, mask, _mm512_cvtps_ph(rest, _MM_FROUND_TO_NEAREST_INT));
}

// The unsigned maximum of each of four registers, in all lanes of 128-bit quarter 0, 1, 2, 3 of the result.
BASELINES_AVX512 inline __m512i four_maxima(__m512i a, __m512i b, __m512i c, __m512i d) {
    const __m512i ab = _mm512_max_epu32(_mm512_shuffle_i32x4(a, b, 0x44), _mm512_shuffle_i32x4(a, b, 0xee));
    const __m512i cd = _mm512_max_epu32(_mm512_shuffle_i32x4(c, d, 0x44), _mm512_shuffle_i32x4(c, d, 0xee));
    __m512i all = _mm512_max_epu32(_mm512_shuffle_i32x4(ab, cd, 0x88), _mm512_shuffle_i32x4(ab, cd, 0xdd));
    all = _mm512_max_epu32(all, _mm512_shuffle_epi32(all, _MM_PERM_BADC));
    return _mm512_max_epu32(all, _mm512_shuffle_epi32(all, _MM_PERM_CDAB));
}

// Quarter Q of the four factors, in every lane.
template <int Q>
BASELINES_AVX512 inline __m512 quarter(__m512 factors) {
    return _mm512_shuffle_f32x4(factors, factors, Q * 0x55);
}

// The half scale of four blocks in 64-bit lanes 0 … 3 of the result, from one float per quarter.
BASELINES_AVX512 inline __m256i half_scales(__m512 scales) {
    return _mm512_cvtps_ph(scales, _MM_FROUND_TO_NEAREST_INT);
}

BASELINES_AVX512 inline void store4(__m512 low, __m512 high, __m512 factor, std::uint8_t* out) {
    const __m512 half = _mm512_set1_ps(8.5f);
    const __m512i fifteen = _mm512_set1_epi32(15);
    const __m512i a = _mm512_min_epi32(_mm512_cvttps_epi32(_mm512_fmadd_ps(low, factor, half)), fifteen);
    const __m512i b = _mm512_min_epi32(_mm512_cvttps_epi32(_mm512_fmadd_ps(high, factor, half)), fifteen);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 2),
                     _mm512_cvtepi32_epi8(_mm512_or_si512(a, _mm512_slli_epi32(b, 4))));
}

// With its sign rotated to the lowest bit, a float compares as an integer by magnitude.
BASELINES_AVX512 inline __m512i magnitude_order(__m512 a, __m512 b) {
    return _mm512_max_epu32(_mm512_rol_epi32(_mm512_castps_si512(a), 1),
                            _mm512_rol_epi32(_mm512_castps_si512(b), 1));
}

BASELINES_AVX512 void absmax4_avx512(const float* x, std::size_t count, std::uint8_t* out) {
    encode_groups<kBytes4>(x, count, out, [](const float* in, std::uint8_t* to) BASELINES_AVX512 {
        __m512 v[8];
        for (int i = 0; i < 8; ++i) v[i] = _mm512_loadu_ps(in + 16 * i);
        const __m512 extreme = _mm512_castsi512_ps(
            _mm512_ror_epi32(four_maxima(magnitude_order(v[0], v[1]), magnitude_order(v[2], v[3]),
                                         magnitude_order(v[4], v[5]), magnitude_order(v[6], v[7])),
                             1));
        const __mmask16 nonzero = _mm512_cmp_ps_mask(extreme, _mm512_setzero_ps(), _CMP_NEQ_OQ);
        const __m512 factor = _mm512_maskz_div_ps(nonzero, _mm512_set1_ps(-8.0f), extreme);
        const __m256i scales = half_scales(_mm512_mul_ps(extreme, _mm512_set1_ps(-0.125f)));
        store4(v[0], v[1], quarter<0>(factor), to);
        store4(v[2], v[3], quarter<1>(factor), to + kBytes4);
        store4(v[4], v[5], quarter<2>(factor), to + 2 * kBytes4);
        store4(v[6], v[7], quarter<3>(factor), to + 3 * kBytes4);
        write_half(to, _mm256_extract_epi16(scales, 0));
        write_half(to + kBytes4, _mm256_extract_epi16(scales, 4));
        write_half(to + 2 * kBytes4, _mm256_extract_epi16(scales, 8));
        write_half(to + 3 * kBytes4, _mm256_extract_epi16(scales, 12));
    });
}

BASELINES_AVX512 inline void store8(__m512 low, __m512 high, __m512 factor, std::uint8_t* out) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 2),
                     _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(low, factor))));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 18),
                     _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(high, factor))));
}

BASELINES_AVX512 void absmax8_avx512(const float* x, std::size_t count, std::uint8_t* out) {
    encode_groups<kBytes8>(x, count, out, [](const float* in, std::uint8_t* to) BASELINES_AVX512 {
        __m512 v[8];
        for (int i = 0; i < 8; ++i) v[i] = _mm512_loadu_ps(in + 16 * i);
        const __m512 largest = _mm512_castsi512_ps(
            _mm512_srli_epi32(four_maxima(magnitude_order(v[0], v[1]), magnitude_order(v[2], v[3]),
                                          magnitude_order(v[4], v[5]), magnitude_order(v[6], v[7])),
                              1));
        const __mmask16 nonzero = _mm512_cmp_ps_mask(largest, _mm512_setzero_ps(), _CMP_NEQ_OQ);
        const __m512 factor = _mm512_maskz_div_ps(nonzero, _mm512_set1_ps(127.0f), largest);
        const __m256i scales = half_scales(_mm512_mul_ps(largest, _mm512_set1_ps(1.0f / 127.0f)));
        store8(v[0], v[1], quarter<0>(factor), to);
        store8(v[2], v[3], quarter<1>(factor), to + kBytes8);
        store8(v[4], v[5], quarter<2>(factor), to + 2 * kBytes8);
        store8(v[6], v[7], quarter<3>(factor), to + 3 * kBytes8);
        write_half(to, _mm256_extract_epi16(scales, 0));
        write_half(to + kBytes8, _mm256_extract_epi16(scales, 4));
        write_half(to + 2 * kBytes8, _mm256_extract_epi16(scales, 8));
        write_half(to + 3 * kBytes8, _mm256_extract_epi16(scales, 12));
    });
}

// ---- AVX2 ----

BASELINES_AVX2 void half_avx2(const float* x, std::size_t count, std::uint8_t* out) {
    std::size_t i = 0;
    for (; i + 8 <= count; i += 8)
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 2 * i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < count; ++i) write_half(out + 2 * i, _mm_extract_epi16(_mm_cvtps_ph(_mm_set_ss(x[i]), 0), 0));
}

// The maximum of each of four registers: those of a and c in lanes 0, 1 and 2, 3, those of b and d in 4, 5 and 6, 7.
BASELINES_AVX2 inline __m256 four_maxima(__m256 a, __m256 b, __m256 c, __m256 d) {
    const __m256 ab = _mm256_max_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
    const __m256 cd = _mm256_max_ps(_mm256_permute2f128_ps(c, d, 0x20), _mm256_permute2f128_ps(c, d, 0x31));
    const __m256 all = _mm256_max_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
    return _mm256_max_ps(all, _mm256_shuffle_ps(all, all, 0xb1));
}

// Where four_maxima leaves the value of block 0, 1, 2, 3.
constexpr int kLane[kGroup] = {0, 4, 2, 6};

BASELINES_AVX2 inline __m256 negated(__m256 x) { return _mm256_xor_ps(x, _mm256_set1_ps(-0.0f)); }

BASELINES_AVX2 inline __m256 max4(const float* in) {
    return _mm256_max_ps(_mm256_max_ps(_mm256_loadu_ps(in), _mm256_loadu_ps(in + 8)),
                         _mm256_max_ps(_mm256_loadu_ps(in + 16), _mm256_loadu_ps(in + 24)));
}
BASELINES_AVX2 inline __m256 min4(const float* in) {
    return _mm256_min_ps(_mm256_min_ps(_mm256_loadu_ps(in), _mm256_loadu_ps(in + 8)),
                         _mm256_min_ps(_mm256_loadu_ps(in + 16), _mm256_loadu_ps(in + 24)));
}

BASELINES_AVX2 inline __m256i level4(const float* in, __m256 factor) {
    const __m256 y = _mm256_fmadd_ps(_mm256_loadu_ps(in), factor, _mm256_set1_ps(8.5f));
    return _mm256_min_epi32(_mm256_cvttps_epi32(y), _mm256_set1_epi32(15));
}

// A block's nibbles as 16-bit lanes, the halves of its registers interleaved as packus leaves them.
BASELINES_AVX2 inline __m256i nibbles(const float* in, __m256 factor) {
    const __m256i low = _mm256_or_si256(level4(in, factor), _mm256_slli_epi32(level4(in + 16, factor), 4));
    const __m256i high =
        _mm256_or_si256(level4(in + 8, factor), _mm256_slli_epi32(level4(in + 24, factor), 4));
    return _mm256_packus_epi32(low, high);
}

BASELINES_AVX2 void absmax4_avx2(const float* x, std::size_t count, std::uint8_t* out) {
    encode_groups<kBytes4>(x, count, out, [](const float* in, std::uint8_t* to) BASELINES_AVX2 {
        const __m256 largest = four_maxima(max4(in), max4(in + 32), max4(in + 64), max4(in + 96));
        const __m256 smallest = negated(four_maxima(negated(min4(in)), negated(min4(in + 32)),
                                                    negated(min4(in + 64)), negated(min4(in + 96))));
        const __m256 extreme =
            _mm256_blendv_ps(smallest, largest, _mm256_cmp_ps(largest, negated(smallest), _CMP_GT_OQ));
        const __m256 nonzero = _mm256_cmp_ps(extreme, _mm256_setzero_ps(), _CMP_NEQ_OQ);
        alignas(32) float factor[8];
        _mm256_store_ps(factor, _mm256_and_ps(nonzero, _mm256_div_ps(_mm256_set1_ps(-8.0f), extreme)));
        alignas(16) std::uint16_t scale[8];
        _mm_store_si128(reinterpret_cast<__m128i*>(scale),
                        _mm256_cvtps_ph(_mm256_mul_ps(extreme, _mm256_set1_ps(-0.125f)), 0));
        const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  // undoes both packs
        for (std::size_t b = 0; b < kGroup; b += 2) {
            const __m256i first = nibbles(in + 32 * b, _mm256_broadcast_ss(factor + kLane[b]));
            const __m256i second = nibbles(in + 32 * b + 32, _mm256_broadcast_ss(factor + kLane[b + 1]));
            const __m256i both = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(first, second), order);
            std::uint8_t* at = to + b * kBytes4;
            std::memcpy(at, scale + kLane[b], 2);
            _mm_storeu_si128(reinterpret_cast<__m128i*>(at + 2), _mm256_castsi256_si128(both));
            std::memcpy(at + kBytes4, scale + kLane[b + 1], 2);
            _mm_storeu_si128(reinterpret_cast<__m128i*>(at + kBytes4 + 2), _mm256_extracti128_si256(both, 1));
        }
    });
}

BASELINES_AVX2 inline __m256 magnitude4(const float* in) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    const __m256 a = _mm256_max_ps(_mm256_andnot_ps(sign, _mm256_loadu_ps(in)),
                                   _mm256_andnot_ps(sign, _mm256_loadu_ps(in + 8)));
    const __m256 b = _mm256_max_ps(_mm256_andnot_ps(sign, _mm256_loadu_ps(in + 16)),
                                   _mm256_andnot_ps(sign, _mm256_loadu_ps(in + 24)));
    return _mm256_max_ps(a, b);
}

BASELINES_AVX2 inline __m256i level8(const float* in, __m256 factor) {
    return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(in), factor));
}

BASELINES_AVX2 void absmax8_avx2(const float* x, std::size_t count, std::uint8_t* out) {
    encode_groups<kBytes8>(x, count, out, [](const float* in, std::uint8_t* to) BASELINES_AVX2 {
        const __m256 largest =
            four_maxima(magnitude4(in), magnitude4(in + 32), magnitude4(in + 64), magnitude4(in + 96));
        const __m256 nonzero = _mm256_cmp_ps(largest, _mm256_setzero_ps(), _CMP_NEQ_OQ);
        alignas(32) float factor[8];
        _mm256_store_ps(factor, _mm256_and_ps(nonzero, _mm256_div_ps(_mm256_set1_ps(127.0f), largest)));
        alignas(16) std::uint16_t scale[8];
        _mm_store_si128(reinterpret_cast<__m128i*>(scale),
                        _mm256_cvtps_ph(_mm256_mul_ps(largest, _mm256_set1_ps(1.0f / 127.0f)), 0));
        const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  // undoes both packs
        for (std::size_t b = 0; b < kGroup; ++b, in += 32, to += kBytes8) {
            const __m256 f = _mm256_broadcast_ss(factor + kLane[b]);
            const __m256i low = _mm256_packs_epi32(level8(in, f), level8(in + 8, f));
            const __m256i high = _mm256_packs_epi32(level8(in + 16, f), level8(in + 24, f));
            std::memcpy(to, scale + kLane[b], 2);
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 2),
                                _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order));
        }
    });
}

// ---- reading ----

BASELINES_AVX512 std::uint64_t sum_avx512(const std::uint64_t* data, std::size_t count) {
    __m512i sums[8];
    for (__m512i& sum : sums) sum = _mm512_setzero_si512();
    for (std::size_t i = 0; i < count; i += 64)
        for (std::size_t j = 0; j < 8; ++j)
            sums[j] = _mm512_add_epi64(sums[j], _mm512_load_si512(data + i + 8 * j));
    for (std::size_t j = 1; j < 8; ++j) sums[0] = _mm512_add_epi64(sums[0], sums[j]);
    return static_cast<std::uint64_t>(_mm512_reduce_add_epi64(sums[0]));
}

BASELINES_AVX2 std::uint64_t sum_avx2(const std::uint64_t* data, std::size_t count) {
    __m256i sums[8];
    for (__m256i& sum : sums) sum = _mm256_setzero_si256();
    for (std::size_t i = 0; i < count; i += 32)
        for (std::size_t j = 0; j < 8; ++j)
            sums[j] = _mm256_add_epi64(sums[j],
                                       _mm256_load_si256(reinterpret_cast<const __m256i*>(data + i + 4 * j)));
    for (std::size_t j = 1; j < 8; ++j) sums[0] = _mm256_add_epi64(sums[0], sums[j]);
    alignas(32) std::uint64_t lanes[4];
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), sums[0]);
    return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

// Every processor with AVX2 has F16C, a name that clang 14 does not know.
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

#endif

std::uint64_t sum_plain(const std::uint64_t* data, std::size_t count) {
    std::uint64_t sums[4] = {};
    for (std::size_t i = 0; i < count; i += 4)
        for (std::size_t j = 0; j < 4; ++j) sums[j] += data[i + j];
    return sums[0] + sums[1] + sums[2] + sums[3];
}

double measured_read_bandwidth() {
    constexpr std::size_t kBufferBytes = std::size_t{256} << 20;
    auto sum = &sum_plain;
#if defined(__x86_64__)
    if (has_avx2()) sum = &sum_avx2;
    if (has_avx512()) sum = &sum_avx512;
#endif
    struct Free {
        void operator()(std::uint64_t* p) const { ::operator delete[](p, std::align_val_t{64}); }
    };
    const std::unique_ptr<std::uint64_t[], Free> buffer(
        static_cast<std::uint64_t*>(::operator new[](kBufferBytes, std::align_val_t{64})));
    std::memset(buffer.get(), 1, kBufferBytes);  // pages that were never written all map to one page of zeros
    double best = 0;
    volatile std::uint64_t sink = 0;
    for (int pass = 0; pass < 7; ++pass) {
        const auto start = std::chrono::steady_clock::now();
        sink = sum(buffer.get(), kBufferBytes / sizeof(std::uint64_t));
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
        best = std::max(best, static_cast<double>(kBufferBytes) / seconds.count());
    }
    (void)sink;
    return best;
}

}  // namespace

const std::vector<Baseline>& all() {
    static const std::vector<Baseline> list = [] {
        std::vector<Baseline> found{{"memcpy", "libc", 1, 4, copy, copy_back}};
#if defined(__x86_64__)
        if (has_avx512()) {
            found.push_back({"fp16", "avx512", 1, 2, half_avx512, decode_half});
            found.push_back({"absmax4", "avx512", kBlock, kBytes4, absmax4_avx512, decode4});
            found.push_back({"absmax8", "avx512", kBlock, kBytes8, absmax8_avx512, decode8});
        }
        if (has_avx2()) {
            found.push_back({"fp16", "avx2", 1, 2, half_avx2, decode_half});
            found.push_back({"absmax4", "avx2", kBlock, kBytes4, absmax4_avx2, decode4});
            found.push_back({"absmax8", "avx2", kBlock, kBytes8, absmax8_avx2, decode8});
        }
#endif
        return found;
    }();
    return list;
}

double read_bandwidth() {
    static const double bandwidth = measure_read_bandwidth();
    return bandwidth;
}

double measure_read_bandwidth() { return measured_read_bandwidth(); }

}  // namespace baselines
