// The view of an Eigen argument that kernels get: a pointer, an element type and a stride.
#pragma once

#include <cstdint>
#include <cstdio>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <type_traits>

#include <Eigen/Core>

#include "turboquant/config.hpp"
#include "turboquant/simd/plan.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace detail {

template <class Scalar>
struct InputTypeOf {
    static_assert(std::is_same_v<Scalar, float> || std::is_same_v<Scalar, Eigen::half> ||
                      std::is_same_v<Scalar, Eigen::bfloat16>,
                  "turboquant: input elements must be float, Eigen::half or Eigen::bfloat16; "
                  "convert others with .cast<float>()");
    static constexpr simd::InputType value = std::is_same_v<Scalar, Eigen::half> ? simd::InputType::float16
                                             : std::is_same_v<Scalar, Eigen::bfloat16>
                                                 ? simd::InputType::bfloat16
                                                 : simd::InputType::float32;
};

// Whether the columns of an expression are memory that can be used where it lies.
template <class X>
inline constexpr bool has_plain_columns_v = (int(X::Flags) & int(Eigen::DirectAccessBit)) != 0 &&
                                            !bool(X::IsRowMajor) && int(X::InnerStrideAtCompileTime) == 1;

// The columns of an expression. Memory with inner stride 1 is used where it lies; anything else is evaluated once into
// a matrix that lives as long as this object. Not by Eigen::Ref where it can be helped: its code is the same symbol in every
// translation unit, whatever the flags. By reference: a copy of what was just written, field by field, waits for the writes.
template <class X, bool Plain = has_plain_columns_v<X>>
class Columns {
    static constexpr simd::InputType kType = InputTypeOf<typename X::Scalar>::value;

public:
    explicit Columns(const X& x)
        : input_{x.data(), kType, static_cast<std::ptrdiff_t>(x.outerStride()),
                 static_cast<std::ptrdiff_t>(x.cols())} {}
    const simd::InputColumns& input() const noexcept { return input_; }

private:
    simd::InputColumns input_;
};
template <class X>
class Columns<X, false> {
    using Scalar = typename X::Scalar;
    static constexpr simd::InputType kType = InputTypeOf<Scalar>::value;
    using Matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;

public:
    explicit Columns(const X& x)
        : ref_(x),
          input_{ref_.data(), kType, static_cast<std::ptrdiff_t>(ref_.outerStride()),
                 static_cast<std::ptrdiff_t>(ref_.cols())} {}
    const simd::InputColumns& input() const noexcept { return input_; }

private:
    Eigen::Ref<const Matrix, 0, Eigen::OuterStride<>> ref_;
    simd::InputColumns input_;
};

// For messages; not std::to_string, whose code for floating point is one symbol for translation units of all flags.
TURBOQUANT_COLD inline std::string number_text(double number) {
    char text[32];
    std::snprintf(text, sizeof text, "%.6g", number);
    return text;
}

[[noreturn]] TURBOQUANT_COLD inline void throw_wrong_rows(const std::string& where, Index expected,
                                                          Index rows) {
    throw_invalid_argument(where + ": expected vectors of dimension " + std::to_string(expected) +
                           ", one per column, but the argument has " + std::to_string(rows) + " rows");
}

inline void check_rows(const char* where, Index expected, Index rows) {
    if (rows != expected) throw_wrong_rows(where, expected, rows);
}

[[noreturn]] TURBOQUANT_COLD inline void throw_wrong_output(const std::string& where, Index rows, Index cols,
                                                            Index given_rows, Index given_cols) {
    throw_invalid_argument(where + ": the output must be " + std::to_string(rows) + " × " +
                           std::to_string(cols) + ", but is " + std::to_string(given_rows) + " × " +
                           std::to_string(given_cols));
}

[[noreturn]] TURBOQUANT_COLD inline void throw_not_finite(const std::string& where, const char* what,
                                                          Index column) {
    throw_invalid_argument(where + ": column " + std::to_string(column) + " of the " + what +
                           " holds a NaN or an infinity");
}

// Of vectors and queries, where scores are taken: the square of the sum of two, or of one and a mean, is a float.
inline constexpr double kLargestNorm = 1e18;
inline constexpr double kNoLimit = std::numeric_limits<double>::infinity();

[[noreturn]] TURBOQUANT_COLD inline void throw_too_large(const std::string& where, const char* what,
                                                         Index column) {
    throw_invalid_argument(where + ": the norm of column " + std::to_string(column) + " of the " + what +
                           " is above 1e18, too large to be scored");
}

[[noreturn]] TURBOQUANT_COLD inline void throw_wrong_dim(const std::string& type, int fixed, Index dim) {
    if (fixed != Eigen::Dynamic && dim != fixed)
        throw_invalid_argument(type + ": the dimension is fixed at " + std::to_string(fixed) +
                               " by the template, but the constructor was given " + std::to_string(dim));
    throw_invalid_argument(type + ": the dimension must be between 1 and 2^24, but is " +
                           std::to_string(dim));
}

// The dimension, checked against a fixed Dim.
template <int Dim>
int checked_dim(const char* type, Index dim) {
    static_assert(Dim >= 1 || Dim == Eigen::Dynamic,
                  "turboquant: Dim must be at least 1, or Eigen::Dynamic for a dimension known at run time");
    if ((Dim != Eigen::Dynamic && dim != Dim) || dim < 1 || dim > (Index{1} << 24))
        throw_wrong_dim(type, Dim, dim);
    return static_cast<int>(dim);
}

// Work memory of a call: on the stack up to 128 KiB (any d up to about 8192), from the heap beyond. The body is called
// through a pointer, so that each is compiled once.
inline constexpr std::ptrdiff_t kStackFloats = 32768;
using ScratchBody = void (*)(void* context, float* scratch);
TURBOQUANT_NOINLINE inline void with_large_stack(ScratchBody body, void* context) {
    alignas(64) float memory[kStackFloats];
    body(context, memory);
}
TURBOQUANT_NOINLINE inline void with_small_stack(ScratchBody body, void* context) {
    alignas(64) float memory[4096];
    body(context, memory);
}
TURBOQUANT_NOINLINE inline void with_heap(std::ptrdiff_t floats, ScratchBody body, void* context) {
    struct Delete {
        void operator()(float* p) const noexcept { ::operator delete[](p, std::align_val_t{64}); }
    };
    const std::unique_ptr<float[], Delete> memory(static_cast<float*>(
        ::operator new[](static_cast<std::size_t>(floats) * sizeof(float), std::align_val_t{64})));
    body(context, memory.get());
}
template <class Body>
void with_scratch(std::ptrdiff_t floats, Body&& body) {
    const ScratchBody call = [](void* context, float* scratch) {
        (*static_cast<std::remove_reference_t<Body>*>(context))(scratch);
    };
    if (floats <= 4096) return with_small_stack(call, &body);
    if (floats <= kStackFloats) return with_large_stack(call, &body);
    with_heap(floats, call, &body);
}

}  // namespace detail
TURBOQUANT_NAMESPACE_END
