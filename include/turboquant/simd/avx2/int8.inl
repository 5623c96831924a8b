// AVX2: rows of codes scored against an int8 query; also for AVX-512 without VNNI, which has no instruction that would do
// it better. The operations and their contracts are listed in scalar/int8.inl.

inline constexpr int kOffset = 0;
inline constexpr int kBatchRows = 1, kBatchQueries = 4;

struct Row {
    __m256i v[2];
};
struct Quad {
    __m256i v, magnitude;
};
struct Sums {
    __m256i v[2];
};

TURBOQUANT_INLINE __m256i load_256(const void* p) noexcept {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
TURBOQUANT_INLINE Row load_row(const std::uint8_t* p) noexcept { return {{load_256(p), load_256(p + 32)}}; }
TURBOQUANT_INLINE void store_row(std::uint8_t* p, Row row) noexcept {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), row.v[0]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 32), row.v[1]);
}
TURBOQUANT_INLINE Row load_narrow(const std::uint8_t* row, int slot, int width) noexcept {
    Row wide;
    const std::uint8_t* bytes = row + (width == 3 ? 2 * kScanBlock : 0);
    TURBOQUANT_UNROLL
    for (int h = 0; h < 2; ++h) {
        const int first = slot + 8 * h;
        __m256i v = _mm256_setzero_si256();
        if (width & 1)
            v = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes + first)));
        if (width == 3) v = _mm256_slli_epi32(v, 16);
        if (width >= 2)
            v = _mm256_or_si256(
                v, _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row + 2 * first))));
        wide.v[h] = v;
    }
    return wide;
}
TURBOQUANT_INLINE Row blend_shifted(Row to, Row from, int shift, std::uint32_t mask) noexcept {
    const __m128i left = _mm_cvtsi32_si128(shift > 0 ? shift : 0);
    const __m128i right = _mm_cvtsi32_si128(shift < 0 ? -shift : 0);
    TURBOQUANT_UNROLL
    for (int h = 0; h < 2; ++h) {
        const __m256i moved = _mm256_srl_epi32(_mm256_sll_epi32(from.v[h], left), right);
        const __m256i changes = _mm256_and_si256(_mm256_xor_si256(to.v[h], moved),
                                                 _mm256_set1_epi32(static_cast<std::int32_t>(mask)));
        to.v[h] = _mm256_xor_si256(to.v[h], changes);
    }
    return to;
}
TURBOQUANT_INLINE Quad load_quad(const std::int8_t* p) noexcept {
    std::int32_t bits;
    std::memcpy(&bits, p, 4);
    const __m256i v = _mm256_set1_epi32(bits);
    return {v, _mm256_abs_epi8(v)};
}

TURBOQUANT_INLINE Sums zero_sums() noexcept { return {{_mm256_setzero_si256(), _mm256_setzero_si256()}}; }
TURBOQUANT_INLINE Sums load_sums(const std::int32_t* p) noexcept { return {{load_256(p), load_256(p + 8)}}; }
TURBOQUANT_INLINE void store_sums(std::int32_t* p, Sums sums) noexcept {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), sums.v[0]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), sums.v[1]);
}
TURBOQUANT_INLINE Sums add_sums(Sums a, Sums b) noexcept {
    return {{_mm256_add_epi32(a.v[0], b.v[0]), _mm256_add_epi32(a.v[1], b.v[1])}};
}
// maddubs multiplies unsigned by signed bytes: the query's magnitude by the centroid with the query's sign. A pair of
// products is at most 2·127², inside int16.
TURBOQUANT_INLINE Sums dot(Sums sums, Row row, Quad quad) noexcept {
    TURBOQUANT_UNROLL
    for (int h = 0; h < 2; ++h) {
        const __m256i pairs = _mm256_maddubs_epi16(quad.magnitude, _mm256_sign_epi8(row.v[h], quad.v));
        sums.v[h] = _mm256_add_epi32(sums.v[h], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    return sums;
}

// Tables of 16: the index is half a byte, of which a table minds the bits of one code.
template <int Bits>
struct CodeLookup {
    static constexpr int kRows = ScanStep<Bits>::kRows;
    static constexpr int kTables = Bits == 3 ? 4 : 4 / Bits;
    __m256i tables[kTables];
    TURBOQUANT_INLINE explicit CodeLookup(const std::int8_t* centroids) noexcept {
        const __m256i base =
            _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(centroids)));
        TURBOQUANT_UNROLL
        for (int t = 0; t < kTables; ++t)
            tables[t] = _mm256_shuffle_epi8(
                base, _mm256_broadcastsi128_si256(
                          _mm_loadu_si128(reinterpret_cast<const __m128i*>(kNibbleTables<Bits>.index[t]))));
    }
    template <int J>
    TURBOQUANT_INLINE Row get(const Row (&rows)[kRows]) const noexcept {
        Row found;
        TURBOQUANT_UNROLL
        for (int h = 0; h < 2; ++h) {
            __m256i nibbles = rows[Bits == 3 ? J / 4 : 0].v[h];
            constexpr bool kUpper = Bits == 3 ? J % 4 >= 2 : J >= kTables;
            if constexpr (kUpper) nibbles = _mm256_srli_epi16(nibbles, 4);
            if constexpr (Bits == 3) {
                __m256i upper_bits = rows[kRows - 1].v[h];
                if constexpr (J >= 4) upper_bits = _mm256_srli_epi16(upper_bits, 4);
                const __m256i mask = _mm256_set1_epi8(1 << kUpperBitPlaces[J % 4]);
                nibbles =
                    _mm256_xor_si256(nibbles, _mm256_and_si256(_mm256_xor_si256(nibbles, upper_bits), mask));
            }
            nibbles = _mm256_and_si256(nibbles, _mm256_set1_epi8(15));
            found.v[h] = _mm256_shuffle_epi8(tables[J % kTables], nibbles);
        }
        return found;
    }
};

inline constexpr int kSumGroup = 4;

template <int Count>
TURBOQUANT_INLINE Row load_bytes(const std::uint8_t* p) noexcept {
    const __m256i none = _mm256_setzero_si256();
    if constexpr (Count == 32) return {{load_256(p), none}};
    const auto* q = reinterpret_cast<const __m128i*>(p);
    if constexpr (Count == 24) return {{_mm256_set_m128i(_mm_loadl_epi64(q + 1), _mm_loadu_si128(q)), none}};
    return {{_mm256_zextsi128_si256(Count == 16 ? _mm_loadu_si128(q) : _mm_loadl_epi64(q)), none}};
}
TURBOQUANT_INLINE Row load_first(const std::uint8_t* p, int count) noexcept {
    alignas(64) std::uint8_t bytes[64] = {};
    std::memcpy(bytes, p, static_cast<std::size_t>(count));
    return load_row(bytes);
}
// All into one register: nothing but the total of such sums counts, and registers are few.
TURBOQUANT_INLINE Sums dot(Sums sums, Row row, Row query) noexcept {
    TURBOQUANT_UNROLL
    for (int h = 0; h < 2; ++h) {
        const __m256i pairs =
            _mm256_maddubs_epi16(_mm256_abs_epi8(query.v[h]), _mm256_sign_epi8(row.v[h], query.v[h]));
        sums.v[0] = _mm256_add_epi32(sums.v[0], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    return sums;
}
TURBOQUANT_INLINE void store_totals(const Sums (&sums)[kSumGroup], std::int32_t* out) noexcept {
    __m256i s[kSumGroup];
    TURBOQUANT_UNROLL
    for (int i = 0; i < kSumGroup; ++i) s[i] = _mm256_add_epi32(sums[i].v[0], sums[i].v[1]);
    const __m256i fours = _mm256_hadd_epi32(_mm256_hadd_epi32(s[0], s[1]), _mm256_hadd_epi32(s[2], s[3]));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out),
                     _mm_add_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256(fours, 1)));
}

// Each 16-bit lane takes the two bytes that hold its code; shifts bring it to the top and down again.
template <int Bits>
struct RowLookup {
    __m256i table, first, second, multipliers;
    TURBOQUANT_INLINE explicit RowLookup(const std::int8_t* centroids) noexcept
        : table(_mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(centroids)))),
          first(load_256(kWordUnpack<Bits>.bytes[0])),
          second(load_256(kWordUnpack<Bits>.bytes[1])),
          multipliers(load_256(kWordUnpack<Bits>.multipliers)) {}
    TURBOQUANT_INLINE __m256i codes(__m256i source, __m256i bytes) const noexcept {
        return _mm256_srli_epi16(_mm256_mullo_epi16(_mm256_shuffle_epi8(source, bytes), multipliers),
                                 16 - Bits);
    }
    TURBOQUANT_INLINE Row operator()(Row packed) const noexcept {
        Row found;
        TURBOQUANT_UNROLL
        for (int h = 0; h < 2; ++h) {  // 4·Bits bytes for 32 codes
            __m128i source = _mm256_castsi256_si128(packed.v[0]);
            if (h == 1)
                source = Bits == 4   ? _mm256_extracti128_si256(packed.v[0], 1)
                         : Bits == 3 ? _mm_alignr_epi8(_mm256_extracti128_si256(packed.v[0], 1), source, 12)
                                     : _mm_srli_si128(source, 4 * Bits);
            const __m256i both = _mm256_broadcastsi128_si256(source);
            found.v[h] =
                _mm256_shuffle_epi8(table, _mm256_packus_epi16(codes(both, first), codes(both, second)));
        }
        return found;
    }
};

#if !TURBOQUANT_INT8_OF_AVX512
TURBOQUANT_INLINE Floats to_floats(const std::int32_t* p, std::int32_t offset) noexcept {
    return {_mm256_cvtepi32_ps(_mm256_sub_epi32(load_256(p), _mm256_set1_epi32(offset)))};
}
TURBOQUANT_INLINE std::uint32_t reached(Floats a, Floats b) noexcept {
    return static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a.v, b.v, _CMP_GE_OQ)));
}
TURBOQUANT_INLINE void store_rounded(std::int8_t* p, Floats a) noexcept {
    const __m256i integers = _mm256_cvtps_epi32(a.v);
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(integers), _mm256_extracti128_si256(integers, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(words, words));
}
#endif
