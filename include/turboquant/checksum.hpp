// The checksum of files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "turboquant/config.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace detail {

// CRC-64/XZ: polynomial 0x42F0E1EBA9EA3693 (ECMA-182, annex B), here bit-reversed; register and result inverted. Its
// value for "123456789" is 0x995DC9BBDF1939FA. Tables of bytes followed by zero bytes (slicing-by-8: Kounavis and Berry,
// ISCC 2005), for four interleaved sequences of words, since one waits for its own table look-ups.
struct CrcTables {
    std::uint64_t word[8][256];   // [j][b]: byte j of a word is b; the register after that word
    std::uint64_t group[8][256];  // the same after three more words of zeros
};
constexpr CrcTables make_crc_tables() noexcept {
    CrcTables tables{};
    std::uint64_t crc[256] = {}, one_byte[256] = {};
    for (unsigned byte = 0; byte < 256; ++byte) {
        std::uint64_t remainder = byte;
        for (int bit = 0; bit < 8; ++bit)
            remainder = (remainder >> 1) ^ ((remainder & 1u) != 0 ? 0xC96C5795D7870F42u : 0u);
        crc[byte] = one_byte[byte] = remainder;
    }
    for (int zeros = 0; zeros < 32; ++zeros)
        for (unsigned byte = 0; byte < 256; ++byte) {
            if (zeros < 8) tables.word[7 - zeros][byte] = crc[byte];
            if (zeros >= 24) tables.group[31 - zeros][byte] = crc[byte];
            crc[byte] = (crc[byte] >> 8) ^ one_byte[crc[byte] & 255u];
        }
    return tables;
}
inline constexpr CrcTables kCrcTables = make_crc_tables();

TURBOQUANT_INLINE std::uint64_t crc_of_word(const std::uint64_t (&table)[8][256],
                                            std::uint64_t word) noexcept {
    return table[0][word & 255u] ^ table[1][word >> 8 & 255u] ^ table[2][word >> 16 & 255u] ^
           table[3][word >> 24 & 255u] ^ table[4][word >> 32 & 255u] ^ table[5][word >> 40 & 255u] ^
           table[6][word >> 48 & 255u] ^ table[7][word >> 56];
}

// The checksum of bytes whose checksum is `before` (none: 0) followed by these.
inline std::uint64_t crc64(const void* data, std::size_t size, std::uint64_t before = 0) noexcept {
    const auto* bytes = static_cast<const std::uint8_t*>(data);
    const auto next_word = [&bytes, &size]() noexcept {
        std::uint64_t word;
        std::memcpy(&word, bytes, 8);
        bytes += 8;
        size -= 8;
        return word;
    };
    std::uint64_t crc = ~before, second = 0, third = 0, fourth = 0;
    while (size >= 64) {
        crc = crc_of_word(kCrcTables.group, crc ^ next_word());
        second = crc_of_word(kCrcTables.group, second ^ next_word());
        third = crc_of_word(kCrcTables.group, third ^ next_word());
        fourth = crc_of_word(kCrcTables.group, fourth ^ next_word());
    }
    // What each sequence has left over comes in at its own next word.
    for (std::uint64_t carried : {std::uint64_t{0}, second, third, fourth}) {
        if (size < 8) break;
        crc = crc_of_word(kCrcTables.word, crc ^ carried ^ next_word());
    }
    while (size >= 8) crc = crc_of_word(kCrcTables.word, crc ^ next_word());
    for (; size > 0; --size, ++bytes) crc = (crc >> 8) ^ kCrcTables.word[7][(crc ^ *bytes) & 255u];
    return ~crc;
}

}  // namespace detail
TURBOQUANT_NAMESPACE_END
