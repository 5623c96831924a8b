// AVX-512 (F, BW, DQ, VL): a vector is 16 floats. Included inside the avx512 regions of dispatch.hpp.
// The operations and their contracts are listed in scalar/vector.inl.

inline constexpr int kLanes = 16;
inline constexpr bool kRegisterPaths = true;
inline constexpr int kFirstRadix = 16;
inline constexpr int kRadix = 8;

struct Floats {
    __m512 v;
};
struct Ints {
    __m512i v;
};
struct Bytes {
    __m512i v;
    __m512i
        words[2];  // the same as 16-bit words: registers 0 and 1, then 2 and 3, alternating within 128 bits
};

TURBOQUANT_INLINE Floats load(const float* p) noexcept { return {_mm512_loadu_ps(p)}; }
TURBOQUANT_INLINE void store(float* p, Floats a) noexcept { _mm512_storeu_ps(p, a.v); }
TURBOQUANT_INLINE __mmask16 first_mask(int count) noexcept {
    return _cvtu32_mask16(count <= 0 ? 0u : count >= 16 ? 0xffffu : (1u << count) - 1u);
}
TURBOQUANT_INLINE Floats load_first(const float* p, int count) noexcept {
    return {_mm512_maskz_loadu_ps(first_mask(count), p)};
}
TURBOQUANT_INLINE void store_first(float* p, Floats a, int count) noexcept {
    _mm512_mask_storeu_ps(p, first_mask(count), a.v);
}
TURBOQUANT_INLINE Floats broadcast(float x) noexcept { return {_mm512_set1_ps(x)}; }
TURBOQUANT_INLINE Floats zero() noexcept { return {_mm512_setzero_ps()}; }
TURBOQUANT_INLINE Floats add(Floats a, Floats b) noexcept { return {_mm512_add_ps(a.v, b.v)}; }
TURBOQUANT_INLINE Floats sub(Floats a, Floats b) noexcept { return {_mm512_sub_ps(a.v, b.v)}; }
TURBOQUANT_INLINE Floats mul(Floats a, Floats b) noexcept {
    __m512 product = _mm512_mul_ps(a.v, b.v);
    asm("" : "+v"(product));
    return {product};
}
TURBOQUANT_INLINE Floats multiply_add(Floats a, Floats b, Floats c) noexcept {
    return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
TURBOQUANT_INLINE Floats fused(Floats a, Floats b, Floats c) noexcept { return multiply_add(a, b, c); }
TURBOQUANT_INLINE Floats fused_sub(Floats a, Floats b, Floats c) noexcept {
    return {_mm512_fmsub_ps(a.v, b.v, c.v)};
}
TURBOQUANT_INLINE Floats flip(Floats a, Floats mask) noexcept {
    return {_mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(a.v), _mm512_castps_si512(mask.v)))};
}
TURBOQUANT_INLINE Floats flip_sign(Floats a, Floats b) noexcept {
    return {_mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_castps_si512(a.v), _mm512_castps_si512(b.v),
                                                          _mm512_set1_epi32(static_cast<int>(0x80000000u)),
                                                          0x78))};  // a ^ (b & mask)
}
TURBOQUANT_INLINE Floats keep(Floats a, Floats mask) noexcept {
    return {_mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(a.v), _mm512_castps_si512(mask.v)))};
}
TURBOQUANT_INLINE Floats absolute(Floats a) noexcept { return {_mm512_abs_ps(a.v)}; }

TURBOQUANT_INLINE Floats load_float16(const std::uint16_t* p) noexcept {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
TURBOQUANT_INLINE Floats load_bfloat16(const std::uint16_t* p) noexcept {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}

// Lane i and lane i^h become a+b and a−b: one shuffle, and one fused multiply-add whose product by ±1 is exact. A stage of
// all registers before the next: a processor's window of waiting operations is shorter than a register's chain of them.
template <int Vectors, int Registers>
TURBOQUANT_INLINE void hadamard_lanes(Floats (&r)[Vectors][Registers]) noexcept {
    const __m512 s1 = _mm512_castsi512_ps(_mm512_set1_epi64(static_cast<long long>(0xbf8000003f800000ull)));
    const __m512 s2 = _mm512_set_ps(-1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1);
    const __m512 s4 = _mm512_set_ps(-1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1);
    const __m512 s8 = _mm512_set_ps(-1, -1, -1, -1, -1, -1, -1, -1, 1, 1, 1, 1, 1, 1, 1, 1);
    TURBOQUANT_UNROLL
    for (int i = 0; i < Vectors * Registers; ++i) {
        __m512& v = r[i / Registers][i % Registers].v;
        v = _mm512_fmadd_ps(v, s1, _mm512_permute_ps(v, 0xb1));
    }
    TURBOQUANT_UNROLL
    for (int i = 0; i < Vectors * Registers; ++i) {
        __m512& v = r[i / Registers][i % Registers].v;
        v = _mm512_fmadd_ps(v, s2, _mm512_permute_ps(v, 0x4e));
    }
    TURBOQUANT_UNROLL
    for (int i = 0; i < Vectors * Registers; ++i) {
        __m512& v = r[i / Registers][i % Registers].v;
        v = _mm512_fmadd_ps(v, s4, _mm512_shuffle_f32x4(v, v, 0xb1));
    }
    TURBOQUANT_UNROLL
    for (int i = 0; i < Vectors * Registers; ++i) {
        __m512& v = r[i / Registers][i % Registers].v;
        v = _mm512_fmadd_ps(v, s8, _mm512_shuffle_f32x4(v, v, 0x4e));
    }
}

// Lanes `count` … 15 of a, then the first `count` of b.
struct LaneShift {
    __m512i lanes;
    TURBOQUANT_INLINE explicit LaneShift(int count) noexcept
        : lanes(_mm512_add_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                                 _mm512_set1_epi32(count))) {}
};
TURBOQUANT_INLINE Floats shifted(const LaneShift& shift, Floats a, Floats b) noexcept {
    return {_mm512_permutex2var_ps(a.v, shift.lanes, b.v)};
}

// kDoubles vectors' scales at a time.
inline constexpr int kDoubles = 8;
struct Doubles {
    __m512d v;
    TURBOQUANT_INLINE explicit Doubles(__m512d a) noexcept : v(a) {}
    TURBOQUANT_INLINE explicit Doubles(double x) noexcept : v(_mm512_set1_pd(x)) {}
};
TURBOQUANT_INLINE Doubles operator*(Doubles a, Doubles b) noexcept {
    return Doubles(_mm512_mul_pd(a.v, b.v));
}
TURBOQUANT_INLINE Doubles operator/(Doubles a, Doubles b) noexcept {
    return Doubles(_mm512_div_pd(a.v, b.v));
}
TURBOQUANT_INLINE Doubles root(Doubles a) noexcept { return Doubles(_mm512_sqrt_pd(a.v)); }
TURBOQUANT_INLINE Doubles load_doubles(const float* p) noexcept {
    return Doubles(_mm512_cvtps_pd(_mm256_loadu_ps(p)));
}
TURBOQUANT_INLINE void store_floats(float* p, Doubles a) noexcept {
    _mm256_storeu_ps(p, _mm512_cvtpd_ps(a.v));
}

TURBOQUANT_INLINE bool all_within(Doubles a, std::uint32_t first, std::uint32_t last) noexcept {
    const __m256i bits = _mm256_castps_si256(_mm512_cvtpd_ps(a.v));
    const __m256i above = _mm256_sub_epi32(bits, _mm256_set1_epi32(static_cast<int>(first)));
    return _cvtmask8_u32(_mm256_cmple_epu32_mask(above, _mm256_set1_epi32(static_cast<int>(last - first)))) ==
           0xff;
}

TURBOQUANT_INLINE float reduce_lanes(Floats a) noexcept {
    const __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    c = _mm_add_ss(c, _mm_movehdup_ps(c));
    return _mm_cvtss_f32(c);
}
// Lanes a half, a quarter, … apart, those of two vectors at once.
TURBOQUANT_INLINE Doubles reduce_lanes(const Floats (&rows)[kDoubles]) noexcept {
    __m512 a[4], b[2];
    TURBOQUANT_UNROLL
    for (int i = 0; i < 4; ++i)
        a[i] = _mm512_add_ps(_mm512_shuffle_f32x4(rows[2 * i].v, rows[2 * i + 1].v, 0x44),
                             _mm512_shuffle_f32x4(rows[2 * i].v, rows[2 * i + 1].v, 0xee));
    TURBOQUANT_UNROLL
    for (int i = 0; i < 2; ++i)
        b[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a[2 * i], a[2 * i + 1], 0x88),
                             _mm512_shuffle_f32x4(a[2 * i], a[2 * i + 1], 0xdd));
    __m512 c = _mm512_add_ps(_mm512_shuffle_ps(b[0], b[1], 0x44), _mm512_shuffle_ps(b[0], b[1], 0xee));
    c = _mm512_add_ps(c, _mm512_permute_ps(c, 0xb1));  // lanes 4i and 4i+2: of rows i and i+4
    const __m512i natural = _mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 14, 10, 6, 2, 12, 8, 4, 0);
    return Doubles(_mm512_cvtps_pd(_mm512_castps512_ps256(_mm512_permutexvar_ps(natural, c))));
}

TURBOQUANT_INLINE std::uint32_t sign_bits(const Floats (&a)[2]) noexcept {
    return _cvtmask32_u32(_mm512_kunpackw(_mm512_movepi32_mask(_mm512_castps_si512(a[1].v)),
                                          _mm512_movepi32_mask(_mm512_castps_si512(a[0].v))));
}
TURBOQUANT_INLINE Floats sign_masks(std::uint32_t bits) noexcept {
    return {
        _mm512_castsi512_ps(_mm512_maskz_set1_epi32(_cvtu32_mask16(bits), static_cast<int>(0x80000000u)))};
}

TURBOQUANT_INLINE Ints load_codes(const std::uint8_t* p) noexcept {
    return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
TURBOQUANT_INLINE Ints codes_of(const Bytes& a, int k) noexcept {
    const __m512i zero = _mm512_setzero_si512();
    return {k % 2 == 0 ? _mm512_unpacklo_epi16(a.words[k / 2], zero)
                       : _mm512_unpackhi_epi16(a.words[k / 2], zero)};
}
TURBOQUANT_INLINE void store_bytes(std::uint8_t* p, Bytes a) noexcept { _mm512_storeu_si512(p, a.v); }

template <int Bits>
struct Centroids {
    static constexpr int kTables = Bits <= 4 ? 1 : 1 << (Bits - 4);
    __m512 table[kTables];
    TURBOQUANT_INLINE explicit Centroids(const float* centroids) noexcept {
        TURBOQUANT_UNROLL
        for (int i = 0; i < kTables; ++i) table[i] = _mm512_loadu_ps(centroids + 16 * i);
    }
    TURBOQUANT_INLINE Floats operator()(Ints codes) const noexcept {
        if constexpr (Bits <= 4) {
            return {_mm512_permutexvar_ps(codes.v, table[0])};
        } else {
            __m512 found[kTables / 2];
            TURBOQUANT_UNROLL
            for (int i = 0; i < kTables / 2; ++i)
                found[i] = _mm512_permutex2var_ps(table[2 * i], codes.v, table[2 * i + 1]);
            int bit = 5;
            TURBOQUANT_UNROLL
            for (int count = kTables / 4; count > 0; count /= 2, ++bit) {
                const __mmask16 upper = _mm512_test_epi32_mask(codes.v, _mm512_set1_epi32(1 << bit));
                TURBOQUANT_UNROLL
                for (int i = 0; i < count; ++i)
                    found[i] = _mm512_mask_mov_ps(found[2 * i], upper, found[2 * i + 1]);
            }
            return {found[0]};
        }
    }
};

template <int Bits>
struct Nearest {
    static constexpr int kTables = Bits <= 5 ? 1 : 1 << (Bits - 5);
    __m512i table[kTables];
    TURBOQUANT_INLINE explicit Nearest(const CodebookTable& codebook) noexcept {
        const std::int16_t* offsets = Bits <= 4 ? codebook.signed_offsets : codebook.magnitude_offsets;
        TURBOQUANT_UNROLL
        for (int i = 0; i < kTables; ++i) table[i] = _mm512_loadu_si512(offsets + 32 * i);
    }
    TURBOQUANT_INLINE __m512i words(__m512 a, __m512 b) const noexcept {
        const __m512i y = _mm512_packs_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b));
        if constexpr (Bits <= 4) {
            const __m512i offset = _mm512_permutexvar_epi16(_mm512_srli_epi16(y, 11), table[0]);
            return _mm512_srli_epi16(_mm512_add_epi16(y, offset), 16 - Bits);
        } else {
            const __m512i m = _mm512_min_epu16(_mm512_abs_epi16(y), _mm512_set1_epi16(32767));
            const __m512i cell = _mm512_srli_epi16(m, 15 - Bits);
            __m512i offset;
            if constexpr (Bits == 5) {
                offset = _mm512_permutexvar_epi16(cell, table[0]);
            } else {
                __m512i found[kTables / 2];
                TURBOQUANT_UNROLL
                for (int i = 0; i < kTables / 2; ++i)
                    found[i] = _mm512_permutex2var_epi16(table[2 * i], cell, table[2 * i + 1]);
                int bit = 6;
                TURBOQUANT_UNROLL
                for (int count = kTables / 4; count > 0; count /= 2, ++bit) {
                    const __mmask32 upper =
                        _mm512_test_epi16_mask(cell, _mm512_set1_epi16(static_cast<short>(1 << bit)));
                    TURBOQUANT_UNROLL
                    for (int i = 0; i < count; ++i)
                        found[i] = _mm512_mask_mov_epi16(found[2 * i], upper, found[2 * i + 1]);
                }
                offset = found[0];
            }
            const __m512i k = _mm512_srli_epi16(_mm512_add_epi16(m, offset), 16 - Bits);
            const __m512i upper_half = _mm512_or_si512(k, _mm512_set1_epi16(1 << (Bits - 1)));
            return _mm512_xor_si512(upper_half, _mm512_srli_epi16(_mm512_srai_epi16(y, 15), 16 - Bits));
        }
    }
    TURBOQUANT_INLINE Bytes operator()(const Floats (&y)[4]) const noexcept {
        const __m512i low = words(y[0].v, y[1].v), high = words(y[2].v, y[3].v);
        const __m512i mixed = _mm512_packus_epi16(low, high);
        // The packs work within 128-bit lanes: dword 4·lane + register → dword 4·register + lane.
        const __m512i natural = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
        return {_mm512_permutexvar_epi32(natural, mixed), {low, high}};
    }
};

template <int Bits>
TURBOQUANT_INLINE void store_packed(std::uint8_t* out, Bytes codes) noexcept {
    const __m512i v = codes.v;
    if constexpr (Bits == 8) {
        _mm512_storeu_si512(out, v);
    } else if constexpr (Bits == 4) {
        const __m512i pairs = _mm512_maddubs_epi16(v, _mm512_set1_epi16(0x1001));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_cvtepi16_epi8(pairs));
    } else if constexpr (Bits == 2) {
        const __m512i pairs = _mm512_maddubs_epi16(v, _mm512_set1_epi16(0x0401));
        const __m512i quads = _mm512_madd_epi16(pairs, _mm512_set1_epi32(0x00100001));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm512_cvtepi32_epi8(quads));
    } else if constexpr (Bits == 1) {
        const std::uint64_t word = _cvtmask64_u64(_mm512_test_epi8_mask(v, v));
        std::memcpy(out, &word, 8);
    } else {
        // Fields double in width: two codes of 16 bits, four of 32, eight of 64. Multipliers are signed bytes; where four codes
        // are 16 bits or less, those shifted out leave nothing behind, and what stands above the octet is not stored.
        const __m512i pairs =
            Bits < 7 ? _mm512_maddubs_epi16(v, _mm512_set1_epi16(static_cast<short>((1 << (Bits + 8)) | 1)))
                     : _mm512_or_si512(_mm512_and_si512(v, _mm512_set1_epi16(0xff)),
                                       _mm512_slli_epi16(_mm512_srli_epi16(v, 8), Bits));
        const __m512i quads = _mm512_madd_epi16(pairs, _mm512_set1_epi32((1 << (2 * Bits + 16)) | 1));
        const __m512i octets =
            Bits < 4 ? _mm512_or_si512(quads, _mm512_srli_epi64(quads, 32 - 4 * Bits))
                     : _mm512_or_si512(_mm512_and_si512(quads, _mm512_set1_epi64(0xffffffff)),
                                       _mm512_slli_epi64(_mm512_srli_epi64(quads, 32), 4 * Bits));
        // The Bits bytes of each octet: together in each 128 bits, whole words, which are then put together.
        const __m512i bytes = _mm512_loadu_si512(kOctetPack<Bits>.bytes);
        const __m512i packed = _mm512_permutexvar_epi16(_mm512_loadu_si512(kOctetPack<Bits>.words),
                                                        _mm512_shuffle_epi8(octets, bytes));
        _mm512_mask_storeu_epi8(out, (std::uint64_t{1} << 8 * Bits) - 1, packed);
    }
}

// 16 codes from 2·Bits bytes: each lane takes the two bytes that hold its code, shifts and masks.
template <int Bits>
struct Unpack {
    __m512i bytes, shifts;
    TURBOQUANT_INLINE Unpack() noexcept
        : bytes(_mm512_loadu_si512(kUnpackTable<Bits>.bytes)),
          shifts(_mm512_loadu_si512(kUnpackTable<Bits>.shifts)) {}
    TURBOQUANT_INLINE void operator()(const std::uint8_t* group, Ints (&codes)[16 / kLanes]) const noexcept {
        const __m512i source =
            _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(group)));
        const __m512i shifted = _mm512_srlv_epi32(_mm512_shuffle_epi8(source, bytes), shifts);
        codes[0].v = _mm512_and_si512(shifted, _mm512_set1_epi32((1 << Bits) - 1));
    }
};
