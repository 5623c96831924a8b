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

// Bytes of four tokens, `count` of each, to dwords. Only the tokens of `mask` are written.
inline void store_dwords(const std::uint8_t* const (&tokens)[4], int count, unsigned mask,
                         std::uint8_t* out) noexcept {
    const std::uint8_t *a = tokens[0], *b = tokens[1], *c = tokens[2], *d = tokens[3];
    if (mask == 15u) {
        for (int i = 0; i < count; ++i, out += 4) {
            const std::uint32_t dword = std::uint32_t{a[i]} | std::uint32_t{b[i]} << 8 |
                                        std::uint32_t{c[i]} << 16 | std::uint32_t{d[i]} << 24;
            std::memcpy(out, &dword, 4);
        }
        return;
    }
    for (unsigned k = 0; k < 4; ++k)
        if (mask >> k & 1u)
            for (int i = 0; i < count; ++i) out[4 * i + static_cast<int>(k)] = tokens[k][i];
}

// Groups of four codes of 3 bits, of one record: a byte with the lower two bits of a group's codes, and one with the upper bits.
struct CodeGroups {
    static constexpr int kMost = 32;
    std::uint8_t lower[kMost + 8], upper[kMost + 8];

    // Groups first … first + count − 1, at most kMost, after the others of the first one's step; returns how many these are.
    int split(const std::uint8_t* record, int dim, int first, int count) noexcept {
        const int before = first % 8;
        std::uint8_t *low = lower, *up = upper;
        for (int group = first - before; group < first + count; group += 8, low += 8, up += 8) {
            const std::uint8_t* from = record + 3 * group / 2;
            const int left = (3 * (dim - 4 * group) + 7) / 8;
            std::uint8_t last[12] = {};
            if (left < 12) {
                std::memcpy(last, from, static_cast<std::size_t>(left));
                from = last;
            }
            std::uint32_t rows[3];
            split_step(from, rows);
            const std::uint32_t uppers[2] = {rows[2] & 0x0f0f0f0fu, rows[2] >> 4 & 0x0f0f0f0fu};
            std::memcpy(low, rows, 8);
            std::memcpy(up, uppers, 8);
        }
        return before;
    }
};

// The packed records of four tokens to a quad. Only the tokens of `mask` are written.
template <int Bits>
inline void store_value_quad(const ValueLayout<Bits>& layout, const std::uint8_t* const (&records)[4],
                             unsigned mask, std::uint8_t* quad) noexcept {
    if constexpr (Bits != 3) {
        store_dwords(records, layout.dwords[0], mask, quad);
    } else {
        const int half = layout.dwords[0];
        for (int i = 0; i < half; i += CodeGroups::kMost) {
            const int count = half - i < CodeGroups::kMost ? half - i : CodeGroups::kMost;
            const int count_b = layout.dwords[1] - i < count ? layout.dwords[1] - i : count;
            CodeGroups a[4], b[4];
            const std::uint8_t *lower_a[4], *lower_b[4], *upper[4];
            for (int k = 0; k < 4; ++k) {
                const int before_a = a[k].split(records[k], layout.dim, i, count);
                const int before_b = b[k].split(records[k], layout.dim, half + i, count_b);
                lower_a[k] = a[k].lower + before_a;
                lower_b[k] = b[k].lower + before_b;
                std::uint8_t* const uppers = a[k].upper + before_a;
                for (int g = 0; g < count_b; ++g)
                    uppers[g] = static_cast<std::uint8_t>(uppers[g] | b[k].upper[before_b + g] << 4);
                upper[k] = uppers;
            }
            store_dwords(lower_a, count, mask, quad + layout.area_offset(0) + 4 * i);
            store_dwords(lower_b, count_b, mask, quad + layout.area_offset(1) + 4 * i);
            store_dwords(upper, count, mask, quad + layout.area_offset(2) + 4 * i);
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
        for (int i = 0; i < 4 && i < width; ++i)
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
