// AVX-512 with VNNI and VBMI: rows of codes scored against an int8 query.
// The operations and their contracts are listed in scalar/int8.inl.

#include "turboquant/simd/avx512/int8_floats.inl"

// vpdpbusd multiplies unsigned by signed bytes.
inline constexpr int kOffset = 128;
inline constexpr int kBatchRows = 2, kBatchQueries = 10;

// As a vector of int: g++ 12 copies and spills arrays of __m512i.
using Int32x16 = int __attribute__((__vector_size__(64)));

struct Row {
    __m512i v;
};
struct Quad {
    __m512i v;
};
struct Sums {
    Int32x16 v;
};

TURBOQUANT_INLINE Row load_row(const std::uint8_t* p) noexcept { return {_mm512_loadu_si512(p)}; }
TURBOQUANT_INLINE void store_row(std::uint8_t* p, Row row) noexcept { _mm512_storeu_si512(p, row.v); }
TURBOQUANT_INLINE Row load_narrow(const std::uint8_t* row, int slot, int width) noexcept {
    const std::uint8_t* bytes = row + (width == 3 ? 2 * kScanBlock : 0);
    __m512i v = _mm512_setzero_si512();
    if (width & 1) v = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + slot)));
    if (width == 3) v = _mm512_slli_epi32(v, 16);
    if (width >= 2)
        v = _mm512_or_si512(
            v, _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + 2 * slot))));
    return {v};
}
TURBOQUANT_INLINE Quad load_quad(const std::int8_t* p) noexcept {
    std::int32_t bits;
    std::memcpy(&bits, p, 4);
    return {_mm512_set1_epi32(bits)};
}

TURBOQUANT_INLINE Sums zero_sums() noexcept { return {Int32x16{}}; }
TURBOQUANT_INLINE Sums load_sums(const std::int32_t* p) noexcept {
    return {reinterpret_cast<Int32x16>(_mm512_loadu_si512(p))};
}
TURBOQUANT_INLINE void store_sums(std::int32_t* p, Sums sums) noexcept {
    _mm512_storeu_si512(p, reinterpret_cast<__m512i>(sums.v));
}
TURBOQUANT_INLINE Sums add_sums(Sums a, Sums b) noexcept { return {a.v + b.v}; }
TURBOQUANT_INLINE Sums dot(Sums sums, Row row, Quad quad) noexcept {
    return {
        reinterpret_cast<Int32x16>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sums.v), row.v, quad.v))};
}

// Tables of 64: the index is the lower six bits of a byte, of which a table minds the bits of one code.
template <int Bits>
struct CodeLookup {
    static constexpr int kRows = ScanStep<Bits>::kRows;
    static constexpr int kTables = kByteTables<Bits>.kTables;
    __m512i tables[kTables];
    TURBOQUANT_INLINE explicit CodeLookup(const std::int8_t* centroids) noexcept {
        const __m512i base = _mm512_xor_si512(
            _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(centroids))),
            _mm512_set1_epi8(static_cast<char>(kOffset)));  // adds 128 to a signed byte
        TURBOQUANT_UNROLL
        for (int t = 0; t < kTables; ++t)
            tables[t] = _mm512_shuffle_epi8(base, _mm512_loadu_si512(kByteTables<Bits>.index[t]));
    }
    template <int J>
    TURBOQUANT_INLINE Row get(const Row (&rows)[kRows]) const noexcept {
        if constexpr (Bits == 3) {
            __m512i lower = rows[J / 4].v, upper = rows[kRows - 1].v;
            if constexpr (J % 4 == 3) lower = _mm512_srli_epi16(lower, 4);
            if constexpr (J >= 4) upper = _mm512_srli_epi16(upper, 4);
            const __m512i mask = _mm512_set1_epi8(1 << kUpperBitPlaces[J % 4]);
            const __m512i index =
                _mm512_ternarylogic_epi32(mask, upper, lower, 0xca);  // mask ? upper : lower
            return {_mm512_permutexvar_epi8(index, tables[J % 4])};
        } else if constexpr (J < kTables) {
            return {_mm512_permutexvar_epi8(rows[0].v, tables[J])};
        } else {
            return {_mm512_permutexvar_epi8(_mm512_srli_epi16(rows[0].v, 4), tables[J - 4 / Bits])};
        }
    }
};
