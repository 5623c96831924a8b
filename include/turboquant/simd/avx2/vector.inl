// AVX2 with FMA and F16C: a vector is 8 floats. Included inside the avx2 region of dispatch.hpp.
// The operations and their contracts are listed in scalar/vector.inl.

inline constexpr int kLanes = 8;
inline constexpr bool kRegisterPaths = true;
inline constexpr int kFirstRadix = 8;
inline constexpr int kRadix = 8;

struct Floats {
    __m256 v;
};
struct Ints {
    __m256i v;
};
struct Bytes {
    __m256i v;
    // The same as 16-bit words, registers 0 and 1, then 2 and 3, alternating within 128 bits: magnitudes (k in
    // codebook_table.hpp), and 0x8000 where the coordinate is negative.
    __m256i magnitudes[2], negative[2];
};
// A magnitude in the lower half of a lane, 0x8000 in the upper half where it is negative.
struct SignedMagnitudes {
    __m256i v;
};

TURBOQUANT_INLINE Floats load(const float* p) noexcept { return {_mm256_loadu_ps(p)}; }
TURBOQUANT_INLINE void store(float* p, Floats a) noexcept { _mm256_storeu_ps(p, a.v); }
TURBOQUANT_INLINE __m256i first_mask(int count) noexcept {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
}
TURBOQUANT_INLINE Floats load_first(const float* p, int count) noexcept {
    return {_mm256_maskload_ps(p, first_mask(count))};
}
TURBOQUANT_INLINE void store_first(float* p, Floats a, int count) noexcept {
    _mm256_maskstore_ps(p, first_mask(count), a.v);
}
TURBOQUANT_INLINE Floats broadcast(float x) noexcept { return {_mm256_set1_ps(x)}; }
TURBOQUANT_INLINE Floats zero() noexcept { return {_mm256_setzero_ps()}; }
TURBOQUANT_INLINE Floats add(Floats a, Floats b) noexcept { return {_mm256_add_ps(a.v, b.v)}; }
TURBOQUANT_INLINE Floats sub(Floats a, Floats b) noexcept { return {_mm256_sub_ps(a.v, b.v)}; }
TURBOQUANT_INLINE Floats mul(Floats a, Floats b) noexcept {
    __m256 product = _mm256_mul_ps(a.v, b.v);
    asm("" : "+x"(product));
    return {product};
}
TURBOQUANT_INLINE Floats multiply_add(Floats a, Floats b, Floats c) noexcept {
    return {_mm256_fmadd_ps(a.v, b.v, c.v)};
}
TURBOQUANT_INLINE Floats fused(Floats a, Floats b, Floats c) noexcept { return multiply_add(a, b, c); }
TURBOQUANT_INLINE Floats fused_sub(Floats a, Floats b, Floats c) noexcept {
    return {_mm256_fmsub_ps(a.v, b.v, c.v)};
}
TURBOQUANT_INLINE Floats flip(Floats a, Floats mask) noexcept { return {_mm256_xor_ps(a.v, mask.v)}; }
TURBOQUANT_INLINE Floats flip_sign(Floats a, Floats b) noexcept {
    return {_mm256_xor_ps(a.v, _mm256_and_ps(b.v, _mm256_set1_ps(-0.0f)))};
}
TURBOQUANT_INLINE Floats keep(Floats a, Floats mask) noexcept { return {_mm256_and_ps(a.v, mask.v)}; }
TURBOQUANT_INLINE Floats absolute(Floats a) noexcept {
    return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)};
}

TURBOQUANT_INLINE Floats load_float16(const std::uint16_t* p) noexcept {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
TURBOQUANT_INLINE Floats load_bfloat16(const std::uint16_t* p) noexcept {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(wide, 16))};
}

template <int Vectors, int Registers>
TURBOQUANT_INLINE void hadamard_lanes(Floats (&r)[Vectors][Registers]) noexcept {
    const __m256 s1 = _mm256_set_ps(-1, 1, -1, 1, -1, 1, -1, 1);
    const __m256 s2 = _mm256_set_ps(-1, -1, 1, 1, -1, -1, 1, 1);
    const __m256 s4 = _mm256_set_ps(-1, -1, -1, -1, 1, 1, 1, 1);
    TURBOQUANT_UNROLL
    for (int i = 0; i < Vectors * Registers; ++i) {
        __m256& v = r[i / Registers][i % Registers].v;
        v = _mm256_fmadd_ps(v, s1, _mm256_permute_ps(v, 0xb1));
        v = _mm256_fmadd_ps(v, s2, _mm256_permute_ps(v, 0x4e));
        v = _mm256_fmadd_ps(v, s4, _mm256_permute2f128_ps(v, v, 1));
    }
}

inline constexpr int kDoubles = 4;
struct Doubles {
    __m256d v;
    TURBOQUANT_INLINE explicit Doubles(__m256d a) noexcept : v(a) {}
    TURBOQUANT_INLINE explicit Doubles(double x) noexcept : v(_mm256_set1_pd(x)) {}
};
TURBOQUANT_INLINE Doubles operator*(Doubles a, Doubles b) noexcept {
    return Doubles(_mm256_mul_pd(a.v, b.v));
}
TURBOQUANT_INLINE Doubles operator/(Doubles a, Doubles b) noexcept {
    return Doubles(_mm256_div_pd(a.v, b.v));
}
TURBOQUANT_INLINE Doubles root(Doubles a) noexcept { return Doubles(_mm256_sqrt_pd(a.v)); }
TURBOQUANT_INLINE Doubles load_doubles(const float* p) noexcept {
    return Doubles(_mm256_cvtps_pd(_mm_loadu_ps(p)));
}
TURBOQUANT_INLINE void store_floats(float* p, Doubles a) noexcept { _mm_storeu_ps(p, _mm256_cvtpd_ps(a.v)); }

TURBOQUANT_INLINE bool all_within(Doubles a, std::uint32_t first, std::uint32_t last) noexcept {
    const __m128i bits = _mm_castps_si128(_mm256_cvtpd_ps(a.v));
    const __m128i above = _mm_sub_epi32(bits, _mm_set1_epi32(static_cast<int>(first)));
    const __m128i most = _mm_set1_epi32(static_cast<int>(last - first));
    return _mm_movemask_epi8(_mm_cmpeq_epi32(_mm_max_epu32(above, most), most)) == 0xffff;
}

TURBOQUANT_INLINE float reduce_lanes(Floats a) noexcept {
    __m128 c = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
    c = _mm_add_ps(c, _mm_movehl_ps(c, c));
    c = _mm_add_ss(c, _mm_movehdup_ps(c));
    return _mm_cvtss_f32(c);
}
TURBOQUANT_INLINE Doubles reduce_lanes(const Floats (&rows)[kDoubles]) noexcept {
    __m256 a[2];
    TURBOQUANT_UNROLL
    for (int i = 0; i < 2; ++i)
        a[i] = _mm256_add_ps(_mm256_permute2f128_ps(rows[2 * i].v, rows[2 * i + 1].v, 0x20),
                             _mm256_permute2f128_ps(rows[2 * i].v, rows[2 * i + 1].v, 0x31));
    __m256 c = _mm256_add_ps(_mm256_shuffle_ps(a[0], a[1], 0x44), _mm256_shuffle_ps(a[0], a[1], 0xee));
    c = _mm256_add_ps(c, _mm256_permute_ps(c, 0xb1));  // rows 0, 0, 2, 2, then 1, 1, 3, 3
    return Doubles(
        _mm256_cvtps_pd(_mm_blend_ps(_mm256_castps256_ps128(c), _mm256_extractf128_ps(c, 1), 0xa)));
}

TURBOQUANT_INLINE std::uint32_t sign_bits(const Floats (&a)[4]) noexcept {
    const __m256i low = _mm256_packs_epi32(_mm256_castps_si256(a[0].v), _mm256_castps_si256(a[1].v));
    const __m256i high = _mm256_packs_epi32(_mm256_castps_si256(a[2].v), _mm256_castps_si256(a[3].v));
    const __m256i natural = _mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0);  // see Nearest
    return static_cast<std::uint32_t>(
        _mm256_movemask_epi8(_mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), natural)));
}
TURBOQUANT_INLINE Floats sign_masks(std::uint32_t bits) noexcept {
    const __m256i spread = _mm256_sllv_epi32(_mm256_set1_epi32(static_cast<int>(bits)),
                                             _mm256_set_epi32(24, 25, 26, 27, 28, 29, 30, 31));
    return {_mm256_and_ps(_mm256_castsi256_ps(spread), _mm256_set1_ps(-0.0f))};
}

TURBOQUANT_INLINE Ints load_codes(const std::uint8_t* p) noexcept {
    return {_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))};
}
TURBOQUANT_INLINE SignedMagnitudes codes_of(const Bytes& a, int k) noexcept {
    return {k % 2 == 0 ? _mm256_unpacklo_epi16(a.magnitudes[k / 2], a.negative[k / 2])
                       : _mm256_unpackhi_epi16(a.magnitudes[k / 2], a.negative[k / 2])};
}
TURBOQUANT_INLINE void store_bytes(std::uint8_t* p, Bytes a) noexcept {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v);
}

// Up to 32 centroids are looked up in registers; more come from memory. Of signed magnitudes half of them are enough, that
// of magnitude k as centroid ^ k in bits: an exclusive-or with the signed magnitude then removes k and sets the sign.
template <int Bits>
struct Centroids {
    static constexpr int kTables = Bits <= 3 ? 1 : Bits <= 5 ? 1 << (Bits - 3) : 1;
    static constexpr int kHalf = 1 << (Bits - 1), kHalfTables = (kTables + 1) / 2;
    __m256 table[kTables], marked[kHalfTables];
    const float* memory;
    TURBOQUANT_INLINE explicit Centroids(const float* centroids) noexcept : memory(centroids) {
        const __m256i numbers = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
        TURBOQUANT_UNROLL
        for (int i = 0; i < kTables; ++i) table[i] = _mm256_loadu_ps(centroids + 8 * i);
        TURBOQUANT_UNROLL
        for (int i = 0; i < kHalfTables; ++i)
            marked[i] =
                _mm256_xor_ps(_mm256_loadu_ps(centroids + kHalf + 8 * i),
                              _mm256_castsi256_ps(_mm256_add_epi32(numbers, _mm256_set1_epi32(8 * i))));
    }
    TURBOQUANT_INLINE Floats operator()(Ints codes) const noexcept {
        if constexpr (Bits > 5) {
            return {_mm256_i32gather_ps(memory, codes.v, 4)};
        } else {
            __m256 found[kTables];
            TURBOQUANT_UNROLL
            for (int i = 0; i < kTables; ++i) found[i] = _mm256_permutevar8x32_ps(table[i], codes.v);
            int bit = 3;
            TURBOQUANT_UNROLL
            for (int count = kTables / 2; count > 0; count /= 2, ++bit) {
                const __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(codes.v, 31 - bit));
                TURBOQUANT_UNROLL
                for (int i = 0; i < count; ++i)
                    found[i] = _mm256_blendv_ps(found[2 * i], found[2 * i + 1], upper);
            }
            return {found[0]};
        }
    }
    TURBOQUANT_INLINE Floats operator()(SignedMagnitudes codes) const noexcept {
        const __m256 marks = _mm256_castsi256_ps(codes.v);
        if constexpr (Bits > 5) {
            const __m256i magnitude = _mm256_and_si256(codes.v, _mm256_set1_epi32(kHalf - 1));
            return {_mm256_xor_ps(_mm256_i32gather_ps(memory + kHalf, magnitude, 4),
                                  _mm256_and_ps(marks, _mm256_set1_ps(-0.0f)))};
        } else {
            __m256 found = _mm256_permutevar8x32_ps(marked[0], codes.v);
            if constexpr (Bits == 5)
                found = _mm256_blendv_ps(found, _mm256_permutevar8x32_ps(marked[1], codes.v),
                                         _mm256_castsi256_ps(_mm256_slli_epi32(codes.v, 28)));
            return {_mm256_xor_ps(found, marks)};
        }
    }
};

// Cells of the magnitude; the offsets' low and high bytes come from two byte tables (Bits ≤ 4) or from memory.
template <int Bits>
struct Nearest {
    __m256i low, high;
    const CodebookTable* codebook;
    TURBOQUANT_INLINE explicit Nearest(const CodebookTable& table) noexcept : codebook(&table) {
        if constexpr (Bits <= 4) {
            low = _mm256_broadcastsi128_si256(
                _mm_load_si128(reinterpret_cast<const __m128i*>(table.offset_bytes[0])));
            high = _mm256_broadcastsi128_si256(
                _mm_load_si128(reinterpret_cast<const __m128i*>(table.offset_bytes[1])));
        }
    }
    // m plus the offsets of its cells.
    TURBOQUANT_INLINE void add_offsets(__m256i (&m)[2]) const noexcept {
        if constexpr (Bits <= 4) {
            const __m256i cells =
                _mm256_packus_epi16(_mm256_srli_epi16(m[0], 11), _mm256_srli_epi16(m[1], 11));
            const __m256i low_bytes = _mm256_shuffle_epi8(low, cells);
            const __m256i high_bytes = _mm256_shuffle_epi8(high, cells);
            m[0] = _mm256_add_epi16(m[0], _mm256_unpacklo_epi8(low_bytes, high_bytes));
            m[1] = _mm256_add_epi16(m[1], _mm256_unpackhi_epi8(low_bytes, high_bytes));
        } else {
            alignas(32) std::uint16_t words[32];
            for (int i = 0; i < 2; ++i)
                _mm256_store_si256(reinterpret_cast<__m256i*>(words + 16 * i),
                                   _mm256_srli_epi16(m[i], 15 - Bits));
            for (std::uint16_t& word : words)
                word = static_cast<std::uint16_t>(codebook->magnitude_offsets[word]);
            for (int i = 0; i < 2; ++i)
                m[i] = _mm256_add_epi16(m[i],
                                        _mm256_load_si256(reinterpret_cast<const __m256i*>(words + 16 * i)));
        }
    }
    TURBOQUANT_INLINE Bytes operator()(const Floats (&y)[4]) const noexcept {
        __m256i rounded[2], m[2], codes[2];
        TURBOQUANT_UNROLL
        for (int i = 0; i < 2; ++i) {
            rounded[i] =
                _mm256_packs_epi32(_mm256_cvtps_epi32(y[2 * i].v), _mm256_cvtps_epi32(y[2 * i + 1].v));
            m[i] = _mm256_min_epu16(_mm256_abs_epi16(rounded[i]), _mm256_set1_epi16(32767));
        }
        add_offsets(m);
        Bytes result;
        TURBOQUANT_UNROLL
        for (int i = 0; i < 2; ++i) {
            result.magnitudes[i] = _mm256_srli_epi16(m[i], 16 - Bits);
            result.negative[i] = _mm256_and_si256(rounded[i], _mm256_set1_epi16(-0x8000));
            // The code less 2^(Bits-1): k, or −1 − k.
            codes[i] = _mm256_xor_si256(result.magnitudes[i], _mm256_srai_epi16(rounded[i], 15));
        }
        // The packs work within 128-bit lanes: dword 4·lane + register → dword 2·register + lane.
        const __m256i natural = _mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0);
        result.v =
            _mm256_add_epi8(_mm256_permutevar8x32_epi32(_mm256_packs_epi16(codes[0], codes[1]), natural),
                            _mm256_set1_epi8(static_cast<char>(1 << (Bits - 1))));
        return result;
    }
};

template <int Bits>
TURBOQUANT_INLINE void store_packed(std::uint8_t* out, Bytes codes) noexcept {
    const __m256i v = codes.v;
    if constexpr (Bits == 8) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), v);
    } else if constexpr (Bits == 4) {
        const __m256i pairs = _mm256_maddubs_epi16(v, _mm256_set1_epi16(0x1001));
        const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(pairs, pairs), 0x08);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm256_castsi256_si128(bytes));
    } else if constexpr (Bits == 2) {
        const __m256i pairs = _mm256_maddubs_epi16(v, _mm256_set1_epi16(0x0401));
        const __m256i quads = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00100001));
        const __m256i gathered =
            _mm256_shuffle_epi8(quads, _mm256_broadcastsi128_si256(_mm_set_epi32(-1, -1, -1, 0x0c080400)));
        const std::uint32_t halves[2] = {static_cast<std::uint32_t>(_mm256_extract_epi32(gathered, 0)),
                                         static_cast<std::uint32_t>(_mm256_extract_epi32(gathered, 4))};
        std::memcpy(out, halves, 8);
    } else if constexpr (Bits == 1) {
        const std::uint32_t word = static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_slli_epi16(v, 7)));
        std::memcpy(out, &word, 4);
    } else {
        // As in avx512/vector.inl.
        const __m256i pairs =
            Bits < 7 ? _mm256_maddubs_epi16(v, _mm256_set1_epi16(static_cast<short>((1 << (Bits + 8)) | 1)))
                     : _mm256_or_si256(_mm256_and_si256(v, _mm256_set1_epi16(0xff)),
                                       _mm256_slli_epi16(_mm256_srli_epi16(v, 8), Bits));
        const __m256i quads = _mm256_madd_epi16(pairs, _mm256_set1_epi32((1 << (2 * Bits + 16)) | 1));
        if constexpr (Bits == 3) {
            const __m256i octets = _mm256_or_si256(quads, _mm256_srli_epi64(quads, 20));
            // Six bytes from each half, beside one another.
            const __m256i places =
                _mm256_setr_epi8(0, 1, 2, 8, 9, 10, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                 -1, -1, -1, -1, -1, -1, 0, 1, 2, 8, 9, 10, -1, -1, -1, -1);
            const __m256i halves = _mm256_shuffle_epi8(octets, places);
            const __m128i packed =
                _mm_or_si128(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
            _mm_storel_epi64(reinterpret_cast<__m128i*>(out), packed);
            const int last = _mm_extract_epi32(packed, 2);
            std::memcpy(out + 8, &last, 4);
            return;
        }
        const __m256i octets = _mm256_or_si256(_mm256_and_si256(quads, _mm256_set1_epi64x(0xffffffff)),
                                               _mm256_slli_epi64(_mm256_srli_epi64(quads, 32), 4 * Bits));
        alignas(32) std::uint64_t words[4];
        _mm256_store_si256(reinterpret_cast<__m256i*>(words), octets);
        pack_octets<Bits>(words, 4, out);
    }
}

template <int Bits>
struct Unpack {
    __m256i bytes[2], shifts[2];
    TURBOQUANT_INLINE Unpack() noexcept {
        TURBOQUANT_UNROLL
        for (int half = 0; half < 2; ++half) {
            bytes[half] =
                _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kUnpackTable<Bits>.bytes + 32 * half));
            shifts[half] =
                _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kUnpackTable<Bits>.shifts + 8 * half));
        }
    }
    TURBOQUANT_INLINE void operator()(const std::uint8_t* group, Ints (&codes)[16 / kLanes]) const noexcept {
        const __m256i source =
            _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(group)));
        TURBOQUANT_UNROLL
        for (int half = 0; half < 2; ++half) {
            const __m256i shifted = _mm256_srlv_epi32(_mm256_shuffle_epi8(source, bytes[half]), shifts[half]);
            codes[half].v = _mm256_and_si256(shifted, _mm256_set1_epi32((1 << Bits) - 1));
        }
    }
};
