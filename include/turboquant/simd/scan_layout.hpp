// How codes of 1 to 4 bits lie when many vectors are scored at once, the same on every target.
//
// A block holds 32 vectors. A packed record is a sequence of dwords; dword r of the vector in slot v is the v-th dword of
// row r, 128 bytes long, so that 16 (or 8, or 4) vectors are scored side by side and no sum crosses lanes. A dword's four
// bytes meet four bytes of the query, a quad, once for each position of a code within a byte:
//
//   bits   dimensions of dword r                      quad j of it
//   1      32·r … 32·r + 31, as in a record           32·r + 8·k + j, k = 0 … 3, j = 0 … 7
//   2      16·r … 16·r + 15, as in a record           16·r + 4·k + j, j = 0 … 3
//   4       8·r …  8·r + 7,  as in a record            8·r + 2·k + j, j = 0, 1
//   3      rows A, B, E for 32 dimensions: the lower two bits of the first 16 and of the last 16, each as in a 2-bit
//          record, and all upper bits. Quad j = 0 … 3 takes A and the lower nibbles of E, j = 4 … 7 takes B and the upper
//          ones; dimension 32·step + 16·(j/4) + 4·k + j%4. In a nibble of E, j%4 = 0, 1, 2, 3 lies in bit 2, 0, 3, 1: never
//          where the nibble of A or B holds the lower bits, so that one blend makes a table index.
//
// What is left of a record after whole steps are narrow rows of 1, 2 or 3 bytes a vector (3: a row of words, then a row of
// bytes), together as many as the record has left: with 3 bits some nibbles lie elsewhere than in whole steps (RowFold).
// After the rows come 32 floats: the scales; after them 32 more where a container asks for them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "turboquant/config.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace simd {

inline constexpr int kScanBlock = 32;

// From this number of queries on a block is unpacked to memory once for all of them.
inline constexpr int kScanBatch = 4;

// Quads that a batch unpacks at a time: 24 KiB of centroids.
inline constexpr int kPanelQuads = 192;
inline constexpr std::size_t kPanelBytes = static_cast<std::size_t>(kPanelQuads) * 4 * kScanBlock;

// The largest dimension whose int32 sums cannot overflow: 255·127·d < 2^31.
inline constexpr int kMaxScanDim = 65536;

// A step: the dimensions that whole rows cover.
template <int Bits>
struct ScanStep {
    static_assert(Bits >= 1 && Bits <= 4, "turboquant: blocks hold codes of 1 to 4 bits");
    static constexpr int kDims = Bits == 3 ? 32 : 32 / Bits;
    static constexpr int kRows = Bits == 3 ? 3 : 1;
    static constexpr int kQuads = kDims / 4;
};

// Bits of a row of the rest that lie in another place: in row `to`, those of `mask` are to be taken from row `from`, shifted
// left (right where negative). No bits where the mask is 0.
struct RowFold {
    int to, from, shift;
    std::uint32_t mask;
};

template <int Bits>
struct ScanLayout {
    using Step = ScanStep<Bits>;
    int dim;
    int steps;                // whole ones
    int widths[Step::kRows];  // bytes a vector of the rows of the rest
    RowFold folds[2];         // 3 bits: how to read the rest, one after the other

    explicit ScanLayout(int d) noexcept : dim(d), steps(d / Step::kDims), widths(), folds() {
        const int rest = d - steps * Step::kDims;
        if constexpr (Bits == 3)
            fold_rest(rest / 4, rest % 4);
        else
            widths[0] = (Bits * rest + 7) / 8;
    }

    bool has_rest() const noexcept { return widths[0] > 0; }
    int quads() const noexcept { return (steps + (has_rest() ? 1 : 0)) * Step::kQuads; }
    std::size_t rest_offset() const noexcept {
        return static_cast<std::size_t>(steps) * (Step::kRows * 4 * kScanBlock);
    }
    // Bytes of a block's indices; the scales follow.
    std::size_t index_bytes() const noexcept {
        std::size_t bytes = rest_offset();
        for (int width : widths) bytes += static_cast<std::size_t>(width) * kScanBlock;
        return bytes;
    }

    // The dimension that byte k of quad j of a step meets.
    static constexpr int dimension(int step, int j, int k) noexcept {
        return Bits == 3 ? 32 * step + 16 * (j / 4) + 4 * k + j % 4 : step * Step::kDims + k * (8 / Bits) + j;
    }

private:
    // 3 bits: the rest is `groups` of four codes, each a byte of A or B with a nibble of E, and `left` more codes.
    void fold_rest(int groups, int left) noexcept {
        // What fills the last byte. One or two codes after pairs of groups: a byte of A or B holds their upper bits too, in
        // the nibble that they leave free. One code after an odd group: the nibble of E holds its lower bits too.
        const bool in_lower = groups % 2 == 0 && (left == 1 || left == 2);
        const bool in_upper = groups % 2 == 1 && left == 1;
        const int bytes = groups + (left > 0 && !in_upper ? 1 : 0);
        const int nibbles = groups + (left > 0 && !in_lower ? 1 : 0);
        widths[0] = bytes < 4 ? bytes : 4;
        widths[1] = bytes - widths[0];
        widths[2] = (nibbles + 1) / 2;
        // The last of the first four groups take the upper nibbles that the last four groups do not need.
        constexpr std::uint32_t kMoved[5] = {0, 0x00000f00, 0x0f0f0000, 0x0f000000, 0};
        folds[0] = {2, 2, widths[2] == 2 ? 12 : 4, nibbles == 1 ? 0 : kMoved[widths[2]]};
        const std::uint32_t nibble = std::uint32_t{15} << (8 * (groups % 4));
        if (in_lower)
            folds[1] = groups < 4 ? RowFold{2, 0, -4, nibble} : RowFold{2, 1, 0, nibble << 4};
        else if (in_upper)
            folds[1] = groups < 4 ? RowFold{0, 2, 0, nibble} : RowFold{1, 2, -4, nibble};
    }
};

// Where the upper bit of quad j%4's codes lies in a nibble of row E (3 bits).
inline constexpr int kUpperBitPlaces[4] = {2, 0, 3, 1};

// What a table lookup of a code takes as its index: part of a byte, which holds other bits too. Entry i of table t is the
// code that index i means.
template <int Tables, int Size>
struct CodeIndex {
    static constexpr int kTables = Tables;
    alignas(64) std::uint8_t index[Tables][Size];
};
template <int Bits, int Tables, int Size>
constexpr CodeIndex<Tables, Size> make_code_index() noexcept {
    CodeIndex<Tables, Size> tables{};
    for (int t = 0; t < Tables; ++t)
        for (int i = 0; i < Size; ++i) {
            // 3 bits: of nibbles quads 0 to 3 of A or B read the lower, lower, upper, upper one; of six bits, quad 2
            // reads bits 4 and 5 where they lie.
            const int place = Bits != 3 ? Bits * t : Size == 64 && t == 2 ? 4 : 2 * (t % 2);
            const int code = Bits != 3 ? i >> place & ((1 << Bits) - 1)
                                       : (i >> place & 3) | (i >> kUpperBitPlaces[t] & 1) << 2;
            tables.index[t][i] = static_cast<std::uint8_t>(code);
        }
    return tables;
}
// Indices of four bits (byte shuffles within 16 entries) and of six (vpermb).
template <int Bits>
inline constexpr auto kNibbleTables = make_code_index<Bits, (Bits == 3 ? 4 : 4 / Bits), 16>();
template <int Bits>
inline constexpr auto kByteTables = make_code_index<Bits,
                                                    (Bits == 1   ? 6
                                                     : Bits == 2 ? 3
                                                     : Bits == 3 ? 4
                                                                 : 1),
                                                    64>();

// --- From records ---------------------------------------------------------------------------------------------------------

// Two halves of a step of 3 bits, 16 codes of each, side by side.
using Halves = std::uint64_t __attribute__((vector_size(16)));

// The lower two bits of the codes, next to each other.
TURBOQUANT_INLINE Halves lower_pairs(Halves x) noexcept {
    x = (x & std::uint64_t{0x0c30c30c30c3}) | (x & std::uint64_t{0x618618618618}) >> 1;  // 4 bits of every 6
    x = (x & std::uint64_t{0x00f00f00f00f}) | (x & std::uint64_t{0x3c03c03c03c0}) >> 2;  // 8 of every 12
    x = (x & std::uint64_t{0x0000ff0000ff}) | (x & std::uint64_t{0x0ff0000ff000}) >> 4;  // 16 of every 24
    return (x & std::uint64_t{0xffff}) | (x >> 8 & std::uint64_t{0xffff0000});
}

// Their upper bits, in the lower nibble of a byte for every four codes, in the order that blocks keep: 1, 3, 0, 2.
TURBOQUANT_INLINE Halves upper_nibbles(Halves x) noexcept {
    x = x >> 2 & std::uint64_t{0x249249249249};  // a bit of every 3
    x = (x >> 3 & std::uint64_t{0x001001001001}) | (x >> 8 & std::uint64_t{0x002002002002}) |
        (x << 2 & std::uint64_t{0x004004004004}) | (x >> 3 & std::uint64_t{0x008008008008});
    return (x & std::uint64_t{0xf}) | (x >> 4 & std::uint64_t{0xf00}) | (x >> 8 & std::uint64_t{0xf0000}) |
           (x >> 12 & std::uint64_t{0xf000000});
}

// The rows of one step, from the 12 bytes of 32 codes of 3 bits.
TURBOQUANT_INLINE void split_step(const std::uint8_t* packed, std::uint32_t (&rows)[3]) noexcept {
    std::uint64_t first, second;
    std::memcpy(&first, packed, 8);
    std::memcpy(&second, packed + 4, 8);
    const Halves halves = {first & 0xffffffffffffu, second >> 16};
    const Halves lower = lower_pairs(halves), upper = upper_nibbles(halves);
    rows[0] = static_cast<std::uint32_t>(lower[0]);
    rows[1] = static_cast<std::uint32_t>(lower[1]);
    rows[2] = static_cast<std::uint32_t>(upper[0] | upper[1] << 4);
}

// The lowest `width` bytes of a dword into slot `slot` of a narrow row.
TURBOQUANT_INLINE void store_narrow(std::uint8_t* row, int slot, int width, std::uint32_t dword) noexcept {
    if (width >= 2) std::memcpy(row + 2 * slot, &dword, 2);
    if (width & 1) {
        const auto byte = static_cast<std::uint8_t>(width == 3 ? dword >> 16 : dword);
        row[(width == 3 ? 2 * kScanBlock : 0) + slot] = byte;
    }
}

// The rows of the rest as they lie in blocks, from those of a whole step; and back, for one vector.
TURBOQUANT_INLINE void fold_rows(const RowFold (&folds)[2], std::uint32_t* rows) noexcept {
    for (int i = 1; i >= 0; --i) {
        const RowFold& fold = folds[i];
        const std::uint32_t moved = rows[fold.to] & fold.mask;
        rows[fold.to] ^= moved;
        rows[fold.from] |= fold.shift >= 0 ? moved >> fold.shift : moved << -fold.shift;
    }
}
TURBOQUANT_INLINE void unfold_rows(const RowFold (&folds)[2], std::uint32_t* rows) noexcept {
    for (const RowFold& fold : folds) {
        const std::uint32_t from = rows[fold.from];
        const std::uint32_t moved = fold.shift >= 0 ? from << fold.shift : from >> -fold.shift;
        rows[fold.to] = (rows[fold.to] & ~fold.mask) | (moved & fold.mask);
    }
}

// The indices of a packed record into slot `slot` of a block.
template <int Bits>
inline void store_in_block(const ScanLayout<Bits>& layout, const std::uint8_t* record, std::uint8_t* block,
                           int slot) noexcept {
    constexpr int kRows = ScanStep<Bits>::kRows;
    std::uint32_t dwords[kRows];
    std::uint8_t* row = block + 4 * slot;
    for (int step = 0; step < layout.steps; ++step, record += 4 * kRows) {
        if constexpr (Bits == 3)
            split_step(record, dwords);
        else
            std::memcpy(dwords, record, 4);
        for (int r = 0; r < kRows; ++r, row += 4 * kScanBlock) std::memcpy(row, dwords + r, 4);
    }
    if (!layout.has_rest()) return;
    const int rest = layout.dim - layout.steps * ScanStep<Bits>::kDims;
    std::uint8_t last[4 * kRows] = {};
    std::memcpy(last, record, static_cast<std::size_t>((Bits * rest + 7) / 8));
    if constexpr (Bits == 3) {
        split_step(last, dwords);
        fold_rows(layout.folds, dwords);
    } else {
        std::memcpy(dwords, last, 4);
    }
    row = block + layout.rest_offset();
    for (int r = 0; r < kRows; row += layout.widths[r] * kScanBlock, ++r) {
        if (layout.widths[r] == 4)
            std::memcpy(row + 4 * slot, dwords + r, 4);
        else
            store_narrow(row, slot, layout.widths[r], dwords[r]);
    }
}

// Calls piece(offset, width) for every row: `width` bytes a slot, those of slot 0 at `offset`.
template <int Bits, class Piece>
inline void for_each_row(const ScanLayout<Bits>& layout, Piece piece) noexcept {
    std::size_t row = 0;
    for (; row < layout.rest_offset(); row += 4 * kScanBlock) piece(row, std::size_t{4});
    for (int width : layout.widths) {
        if (width == 4) piece(row, std::size_t{4});
        if (width == 2 || width == 3) piece(row, std::size_t{2});
        if (width & 1) piece(row + (width == 3 ? 2 * kScanBlock : 0), std::size_t{1});
        row += static_cast<std::size_t>(width) * kScanBlock;
    }
}

// Slot `from` of a block to slot `to` of another.
template <int Bits>
inline void move_in_blocks(const ScanLayout<Bits>& layout, const std::uint8_t* block, int from,
                           std::uint8_t* other, int to) noexcept {
    for_each_row(layout, [=](std::size_t row, std::size_t width) {
        std::memcpy(other + row + width * static_cast<std::size_t>(to),
                    block + row + width * static_cast<std::size_t>(from), width);
    });
}

// Zeros to a slot.
template <int Bits>
inline void clear_in_block(const ScanLayout<Bits>& layout, std::uint8_t* block, int slot) noexcept {
    for_each_row(layout, [=](std::size_t row, std::size_t width) {
        std::memset(block + row + width * static_cast<std::size_t>(slot), 0, width);
    });
}

// --- What kernels are told -------------------------------------------------------------------------------------------------

// Blocks one after another: of each 32 slots, all but the last block's are taken. After its indices a block has 32 scales,
// and 32 terms that are added to the scores where `terms`.
struct ScanBlocks {
    const std::uint8_t* data;
    std::ptrdiff_t count;  // vectors
    std::size_t block_bytes;
    std::size_t index_bytes;
    bool terms;
};

// Work memory of a scan, in floats.
inline std::ptrdiff_t scan_scratch(int queries) noexcept {
    return static_cast<std::ptrdiff_t>(kPanelBytes / sizeof(float)) + std::ptrdiff_t{kScanBlock} * queries;
}

// --- The query ------------------------------------------------------------------------------------------------------------

// A query in the rotated domain, rounded to int8: coordinate i is about step·quads[…], the quads in the order in which
// blocks are read. `sum` is the sum of all its bytes.
struct ScanQuery {
    const std::int8_t* quads;
    std::int32_t sum;
    float step;
    float constant;  // added to every score
};

// Takes scores. Of vector first + i score i, for every bit i of `lanes`: those that are not below the query's threshold,
// which it may raise.
struct ScanSink {
    void (*take)(ScanSink& self, int query, std::ptrdiff_t first, std::uint32_t lanes,
                 const float* scores) noexcept;
    float* thresholds;  // one per query
};

// What a query is multiplied by, by one after the other, so that its largest coordinate becomes `top`. Two factors, since the
// reciprocal of a tiny number overflows; the first is a power of two, 1 for all others.
struct QueryScale {
    float lift, inverse;
    QueryScale(float largest, float top) noexcept
        : lift(largest < 1e-30f ? 0x1p64f : 1.0f), inverse(largest > 0.0f ? top / (largest * lift) : 0.0f) {}
};

// Rounds `rotated` (dim floats) to the nearest of 255 steps between ± its largest magnitude. The error of a coordinate is
// uniform in ± half a step: for a Gaussian query of d = 128 … 1536 relative squared error 5e-5 … 7e-5.
template <int Bits>
inline ScanQuery round_query(const ScanLayout<Bits>& layout, const float* rotated,
                             std::int8_t* quads) noexcept {
    float largest = 0.0f;
    for (int i = 0; i < layout.dim; ++i) {
        const float magnitude = rotated[i] < 0.0f ? -rotated[i] : rotated[i];
        largest = magnitude > largest ? magnitude : largest;
    }
    ScanQuery query{quads, 0, largest / 127.0f, 0.0f};
    const QueryScale scale(largest, 127.0f);
    const int steps = layout.steps + (layout.has_rest() ? 1 : 0);
    for (int step = 0; step < steps; ++step) {
        for (int j = 0; j < ScanStep<Bits>::kQuads; ++j) {
            for (int k = 0; k < 4; ++k) {
                const int i = ScanLayout<Bits>::dimension(step, j, k);
                // Adding 1.5·2^23 rounds to the nearest integer, ties to even.
                const float scaled =
                    i < layout.dim ? turboquant::detail::rounded(rotated[i] * scale.lift * scale.inverse)
                                   : 0.0f;
                const float shifted = turboquant::detail::rounded(scaled + 12582912.0f);
                const auto value = static_cast<int>(turboquant::detail::rounded(shifted - 12582912.0f));
                *quads++ = static_cast<std::int8_t>(value);
                query.sum += value;
            }
        }
    }
    return query;
}

}  // namespace simd
TURBOQUANT_NAMESPACE_END
