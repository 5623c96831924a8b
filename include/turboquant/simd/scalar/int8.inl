// Portable C++: rows of codes scored against an int8 query. Every other target gives the same integers.
//
// The vocabulary, the same on every target (layout and order of quads: scan_layout.hpp):
//   kOffset                  what the lookups add to each centroid, where the dot product wants unsigned bytes; the kernel
//                            takes kOffset·(sum of the query) off again
//   kBatchRows, kBatchQueries   the shape of a batch's inner loop: sums that fit the registers
//   Row                      64 bytes: 4 bytes of each of 16 vectors
//   Quad                     4 bytes of a query
//   Sums                     16 int32
//   load_row, store_row, load_narrow   64 bytes; 16 times 1, 2 or 3 bytes (of a narrow row, slots `slot` to `slot` + 15)
//   blend_shifted            of 16 dwords the bits of a mask from another row's, shifted left (right where negative)
//   dot                      sums + the dot products of 16 times 4 bytes with a quad, exactly
//   add_sums, store_sums
//   CodeLookup<Bits>         quad j's centroids from a step's rows: get<j>
//   to_floats                kLanes int32, less an offset, as floats
//   RowLookup<Bits>          64 centroids from 8·Bits bytes of a packed record: for rows that are 64 coordinates of one vector
//   load_bytes<Count>, load_first   a row of which Count bytes, or a number below 64, come from memory and the rest is zero
//   dot with a row           sums, their total more by the dot product of 64 bytes with as many of a query
//   kSumGroup, store_totals  so many sums, each to the sum of its 16
//   store_rounded            kLanes floats to int8, rounded to nearest
//   reached                  one bit a lane: a >= b

inline constexpr int kOffset = 0;
inline constexpr int kBatchRows = 1, kBatchQueries = 1;

struct Row {
    std::uint8_t v[64];
};
struct Quad {
    std::int8_t v[4];
};
struct Sums {
    std::int32_t v[16];
};

TURBOQUANT_INLINE Row load_row(const std::uint8_t* p) noexcept {
    Row row;
    std::memcpy(row.v, p, 64);
    return row;
}
TURBOQUANT_INLINE void store_row(std::uint8_t* p, const Row& row) noexcept { std::memcpy(p, row.v, 64); }
TURBOQUANT_INLINE Row load_narrow(const std::uint8_t* row, int slot, int width) noexcept {
    Row wide{};
    for (int i = 0; i < 16; ++i) {
        if (width >= 2) std::memcpy(wide.v + 4 * i, row + 2 * (slot + i), 2);
        if (width & 1)
            wide.v[4 * i + (width == 3 ? 2 : 0)] = row[(width == 3 ? 2 * kScanBlock : 0) + slot + i];
    }
    return wide;
}
TURBOQUANT_INLINE Row blend_shifted(Row to, const Row& from, int shift, std::uint32_t mask) noexcept {
    std::uint32_t a[16], b[16];
    std::memcpy(a, to.v, sizeof a);
    std::memcpy(b, from.v, sizeof b);
    for (int i = 0; i < 16; ++i)
        a[i] = (a[i] & ~mask) | ((shift >= 0 ? b[i] << shift : b[i] >> -shift) & mask);
    std::memcpy(to.v, a, sizeof a);
    return to;
}
TURBOQUANT_INLINE Quad load_quad(const std::int8_t* p) noexcept { return {{p[0], p[1], p[2], p[3]}}; }

TURBOQUANT_INLINE Sums zero_sums() noexcept { return {}; }
TURBOQUANT_INLINE Sums load_sums(const std::int32_t* p) noexcept {
    Sums sums;
    std::memcpy(sums.v, p, sizeof sums.v);
    return sums;
}
TURBOQUANT_INLINE void store_sums(std::int32_t* p, const Sums& sums) noexcept {
    std::memcpy(p, sums.v, sizeof sums.v);
}
TURBOQUANT_INLINE Sums add_sums(Sums a, const Sums& b) noexcept {
    for (int i = 0; i < 16; ++i) a.v[i] += b.v[i];
    return a;
}
TURBOQUANT_INLINE Sums dot(Sums sums, const Row& row, Quad quad) noexcept {
    for (int i = 0; i < 64; ++i) sums.v[i / 4] += static_cast<std::int8_t>(row.v[i]) * quad.v[i % 4];
    return sums;
}

template <int Bits>
struct CodeLookup {
    static constexpr int kRows = ScanStep<Bits>::kRows;
    const std::int8_t* table;
    TURBOQUANT_INLINE explicit CodeLookup(const std::int8_t* centroids) noexcept : table(centroids) {}
    template <int J>
    TURBOQUANT_INLINE Row get(const Row (&rows)[kRows]) const noexcept {
        Row found;
        for (int i = 0; i < 64; ++i) {
            int code;
            if constexpr (Bits == 3)
                code = (rows[J / 4].v[i] >> (2 * (J % 4)) & 3) |
                       (rows[2].v[i] >> (4 * (J / 4) + kUpperBitPlaces[J % 4]) & 1) << 2;
            else
                code = rows[0].v[i] >> (J * Bits) & ((1 << Bits) - 1);
            found.v[i] = static_cast<std::uint8_t>(table[code]);
        }
        return found;
    }
};

TURBOQUANT_INLINE Floats to_floats(const std::int32_t* p, std::int32_t offset) noexcept {
    return {Lanes{static_cast<float>(p[0] - offset), static_cast<float>(p[1] - offset),
                  static_cast<float>(p[2] - offset), static_cast<float>(p[3] - offset)}};
}
TURBOQUANT_INLINE std::uint32_t reached(Floats a, Floats b) noexcept {
    std::uint32_t bits = 0;
    for (int i = 0; i < kLanes; ++i) bits |= (a.v[i] >= b.v[i] ? 1u : 0u) << i;
    return bits;
}

inline constexpr int kSumGroup = 4;

template <int Count>
TURBOQUANT_INLINE Row load_bytes(const std::uint8_t* p) noexcept {
    Row row{};
    std::memcpy(row.v, p, Count);
    return row;
}
TURBOQUANT_INLINE Row load_first(const std::uint8_t* p, int count) noexcept {
    Row row{};
    std::memcpy(row.v, p, static_cast<std::size_t>(count));
    return row;
}
TURBOQUANT_INLINE Sums dot(Sums sums, const Row& row, const Row& query) noexcept {
    for (int i = 0; i < 64; ++i)
        sums.v[i / 4] += static_cast<std::int8_t>(row.v[i]) * static_cast<std::int8_t>(query.v[i]);
    return sums;
}
TURBOQUANT_INLINE void store_totals(const Sums (&sums)[kSumGroup], std::int32_t* out) noexcept {
    for (int i = 0; i < kSumGroup; ++i) {
        out[i] = 0;
        for (int value : sums[i].v) out[i] += value;
    }
}

template <int Bits>
struct RowLookup {
    const std::int8_t* table;
    TURBOQUANT_INLINE explicit RowLookup(const std::int8_t* centroids) noexcept : table(centroids) {}
    TURBOQUANT_INLINE Row operator()(const Row& packed) const noexcept {
        Row found;
        for (int i = 0; i < 64; ++i)
            found.v[i] = static_cast<std::uint8_t>(table[unpack_code(packed.v, Bits, i)]);
        return found;
    }
};

TURBOQUANT_INLINE void store_rounded(std::int8_t* p, Floats a) noexcept {
    for (int i = 0; i < kLanes; ++i) p[i] = static_cast<std::int8_t>(round_to_int16(a.v[i]));
}
