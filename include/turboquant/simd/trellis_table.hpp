// Trellis codes: how windows of bits lie in a record, and what they stand for (trellis_quantizer.hpp says why).
//
// The codes of b bits are a stream, most significant bit first within each byte and each code: coordinate j's are bits
// b·j … b·j + b − 1. Its window is the eight bits that end there, as a number whose lowest bits are the newest. What the first
// windows lack comes from the end of the stream, or is zero below kLeastCyclicDim dimensions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "turboquant/config.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace simd {

// Kernels that are templates on the bits of an index take so many more for trellis codes.
inline constexpr int kTrellis = 16;
template <int Bits>
inline constexpr bool kIsTrellis = Bits > kTrellis;

inline constexpr int kWindows = 256;
inline constexpr int kLeastCyclicDim = 8;

struct TrellisTable {
    float unit;  // of a unit vector's coordinate: centroids[w] = unit·int8_centroids[w]
    alignas(64) float values[kWindows];  // int8_centroids as floats
    alignas(64) float centroids[kWindows];
    alignas(64) std::int8_t int8_centroids[kWindows];
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

// For the 32-bit lane of window j of 16: the two bytes of a source that begins a byte early which hold the window, the later
// one first, and the shift that brings it down.
template <int Bits>
struct WindowTable {
    alignas(64) std::uint8_t bytes[64];
    alignas(64) std::uint32_t shifts[16];
};
template <int Bits>
constexpr WindowTable<Bits> make_window_table() noexcept {
    WindowTable<Bits> table{};
    for (int j = 0; j < 16; ++j) {
        const int end = Bits * (j + 1);  // of the window, in bits from the group's first
        table.bytes[4 * j] = static_cast<std::uint8_t>(end / 8 + 1);
        table.bytes[4 * j + 1] = static_cast<std::uint8_t>(end / 8);
        table.bytes[4 * j + 2] = 0x80;  // a byte index with bit 7 set reads as zero
        table.bytes[4 * j + 3] = 0x80;
        table.shifts[j] = static_cast<std::uint32_t>(8 - end % 8);
    }
    return table;
}
template <int Bits>
inline constexpr WindowTable<Bits> kWindowTable = make_window_table<Bits>();

// For repeat() in kernels: lane i of part p is lane p·Lanes/Times + i/Times.
template <int Lanes, int Times>
struct RepeatLanes {
    alignas(64) std::int32_t lanes[Times][Lanes];
};
template <int Lanes, int Times>
constexpr RepeatLanes<Lanes, Times> make_repeat_lanes() noexcept {
    RepeatLanes<Lanes, Times> table{};
    for (int part = 0; part < Times; ++part)
        for (int i = 0; i < Lanes; ++i) table.lanes[part][i] = part * (Lanes / Times) + i / Times;
    return table;
}
template <int Lanes, int Times>
inline constexpr RepeatLanes<Lanes, Times> kRepeatLanes = make_repeat_lanes<Lanes, Times>();

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
