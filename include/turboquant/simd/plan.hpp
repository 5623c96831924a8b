// What a kernel is told: plain data, raw pointers and sizes. No Eigen, no ownership.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "turboquant/config.hpp"
#include "turboquant/simd/codebook_table.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace simd {

// A kernel's float work buffers hold padded(d) floats: whole blocks of 64 coordinates, and one block to read past.
constexpr std::ptrdiff_t padded(std::ptrdiff_t d) noexcept { return (d + 127) / 64 * 64; }

// Whether a quantizer with template argument Dim may have dimension d.
template <int Dim>
constexpr bool may_be(int d) noexcept {
    return Dim == Dynamic || Dim == d;
}

enum class InputType : int { float32, float16, bfloat16 };

// How a stored scale is kept.
enum class ScaleType : int { float32, float16, bfloat16 };
constexpr std::size_t scale_bytes(ScaleType type) noexcept { return type == ScaleType::float32 ? 4 : 2; }

// Rounds of signs and Hadamard transforms when d is a power of two.
inline constexpr int kSignedRounds = 3;

// A random orthogonal matrix in the form that kernels apply. Kernels leave out the normalisation: they compute
// growth·Πx and growth·Πᵀy.
struct RotationPlan {
    int dim = 0;
    double growth = 1;
    // Dense: growth 1; `matrix` holds Π column by column, `transpose` holds Πᵀ, each column padded(dim) floats long.
    const float* matrix = nullptr;
    const float* transpose = nullptr;
    // Structured (matrix == nullptr): see rotation.hpp.
    int rounds = 0;
    int registers = 0;  // n = ⌊dim/16⌋
    int window = 0;     // P, the largest power of two ≤ n
    // dim = 16·P: per round dim sign masks (+0.0 or −0.0), and after them dim times +0.0. Otherwise per round 2·16·n
    // factors.
    const float* signs = nullptr;
    // Per round where its n registers come from, in floats, then the place that the tail is exchanged with first (not in
    // round 0); after all rounds the n registers in their own order. nullptr when dim = 16·P: in place.
    const std::int32_t* order = nullptr;
    int tail() const noexcept { return dim - 16 * registers; }
    const std::int32_t* identity() const noexcept {
        return order + static_cast<std::ptrdiff_t>(registers + 1) * rounds;
    }
    bool in_place() const noexcept { return matrix == nullptr && order == nullptr; }
    int factors_per_round() const noexcept { return order != nullptr ? 32 * registers : dim; }
};

// A quantizer: a rotation with a codebook (`bits` > 0), a sign sketch (`sketch` != nullptr), or both. The record of one
// vector is: ⌈bits·d/8⌉ bytes of indices, ⌈d/8⌉ bytes of signs when there is a sketch, the codebook's scale when
// bits > 0, the sketch's scale (always float) when there is a sketch.
struct CodecPlan {
    int dim = 0;
    bool fused = false;  // every rotation is signed Hadamards in place: small dimensions stay in registers
    double growth = 1;   // the rotation's
    double steps = 0;    // codebook steps of a unit vector's coordinate 1: √d·units
    int bits = 0;
    const RotationPlan* rotation = nullptr;
    const CodebookTable* codebook = nullptr;
    int scale_rule = 0;  // ScaleRule
    ScaleType scale_type = ScaleType::float32;
    const RotationPlan* sketch = nullptr;
    bool gaussian = false;  // the sketch is i.i.d. N(0, 1): ‖r‖ is stored, the decoder multiplies by √(π/2)/d

    // Fills in what follows from the rest.
    void complete() noexcept {
        fused = (rotation == nullptr || rotation->in_place()) && (sketch == nullptr || sketch->in_place());
        if (rotation != nullptr) growth = rotation->growth;
        if (codebook != nullptr)
            steps = std::sqrt(static_cast<double>(dim)) * static_cast<double>(codebook->units);
    }

    std::size_t index_bytes() const noexcept {
        return (static_cast<std::size_t>(bits) * unsigned(dim) + 7) / 8;
    }
    std::size_t sign_bytes() const noexcept { return sketch ? (static_cast<std::size_t>(dim) + 7) / 8 : 0; }
    std::size_t scale_offset() const noexcept { return index_bytes() + sign_bytes(); }
    std::size_t sketch_scale_offset() const noexcept {
        return scale_offset() + (bits > 0 ? scale_bytes(scale_type) : 0);
    }
    std::size_t record_bytes() const noexcept { return sketch_scale_offset() + (sketch ? 4 : 0); }
};

// n vectors of one element type; consecutive vectors lie `stride` elements apart.
struct InputColumns {
    const void* data;
    InputType type;
    std::ptrdiff_t stride;
    std::ptrdiff_t count;
};

// Why encode stopped at a column.
enum class EncodeError : int { none, not_finite, scale_overflow };
struct EncodeResult {
    std::ptrdiff_t encoded;  // records written before the error
    EncodeError error;
    double norm;  // of the column whose scale overflowed
};

// Columns that were made ready for an index, and what ails the next one.
enum class ColumnError : int { none, not_finite, too_large };
struct CentreResult {
    std::ptrdiff_t good;
    ColumnError error;
};

// Records to read: record i is at data + (positions ? positions[i] : i)·stride.
struct RecordRange {
    const std::uint8_t* data;
    std::size_t stride;
    const std::ptrdiff_t* positions;
    std::ptrdiff_t count;
    const std::uint8_t* end;  // of all records: kernels may read up to here, whichever record they are at
    const std::uint8_t* operator[](std::ptrdiff_t i) const noexcept {
        return data + static_cast<std::size_t>(positions ? positions[i] : i) * stride;
    }
};

}  // namespace simd
TURBOQUANT_NAMESPACE_END
