// The kernels that quantizers, indexes and caches call, each by its name: that of the target in use.
//
// By default a program compiles those that it uses, in each translation unit that uses them. Where many units do, one library
// can hold them all: units see declarations alone under TURBOQUANT_COMPILED_KERNELS, and the library's, one for each
// TURBOQUANT_KERNELS_OF_BITS from 1 to 8, compile what is declared (cmake/TurboquantKernels.cmake).
#pragma once

#include <cstddef>
#include <cstdint>

#include "turboquant/config.hpp"
#include "turboquant/simd/attention_plan.hpp"
#include "turboquant/simd/codebook_table.hpp"
#include "turboquant/simd/dispatch.hpp"
#include "turboquant/simd/graded_keys.hpp"
#include "turboquant/simd/plan.hpp"
#include "turboquant/simd/scan_layout.hpp"
#include "turboquant/simd/value_layout.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace simd {

// --- Their types. What each does stands where it is defined, in kernels/. ---------------------------------------------------

using RotateKernel = std::ptrdiff_t(const RotationPlan&, bool, const InputColumns&, float*, std::ptrdiff_t,
                                    float*, float*) noexcept;
using DecodeKernel = void(const CodecPlan&, const RecordRange&, float*, std::ptrdiff_t, float*) noexcept;
using ScoreKernel = void(const CodecPlan&, const RecordRange&, const float*, std::ptrdiff_t, std::ptrdiff_t,
                         float*, std::ptrdiff_t, float*) noexcept;
using CodeProductsKernel = void(const CodecPlan&, const RecordRange&, const RecordRange&, float*,
                                std::ptrdiff_t, float*) noexcept;
template <int Bits>
using ScanKernel = void(const ScanLayout<Bits>&, const CodebookTable&, const ScanBlocks&, const ScanQuery*,
                        int, ScanSink&, float*) noexcept;

using LoadRowsKernel = void(const CodecPlan&, const std::uint8_t*, int, const std::uint8_t*, float*,
                            std::ptrdiff_t, float*) noexcept;
using MeanProductsKernel = void(const CodecPlan&, const std::uint8_t*, const float*, std::ptrdiff_t, int,
                                float*) noexcept;
template <int Bits>
using BlockProductsKernel = void(const ScanLayout<Bits>&, const CodebookTable&, const std::uint8_t*,
                                 const ScanQuery*, int, float*) noexcept;
using FinerProductsKernel = void(const CodecPlan&, const std::uint8_t*, std::uint64_t, const float*,
                                 std::ptrdiff_t, int, float*) noexcept;
using GradedProductsKernel = void(int, const GradedCodebooks&, const std::uint8_t*, const KeyGrades&,
                                  const ScanQuery*, int, float*) noexcept;
template <int Bits>
using BlockSumsKernel = void(const ValueLayout<Bits>&, const CodebookTable&, const std::uint8_t*, int,
                             const RoundedWeights*, std::uint32_t, float*, std::ptrdiff_t) noexcept;
using WideProductsKernel = void(const CodecPlan&, const std::uint8_t*, int, const float*, std::ptrdiff_t, int,
                                float*) noexcept;
using WideSumsKernel = void(const CodecPlan&, const std::uint8_t*, int, const RoundedWeights*, std::uint32_t,
                            float*, std::ptrdiff_t) noexcept;

// Whether 5 to 8 bits have kernels on integers of two bytes.
inline bool has_wide_kernels() noexcept { return TURBOQUANT_X86 && active_target() == Target::avx512_vnni; }

// --- Kernels ---------------------------------------------------------------------------------------------------------------

#if defined(TURBOQUANT_COMPILED_KERNELS)
// Every dimension's: a kernel for one dimension alone gains a few percent at most.
template <int Dim>
inline constexpr int kKernelDim = Dynamic;
#else
template <int Dim>
inline constexpr int kKernelDim = Dim;
#endif

#if defined(TURBOQUANT_COMPILED_KERNELS)
RotateKernel* rotate_kernel();
#else
inline RotateKernel* rotate_kernel() { return TURBOQUANT_KERNEL(rotate_columns); }
#endif

template <int Bits, bool Sketch, int Dim>
EncodeKernel* encode_kernel() {
    return TURBOQUANT_KERNEL(template encode<Bits, Sketch, Dim>);
}
template <int Bits>
EncodeKernel* refined_encode_kernel() {
    return TURBOQUANT_KERNEL(template encode_refined<Bits>);
}
template <int Bits, int Window>
EncodeKernel* trellis_encode_kernel() {
    return TURBOQUANT_KERNEL(template encode_trellis<Bits, Window>);
}

template <int Bits, bool Sketch, int Dim>
DecodeKernel* decode_kernel() {
    return TURBOQUANT_KERNEL(template decode<Bits, Sketch, Dim>);
}
template <int Bits, int Dim>
DecodeKernel* trellis_decode_kernel() {
    return TURBOQUANT_KERNEL(template decode_trellis<Bits, Dim>);
}

// Of queries as floats.
template <int Bits, bool Sketch>
ScoreKernel* inner_products_kernel() {
    return TURBOQUANT_KERNEL(template inner_products<Bits, Sketch>);
}
template <int Bits, bool Sketch>
ScoreKernel* squared_distances_kernel() {
    return TURBOQUANT_KERNEL(template squared_distances<Bits, Sketch>);
}
// Of queries rounded to int8; the wide one's to two bytes.
template <int Bits, bool Sketch>
ScoreKernel* record_products_kernel() {
    return TURBOQUANT_INT8_KERNEL(template record_products<Bits, Sketch>);
}
template <int Bits>
ScoreKernel* trellis_products_kernel() {
    return TURBOQUANT_INT8_KERNEL(template trellis_products<Bits>);
}
template <int Bits, bool Sketch>
CodeProductsKernel* code_products_kernel() {
    return TURBOQUANT_KERNEL(template code_products<Bits, Sketch>);
}
template <int Bits>
ScanKernel<Bits>* scan_kernel() {
    return TURBOQUANT_INT8_KERNEL(template scan<Bits>);
}

template <int Bits>
LoadRowsKernel* load_rows_kernel() {
    return TURBOQUANT_KERNEL(template load_rows<Bits>);
}
template <int Bits>
MeanProductsKernel* mean_products_kernel() {
    return TURBOQUANT_KERNEL(template mean_products<Bits>);
}
template <int Bits>
BlockProductsKernel<Bits>* block_products_kernel() {
    return TURBOQUANT_INT8_KERNEL(template code_products_of_block<Bits>);
}
template <int Bits>
FinerProductsKernel* finer_products_kernel() {
    return TURBOQUANT_KERNEL(template finer_key_products<Bits>);
}
template <int Bits>
GradedProductsKernel* graded_products_kernel() {
    return TURBOQUANT_INT8_KERNEL(template graded_products_of_block<Bits>);
}
template <int Bits>
BlockSumsKernel<Bits>* block_sums_kernel() {
    return TURBOQUANT_INT8_KERNEL(template accumulate_codes_of_block<Bits>);
}

#if TURBOQUANT_X86
template <int Bits>
ScoreKernel* wide_record_products_kernel() {
    return &avx512_vnni::wide_record_products<Bits>;
}
template <int Bits>
WideProductsKernel* wide_products_kernel() {
    return &avx512_vnni::wide_products_of_records<Bits>;
}
template <int Bits>
WideSumsKernel* wide_sums_kernel() {
    return &avx512_vnni::accumulate_wide_records<Bits>;
}
#endif

// --- One library for all ------------------------------------------------------------------------------------------------------

#if defined(TURBOQUANT_COMPILED_KERNELS)

// A quantizer of b bits has indices of b bits, or of b - 1 and a sketch.
#define TURBOQUANT_CODE_KERNELS(keyword, bits, sketch)                      \
    keyword template ScoreKernel* squared_distances_kernel<bits, sketch>(); \
    keyword template CodeProductsKernel* code_products_kernel<bits, sketch>();
#define TURBOQUANT_CODEC_KERNELS(keyword, bits, sketch)                    \
    keyword template EncodeKernel* encode_kernel<bits, sketch, Dynamic>(); \
    keyword template DecodeKernel* decode_kernel<bits, sketch, Dynamic>(); \
    TURBOQUANT_CODE_KERNELS(keyword, bits, sketch)
#define TURBOQUANT_KERNELS(keyword, bits)                         \
    TURBOQUANT_CODEC_KERNELS(keyword, bits, false)                \
    TURBOQUANT_CODEC_KERNELS(keyword, bits - 1, true)             \
    keyword template EncodeKernel* refined_encode_kernel<bits>(); \
    keyword template LoadRowsKernel* load_rows_kernel<bits>();    \
    keyword template MeanProductsKernel* mean_products_kernel<bits>();

// Indices of 1 to 4 bits are looked up as bytes.
#define TURBOQUANT_NARROW_KERNELS(keyword, bits)                               \
    TURBOQUANT_KERNELS(keyword, bits)                                          \
    keyword template ScoreKernel* record_products_kernel<bits, false>();       \
    keyword template ScoreKernel* record_products_kernel<bits, true>();        \
    keyword template ScanKernel<bits>* scan_kernel<bits>();                    \
    keyword template BlockProductsKernel<bits>* block_products_kernel<bits>(); \
    keyword template BlockSumsKernel<bits>* block_sums_kernel<bits>();         \
    TURBOQUANT_TRELLIS_KERNELS(keyword, bits)
#define TURBOQUANT_TRELLIS_KERNELS(keyword, bits)                          \
    TURBOQUANT_CODE_KERNELS(keyword, kTrellis + bits, false)               \
    keyword template EncodeKernel* trellis_encode_kernel<bits, 6>();       \
    keyword template EncodeKernel* trellis_encode_kernel<bits, 7>();       \
    keyword template EncodeKernel* trellis_encode_kernel<bits, 8>();       \
    keyword template DecodeKernel* trellis_decode_kernel<bits, Dynamic>(); \
    keyword template ScoreKernel* trellis_products_kernel<bits>();

// Keys of which some have a bit more or less have 2 to 4.
#define TURBOQUANT_GRADED_KERNELS(keyword, bits) \
    keyword template GradedProductsKernel* graded_products_kernel<bits>();

// Of 5 to 8 bits as floats, or as integers of two bytes.
#define TURBOQUANT_FLOAT_KERNELS(keyword, bits)                         \
    TURBOQUANT_KERNELS(keyword, bits)                                   \
    keyword template ScoreKernel* inner_products_kernel<bits, false>(); \
    keyword template ScoreKernel* inner_products_kernel<bits, true>();
#if TURBOQUANT_X86
#define TURBOQUANT_WIDE_KERNELS(keyword, bits)                         \
    TURBOQUANT_FLOAT_KERNELS(keyword, bits)                            \
    keyword template ScoreKernel* wide_record_products_kernel<bits>(); \
    keyword template WideProductsKernel* wide_products_kernel<bits>(); \
    keyword template WideSumsKernel* wide_sums_kernel<bits>();
#else
#define TURBOQUANT_WIDE_KERNELS(keyword, bits) TURBOQUANT_FLOAT_KERNELS(keyword, bits)
#endif

// Once: rotations, and a sketch alone.
#if !defined(TURBOQUANT_KERNELS_OF_BITS)
extern template ScoreKernel* record_products_kernel<0, true>();
#elif TURBOQUANT_KERNELS_OF_BITS == 1
template ScoreKernel* record_products_kernel<0, true>();
RotateKernel* rotate_kernel() { return TURBOQUANT_KERNEL(rotate_columns); }
#endif

#if !defined(TURBOQUANT_KERNELS_OF_BITS)
TURBOQUANT_NARROW_KERNELS(extern, 1)
TURBOQUANT_NARROW_KERNELS(extern, 2)
TURBOQUANT_NARROW_KERNELS(extern, 3)
TURBOQUANT_NARROW_KERNELS(extern, 4)
TURBOQUANT_GRADED_KERNELS(extern, 2)
TURBOQUANT_GRADED_KERNELS(extern, 3)
TURBOQUANT_GRADED_KERNELS(extern, 4)
extern template FinerProductsKernel* finer_products_kernel<5>();
TURBOQUANT_WIDE_KERNELS(extern, 5)
TURBOQUANT_WIDE_KERNELS(extern, 6)
TURBOQUANT_WIDE_KERNELS(extern, 7)
TURBOQUANT_WIDE_KERNELS(extern, 8)
#elif TURBOQUANT_KERNELS_OF_BITS <= 4
TURBOQUANT_NARROW_KERNELS(, TURBOQUANT_KERNELS_OF_BITS)
#if TURBOQUANT_KERNELS_OF_BITS > 1
TURBOQUANT_GRADED_KERNELS(, TURBOQUANT_KERNELS_OF_BITS)
#endif
#else
TURBOQUANT_WIDE_KERNELS(, TURBOQUANT_KERNELS_OF_BITS)
#if TURBOQUANT_KERNELS_OF_BITS == 5
template FinerProductsKernel* finer_products_kernel<5>();
#endif
#endif

#endif

}  // namespace simd
TURBOQUANT_NAMESPACE_END
