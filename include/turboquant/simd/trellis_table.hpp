// Trellis codes: how windows of bits lie in a record, and what they stand for (trellis_quantizer.hpp says why).
//
// The codes of b bits are a stream, most significant bit first within each byte and each code: coordinate j's are bits
// b·j … b·j + b − 1. Its window is the eight bits that end there, as a number whose lowest bits are the newest. What the first
// windows lack comes from the end of the stream, or is zero below kLeastCyclicDim dimensions. Shorter windows are windows of eight
// bits whose oldest do not matter: the values repeat, and the encoder alone knows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "turboquant/config.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace simd {

// Kernels that are templates on the bits of an index take so many more for trellis codes.
inline constexpr int kTrellis = 16;
template <int Bits>
inline constexpr bool kIsTrellis = Bits > kTrellis;

inline constexpr int kWindows = 256;
inline constexpr int kLeastCyclicDim = 8;

// Up to this dimension vectors wait for others that are encoded with them, at most kMostWaiting: work memory stays on the stack
// (with_scratch).
inline constexpr int kLargestWaitingDim = 1536, kMostWaiting = 16;

// The centroid of window w, of a unit vector's coordinate, is unit·int8_centroids[w], and that of window 255 − w its negative.
struct TrellisTable {
    float unit;
    alignas(64) float values[kWindows];  // int8_centroids as floats
    alignas(64) std::int8_t int8_centroids[kWindows];
    // The first eight rows of 16, every second one as what changes (xor) from the row before it.
    alignas(64) std::int8_t row_pairs[kWindows / 2];
};

// The byte before the first.
TURBOQUANT_INLINE std::uint8_t byte_before(const std::uint8_t* record, int bits, int dim) noexcept {
    if (dim < kLeastCyclicDim) return 0;
    const std::ptrdiff_t end = std::ptrdiff_t{bits} * dim;
    const std::uint8_t* last = record + end / 8;
    const int rest = static_cast<int>(end % 8);
    const unsigned pair = unsigned{last[-1]} << 8 | (rest > 0 ? last[0] : 0u);
    return static_cast<std::uint8_t>(pair >> (8 - rest));
}

// For repeat() in kernels: group i of part p is group p·Groups/Times + i/Times, of Groups = Lanes/Group.
template <int Lanes, int Times, int Group>
struct RepeatLanes {
    alignas(64) std::int32_t lanes[Times][Lanes];
};
template <int Lanes, int Times, int Group>
constexpr RepeatLanes<Lanes, Times, Group> make_repeat_lanes() noexcept {
    RepeatLanes<Lanes, Times, Group> table{};
    for (int part = 0; part < Times; ++part)
        for (int i = 0; i < Lanes; ++i) {
            const int group = part * (Lanes / Group / Times) + i / Group / Times;
            table.lanes[part][i] = group * Group + i % Group;
        }
    return table;
}
template <int Lanes, int Times, int Group>
inline constexpr RepeatLanes<Lanes, Times, Group> kRepeatLanes = make_repeat_lanes<Lanes, Times, Group>();

// `packed`, or where less than `Reads` bytes are left before `end`, a copy of what there is, and zeros.
template <int Reads>
TURBOQUANT_INLINE const std::uint8_t* readable(const std::uint8_t* packed, const std::uint8_t* end,
                                               std::uint8_t (&copy)[Reads]) noexcept {
    const std::ptrdiff_t left = end - packed;
    if (left >= Reads) return packed;
    std::memset(copy, 0, Reads);
    std::memcpy(copy, packed, static_cast<std::size_t>(left));
    return copy;
}

// 16 windows for each lane of 128 bits, the even ones and the odd ones in 16-bit lanes: the two bytes that hold a window, the
// later one first, as places in a source that holds the byte before the codes at `before`, and them after it, going round at 16.
// Of their product with the multiplier an even window is the lowest byte of the upper half, an odd one the highest of the lower.
template <int Lanes>
struct WindowWords {
    alignas(64) std::uint8_t bytes[2][16 * Lanes];
    alignas(64) std::uint16_t multipliers[2][8 * Lanes];
};
template <int Lanes>
constexpr WindowWords<Lanes> make_window_words(int bits, const int (&before)[Lanes]) noexcept {
    WindowWords<Lanes> table{};
    for (int j = 0; j < 16 * Lanes; ++j) {
        const int odd = j % 2,
                  end = bits * (j % 16 + 1);  // of the window, in bits from the lane's first code
        const int byte = before[j / 16] + end / 8;
        table.bytes[odd][j / 2 * 2] = static_cast<std::uint8_t>((byte + 1) & 15);
        table.bytes[odd][j / 2 * 2 + 1] = static_cast<std::uint8_t>(byte & 15);
        table.multipliers[odd][j / 2] = static_cast<std::uint16_t>(1u << (end % 8 + (odd == 0 ? 8 : 0)));
    }
    return table;
}

// 64 windows for vpmultishiftqb: each quadword takes the byte before its codes and their Bits bytes, the last one first, so that
// the stream lies in it as a number. The byte before the first quadword's is the last of the 64.
template <int Bits>
struct QuadwordWindows {
    alignas(64) std::uint8_t bytes[64];
    alignas(64) std::uint8_t shifts[64];
};
template <int Bits>
constexpr QuadwordWindows<Bits> make_quadword_windows() noexcept {
    QuadwordWindows<Bits> table{};
    for (int j = 0; j < 64; ++j) {
        const int byte = Bits * (j / 8 + 1) - 1 - (j % 8 <= Bits ? j % 8 : 0);
        table.bytes[j] = static_cast<std::uint8_t>(byte & 63);
        table.shifts[j] = static_cast<std::uint8_t>(Bits * (7 - j % 8));
    }
    return table;
}
template <int Bits>
inline constexpr QuadwordWindows<Bits> kQuadwordWindows = make_quadword_windows<Bits>();

}  // namespace simd
TURBOQUANT_NAMESPACE_END
