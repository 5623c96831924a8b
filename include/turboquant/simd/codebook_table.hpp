// What a kernel needs of a scalar codebook: the centroids, and tables that find the nearest one in int16.
//
// Let y be the coordinate times sqrt(d)·units, rounded to nearest even and saturated to int16, let m be
// min(|y|, 32767), and T_i = ceil(t_i·sqrt(d)·units) for the positive thresholds t_1 < t_2 < … The code of a
// coordinate is by definition
//
//     k = #{i : T_i <= m},     code = y >= 0 ? 2^(bits-1) + k : 2^(bits-1) - 1 - k.
//
// No kernel counts thresholds. A cell of consecutive values of y that holds at most one threshold T (cell
// value B below it) needs one addition: y + ((B + 1)·2^(16-bits) - T) carries into the upper bits exactly
// where y reaches T. Every target computes this same integer function, so codes agree everywhere.
#pragma once

#include <cstdint>

#include "turboquant/config.hpp"

TURBOQUANT_NAMESPACE_BEGIN

namespace simd {

struct CodebookTable {
    int bits;  // 1 … 8

    // Steps of y per standard deviation 1/sqrt(d), an integer: floor(32704 / (sqrt(d)·largest threshold)),
    // so that the largest T_i is just inside int16 and cells are as fine as they can be; 8000 for 1 bit.
    float units;

    // 2^bits ascending centroids of a coordinate of a unit vector (not multiplied by sqrt(d)); the rest is 0.
    alignas(64) float centroids[256];

    // k == uint16(m + magnitude_offsets[m >> (15 - bits)]) >> (16 - bits): 2^bits cells of width 2^(15-bits).
    alignas(64) std::int16_t magnitude_offsets[256];

    // bits <= 4: the low and the high bytes of the offsets of 16 cells of width 2048, for byte shuffles; else 0.
    alignas(16) std::uint8_t offset_bytes[2][16];

    // bits <= 4: code == uint16(y + signed_offsets[uint16(y) >> 11]) >> (16 - bits), 32 cells of width 2048.
    // All 0 for more bits.
    alignas(64) std::int16_t signed_offsets[32];

    // bits <= 4: centroids in int8, symmetric: centroids[k] is about int8_step·int8_centroids[k]. Else 0.
    alignas(16) std::int8_t int8_centroids[16];
    float int8_step;

    // bits > 4: centroids in int16, in two bytes: centroids[k] is about int16_step·(256·(high[k] - 128) + low[k]), repeated
    // from entry 2^bits on, so that a lookup need not mind the bits above an index. Else 0.
    alignas(64) std::uint8_t int16_low[256];
    alignas(64) std::uint8_t int16_high[256];
    float int16_step;
};

// The code of y in [-32768, 32767] (see above), by the magnitude table.
inline std::uint32_t nearest_code(const CodebookTable& table, int y) noexcept {
    const int magnitude = y < 0 ? -y : y;
    const int m = magnitude < 32767 ? magnitude : 32767;
    const int sum = m + table.magnitude_offsets[m >> (15 - table.bits)];
    const std::uint32_t k = (static_cast<std::uint32_t>(sum) & 0xffffu) >> (16 - table.bits);
    const std::uint32_t half = 1u << (table.bits - 1);
    return y >= 0 ? half + k : half - 1 - k;
}

namespace detail {

// The offset of a cell that starts at `first`, has value `below` there, and one boundary at `boundary` >
// first (the first y of the next value), or none when boundary == first.
inline std::int16_t cell_offset(int bits, int first, int below, int boundary) noexcept {
    const int offset =
        boundary == first ? below * (1 << (16 - bits)) - first : (below + 1) * (1 << (16 - bits)) - boundary;
    const auto low = static_cast<std::uint16_t>(offset & 0xffff);
    return static_cast<std::int16_t>(low < 0x8000 ? low : static_cast<int>(low) - 0x10000);
}

// Number of the `count` ascending thresholds that are <= m.
inline int count_reached(const int* thresholds, int count, int m) noexcept {
    int k = 0;
    while (k < count && thresholds[k] <= m) ++k;
    return k;
}

}  // namespace detail

// Fills both offset tables from table.bits and the 2^(bits-1) - 1 thresholds T_i, ascending, in [1, 32767].
// Returns whether every cell holds at most one threshold, without which the tables are wrong.
inline bool fill_offset_tables(CodebookTable& table, const int* thresholds) noexcept {
    const int bits = table.bits;
    const int half = 1 << (bits - 1);
    const int count = half - 1;
    bool valid = true;

    const int width = 1 << (15 - bits);
    for (int cell = 0; cell < 256; ++cell) {
        table.magnitude_offsets[cell] = 0;
        if (cell >= (1 << bits)) continue;
        const int first = cell * width;
        const int below = detail::count_reached(thresholds, count, first);
        const int inside = detail::count_reached(thresholds, count, first + width - 1) - below;
        table.magnitude_offsets[cell] =
            detail::cell_offset(bits, first, below, inside > 0 ? thresholds[below] : first);
        valid = valid && inside <= 1;
    }

    for (int cell = 0; cell < 16; ++cell) {
        const auto offset =
            static_cast<std::uint16_t>(bits > 4 ? 0 : table.magnitude_offsets[cell >> (4 - bits)]);
        table.offset_bytes[0][cell] = static_cast<std::uint8_t>(offset & 0xffu);
        table.offset_bytes[1][cell] = static_cast<std::uint8_t>(offset >> 8);
    }

    for (int cell = 0; cell < 32; ++cell) {
        table.signed_offsets[cell] = 0;
        if (bits > 4) continue;
        const int first = cell < 16 ? cell * 2048 : (cell - 32) * 2048;
        int below = 0;
        int inside = 0;
        int boundary = first;
        if (first >= 0) {
            const int k = detail::count_reached(thresholds, count, first);
            below = half + k;
            inside = detail::count_reached(thresholds, count, first + 2047) - k;
            if (inside > 0) boundary = thresholds[k];
        } else {
            // Below zero a code ends at -T_i, the next begins at 1 - T_i; -32768 has the m of -32767.
            const int reach = first == -32768 ? 32767 : -first;
            const int k = detail::count_reached(thresholds, count, reach);
            below = half - 1 - k;
            inside = k - detail::count_reached(thresholds, count, -(first + 2047));
            if (inside > 0) boundary = 1 - thresholds[k - 1];
        }
        table.signed_offsets[cell] = detail::cell_offset(bits, first, below, boundary);
        valid = valid && inside <= 1;
    }
    return valid;
}

// Fills the int8 centroids of at most 4 bits from the positive ones and the probabilities of their cells: the multiple of
// the centroids that loses least to rounding, in the mean over cells, of those whose largest rounds to 64 … 127. What is
// lost is a relative squared error of about 1e-5 at 4 bits, less below: a thousandth of the quantization error.
inline void fill_int8_centroids(CodebookTable& table, const double* positive,
                                const double* probabilities) noexcept {
    using turboquant::detail::rounded;
    for (std::int8_t& c : table.int8_centroids) c = 0;
    table.int8_step = 0.0f;
    if (table.bits > 4) return;
    const int half = 1 << (table.bits - 1);
    double best = -1.0;
    for (int quarters = 4 * 127; quarters >= 4 * 64; --quarters) {
        const double multiple = 0.25 * quarters / positive[half - 1];
        double product = 0.0, square = 0.0;
        int integers[8];
        for (int i = 0; i < half; ++i) {
            integers[i] = static_cast<int>(rounded(positive[i] * multiple) + 0.5);
            const double weighted = rounded(probabilities[i] * integers[i]);
            product += rounded(weighted * positive[i]);
            square += rounded(weighted * integers[i]);
        }
        // With step = product/square the squared error is Σ p·c² − product²/square.
        const double kept = rounded(product * product) / square;
        if (!(kept > best)) continue;
        best = kept;
        table.int8_step = static_cast<float>(product / square);
        for (int i = 0; i < half; ++i) {
            table.int8_centroids[half + i] = static_cast<std::int8_t>(integers[i]);
            table.int8_centroids[half - 1 - i] = static_cast<std::int8_t>(-integers[i]);
        }
    }
}

// Fills the int16 centroids of more than 4 bits. The largest becomes 32512, so that rounding is within int16.
inline void fill_int16_centroids(CodebookTable& table) noexcept {
    for (int k = 0; k < 256; ++k) table.int16_low[k] = table.int16_high[k] = 0;
    table.int16_step = 0.0f;
    if (table.bits <= 4) return;
    const int count = 1 << table.bits;
    const double step = static_cast<double>(table.centroids[count - 1]) / 32512.0;
    table.int16_step = static_cast<float>(step);
    for (int k = 0; k < 256; ++k) {
        const double c = static_cast<double>(table.centroids[k & (count - 1)]) / step;
        const int value = 32768 + static_cast<int>(c < 0.0 ? c - 0.5 : c + 0.5);
        table.int16_low[k] = static_cast<std::uint8_t>(value & 255);
        table.int16_high[k] = static_cast<std::uint8_t>(value >> 8);
    }
}

}  // namespace simd

TURBOQUANT_NAMESPACE_END
