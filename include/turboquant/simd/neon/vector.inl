// Arm64's Advanced SIMD: a vector is 4 floats. Part of the base architecture, so that no region is needed.
// The operations and their contracts are listed in scalar/vector.inl.

inline constexpr int kLanes = 4;
inline constexpr bool kRegisterPaths = false;
inline constexpr int kFirstRadix = 8;
inline constexpr int kRadix = 4;

struct Floats {
    float32x4_t v;
};
struct Ints {
    uint32x4_t v;
};
struct Bytes {
    uint8x16_t v;
};

TURBOQUANT_INLINE Floats load(const float* p) noexcept { return {vld1q_f32(p)}; }
TURBOQUANT_INLINE void store(float* p, Floats a) noexcept { vst1q_f32(p, a.v); }
TURBOQUANT_INLINE Floats load_first(const float* p, int count) noexcept {
    float lanes[kLanes] = {};
    for (int i = 0; i < kLanes && i < count; ++i) lanes[i] = p[i];
    return load(lanes);
}
TURBOQUANT_INLINE void store_first(float* p, Floats a, int count) noexcept {
    float lanes[kLanes];
    store(lanes, a);
    for (int i = 0; i < kLanes && i < count; ++i) p[i] = lanes[i];
}
TURBOQUANT_INLINE Floats broadcast(float x) noexcept { return {vdupq_n_f32(x)}; }
TURBOQUANT_INLINE Floats zero() noexcept { return broadcast(0.0f); }
TURBOQUANT_INLINE Floats add(Floats a, Floats b) noexcept { return {vaddq_f32(a.v, b.v)}; }
TURBOQUANT_INLINE Floats sub(Floats a, Floats b) noexcept { return {vsubq_f32(a.v, b.v)}; }
TURBOQUANT_INLINE Floats mul(Floats a, Floats b) noexcept {
    float32x4_t product = vmulq_f32(a.v, b.v);
    asm("" : "+w"(product));
    return {product};
}
TURBOQUANT_INLINE Floats multiply_add(Floats a, Floats b, Floats c) noexcept {
    return {vfmaq_f32(c.v, a.v, b.v)};
}
TURBOQUANT_INLINE Floats fused(Floats a, Floats b, Floats c) noexcept { return multiply_add(a, b, c); }
TURBOQUANT_INLINE Floats fused_sub(Floats a, Floats b, Floats c) noexcept {
    return {vfmaq_f32(vnegq_f32(c.v), a.v, b.v)};
}
TURBOQUANT_INLINE Floats flip(Floats a, Floats mask) noexcept {
    return {vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(a.v), vreinterpretq_u32_f32(mask.v)))};
}
TURBOQUANT_INLINE Floats flip_sign(Floats a, Floats b) noexcept {
    return {vreinterpretq_f32_u32(veorq_u32(
        vreinterpretq_u32_f32(a.v), vandq_u32(vreinterpretq_u32_f32(b.v), vdupq_n_u32(0x80000000u))))};
}
TURBOQUANT_INLINE Floats keep(Floats a, Floats mask) noexcept {
    return {vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a.v), vreinterpretq_u32_f32(mask.v)))};
}
TURBOQUANT_INLINE Floats absolute(Floats a) noexcept { return {vabsq_f32(a.v)}; }

TURBOQUANT_INLINE Floats load_float16(const std::uint16_t* p) noexcept {
    return {vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)))};
}
TURBOQUANT_INLINE Floats load_bfloat16(const std::uint16_t* p) noexcept {
    return {vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16))};
}

template <int Vectors, int Registers>
TURBOQUANT_INLINE void hadamard_lanes(Floats (&r)[Vectors][Registers]) noexcept {
    const float32x4_t s1 = {1, -1, 1, -1};
    const float32x4_t s2 = {1, 1, -1, -1};
    TURBOQUANT_UNROLL
    for (int i = 0; i < Vectors * Registers; ++i) {
        float32x4_t& v = r[i / Registers][i % Registers].v;
        v = vfmaq_f32(vrev64q_f32(v), v, s1);
        v = vfmaq_f32(vextq_f32(v, v, 2), v, s2);
    }
}

inline constexpr int kDoubles = 1;
using Doubles = double;
TURBOQUANT_INLINE double load_doubles(const float* p) noexcept { return static_cast<double>(*p); }
TURBOQUANT_INLINE void store_floats(float* p, double a) noexcept { *p = static_cast<float>(a); }

TURBOQUANT_INLINE bool all_within(double a, std::uint32_t first, std::uint32_t last) noexcept {
    const float rounded = static_cast<float>(a);
    std::uint32_t bits;
    std::memcpy(&bits, &rounded, 4);
    return bits - first <= last - first;
}

TURBOQUANT_INLINE float reduce_lanes(Floats a) noexcept {
    return vpadds_f32(vadd_f32(vget_low_f32(a.v), vget_high_f32(a.v)));
}
TURBOQUANT_INLINE double reduce_lanes(const Floats (&rows)[kDoubles]) noexcept {
    return static_cast<double>(reduce_lanes(rows[0]));
}

TURBOQUANT_INLINE std::uint32_t sign_bits(Floats a) noexcept {
    const int32x4_t lane = {0, 1, 2, 3};
    return vaddvq_u32(vshlq_u32(vshrq_n_u32(vreinterpretq_u32_f32(a.v), 31), lane));
}
TURBOQUANT_INLINE std::uint32_t sign_bits(const Floats (&a)[8]) noexcept {
    std::uint32_t bits = 0;
    for (int k = 0; k < 8; ++k) bits |= sign_bits(a[k]) << (4 * k);
    return bits;
}
TURBOQUANT_INLINE Floats sign_masks(std::uint32_t bits) noexcept {
    const int32x4_t up = {31, 30, 29, 28};
    const uint32x4_t spread = vshlq_u32(vdupq_n_u32(bits), up);
    return {vreinterpretq_f32_u32(vandq_u32(spread, vdupq_n_u32(0x80000000u)))};
}

TURBOQUANT_INLINE Ints load_codes(const std::uint8_t* p) noexcept {
    std::uint32_t word;
    std::memcpy(&word, p, 4);
    return {vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(word))))};
}
TURBOQUANT_INLINE void store_bytes(std::uint8_t* p, Bytes a) noexcept { vst1q_u8(p, a.v); }
TURBOQUANT_INLINE Ints codes_of(const Bytes& a, int k) noexcept {
    std::uint8_t bytes[4 * kLanes];
    store_bytes(bytes, a);
    return load_codes(bytes + k * kLanes);
}

// A table of 16·Registers bytes. Kept as the tuples that the look-up instructions take, or g++ would move the registers
// into place before each.
template <int Registers>
struct ByteTable;
template <>
struct ByteTable<1> {
    uint8x16_t table;
    TURBOQUANT_INLINE explicit ByteTable(const uint8x16_t* r) noexcept : table(r[0]) {}
    TURBOQUANT_INLINE uint8x16_t operator()(uint8x16_t at) const noexcept { return vqtbl1q_u8(table, at); }
};
template <>
struct ByteTable<2> {
    uint8x16x2_t table;
    TURBOQUANT_INLINE explicit ByteTable(const uint8x16_t* r) noexcept : table{{r[0], r[1]}} {}
    TURBOQUANT_INLINE uint8x16_t operator()(uint8x16_t at) const noexcept { return vqtbl2q_u8(table, at); }
};
template <>
struct ByteTable<4> {
    uint8x16x4_t table;
    TURBOQUANT_INLINE explicit ByteTable(const uint8x16_t* r) noexcept : table{{r[0], r[1], r[2], r[3]}} {}
    TURBOQUANT_INLINE uint8x16_t operator()(uint8x16_t at) const noexcept { return vqtbl4q_u8(table, at); }
};
template <>
struct ByteTable<8> {
    ByteTable<4> first, second;
    TURBOQUANT_INLINE explicit ByteTable(const uint8x16_t* r) noexcept : first(r), second(r + 4) {}
    TURBOQUANT_INLINE uint8x16_t operator()(uint8x16_t at) const noexcept {
        // An index out of range keeps what was found.
        return vqtbx4q_u8(first(at), second.table, vsubq_u8(at, vdupq_n_u8(64)));
    }
};

template <int Registers>
struct LoadedBytes {
    uint8x16_t r[Registers];
    TURBOQUANT_INLINE explicit LoadedBytes(const float* p) noexcept {
        TURBOQUANT_UNROLL
        for (int i = 0; i < Registers; ++i) r[i] = vreinterpretq_u8_f32(vld1q_f32(p + 4 * i));
    }
};

// Up to 32 centroids are looked up in registers, by the indices of their bytes; more come from memory.
template <int Bits, bool Small = (Bits <= 5)>
struct Centroids {
    const float* memory;
    TURBOQUANT_INLINE explicit Centroids(const float* centroids) noexcept : memory(centroids) {}
    TURBOQUANT_INLINE Floats operator()(Ints codes) const noexcept {
        float32x4_t found = vdupq_n_f32(memory[vgetq_lane_u32(codes.v, 0)]);
        found = vsetq_lane_f32(memory[vgetq_lane_u32(codes.v, 1)], found, 1);
        found = vsetq_lane_f32(memory[vgetq_lane_u32(codes.v, 2)], found, 2);
        return {vsetq_lane_f32(memory[vgetq_lane_u32(codes.v, 3)], found, 3)};
    }
};
template <int Bits>
struct Centroids<Bits, true> {
    static constexpr int kRegisters = Bits <= 2 ? 1 : 1 << (Bits - 2);
    ByteTable<kRegisters> table;
    TURBOQUANT_INLINE explicit Centroids(const float* centroids) noexcept
        : table(LoadedBytes<kRegisters>(centroids).r) {}
    TURBOQUANT_INLINE Floats operator()(Ints codes) const noexcept {
        const uint8x16_t at =
            vreinterpretq_u8_u32(vmlaq_u32(vdupq_n_u32(0x03020100u), codes.v, vdupq_n_u32(0x04040404u)));
        return {vreinterpretq_f32_u8(table(at))};
    }
};

// The low (Half 0) or high bytes of 16·Registers words.
template <int Registers, int Half>
struct LoadedHalves {
    uint8x16_t r[Registers];
    TURBOQUANT_INLINE explicit LoadedHalves(const std::int16_t* p) noexcept {
        TURBOQUANT_UNROLL
        for (int i = 0; i < Registers; ++i) {
            const uint8x16_t a = vreinterpretq_u8_s16(vld1q_s16(p + 16 * i));
            const uint8x16_t b = vreinterpretq_u8_s16(vld1q_s16(p + 16 * i + 8));
            r[i] = Half == 0 ? vuzp1q_u8(a, b) : vuzp2q_u8(a, b);
        }
    }
};

// Up to 4 bits: cells of y itself; more: cells of the magnitude. The offsets' low and high bytes come from two byte
// tables, or (8 bits) the offsets from memory.
template <int Bits>
struct Nearest {
    static constexpr int kRegisters = Bits <= 5 ? 2 : Bits <= 7 ? 1 << (Bits - 4) : 1;
    const std::int16_t* memory;
    ByteTable<kRegisters> low, high;
    TURBOQUANT_INLINE explicit Nearest(const CodebookTable& codebook) noexcept
        : memory(Bits <= 4 ? codebook.signed_offsets : codebook.magnitude_offsets),
          low(LoadedHalves<kRegisters, 0>(memory).r),
          high(LoadedHalves<kRegisters, 1>(memory).r) {}
    static TURBOQUANT_INLINE int16x8_t round(Floats a, Floats b) noexcept {
        return vcombine_s16(vqmovn_s32(vcvtnq_s32_f32(a.v)), vqmovn_s32(vcvtnq_s32_f32(b.v)));
    }
    static TURBOQUANT_INLINE uint8x16_t high_bytes(int16x8_t a, int16x8_t b) noexcept {
        return vuzp2q_u8(vreinterpretq_u8_s16(a), vreinterpretq_u8_s16(b));
    }
    // High bytes of the words whose cells are given, after their offsets were added.
    TURBOQUANT_INLINE uint8x16_t sums(int16x8_t a, int16x8_t b, uint8x16_t cells) const noexcept {
        const uint8x16_t offset_low = low(cells), offset_high = high(cells);
        return high_bytes(vaddq_s16(a, vreinterpretq_s16_u8(vzip1q_u8(offset_low, offset_high))),
                          vaddq_s16(b, vreinterpretq_s16_u8(vzip2q_u8(offset_low, offset_high))));
    }
    // m plus the offsets of its 8 cells, from memory.
    TURBOQUANT_INLINE int16x8_t sums(int16x8_t m) const noexcept {
        const uint16x8_t cell = vshrq_n_u16(vreinterpretq_u16_s16(m), 7);
        int16x8_t offset = vdupq_n_s16(memory[vgetq_lane_u16(cell, 0)]);
        offset = vld1q_lane_s16(memory + vgetq_lane_u16(cell, 1), offset, 1);
        offset = vld1q_lane_s16(memory + vgetq_lane_u16(cell, 2), offset, 2);
        offset = vld1q_lane_s16(memory + vgetq_lane_u16(cell, 3), offset, 3);
        offset = vld1q_lane_s16(memory + vgetq_lane_u16(cell, 4), offset, 4);
        offset = vld1q_lane_s16(memory + vgetq_lane_u16(cell, 5), offset, 5);
        offset = vld1q_lane_s16(memory + vgetq_lane_u16(cell, 6), offset, 6);
        return vaddq_s16(m, vld1q_lane_s16(memory + vgetq_lane_u16(cell, 7), offset, 7));
    }
    TURBOQUANT_INLINE Bytes operator()(const Floats (&y)[4]) const noexcept {
        const int16x8_t a = round(y[0], y[1]), b = round(y[2], y[3]);
        if constexpr (Bits <= 4) {
            return {vshrq_n_u8(sums(a, b, vshrq_n_u8(high_bytes(a, b), 3)), 8 - Bits)};
        } else {
            // Saturated: −32768 has the magnitude 32767.
            const int16x8_t m = vqabsq_s16(a), n = vqabsq_s16(b);
            const uint8x16_t negative =
                vreinterpretq_u8_s8(vshrq_n_s8(vreinterpretq_s8_u8(high_bytes(a, b)), 7));
            if constexpr (Bits == 8) {
                const uint8x16_t k = high_bytes(sums(m), sums(n));
                return {veorq_u8(vorrq_u8(k, vdupq_n_u8(0x80)), negative)};
            } else {
                uint8x16_t cells = high_bytes(m, n);
                if constexpr (Bits < 7) cells = vshrq_n_u8(cells, 7 - Bits);
                const uint8x16_t k = vshrq_n_u8(sums(m, n, cells), 8 - Bits);
                return {veorq_u8(vorrq_u8(k, vdupq_n_u8(1 << (Bits - 1))), vshrq_n_u8(negative, 8 - Bits))};
            }
        }
    }
};

template <int Bits>
TURBOQUANT_INLINE void store_packed(std::uint8_t* out, Bytes codes) noexcept {
    const uint8x16_t v = codes.v;
    if constexpr (Bits == 8) {
        vst1q_u8(out, v);
    } else if constexpr (Bits == 4) {
        const uint16x8_t words = vreinterpretq_u16_u8(v);
        vst1_u8(out, vmovn_u16(vsraq_n_u16(words, words, 4)));
    } else if constexpr (Bits == 2) {
        const uint16x8_t words = vreinterpretq_u16_u8(v);
        const uint16x4_t pairs = vreinterpret_u16_u8(vmovn_u16(vsraq_n_u16(words, words, 6)));
        const uint16x4_t quads = vsra_n_u16(pairs, pairs, 4);
        const uint8x8_t bytes = vmovn_u16(vcombine_u16(quads, quads));
        const std::uint32_t word = vget_lane_u32(vreinterpret_u32_u8(bytes), 0);
        std::memcpy(out, &word, 4);
    } else if constexpr (Bits == 1) {
        // Each step adds the neighbour's bits above those of its own; the lowest byte collects all 8.
        const uint16x8_t words = vreinterpretq_u16_u8(v);
        const uint32x4_t pairs = vreinterpretq_u32_u16(vsraq_n_u16(words, words, 7));
        const uint64x2_t quads = vreinterpretq_u64_u32(vsraq_n_u32(pairs, pairs, 14));
        const uint8x16_t octets = vreinterpretq_u8_u64(vsraq_n_u64(quads, quads, 28));
        vst1q_lane_u8(out, octets, 0);
        vst1q_lane_u8(out + 1, octets, 8);
    } else {
        const uint16x8_t words = vreinterpretq_u16_u8(v);
        const uint32x4_t pairs = vreinterpretq_u32_u16(vsliq_n_u16(words, vshrq_n_u16(words, 8), Bits));
        const uint64x2_t quads = vreinterpretq_u64_u32(vsliq_n_u32(pairs, vshrq_n_u32(pairs, 16), 2 * Bits));
        const uint64x2_t octets = vsliq_n_u64(quads, vshrq_n_u64(quads, 32), 4 * Bits);
        const std::uint64_t halves[2] = {vgetq_lane_u64(octets, 0), vgetq_lane_u64(octets, 1)};
        pack_octets<Bits>(halves, 2, out);
    }
}

template <int Bits>
struct Unpack {
    // Shifts repeat after 8 codes, or (even Bits) after 4.
    static constexpr int kShifts = Bits % 2 == 0 ? 1 : 2;
    uint8x16_t bytes[4];
    int32x4_t shifts[kShifts];
    TURBOQUANT_INLINE Unpack() noexcept {
        TURBOQUANT_UNROLL
        for (int k = 0; k < 4; ++k) bytes[k] = vld1q_u8(kUnpackTable<Bits>.bytes + 16 * k);
        TURBOQUANT_UNROLL
        for (int k = 0; k < kShifts; ++k)  // to the left by a negative number: to the right
            shifts[k] = vnegq_s32(vreinterpretq_s32_u32(vld1q_u32(kUnpackTable<Bits>.shifts + 4 * k)));
    }
    TURBOQUANT_INLINE void operator()(const std::uint8_t* group, Ints (&codes)[16 / kLanes]) const noexcept {
        const uint8x16_t source = vld1q_u8(group);
        TURBOQUANT_UNROLL
        for (int k = 0; k < 4; ++k) {
            const uint32x4_t pair = vreinterpretq_u32_u8(vqtbl1q_u8(source, bytes[k]));
            codes[k].v = vandq_u32(vshlq_u32(pair, shifts[k % kShifts]), vdupq_n_u32((1u << Bits) - 1u));
        }
    }
};
