// 64 windows of trellis codes to their int8 centroids, as in scalar/trellis_lookup.inl: windows from the upper half of the table
// are looked up by their complements, in two tables of 64, and what is found changes its sign.

inline constexpr int kTrellisTogether = 1;

template <int Bits>
inline constexpr WindowWords<1> kWindowWords = make_window_words<1>(Bits, {0});

template <int Bits>
struct TrellisLookup {
    using Windows = Row;
    static constexpr int kReads = 6 * Bits + 15;
    uint8x16x4_t tables[2];
    uint8x16_t bytes[2];
    uint16x8_t multipliers[2];
    TURBOQUANT_INLINE explicit TrellisLookup(const TrellisTable& trellis) noexcept {
        TURBOQUANT_UNROLL
        for (int half = 0; half < 2; ++half) {
            TURBOQUANT_UNROLL
            for (int k = 0; k < 4; ++k)
                tables[half].val[k] =
                    vreinterpretq_u8_s8(vld1q_s8(trellis.int8_centroids + 64 * half + 16 * k));
            bytes[half] = vld1q_u8(kWindowWords<Bits>.bytes[half]);
        }
        // Both to the upper half of the lower 16 bits.
        multipliers[0] = vshrq_n_u16(vld1q_u16(kWindowWords<Bits>.multipliers[0]), 8);
        multipliers[1] = vld1q_u16(kWindowWords<Bits>.multipliers[1]);
    }
    // source: the byte before the codes, and them.
    TURBOQUANT_INLINE uint8x16_t unpack(uint8x16_t source) const noexcept {
        const uint16x8_t even = vmulq_u16(vreinterpretq_u16_u8(vqtbl1q_u8(source, bytes[0])), multipliers[0]);
        const uint16x8_t odd = vmulq_u16(vreinterpretq_u16_u8(vqtbl1q_u8(source, bytes[1])), multipliers[1]);
        return vreinterpretq_u8_u16(vsriq_n_u16(odd, even, 8));
    }
    TURBOQUANT_INLINE Windows windows(const std::uint8_t* packed, std::uint8_t before) const noexcept {
        Row row;
        row.v[0] = unpack(vextq_u8(vdupq_n_u8(before), vld1q_u8(packed), 15));
        TURBOQUANT_UNROLL
        for (int i = 1; i < 4; ++i) row.v[i] = unpack(vld1q_u8(packed + 2 * Bits * i - 1));
        return row;
    }
    TURBOQUANT_INLINE Row find(const Windows& windows) const noexcept {
        Row found;
        TURBOQUANT_UNROLL
        for (int i = 0; i < 4; ++i) {
            const uint8x16_t index = vminq_u8(windows.v[i], vmvnq_u8(windows.v[i]));
            // Beyond its table a lookup finds zero, or leaves what was found.
            const uint8x16_t magnitude =
                vqtbx4q_u8(vqtbl4q_u8(tables[0], index), tables[1], vsubq_u8(index, vdupq_n_u8(64)));
            const uint8x16_t sign = vcltzq_s8(vreinterpretq_s8_u8(windows.v[i]));
            found.v[i] = vsubq_u8(veorq_u8(magnitude, sign), sign);
        }
        return found;
    }
};
