// How the values of a block of 64 tokens lie, codes of 1 to 4 bits: four tokens side by side, so that one integer dot
// product of their centroids with their four weights sums over tokens, and no sum crosses lanes.
//
// Tokens 4q … 4q + 3 are a quad. Byte k of dword i of the quad is byte i of the packed record of token 4q + k (codes.hpp).
// With 3 bits the coordinates are groups of four, the first half of which is as many as the second, or one more; dwords come in
// three areas: A and B hold the lower two bits of the two halves, a byte for each group, and E the upper bits of A's groups in
// its lower nibbles and of B's in its upper ones, each byte as in the rows A, B, E of scan_layout.hpp. After the 16 quads
// come 64 scales. Sixteen dwords make a row; lookup j of a row's lane i means
//
//   bits     coordinate, with i counted through the rows
//   1, 2, 4  (8/bits)·i + j
//   3        4·(i + half·(j/4)) + j%4, half = the number of groups in A
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "turboquant/config.hpp"
#include "turboquant/simd/attention_plan.hpp"
#include "turboquant/simd/scan_layout.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace simd {

template <int Bits>
struct ValueLayout {
    static constexpr int kAreas = ScanStep<Bits>::kRows;
    static constexpr int kLookups = Bits == 3 ? 8 : 8 / Bits;
    static constexpr int kQuads = kBlockTokens / 4;
    int dim;
    int dwords[kAreas];  // of each area

    explicit ValueLayout(int d) noexcept : dim(d), dwords() {
        if constexpr (Bits == 3) {
            const int groups = (d + 3) / 4;
            dwords[0] = dwords[2] = (groups + 1) / 2;
            dwords[1] = groups / 2;
        } else {
            dwords[0] = (Bits * d + 7) / 8;
        }
    }

    std::size_t area_offset(int area) const noexcept {
        std::size_t bytes = 0;
        for (int a = 0; a < area; ++a) bytes += 4 * static_cast<std::size_t>(dwords[a]);
        return bytes;
    }
    std::size_t quad_bytes() const noexcept { return area_offset(kAreas); }
    // Bytes of a block's indices; the scales follow. Kernels read up to 60 bytes past the last dword of an area: of the 128
    // or more that the scales take.
    std::size_t index_bytes() const noexcept { return kQuads * quad_bytes(); }
    int rows() const noexcept { return (dwords[0] + 15) / 16; }

    // Where the sum of a coordinate stands among those that kernels keep.
    std::ptrdiff_t place(int coordinate) const noexcept {
        int i, j;
        if constexpr (Bits == 3) {
            const int group = coordinate / 4, half = dwords[0];
            i = group < half ? group : group - half;
            j = (group < half ? 0 : 4) + coordinate % 4;
        } else {
            i = coordinate / (8 / Bits);
            j = coordinate % (8 / Bits);
        }
        return (static_cast<std::ptrdiff_t>(i / 16) * kLookups + j) * 16 + i % 16;
    }
};

// The packed records of four tokens, each record_bytes after the one before, to a quad. Only the tokens of `mask` are
// written.
template <int Bits>
inline void store_value_quad(const ValueLayout<Bits>& layout, const std::uint8_t* const (&records)[4],
                             unsigned mask, std::uint8_t* quad) noexcept {
    const auto put = [&](std::uint8_t* to, const std::uint8_t(&bytes)[4]) {
        for (unsigned k = 0; k < 4; ++k)
            if (mask >> k & 1u) to[k] = bytes[k];
    };
    if constexpr (Bits != 3) {
        const int count = layout.dwords[0];
        const std::uint8_t *a = records[0], *b = records[1], *c = records[2], *d = records[3];
        if (mask == 15u) {
            for (int i = 0; i < count; ++i) {
                const std::uint32_t dword = std::uint32_t{a[i]} | std::uint32_t{b[i]} << 8 |
                                            std::uint32_t{c[i]} << 16 | std::uint32_t{d[i]} << 24;
                std::memcpy(quad + 4 * i, &dword, 4);
            }
        } else {
            for (int i = 0; i < count; ++i) put(quad + 4 * i, {a[i], b[i], c[i], d[i]});
        }
    } else {
        std::uint8_t* const uppers = quad + layout.area_offset(2);
        const int steps = (layout.dim + 31) / 32, half = layout.dwords[0], groups = half + layout.dwords[1];
        for (unsigned k = 0; k < 4; ++k) {
            if ((mask >> k & 1u) == 0) continue;
            for (int step = 0; step < steps; ++step) {
                std::uint8_t packed[12] = {};
                const int left = (3 * (layout.dim - 32 * step) + 7) / 8;
                std::memcpy(packed, records[k] + 12 * step, static_cast<std::size_t>(left < 12 ? left : 12));
                std::uint32_t rows[3];
                split_step(packed, rows);
                for (int i = 0; i < 8 && 8 * step + i < groups; ++i) {
                    const int group = 8 * step + i;
                    const std::uint32_t upper = rows[2] >> (8 * (i % 4) + i / 4 * 4) & 15u;
                    // B follows A without a gap.
                    quad[4 * static_cast<unsigned>(group) + k] =
                        static_cast<std::uint8_t>(rows[i / 4] >> (8 * (i % 4)));
                    if (group < half)
                        uppers[4 * static_cast<unsigned>(group) + k] = static_cast<std::uint8_t>(upper);
                    else
                        uppers[4 * static_cast<unsigned>(group - half) + k] |=
                            static_cast<std::uint8_t>(upper << 4);
                }
            }
        }
    }
}

// --- Single codes, for decoding -------------------------------------------------------------------------------------------

// The code in a dword's byte (of rows A, B, E with 3 bits) that lookup j takes.
template <int Bits>
inline std::uint32_t code_of_lookup(const std::uint8_t (&bytes)[ScanStep<Bits>::kRows], int j) noexcept {
    if constexpr (Bits == 3)
        return (bytes[j / 4] >> (2 * (j % 4)) & 3u) |
               (bytes[2] >> (4 * (j / 4) + kUpperBitPlaces[j % 4]) & 1u) << 2;
    else
        return bytes[0] >> (j * Bits) & ((1u << Bits) - 1u);
}

// The code of a coordinate of the key in slot `slot` of a block of scan_layout.hpp.
template <int Bits>
inline std::uint32_t key_code(const ScanLayout<Bits>& layout, const std::uint8_t* block, int slot,
                              int coordinate) noexcept {
    using Step = ScanStep<Bits>;
    const int step = coordinate / Step::kDims, rest = coordinate % Step::kDims;
    const int byte = Bits == 3 ? rest % 16 / 4 : rest / (8 / Bits);
    const int lookup = Bits == 3 ? 4 * (rest / 16) + rest % 4 : rest % (8 / Bits);
    const bool narrow = step == layout.steps;
    std::uint32_t dwords[Step::kRows];
    const std::uint8_t* row = block + static_cast<std::size_t>(step) * (Step::kRows * 4 * kScanBlock);
    for (int r = 0; r < Step::kRows; ++r) {
        const int width = narrow ? layout.widths[r] : 4;
        std::uint8_t of_slot[4] = {};
        for (int i = 0; i < width; ++i)
            of_slot[i] = width < 3 || width == 4 ? row[width * slot + i]
                         : i < 2                 ? row[2 * slot + i]
                                                 : row[2 * kScanBlock + slot];
        std::memcpy(dwords + r, of_slot, 4);
        row += width * kScanBlock;
    }
    if constexpr (Bits == 3)
        if (narrow) unfold_rows(layout.folds, dwords);
    std::uint8_t bytes[Step::kRows];
    for (int r = 0; r < Step::kRows; ++r) bytes[r] = static_cast<std::uint8_t>(dwords[r] >> (8 * byte));
    return code_of_lookup<Bits>(bytes, lookup);
}

// The same of the value of token `slot`.
template <int Bits>
inline std::uint32_t value_code(const ValueLayout<Bits>& layout, const std::uint8_t* block, int slot,
                                int coordinate) noexcept {
    const std::ptrdiff_t place = layout.place(coordinate);
    const int lookup = static_cast<int>(place / 16 % ValueLayout<Bits>::kLookups);
    const int dword = static_cast<int>(place / 16 / ValueLayout<Bits>::kLookups * 16 + place % 16);
    const std::uint8_t* quad = block + static_cast<std::size_t>(slot / 4) * layout.quad_bytes() + slot % 4;
    std::uint8_t bytes[ValueLayout<Bits>::kAreas] = {};
    for (int a = 0; a < ValueLayout<Bits>::kAreas; ++a)
        if (dword < layout.dwords[a])
            bytes[a] = quad[layout.area_offset(a) + 4 * static_cast<std::size_t>(dword)];
    return code_of_lookup<Bits>(bytes, lookup);
}

}  // namespace simd
TURBOQUANT_NAMESPACE_END
