// How keys of a block lie that differ in bits: of 64, 16 have one more than the rest (2, 3 or 4) and 16 one fewer, in as many
// bytes as 64 that are alike. For dimensions that are multiples of 32.
//
// First the 16 finer keys, then the 32 even ones, then the 16 coarser ones, each group in the order of its tokens. Row r of a
// group holds a dword of each of its keys, side by side; a key of w bits has w rows for every 32 dimensions, a step. All meet the
// eight quads that queries have for a step of the even keys, in their order (scan_layout.hpp):
//
//   bits   quad j = 0 … 7
//   1      bit j of the bytes of the row
//   2      bits 2·(j%4) and up of row j/4
//   3      those for the lower bits, row 2 for the upper ones as in scan_layout.hpp
//   4      the lower nibbles of row j/2 for even j, the upper ones for odd j
//   5      none, for want of lookups in bytes: the keys lie one after another, as in records
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "turboquant/config.hpp"
#include "turboquant/simd/attention_plan.hpp"
#include "turboquant/simd/codebook_table.hpp"
#include "turboquant/simd/scan_layout.hpp"
#include "turboquant/simd/value_layout.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace simd {

inline constexpr int kFinerKeys = 16, kEvenKeys = 32, kCoarserKeys = 16;
inline constexpr int kKeysOfGrade[] = {kFinerKeys, kEvenKeys, kCoarserKeys};

// How many bits are set.
inline int count_bits(std::uint64_t set) noexcept { return static_cast<int>(std::bitset<64>(set).count()); }

// The number of the lowest bit that is set.
TURBOQUANT_INLINE int lowest_bit(std::uint64_t set) noexcept {
#if defined(__GNUC__) || defined(__clang__)
    return __builtin_ctzll(set);
#else
    int bit = 0;
    while ((set >> bit & 1) == 0) ++bit;
    return bit;
#endif
}

// Which tokens of a block are finer and which are coarser: bit t of a set is token t's. Both empty: the block is not graded.
struct KeyGrades {
    std::uint64_t finer = 0, coarser = 0;

    bool graded() const noexcept { return finer != 0; }
    // 0: finer, 1: even, 2: coarser.
    int of(int token) const noexcept {
        return (finer >> token & 1) != 0 ? 0 : (coarser >> token & 1) != 0 ? 2 : 1;
    }
    // The tokens of a grade: whatever the sets hold, each is in one.
    std::uint64_t tokens(int grade) const noexcept {
        return grade == 0 ? finer : grade == 1 ? ~(finer | coarser) : coarser & ~finer;
    }
    // How many tokens of its grade come before it.
    int place(int token) const noexcept {
        return count_bits(tokens(of(token)) & ((std::uint64_t{1} << token) - 1));
    }
    // Whether a block can be graded so.
    bool possible() const noexcept {
        return (finer == 0 && coarser == 0) ||
               (count_bits(finer) == kFinerKeys && count_bits(coarser) == kCoarserKeys &&
                (finer & coarser) == 0);
    }
};
inline constexpr std::size_t kGradeBytes = sizeof(KeyGrades);  // as they are stored

// The codebooks of the three grades.
struct GradedCodebooks {
    const CodebookTable* finer;
    const CodebookTable* even;
    const CodebookTable* coarser;
};

// Where the keys of a grade begin, where the even ones have `bits`.
inline std::size_t graded_offset(int bits, int grade, int dim) noexcept {
    const auto bytes = static_cast<std::size_t>(dim) / 8;  // of one bit of a key
    const int before = grade == 0 ? 0 : kFinerKeys * (bits + 1) + (grade == 2 ? kEvenKeys * bits : 0);
    return static_cast<std::size_t>(before) * bytes;
}

// The dimension of a step that byte k of quad j meets, where even keys have `Even` bits; and back.
template <int Even>
constexpr int graded_dimension(int j, int k) noexcept {
    return Even == 4 ? 8 * (j / 2) + 2 * k + j % 2 : 16 * (j / 4) + 4 * k + j % 4;
}
template <int Even>
constexpr int quad_of(int dimension) noexcept {
    return Even == 4 ? dimension / 8 * 2 + dimension % 2 : dimension / 16 * 4 + dimension % 4;
}
template <int Even>
constexpr int byte_of(int dimension) noexcept {
    return Even == 4 ? dimension % 8 / 2 : dimension % 16 / 4;
}

// A code in a packed record. Where it is the last, the byte behind the record is not read.
template <int Width>
TURBOQUANT_INLINE std::uint32_t packed_code(const std::uint8_t* packed, int i) noexcept {
    const int bit = Width * i, shift = bit % 8;
    std::uint32_t bits = packed[bit / 8];
    if (shift + Width > 8) bits |= static_cast<std::uint32_t>(packed[bit / 8 + 1]) << 8;
    return bits >> shift & ((1u << Width) - 1u);
}

// The rows of one step, from the 4·Width bytes of its codes.
template <int Even, int Width>
TURBOQUANT_INLINE void graded_dwords(const std::uint8_t* packed, std::uint32_t (&rows)[Width]) noexcept {
    constexpr bool kSameOrder = Width == Even || (Even < 4 && (Width == 2 || Width == 3));
    if constexpr (kSameOrder && Width == 3) {
        split_step(packed, rows);
    } else if constexpr (kSameOrder) {
        std::memcpy(rows, packed, sizeof rows);
    } else {
        for (std::uint32_t& row : rows) row = 0;
        for (int j = 0; j < 8; ++j)
            for (int k = 0; k < 4; ++k) {
                const std::uint32_t code = packed_code<Width>(packed, graded_dimension<Even>(j, k));
                if constexpr (Width == 3) {
                    rows[j / 4] |= (code & 3u) << (8 * k + 2 * (j % 4));
                    rows[2] |= (code >> 2) << (8 * k + 4 * (j / 4) + kUpperBitPlaces[j % 4]);
                } else {
                    constexpr int kQuads = 8 / Width;  // to a row
                    rows[j / kQuads] |= code << (8 * k + Width * (j % kQuads));
                }
            }
    }
}

// The indices of a packed record into a group of `Keys` keys.
template <int Even, int Width, int Keys>
inline void store_graded(int dim, const std::uint8_t* record, std::uint8_t* group, int place) noexcept {
    if constexpr (Width > 4) {
        const std::size_t bytes = static_cast<std::size_t>(dim) / 8 * Width;
        std::memcpy(group + static_cast<std::size_t>(place) * bytes, record, bytes);
    } else {
        std::uint32_t rows[Width];
        for (int i = 0; i < dim; i += 32, record += 4 * Width) {
            graded_dwords<Even, Width>(record, rows);
            for (int r = 0; r < Width; ++r, group += 4 * Keys) std::memcpy(group + 4 * place, rows + r, 4);
        }
    }
}

// The code of a coordinate of a key in such a group.
template <int Even, int Width, int Keys>
inline std::uint32_t graded_code(int dim, const std::uint8_t* group, int place, int coordinate) noexcept {
    if constexpr (Width > 4) {
        return packed_code<Width>(group + place * (dim / 8) * Width, coordinate);
    } else {
        using Step = ScanStep<Width>;
        const int quad = coordinate / 32 * 8 + quad_of<Even>(coordinate % 32);
        std::uint8_t bytes[Step::kRows];
        for (int r = 0; r < Step::kRows; ++r)
            bytes[r] = group[4 * ((quad / Step::kQuads * Step::kRows + r) * Keys + place) +
                             byte_of<Even>(coordinate % 32)];
        return code_of_lookup<Width>(bytes, quad % Step::kQuads);
    }
}

}  // namespace simd
TURBOQUANT_NAMESPACE_END
