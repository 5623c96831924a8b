// Arm64's Advanced SIMD: rows of codes scored against an int8 query. With TURBOQUANT_INT8_DOTPROD by the dot product
// extension. The operations and their contracts are listed in scalar/int8.inl.

inline constexpr int kOffset = 0;
inline constexpr int kBatchRows = 1, kBatchQueries = 4;

struct Row {
    uint8x16_t v[4];
};
struct Quad {
    int8x16_t v;
};
struct Sums {
    int32x4_t v[4];
};

TURBOQUANT_INLINE Row load_row(const std::uint8_t* p) noexcept {
    return {{vld1q_u8(p), vld1q_u8(p + 16), vld1q_u8(p + 32), vld1q_u8(p + 48)}};
}
TURBOQUANT_INLINE void store_row(std::uint8_t* p, Row row) noexcept {
    TURBOQUANT_UNROLL
    for (int i = 0; i < 4; ++i) vst1q_u8(p + 16 * i, row.v[i]);
}
TURBOQUANT_INLINE Row load_narrow(const std::uint8_t* row, int slot, int width) noexcept {
    std::uint32_t dwords[16] = {};
    for (int i = 0; i < 16; ++i) {
        if (width >= 2) std::memcpy(dwords + i, row + 2 * (slot + i), 2);
        if (width & 1)
            dwords[i] |= std::uint32_t{row[(width == 3 ? 2 * kScanBlock : 0) + slot + i]}
                         << (width == 3 ? 16 : 0);
    }
    return load_row(reinterpret_cast<const std::uint8_t*>(dwords));
}
TURBOQUANT_INLINE Row blend_shifted(Row to, Row from, int shift, std::uint32_t mask) noexcept {
    TURBOQUANT_UNROLL
    for (int i = 0; i < 4; ++i) {
        const uint32x4_t moved = vshlq_u32(vreinterpretq_u32_u8(from.v[i]), vdupq_n_s32(shift));
        to.v[i] = vreinterpretq_u8_u32(vbslq_u32(vdupq_n_u32(mask), moved, vreinterpretq_u32_u8(to.v[i])));
    }
    return to;
}
TURBOQUANT_INLINE Quad load_quad(const std::int8_t* p) noexcept {
    std::int32_t bits;
    std::memcpy(&bits, p, 4);
    return {vreinterpretq_s8_s32(vdupq_n_s32(bits))};
}

TURBOQUANT_INLINE Sums zero_sums() noexcept {
    return {{vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)}};
}
TURBOQUANT_INLINE Sums load_sums(const std::int32_t* p) noexcept {
    return {{vld1q_s32(p), vld1q_s32(p + 4), vld1q_s32(p + 8), vld1q_s32(p + 12)}};
}
TURBOQUANT_INLINE void store_sums(std::int32_t* p, Sums sums) noexcept {
    TURBOQUANT_UNROLL
    for (int i = 0; i < 4; ++i) vst1q_s32(p + 4 * i, sums.v[i]);
}
TURBOQUANT_INLINE Sums add_sums(Sums a, Sums b) noexcept {
    TURBOQUANT_UNROLL
    for (int i = 0; i < 4; ++i) a.v[i] = vaddq_s32(a.v[i], b.v[i]);
    return a;
}
// Sums of four products each.
TURBOQUANT_INLINE int32x4_t dot_16(int32x4_t sums, int8x16_t a, int8x16_t b) noexcept {
#if TURBOQUANT_INT8_DOTPROD
    // clang 14 has the intrinsic only where the whole program is compiled for it.
    asm(".arch armv8.2-a+dotprod\n\tsdot %0.4s, %1.16b, %2.16b" : "+w"(sums) : "w"(a), "w"(b));
    return sums;
#else
    // Sums of two products are at most 2·127², inside int16.
    const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
    return vpadalq_s16(sums, vpaddq_s16(low, vmull_high_s8(a, b)));
#endif
}
TURBOQUANT_INLINE Sums dot(Sums sums, Row row, Quad quad) noexcept {
    TURBOQUANT_UNROLL
    for (int i = 0; i < 4; ++i) sums.v[i] = dot_16(sums.v[i], vreinterpretq_s8_u8(row.v[i]), quad.v);
    return sums;
}

template <int Bits>
struct CodeLookup {
    static constexpr int kRows = ScanStep<Bits>::kRows;
    static constexpr int kTables = Bits == 3 ? 4 : 4 / Bits;
    uint8x16_t tables[kTables];
    TURBOQUANT_INLINE explicit CodeLookup(const std::int8_t* centroids) noexcept {
        const uint8x16_t base = vreinterpretq_u8_s8(vld1q_s8(centroids));
        TURBOQUANT_UNROLL
        for (int t = 0; t < kTables; ++t)
            tables[t] = vqtbl1q_u8(base, vld1q_u8(kNibbleTables<Bits>.index[t]));
    }
    template <int J>
    TURBOQUANT_INLINE Row get(const Row (&rows)[kRows]) const noexcept {
        Row found;
        TURBOQUANT_UNROLL
        for (int i = 0; i < 4; ++i) {
            uint8x16_t nibbles = rows[Bits == 3 ? J / 4 : 0].v[i];
            constexpr bool kUpper = Bits == 3 ? J % 4 >= 2 : J >= kTables;
            if constexpr (kUpper) nibbles = vshrq_n_u8(nibbles, 4);
            if constexpr (Bits == 3) {
                uint8x16_t upper_bits = rows[kRows - 1].v[i];
                if constexpr (J >= 4) upper_bits = vshrq_n_u8(upper_bits, 4);
                nibbles = vbslq_u8(vdupq_n_u8(1 << kUpperBitPlaces[J % 4]), upper_bits, nibbles);
            }
            found.v[i] = vqtbl1q_u8(tables[J % kTables], vandq_u8(nibbles, vdupq_n_u8(15)));
        }
        return found;
    }
};

TURBOQUANT_INLINE Floats to_floats(const std::int32_t* p, std::int32_t offset) noexcept {
    return {vcvtq_f32_s32(vsubq_s32(vld1q_s32(p), vdupq_n_s32(offset)))};
}
TURBOQUANT_INLINE std::uint32_t reached(Floats a, Floats b) noexcept {
    const uint32x4_t bits = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vcgeq_f32(a.v, b.v), bits));
}

inline constexpr int kSumGroup = 4;

TURBOQUANT_INLINE Row load_first(const std::uint8_t* p, int count) noexcept {
    std::uint8_t bytes[64] = {};
    std::memcpy(bytes, p, static_cast<std::size_t>(count));
    return load_row(bytes);
}
template <int Count>
TURBOQUANT_INLINE Row load_bytes(const std::uint8_t* p) noexcept {
    Row row = {{vdupq_n_u8(0), vdupq_n_u8(0), vdupq_n_u8(0), vdupq_n_u8(0)}};
    if constexpr (Count >= 16) row.v[0] = vld1q_u8(p);
    if constexpr (Count == 32) row.v[1] = vld1q_u8(p + 16);
    if constexpr (Count % 16 == 8) row.v[Count / 16] = vcombine_u8(vld1_u8(p + Count - 8), vdup_n_u8(0));
    return row;
}
// All into one register: nothing but the total of such sums counts, and registers are few.
TURBOQUANT_INLINE Sums dot(Sums sums, Row row, Row query) noexcept {
    TURBOQUANT_UNROLL
    for (int i = 0; i < 4; ++i)
        sums.v[0] = dot_16(sums.v[0], vreinterpretq_s8_u8(row.v[i]), vreinterpretq_s8_u8(query.v[i]));
    return sums;
}
TURBOQUANT_INLINE void store_totals(const Sums (&sums)[kSumGroup], std::int32_t* out) noexcept {
    int32x4_t s[kSumGroup];
    TURBOQUANT_UNROLL
    for (int i = 0; i < kSumGroup; ++i)
        s[i] = vaddq_s32(vaddq_s32(sums[i].v[0], sums[i].v[1]), vaddq_s32(sums[i].v[2], sums[i].v[3]));
    vst1q_s32(out, vpaddq_s32(vpaddq_s32(s[0], s[1]), vpaddq_s32(s[2], s[3])));
}

// Each 16-bit lane takes the two bytes that hold its code; shifts bring it to the top and down again.
template <int Bits>
struct RowLookup {
    uint8x16_t table, bytes[4];
    uint16x8_t multipliers;
    TURBOQUANT_INLINE explicit RowLookup(const std::int8_t* centroids) noexcept
        : table(vreinterpretq_u8_s8(vld1q_s8(centroids))),
          multipliers(vld1q_u16(kWordUnpack<Bits>.multipliers)) {
        // In the order of codes: kWordUnpack serves registers of two halves.
        TURBOQUANT_UNROLL
        for (int k = 0; k < 4; ++k) bytes[k] = vld1q_u8(kWordUnpack<Bits>.bytes[k % 2] + 16 * (k / 2));
    }
    TURBOQUANT_INLINE uint16x8_t codes(uint8x16_t source, uint8x16_t places) const noexcept {
        return vshrq_n_u16(vmulq_u16(vreinterpretq_u16_u8(vqtbl1q_u8(source, places)), multipliers),
                           16 - Bits);
    }
    TURBOQUANT_INLINE Row operator()(Row packed) const noexcept {
        Row found;
        const uint8x16_t second =
            Bits == 4 ? packed.v[1] : vextq_u8(packed.v[0], packed.v[1], Bits == 4 ? 0 : 4 * Bits);
        TURBOQUANT_UNROLL
        for (int i = 0; i < 4; ++i) {
            const uint8x16_t source = i < 2 ? packed.v[0] : second;
            const uint8x8_t low = vmovn_u16(codes(source, bytes[2 * (i % 2)]));
            const uint8x8_t high = vmovn_u16(codes(source, bytes[2 * (i % 2) + 1]));
            found.v[i] = vqtbl1q_u8(table, vcombine_u8(low, high));
        }
        return found;
    }
};

TURBOQUANT_INLINE void store_rounded(std::int8_t* p, Floats a) noexcept {
    const int16x4_t words = vqmovn_s32(vcvtnq_s32_f32(a.v));
    const int8x8_t bytes = vqmovn_s16(vcombine_s16(words, words));
    const std::int32_t four = vget_lane_s32(vreinterpret_s32_s8(bytes), 0);
    std::memcpy(p, &four, 4);
}
