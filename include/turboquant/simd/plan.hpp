// What a kernel is told: plain data, raw pointers and sizes. No Eigen, no ownership.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "turboquant/config.hpp"
#include "turboquant/simd/codebook_table.hpp"
#include "turboquant/simd/trellis_table.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace simd {

// A kernel's float work buffers hold padded(d) floats: whole blocks of 64 coordinates, and one block to read past.
constexpr std::ptrdiff_t padded(std::ptrdiff_t d) noexcept { return (d + 127) / 64 * 64; }

// Whether a quantizer with template argument Dim may have dimension d.
template <int Dim>
constexpr bool may_be(int d) noexcept {
    return Dim == Dynamic || Dim == d;
}

// Dimensions whose rotation is made of Hadamard transforms; that of the others is dense.
constexpr bool structured(int dim) noexcept { return dim >= 32; }

// The same of template arguments: what the rotation of a quantizer may be. Kernels are given Dynamic where it is dense by
// choice.
template <int Dim>
constexpr bool may_be_dense() noexcept {
    return Dim == Dynamic || !structured(Dim);
}
// The largest power of two up to n.
constexpr int window_of(int n) noexcept {
    int window = 1;
    while (2 * window <= n) window *= 2;
    return window;
}
constexpr bool power_of_two(int d) noexcept { return (d & (d - 1)) == 0; }
// Whether it may have windows of P groups of 16 coordinates that are not the whole.
template <int Dim>
constexpr bool may_have_window(int window) noexcept {
    return Dim == Dynamic ||
           (structured(Dim) && Dim >= 16 * window && Dim < 32 * window && !power_of_two(Dim));
}

// Whether its registers may leave a tail of less than 16 coordinates.
template <int Dim>
constexpr bool may_be_unaligned() noexcept {
    return Dim == Dynamic || Dim % 16 != 0;
}

// At most so many vectors are rotated together, up to the dimension where windows of 8 groups end. (At 256 blocks of vectors
// are copied before they are, where they are not floats.)
inline constexpr int kTogether = 4;
// Floats in `buffers` work buffers for each of them.
constexpr std::ptrdiff_t work_floats(std::ptrdiff_t buffers, std::ptrdiff_t d) noexcept {
    return buffers * padded(d) * (d <= 256 ? kTogether : 1);
}

enum class InputType : int { float32, float16, bfloat16 };

// How a stored scale is kept.
enum class ScaleType : int { float32, float16, bfloat16 };
constexpr std::size_t scale_bytes(ScaleType type) noexcept { return type == ScaleType::float32 ? 4 : 2; }

// Rounds of signs and Hadamard transforms.
inline constexpr int kRounds = 3;

// A random orthogonal matrix in the form that kernels apply. Kernels leave out the normalisation: they compute
// growth·Πx and growth·Πᵀy.
struct RotationPlan {
    int dim = 0;
    double growth = 1;
    // Dense: growth 1; `matrix` holds Π column by column, `transpose` holds Πᵀ, each column padded(dim) floats long.
    const float* matrix = nullptr;
    const float* transpose = nullptr;
    // Structured (matrix == nullptr): see rotation.hpp.
    int registers = 0;  // n = ⌊dim/16⌋
    int window = 0;     // P, the largest power of two ≤ n
    // Per round: what registers are multiplied by as they enter the first window, and what as they enter the last.
    //   dim = 16P    16P signs, no last window.
    //   16 | dim     all n registers: signs, times √P outside the first window; then signs/√P in the last one, 1 before.
    //   else         16P signs; then 16P signs, divided by √(16P) where the first window has been.
    // After all rounds 16P ones, unless 16 | dim ≠ 16P.
    const float* factors = nullptr;
    // Per round where its n registers come from, in floats; after all rounds the n registers in their own order.
    const std::int32_t* order = nullptr;
    int tail() const noexcept { return dim - 16 * registers; }
    // Work buffers begin so many floats after a boundary of 64 bytes: what follows the tail then lies on boundaries.
    int lead() const noexcept { return -tail() & 15; }
    // Whether dim = 16·P: one window, registers in their own order, nothing but signs for factors.
    bool plain() const noexcept { return matrix == nullptr && dim == 16 * window; }
    bool aligned() const noexcept { return dim == 16 * registers; }
    int factors_per_window() const noexcept { return 16 * (aligned() ? registers : window); }
    int factors_per_round() const noexcept { return (plain() ? 1 : 2) * factors_per_window(); }
    const float* ones() const noexcept { return factors + factors_per_round() * std::ptrdiff_t{kRounds}; }
    const std::int32_t* identity() const noexcept { return order + registers * std::ptrdiff_t{kRounds}; }
};

struct CodecPlan;
struct InputColumns;
struct EncodeResult;
using EncodeKernel = EncodeResult(const CodecPlan&, const InputColumns&, std::uint8_t*, float*) noexcept;

// A quantizer: a rotation with a codebook (`bits` > 0), a sign sketch (`sketch` != nullptr), or both. The record of one
// vector is: ⌈bits·d/8⌉ bytes of indices, ⌈d/8⌉ bytes of signs when there is a sketch, the codebook's scale when
// bits > 0, the sketch's scale (always float) when there is a sketch.
struct CodecPlan {
    int dim = 0;
    bool fused = false;  // every rotation is plain: small dimensions stay in registers
    double growth = 1;   // the rotation's
    double steps = 0;    // codebook steps of a unit vector's coordinate 1: √d·units
    int bits = 0;
    const RotationPlan* rotation = nullptr;
    const CodebookTable* codebook = nullptr;
    const TrellisTable* trellis = nullptr;  // instead
    int scale_rule = 0;                     // ScaleRule
    ScaleType scale_type = ScaleType::float32;
    const RotationPlan* sketch = nullptr;
    EncodeKernel* (*encoder)() = nullptr;  // that of the target in use, where it is not the plain one
    bool gaussian = false;  // the sketch is i.i.d. N(0, 1): ‖r‖ is stored, the decoder multiplies by √(π/2)/d

    // Fills in what follows from the rest.
    void complete() noexcept {
        fused = (rotation == nullptr || rotation->plain()) && (sketch == nullptr || sketch->plain());
        if (rotation != nullptr) growth = rotation->growth;
        if (codebook != nullptr)
            steps = std::sqrt(static_cast<double>(dim)) * static_cast<double>(codebook->units);
        if (trellis != nullptr) steps = 1.0 / static_cast<double>(trellis->unit);
    }

    // Floats of work memory for an encoder: of trellis codes, for the vectors that wait and the centroids of one.
    std::ptrdiff_t encode_floats() const noexcept {
        const std::ptrdiff_t waiting = trellis != nullptr && dim <= kLargestWaitingDim ? kMostWaiting : 0;
        return work_floats(3, dim) + waiting * padded(dim);
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
    // For encode: what is taken off each, padded(dim) floats with zeros at the end; and where terms[i] goes, <mean, x_i − mean>,
    // or ‖x_i − mean‖² where `squared`. Then columns whose ‖x_i − mean‖ is not ordinary fail as those do that are not finite.
    const float* mean = nullptr;
    float* terms = nullptr;
    bool squared = false;

    // `some` of them, from `first` on.
    InputColumns part(std::ptrdiff_t first, std::ptrdiff_t some) const noexcept {
        const std::ptrdiff_t element = type == InputType::float32 ? 4 : 2;
        InputColumns columns = *this;
        columns.data = static_cast<const std::uint8_t*>(data) + first * stride * element;
        columns.count = some;
        if (terms != nullptr) columns.terms += first;
        return columns;
    }
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
    // `some` of them, from `first` on.
    RecordRange part(std::ptrdiff_t first, std::ptrdiff_t some) const noexcept {
        RecordRange range = *this;
        range.count = some;
        if (positions != nullptr)
            range.positions += first;
        else if (data != nullptr)
            range.data += static_cast<std::size_t>(first) * stride;
        return range;
    }
};

}  // namespace simd
TURBOQUANT_NAMESPACE_END
