// How a quantizer's codes of a block of 64 tokens lie, and how attention reads them. KvBlockCodec and KvCache use it through
// BlockFormat<Quantizer>:
//
//   MseQuantizer, 1 to 4 bits   interleaved for integer dot products (simd/scan_layout.hpp for keys, simd/value_layout.hpp
//                               for values), then 64 scales; products and sums are taken in the rotated domain
//   MseQuantizer, 5 to 8 bits   records one after another (codes.hpp); the same, in integers of two bytes where the target
//                               has the lookups, else in float
//   any other                   records one after another, decoded part by part
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "turboquant/attention.hpp"
#include "turboquant/codes.hpp"
#include "turboquant/columns.hpp"
#include "turboquant/config.hpp"
#include "turboquant/mse_quantizer.hpp"
#include "turboquant/simd/dispatch.hpp"
#include "turboquant/simd/kernels.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace detail {

using simd::kBlockTokens;

// One group of queries, prepared: rows of `stride` floats, multiplied by scale·log2(e), zero from the dimension on.
struct BlockQueries {
    int columns;
    const float* exact;
    const float* rotated;
    std::ptrdiff_t stride;
    const simd::ScanQuery* rounded;
};

// Rows of floats that a part of a block is unpacked or decoded to.
constexpr std::ptrdiff_t tile_stride(std::ptrdiff_t dim) noexcept { return (dim + 63) / 64 * 64; }
inline int tile_rows(Index dim) noexcept {
    return static_cast<int>(std::clamp<std::ptrdiff_t>(8192 / tile_stride(dim), 1, kBlockTokens));
}
inline std::ptrdiff_t tile_floats(Index dim) noexcept { return tile_rows(dim) * tile_stride(dim); }

// What a call of attend takes from dispatch, once.
struct FloatKernels {
    decltype(TURBOQUANT_KERNEL(row_products)) products = TURBOQUANT_KERNEL(row_products);
    decltype(TURBOQUANT_KERNEL(accumulate_rows)) accumulate = TURBOQUANT_KERNEL(accumulate_rows);
    decltype(TURBOQUANT_KERNEL(soften)) soften = TURBOQUANT_KERNEL(soften);
    decltype(TURBOQUANT_KERNEL(load_shares)) load_shares = TURBOQUANT_KERNEL(load_shares);
};

// Each token's scale as float: where it lies, or converted to `buffer`.
inline const float* block_scales(const std::uint8_t* scales, simd::ScaleType type, float* buffer) {
    if (type == simd::ScaleType::float32) return reinterpret_cast<const float*>(scales);
    TURBOQUANT_KERNEL(widen_scales)(scales, type, kBlockTokens, buffer);
    return buffer;
}

// --- Any quantizer -------------------------------------------------------------------------------------------------

template <class Quantizer>
class BlockFormat {
public:
    static constexpr bool kRotated = false;

    explicit BlockFormat(const Quantizer& quantizer) : quantizer_(&quantizer) {}

    std::size_t key_block_bytes() const { return kBlockTokens * quantizer_->bytes_per_vector(); }
    std::size_t value_block_bytes() const { return key_block_bytes(); }

    // Records of `count` rows.
    void encode_rows(const char*, const float* rows, std::ptrdiff_t stride, int count, std::uint8_t* records,
                     float*) const {
        const Codes codes = quantizer_->encode(Eigen::Map<const Eigen::MatrixXf, 0, Eigen::OuterStride<>>(
            rows, quantizer_->dim(), count, Eigen::OuterStride<>(stride)));
        std::memcpy(records, codes.data(), codes.bytes());
    }
    void store_keys(const std::uint8_t* records, int first, int count, std::uint8_t* block) const {
        const std::size_t bytes = quantizer_->bytes_per_vector();
        std::memcpy(block + static_cast<std::size_t>(first) * bytes, records,
                    static_cast<std::size_t>(count) * bytes);
    }
    void store_values(const std::uint8_t* records, int first, int count, std::uint8_t* block) const {
        store_keys(records, first, count, block);
    }

    void round(float*, std::int8_t*, simd::ScanQuery&, float*) const noexcept {}

    const float* key_products(const FloatKernels& kernels, const std::uint8_t* block, int tokens,
                              const BlockQueries& queries, float* logits, float*, float* tile) const {
        for_parts(block, tokens, tile, [&](int first, int count, std::ptrdiff_t stride) {
            kernels.products(tile, stride, count, static_cast<int>(quantizer_->dim()), queries.exact,
                             queries.stride, queries.columns, logits + first);
        });
        return nullptr;
    }
    // Products become weights; which columns' values count. (`softmax` comes by reference: a copy of what was just written waits
    // for the writes.)
    std::uint32_t soften(const FloatKernels& kernels, const std::uint8_t*, simd::SoftmaxBlock& softmax,
                         const simd::SoftmaxState& state, float* logits, simd::RoundedWeights*) const {
        return kernels.soften(softmax, state, logits);
    }
    void accumulate(const FloatKernels& kernels, const std::uint8_t* block, int tokens, const float* weights,
                    const simd::RoundedWeights*, std::uint32_t, const simd::SoftmaxState& state,
                    float* tile) const {
        for_parts(block, tokens, tile, [&](int first, int count, std::ptrdiff_t stride) {
            kernels.accumulate(tile, stride, count, static_cast<int>(quantizer_->dim()), weights + first,
                               state.columns, state.exact, state.stride);
        });
    }
    void rotate_back(const float*, float*, float*) const noexcept {}

    // The vector of token t, dim() floats.
    void decode_key(const std::uint8_t* block, int t, float* out, float*) const {
        decode_part(block, t, 1, out, quantizer_->dim());
    }
    void decode_value(const std::uint8_t* block, int t, float* out, float* scratch) const {
        decode_key(block, t, out, scratch);
    }

    // The mean of a block's keys, a record of its own.
    std::size_t mean_record_bytes() const { return quantizer_->bytes_per_vector(); }
    void encode_mean(const char* where, const float* mean, std::uint8_t* record, float* scratch) const {
        encode_rows(where, mean, quantizer_->dim(), 1, record, scratch);
    }
    void decode_mean(const std::uint8_t* record, float* out, float*) const {
        decode_part(record, 0, 1, out, quantizer_->dim());
    }
    // Its product with each query; `work` holds 64 floats for each.
    void mean_products(const FloatKernels& kernels, const std::uint8_t* record, const BlockQueries& queries,
                       float* products, float* work, float* tile) const {
        key_products(kernels, record, 1, queries, work, nullptr, tile);
        for (int c = 0; c < queries.columns; ++c) products[c] = work[c * kBlockTokens];
    }

private:
    void decode_part(const std::uint8_t* block, int first, int count, float* out,
                     std::ptrdiff_t stride) const {
        Eigen::Map<Eigen::MatrixXf, 0, Eigen::OuterStride<>> rows(out, quantizer_->dim(), count,
                                                                  Eigen::OuterStride<>(stride));
        quantizer_->decode(
            quantizer_->view(block + static_cast<std::size_t>(first) * quantizer_->bytes_per_vector(), count),
            rows);
    }
    template <class Body>
    void for_parts(const std::uint8_t* block, int tokens, float* tile, Body&& body) const {
        const std::ptrdiff_t stride = tile_stride(quantizer_->dim());
        const int rows = tile_rows(quantizer_->dim());
        std::fill(tile, tile + rows * stride, 0.0f);
        for (int first = 0; first < tokens; first += rows) {
            const int count = std::min(rows, tokens - first);
            decode_part(block, first, count, tile, stride);
            body(first, count, stride);
        }
    }

    const Quantizer* quantizer_;
};

// --- MseQuantizer --------------------------------------------------------------------------------------------------

// The weights' rounding adds at most this to the square of the values' relative error: the square of .06 times the root of
// the distortion at each width.
inline constexpr float kDistortions[] = {1,       0.36f,   0.117f,  0.034f, 0.0095f,
                                         0.0025f, 6.4e-4f, 1.6e-4f, 4.1e-5f};
template <int Bits>
inline constexpr float kWeightTolerance = 0.0036f * kDistortions[Bits];

// Records of `count` rows, by the plan of a quantizer of so many bits.
template <int Dim, int Bits>
void encode_by_plan(const char* where, const simd::CodecPlan& plan, const float* rows, std::ptrdiff_t stride,
                    int count, std::uint8_t* records, float* scratch) {
    simd::EncodeKernel* const kernel = encode_kernel<Bits, false, Dim>(plan);
    const simd::InputColumns in{rows, simd::InputType::float32, stride, count};
    const simd::EncodeResult result = kernel(plan, in, records, scratch);
    if (result.error != simd::EncodeError::none)
        throw_invalid_argument(std::string(where) + ": a token's norm is " + std::to_string(result.norm) +
                               ", too large for the type of the stored scale");
}

// What its two formats share.
template <int Dim, int Bits>
class MseFormat {
public:
    static constexpr bool kRotated = true;
    explicit MseFormat(const simd::CodecPlan& plan) noexcept : plan_(&plan) {}

    void encode_rows(const char* where, const float* rows, std::ptrdiff_t stride, int count,
                     std::uint8_t* records, float* scratch) const {
        encode_by_plan<Dim, Bits>(where, *plan_, rows, stride, count, records, scratch);
    }

    std::size_t mean_record_bytes() const noexcept { return plan_->record_bytes(); }
    // With the least-squares scale: it is the energy of what is left that counts, and no mean grows.
    void encode_mean(const char* where, const float* mean, std::uint8_t* record, float* scratch) const {
        simd::CodecPlan plan = *plan_;
        plan.scale_rule = static_cast<int>(ScaleRule::least_squares);
        encode_by_plan<Dim, Bits>(where, plan, mean, 0, 1, record, scratch);
    }
    void decode_mean(const std::uint8_t* record, float* out, float* scratch) const {
        decode_record(record, record + plan_->record_bytes(), out, scratch);
    }
    void mean_products(const FloatKernels&, const std::uint8_t* record, const BlockQueries& queries,
                       float* products, float*, float*) const {
        mean_products_(*plan_, record, queries.rotated, queries.stride, queries.columns, products);
    }

protected:
    Index dim() const noexcept { return plan_->dim; }

    // Memory may be read up to `end`.
    void decode_record(const std::uint8_t* record, const std::uint8_t* end, float* out,
                       float* scratch) const {
        const auto kernel = simd::decode_kernel<Bits, false, Dim>();
        kernel(*plan_, {record, plan_->record_bytes(), nullptr, 1, end}, out, 0, scratch);
    }

    // Πᵀ of a row in natural order.
    void rotate_row_back(const float* row, float* out, float* scratch) const {
        const simd::InputColumns in{row, simd::InputType::float32, 0, 1};
        simd::rotate_kernel()(*plan_->rotation, true, in, out, 0, scratch, nullptr);
    }

    const simd::CodecPlan* plan_;

private:
    simd::MeanProductsKernel* mean_products_ = simd::mean_products_kernel<Bits>();
};

// The kernels on integers of two bytes, where the target has them.
template <int Bits>
struct WideKernels {
    void (*round)(int, float*, std::ptrdiff_t, std::ptrdiff_t, float*) noexcept = nullptr;
    simd::WideProductsKernel* products = nullptr;
    simd::WideSumsKernel* accumulate = nullptr;
    WideKernels() {
#if TURBOQUANT_X86
        if (!simd::has_wide_kernels()) return;
        round = &simd::avx512_vnni::round_wide_rows;
        products = simd::wide_products_kernel<Bits>();
        accumulate = simd::wide_sums_kernel<Bits>();
#endif
    }
};

template <int Dim, int Bits>
class RecordFormat : public MseFormat<Dim, Bits> {
    using Base = MseFormat<Dim, Bits>;
    using Base::plan_;

public:
    explicit RecordFormat(const simd::CodecPlan& plan) : Base(plan) {}

    std::size_t key_block_bytes() const noexcept { return kBlockTokens * plan_->record_bytes(); }
    std::size_t value_block_bytes() const noexcept { return key_block_bytes(); }

    void store_keys(const std::uint8_t* records, int first, int count, std::uint8_t* block) const noexcept {
        const std::size_t bytes = plan_->record_bytes();
        std::memcpy(block + static_cast<std::size_t>(first) * bytes, records,
                    static_cast<std::size_t>(count) * bytes);
    }
    void store_values(const std::uint8_t* records, int first, int count, std::uint8_t* block) const noexcept {
        store_keys(records, first, count, block);
    }

    void round(float* rotated, std::int8_t*, simd::ScanQuery&, float* scratch) const noexcept {
        if (wide_.round != nullptr) wide_.round(plan_->dim, rotated, 0, 1, scratch);
    }

    const float* key_products(const FloatKernels& kernels, const std::uint8_t* block, int tokens,
                              const BlockQueries& queries, float* logits, float* scales, float* tile) const {
        if (wide_.products != nullptr) {
            wide_.products(*plan_, block, tokens, queries.rotated, queries.stride, queries.columns, logits);
            TURBOQUANT_KERNEL(load_scales_of_records)(*plan_, block, tokens, scales);
            return scales;
        }
        for_parts(block, tokens, scales, tile, [&](int first, int count, std::ptrdiff_t stride) {
            kernels.products(tile, stride, count, plan_->dim, queries.rotated, queries.stride,
                             queries.columns, logits + first);
        });
        return scales;
    }
    std::uint32_t soften(const FloatKernels& kernels, const std::uint8_t* block, simd::SoftmaxBlock& softmax,
                         const simd::SoftmaxState& state, float* logits,
                         simd::RoundedWeights* rounded) const {
        alignas(64) float scales[kBlockTokens];
        TURBOQUANT_KERNEL(load_scales_of_records)(*plan_, block, softmax.tokens, scales);
        softmax.value_scales = scales;
        if (wide_.accumulate == nullptr) return kernels.soften(softmax, state, logits);
        softmax.tolerance = kWeightTolerance<Bits>;
        return TURBOQUANT_INT8_KERNEL(soften_codes)(softmax, state, logits, rounded);
    }
    void accumulate(const FloatKernels& kernels, const std::uint8_t* block, int tokens, const float* weights,
                    const simd::RoundedWeights* rounded, std::uint32_t counted,
                    const simd::SoftmaxState& state, float* tile) const {
        if (wide_.accumulate != nullptr)
            return wide_.accumulate(*plan_, block, tokens, rounded, counted, state.rotated, state.stride);
        float scales[kBlockTokens];
        for_parts(block, tokens, scales, tile, [&](int first, int count, std::ptrdiff_t stride) {
            kernels.accumulate(tile, stride, count, plan_->dim, weights + first, state.columns, state.rotated,
                               state.stride);
        });
    }
    void rotate_back(const float* sums, float* out, float* scratch) const {
        this->rotate_row_back(sums, out, scratch);
    }

    // Queries may be integers here.
    void mean_products(const FloatKernels& kernels, const std::uint8_t* record, const BlockQueries& queries,
                       float* products, float* work, float* tile) const {
        if (wide_.products == nullptr)
            return Base::mean_products(kernels, record, queries, products, work, tile);
        float scale;
        key_products(kernels, record, 1, queries, work, &scale, tile);
        for (int c = 0; c < queries.columns; ++c) products[c] = work[c * kBlockTokens] * scale;
    }

    void decode_key(const std::uint8_t* block, int t, float* out, float* scratch) const {
        this->decode_record(block + static_cast<std::size_t>(t) * plan_->record_bytes(),
                            block + key_block_bytes(), out, scratch);
    }
    void decode_value(const std::uint8_t* block, int t, float* out, float* scratch) const {
        decode_key(block, t, out, scratch);
    }

private:
    template <class Body>
    void for_parts(const std::uint8_t* block, int tokens, float* scales, float* tile, Body&& body) const {
        const auto load = simd::load_rows_kernel<Bits>();
        const std::ptrdiff_t stride = tile_stride(plan_->dim);
        const int rows = tile_rows(plan_->dim);
        for (int first = 0; first < tokens; first += rows) {
            const int count = std::min(rows, tokens - first);
            load(*plan_, block + static_cast<std::size_t>(first) * plan_->record_bytes(), count,
                 block + key_block_bytes(), tile, stride, scales + first);
            body(first, count, stride);
        }
    }

    WideKernels<Bits> wide_;
};

template <int Dim, int Bits>
class InterleavedFormat : public MseFormat<Dim, Bits> {
    using Base = MseFormat<Dim, Bits>;
    using Base::plan_;

public:
    explicit InterleavedFormat(const simd::CodecPlan& plan)
        : Base(plan), keys_(plan.dim), values_(plan.dim), scale_bytes_(simd::scale_bytes(plan.scale_type)) {}

    std::size_t key_block_bytes() const noexcept {
        return 2 * keys_.index_bytes() + kBlockTokens * scale_bytes_;
    }
    std::size_t value_block_bytes() const noexcept {
        return values_.index_bytes() + kBlockTokens * scale_bytes_;
    }

    void store_keys(const std::uint8_t* records, int first, int count, std::uint8_t* block) const noexcept {
        std::uint8_t* scales = key_scales(block);
        for (int t = first; t < first + count; ++t, records += plan_->record_bytes()) {
            std::uint8_t* half = block + (t >= simd::kScanBlock ? keys_.index_bytes() : 0);
            simd::store_in_block(keys_, records, half, t % simd::kScanBlock);
            store_scale(records, scales, t);
        }
    }
    void store_values(const std::uint8_t* records, int first, int count, std::uint8_t* block) const noexcept {
        std::uint8_t* scales = block + values_.index_bytes();
        const std::size_t bytes = plan_->record_bytes();
        for (int quad = first / 4; 4 * quad < first + count; ++quad) {
            const std::uint8_t* four[4];
            unsigned mask = 0;
            for (int k = 0; k < 4; ++k) {
                const int t = 4 * quad + k;
                const bool there = t >= first && t < first + count;
                four[k] = records + (there ? static_cast<std::size_t>(t - first) * bytes : 0);
                if (!there) continue;
                mask |= 1u << k;
                store_scale(four[k], scales, t);
            }
            simd::store_value_quad(values_, four, mask,
                                   block + static_cast<std::size_t>(quad) * values_.quad_bytes());
        }
    }

    void round(const float* rotated, std::int8_t* quads, simd::ScanQuery& query, float*) const noexcept {
        query = simd::round_query(keys_, rotated, quads);
    }

    const float* key_products(const FloatKernels&, const std::uint8_t* block, int,
                              const BlockQueries& queries, float* logits, float* scales, float*) const {
        products_(keys_, *plan_->codebook, block, queries.rounded, queries.columns, logits);
        return block_scales(key_scales(block), plan_->scale_type, scales);
    }
    std::uint32_t soften(const FloatKernels&, const std::uint8_t* block, simd::SoftmaxBlock& softmax,
                         const simd::SoftmaxState& state, float* logits,
                         simd::RoundedWeights* rounded) const {
        alignas(64) float stored[kBlockTokens];
        softmax.value_scales = block_scales(block + values_.index_bytes(), plan_->scale_type, stored);
        softmax.tolerance = kWeightTolerance<Bits>;
        return soften_(softmax, state, logits, rounded);
    }
    void accumulate(const FloatKernels&, const std::uint8_t* block, int tokens, const float*,
                    const simd::RoundedWeights* rounded, std::uint32_t counted,
                    const simd::SoftmaxState& state, float*) const {
        accumulate_(values_, *plan_->codebook, block, tokens, rounded, counted, state.rotated, state.stride);
    }
    void rotate_back(const float* sums, float* out, float* scratch) const {
        const int dim = plan_->dim;
        float* const natural = scratch + simd::work_floats(2, dim);
        for (int i = 0; i < dim; ++i) natural[i] = sums[values_.place(i)];
        this->rotate_row_back(natural, out, scratch);
    }

    void decode_key(const std::uint8_t* block, int t, float* out, float* scratch) const {
        const std::uint8_t* half = block + (t >= simd::kScanBlock ? keys_.index_bytes() : 0);
        decode_codes([&](int i) { return simd::key_code(keys_, half, t % simd::kScanBlock, i); },
                     *plan_->codebook, key_scales(block), t, out, scratch);
    }
    void decode_value(const std::uint8_t* block, int t, float* out, float* scratch) const {
        decode_codes([&](int i) { return simd::value_code(values_, block, t, i); }, *plan_->codebook,
                     block + values_.index_bytes(), t, out, scratch);
    }

protected:
    // The scales of a block of keys, in the order of their tokens.
    template <class Byte>
    Byte* key_scales(Byte* block) const noexcept {
        return block + 2 * keys_.index_bytes();
    }
    template <class CodeOf>
    void decode_codes(CodeOf&& code_of, const simd::CodebookTable& codebook, const std::uint8_t* scales,
                      int t, float* out, float* scratch) const {
        const int dim = plan_->dim;
        float* const centroids = scratch + simd::work_floats(2, dim);
        for (int i = 0; i < dim; ++i) centroids[i] = codebook.centroids[code_of(i)];
        this->rotate_row_back(centroids, out, scratch);
        float buffer[kBlockTokens];
        const float scale = block_scales(scales, plan_->scale_type, buffer)[t];
        for (int i = 0; i < dim; ++i) out[i] *= scale;
    }

private:
    void store_scale(const std::uint8_t* record, std::uint8_t* scales, int t) const noexcept {
        std::memcpy(scales + static_cast<std::size_t>(t) * scale_bytes_, record + plan_->scale_offset(),
                    scale_bytes_);
    }

    simd::ScanLayout<Bits> keys_;
    simd::ValueLayout<Bits> values_;
    std::size_t scale_bytes_;
    simd::BlockProductsKernel<Bits>* products_ = simd::block_products_kernel<Bits>();
    decltype(TURBOQUANT_INT8_KERNEL(soften_codes)) soften_ = TURBOQUANT_INT8_KERNEL(soften_codes);
    simd::BlockSumsKernel<Bits>* accumulate_ = simd::block_sums_kernel<Bits>();
};

// Of up to 4 bits in blocks, of more in records. KernelDim: the dimension where it is fixed and the rotation structured.
template <int KernelDim, int Bits>
using MseBlockFormat = std::conditional_t<(Bits <= 4), InterleavedFormat<KernelDim, (Bits <= 4 ? Bits : 4)>,
                                          RecordFormat<KernelDim, Bits>>;

template <int Dim, int Bits, class RotationT, class ScaleT>
class BlockFormat<MseQuantizer<Dim, Bits, RotationT, ScaleT>>
    : public MseBlockFormat<
          simd::kKernelDim<MseQuantizer<Dim, Bits, RotationT, ScaleT>::kStructured ? Dim : Dynamic>, Bits> {
    using Quantizer = MseQuantizer<Dim, Bits, RotationT, ScaleT>;

public:
    explicit BlockFormat(const Quantizer& quantizer)
        : MseBlockFormat<simd::kKernelDim<Quantizer::kStructured ? Dim : Dynamic>, Bits>(quantizer.plan()) {}
};

}  // namespace detail
TURBOQUANT_NAMESPACE_END
