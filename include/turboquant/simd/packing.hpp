// The packed form of indices: code j occupies bits [b·j, b·j + b) of the record, least significant bit first within
// each byte. Sixteen codes fill 2·b whole bytes, which is the unit that kernels read and write.
#pragma once

#include <cstdint>
#include <cstring>

#include "turboquant/config.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace simd {

// For the 32-bit lane of code j: the two bytes of a 16-byte source that hold the code, and the shift that brings it down.
template <int Bits>
struct UnpackTable {
    alignas(64) std::uint8_t bytes[64];
    alignas(64) std::uint32_t shifts[16];
};

template <int Bits>
constexpr UnpackTable<Bits> make_unpack_table() noexcept {
    UnpackTable<Bits> table{};
    for (int j = 0; j < 16; ++j) {
        const int first = j * Bits / 8;
        table.bytes[4 * j] = static_cast<std::uint8_t>(first);
        table.bytes[4 * j + 1] = static_cast<std::uint8_t>(first + 1 < 2 * Bits ? first + 1 : 0x80);
        table.bytes[4 * j + 2] = 0x80;  // a byte index with bit 7 set reads as zero
        table.bytes[4 * j + 3] = 0x80;
        table.shifts[j] = static_cast<std::uint32_t>(j * Bits % 8);
    }
    return table;
}

template <int Bits>
inline constexpr UnpackTable<Bits> kUnpackTable = make_unpack_table<Bits>();

// Of up to 4 bits: 32 codes of 4·Bits bytes in 16-bit lanes, in two registers that an instruction which packs the halves
// of two registers puts in order: codes 0 … 7 and 16 … 23, then 8 … 15 and 24 … 31. The lane's two bytes, times the
// multiplier, have the code in their uppermost bits.
template <int Bits>
struct WordUnpack {
    alignas(32) std::uint8_t bytes[2][32];
    alignas(32) std::uint16_t multipliers[16];
};
template <int Bits>
constexpr WordUnpack<Bits> make_word_unpack() noexcept {
    WordUnpack<Bits> table{};
    for (int j = 0; j < 32; ++j) {
        const int lane = j % 8 + 8 * (j / 16), first = j * Bits / 8;
        std::uint8_t* bytes = table.bytes[j / 8 % 2] + 2 * lane;
        bytes[0] = static_cast<std::uint8_t>(first);
        bytes[1] = static_cast<std::uint8_t>(first + 1 < 4 * Bits ? first + 1 : 0x80);
        table.multipliers[lane] = static_cast<std::uint16_t>(1u << (16 - Bits - j * Bits % 8));
    }
    return table;
}
template <int Bits>
inline constexpr WordUnpack<Bits> kWordUnpack = make_word_unpack<Bits>();

// 64 codes of 8·Bits bytes: the bytes that each quadword needs for its eight codes, and where in it each code begins.
template <int Bits>
struct QuadwordUnpack {
    alignas(64) std::uint8_t bytes[64];
    alignas(64) std::uint8_t shifts[64];
};
template <int Bits>
constexpr QuadwordUnpack<Bits> make_quadword_unpack() noexcept {
    QuadwordUnpack<Bits> table{};
    for (int j = 0; j < 64; ++j) {
        table.bytes[j] = static_cast<std::uint8_t>(Bits * (j / 8) + (j % 8 < Bits ? j % 8 : 0));
        table.shifts[j] = static_cast<std::uint8_t>(Bits * (j % 8));
    }
    return table;
}
template <int Bits>
inline constexpr QuadwordUnpack<Bits> kQuadwordUnpack = make_quadword_unpack<Bits>();

// `count` words of 8·Bits bits each, written one after another as Bits bytes each.
template <int Bits>
TURBOQUANT_INLINE void pack_octets(const std::uint64_t* words, int count, std::uint8_t* out) noexcept {
    for (int i = 0; i < count; ++i) std::memcpy(out + Bits * i, words + i, Bits);
}

// The same of 8 words in a register of 64 bytes: which bytes each 128 bits take from their two words, Bits 16-bit lanes of
// them, and which 16-bit lanes follow one another in the end.
template <int Bits>
struct OctetPack {
    alignas(64) std::uint8_t bytes[64];
    alignas(64) std::uint16_t words[32];
};
template <int Bits>
constexpr OctetPack<Bits> make_octet_pack() noexcept {
    OctetPack<Bits> table{};
    for (int i = 0; i < 64; ++i) {
        const int byte = i % 16;
        table.bytes[i] = static_cast<std::uint8_t>(byte < Bits       ? byte
                                                   : byte < 2 * Bits ? 8 + byte - Bits
                                                                     : 0x80);
    }
    for (int i = 0; i < 4 * Bits; ++i) table.words[i] = static_cast<std::uint16_t>(8 * (i / Bits) + i % Bits);
    return table;
}
template <int Bits>
inline constexpr OctetPack<Bits> kOctetPack = make_octet_pack<Bits>();

// Codes 8 at a time, one byte each, to the packed form.
template <int Bits>
TURBOQUANT_INLINE void pack_bytes(const std::uint8_t* codes, int octets, std::uint8_t* out) noexcept {
    for (int i = 0; i < octets; ++i) {
        std::uint64_t word = 0;
        for (int j = 0; j < 8; ++j) word |= static_cast<std::uint64_t>(codes[8 * i + j]) << (Bits * j);
        pack_octets<Bits>(&word, 1, out + Bits * i);
    }
}

// Code j of a packed record.
TURBOQUANT_INLINE std::uint32_t unpack_code(const std::uint8_t* packed, int bits, std::ptrdiff_t j) noexcept {
    const std::ptrdiff_t bit = j * bits;
    std::uint32_t word = packed[bit >> 3];
    if ((bit & 7) + bits > 8) word |= static_cast<std::uint32_t>(packed[(bit >> 3) + 1]) << 8;
    return (word >> (bit & 7)) & ((1u << bits) - 1u);
}

}  // namespace simd
TURBOQUANT_NAMESPACE_END
