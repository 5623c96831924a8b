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
TURBOQUANT_INLINE Row blend_shifted(Row to, Row from, int shift, std::uint32_t mask) noexcept {
    const __m128i left = _mm_cvtsi32_si128(shift > 0 ? shift : 0);
    const __m128i right = _mm_cvtsi32_si128(shift < 0 ? -shift : 0);
    const __m512i moved = _mm512_srl_epi32(_mm512_sll_epi32(from.v, left), right);
    return {_mm512_ternarylogic_epi32(_mm512_set1_epi32(static_cast<std::int32_t>(mask)), moved, to.v,
                                      0xca)};  // mask ? moved : to
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

inline constexpr int kSumGroup = 16;

template <int Count>
TURBOQUANT_INLINE Row load_bytes(const std::uint8_t* p) noexcept {
    return {_mm512_maskz_loadu_epi8((__mmask64{1} << Count) - 1, p)};
}
TURBOQUANT_INLINE Row load_first(const std::uint8_t* p, int count) noexcept {
    return {_mm512_maskz_loadu_epi8(~__mmask64{0} >> (64 - count), p)};
}
TURBOQUANT_INLINE Sums dot(Sums sums, Row row, Row query) noexcept { return dot(sums, row, Quad{query.v}); }

TURBOQUANT_INLINE __m512i add_interleaved(__m512i a, __m512i b) noexcept {
    return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
}
TURBOQUANT_INLINE __m512i add_quarters(__m512i a, __m512i b) noexcept {
    return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
}
TURBOQUANT_INLINE void store_totals(const Sums (&sums)[kSumGroup], std::int32_t* out) noexcept {
    __m512i fours[4];  // lane i of 128 bits: the i-th quarters of sums 4·k … 4·k + 3
    TURBOQUANT_UNROLL
    for (int k = 0; k < 4; ++k) {
        const __m512i low = add_interleaved(reinterpret_cast<__m512i>(sums[4 * k].v),
                                            reinterpret_cast<__m512i>(sums[4 * k + 1].v));
        const __m512i high = add_interleaved(reinterpret_cast<__m512i>(sums[4 * k + 2].v),
                                             reinterpret_cast<__m512i>(sums[4 * k + 3].v));
        fours[k] = _mm512_add_epi32(_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
    }
    _mm512_storeu_si512(out,
                        add_quarters(add_quarters(fours[0], fours[1]), add_quarters(fours[2], fours[3])));
}

// Each quadword takes the Bits bytes that hold its eight codes, vpmultishiftqb brings each to a byte of its own.
template <int Bits>
struct RowLookup {
    __m512i table, bytes, shifts;
    TURBOQUANT_INLINE explicit RowLookup(const std::int8_t* centroids) noexcept
        : table(CodeLookup<Bits>(centroids).tables[0]),
          bytes(_mm512_loadu_si512(kQuadwordUnpack<Bits>.bytes)),
          shifts(_mm512_loadu_si512(kQuadwordUnpack<Bits>.shifts)) {}
    TURBOQUANT_INLINE Row operator()(Row packed) const noexcept {
        const __m512i codes = _mm512_multishift_epi64_epi8(shifts, _mm512_permutexvar_epi8(bytes, packed.v));
        return {_mm512_permutexvar_epi8(codes, table)};
    }
};

// --- Two bytes a centroid, for kernels/rows_wide.inl ----------------------------------------------------------------------

// Rounded to an integer 128·p + r with |r| <= 64: p, and 2r.
TURBOQUANT_INLINE void split_rounded(std::int8_t* p, std::int8_t* twice_r, Floats a) noexcept {
    const __m512i value = _mm512_cvtps_epi32(a.v);
    const __m512i high = _mm512_srai_epi32(_mm512_add_epi32(value, _mm512_set1_epi32(64)), 7);
    const __m512i rest = _mm512_sub_epi32(value, _mm512_slli_epi32(high, 7));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(high));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(twice_r),
                     _mm512_cvtsepi32_epi8(_mm512_add_epi32(rest, rest)));
}

// 64 codes of 5 to 8 bits to the low and the high bytes of their centroids.
template <int Bits>
struct WideLookup {
    static constexpr int kTables = Bits <= 6 ? 1 : 1 << (Bits - 6);
    __m512i low_tables[kTables], high_tables[kTables], bytes, shifts;
    TURBOQUANT_INLINE WideLookup(const std::uint8_t* low, const std::uint8_t* high) noexcept
        : bytes(_mm512_loadu_si512(kQuadwordUnpack<Bits>.bytes)),
          shifts(_mm512_loadu_si512(kQuadwordUnpack<Bits>.shifts)) {
        TURBOQUANT_UNROLL
        for (int t = 0; t < kTables; ++t) {
            low_tables[t] = _mm512_loadu_si512(low + 64 * t);
            high_tables[t] = _mm512_loadu_si512(high + 64 * t);
        }
    }
    // Among the first 128 entries, for 8 bits.
    static TURBOQUANT_INLINE __m512i find(const __m512i (&tables)[kTables], __m512i codes) noexcept {
        if constexpr (Bits <= 6) return _mm512_permutexvar_epi8(codes, tables[0]);
        return _mm512_permutex2var_epi8(tables[0], codes, tables[kTables > 1 ? 1 : 0]);
    }
    // 64 codes, a byte each.
    TURBOQUANT_INLINE Row unpack(Row packed) const noexcept {
        if constexpr (Bits == 8) return packed;
        return {_mm512_multishift_epi64_epi8(shifts, _mm512_permutexvar_epi8(bytes, packed.v))};
    }
    TURBOQUANT_INLINE void find(Row codes, Row& low, Row& high) const noexcept {
        low.v = find(low_tables, codes.v);
        high.v = find(high_tables, codes.v);
        if constexpr (Bits == 8) {
            const __mmask64 upper = _mm512_movepi8_mask(codes.v);
            low.v = _mm512_mask_blend_epi8(upper, low.v,
                                           _mm512_permutex2var_epi8(low_tables[2], codes.v, low_tables[3]));
            high.v = _mm512_mask_blend_epi8(
                upper, high.v, _mm512_permutex2var_epi8(high_tables[2], codes.v, high_tables[3]));
        }
    }
    TURBOQUANT_INLINE void operator()(Row packed, Row& low, Row& high) const noexcept {
        find(unpack(packed), low, high);
    }
};
