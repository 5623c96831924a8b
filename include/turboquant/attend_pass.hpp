// One pass of attention: some queries over tokens, exact and coded, in any order. KvBlockCodec and KvCache drive it.
//
//   AttendPass pass(…);  pass.begin(queries, state);  pass.see(column, visible) …
//   pass.exact(…), pass.coded(…)                        // blocks of tokens, as the container keeps them
//   pass.flush();  AttendPass::finish(…)
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "turboquant/attention.hpp"
#include "turboquant/block_format.hpp"
#include "turboquant/config.hpp"
#include "turboquant/key_format.hpp"
#include "turboquant/simd/dispatch.hpp"
#include "turboquant/simd/kernels.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace detail {

// What coded keys and values have been moved by: padded(dim) floats each. Immutable, shared by copies.
struct KvMeans {
    std::vector<float> key, value;
    bool moves_keys = false;  // whether `key` is not zero
};
// What comes off every key; nullptr where nothing does.
inline const float* key_mean_of_all(const KvMeans* means) noexcept {
    return means != nullptr && means->moves_keys ? means->key.data() : nullptr;
}

// One pass of up to kMaxColumns queries over tokens. Its work memory is scratch_floats() floats of the caller's.
template <class KeyQuantizer, class ValueQuantizer>
class AttendPass {
public:
    AttendPass(const KeyQuantizer& keys, const KeyGrading<KeyQuantizer>& grading,
               const ValueQuantizer& values, const KvMeans* means, float scale, float softcap, float* scratch)
        : keys_(keys, grading),
          values_(values),
          means_(means),
          key_dim_(static_cast<int>(keys.dim())),
          value_dim_(static_cast<int>(values.dim())),
          rotation_(rotation_of(keys)),
          stride_(simd::padded(key_dim_)),
          factor_((scale == 0.0f ? 1.0f / std::sqrt(static_cast<float>(key_dim_)) : scale) * kLog2E),
          softcap_(softcap * kLog2E) {
        const std::ptrdiff_t at_once = columns_at_once(key_dim_, value_dim_);
        exact_ = scratch;
        rotated_ = exact_ + at_once * stride_;
        quads_ = reinterpret_cast<std::int8_t*>(rotated_ + at_once * stride_);
        logits_ = rotated_ + at_once * stride_ + at_once * stride_ / 4;
        other_logits_ = logits_ + at_once * kBlockTokens;
        bias_ = other_logits_ + at_once * kBlockTokens;
        tile_ = bias_ + at_once;
    }

    static std::ptrdiff_t scratch_floats(Index key_dim, Index value_dim) noexcept {
        return scratch_floats(key_dim, value_dim, columns_at_once(key_dim, value_dim));
    }
    // Queries to a pass: as many as leave work memory and state on the stack (with_scratch), where one does.
    static int columns_at_once(Index key_dim, Index value_dim) noexcept {
        int columns = kMaxColumns;
        while (columns > 1 && scratch_floats(key_dim, value_dim, columns) +
                                      state_floats(simd::padded(value_dim), columns) + 16 >
                                  kStackFloats)
            columns /= 2;
        return columns;
    }
    static std::ptrdiff_t scratch_floats(Index key_dim, Index value_dim, int columns) noexcept {
        const std::ptrdiff_t stride = simd::padded(key_dim);
        return columns * (2 * stride + stride / 4 + 2 * kBlockTokens + 1) +
               std::max({tile_floats(key_dim), tile_floats(value_dim), simd::work_floats(2, key_dim)}) + 16;
    }

    // Takes the queries, the first of them number `first` of those that `where` was given. Throws for one that is not finite or
    // above kLargestNorm.
    void begin(const char* where, const simd::InputColumns& queries, Index first,
               const simd::SoftmaxState& state) {
        columns_ = static_cast<int>(queries.count);
        state_ = state;
        std::fill(exact_, rotated_ + (rotated_ - exact_), 0.0f);
        const auto bad = static_cast<Index>(
            TURBOQUANT_KERNEL(copy_columns)(key_dim_, queries, kLargestNorm, exact_, stride_));
        if (bad >= 0) refuse(where, queries.part(bad, 1), first + bad);
        TURBOQUANT_KERNEL(scale_rows)(exact_, stride_, columns_, key_dim_, factor_);
        if (BlockFormat<KeyQuantizer>::kRotated) {
            const simd::InputColumns in{exact_, simd::InputType::float32, stride_, columns_};
            simd::rotate_kernel()(*rotation_, false, in, rotated_, stride_, tile_, nullptr);
            for (int c = 0; c < columns_; ++c)
                keys_.round(rotated_ + c * stride_, quads_ + c * stride_, rounded_[c], tile_);
        }
        if (const float* mean = key_mean_of_all(means_)) {
            kernels_.products(mean, 0, 1, key_dim_, exact_, stride_, columns_, logits_);
            for (int c = 0; c < columns_; ++c) bias_[c] = logits_[c * kBlockTokens];
        }
    }

    // What column c sees, for the calls that follow.
    void see(int c, const Visible& visible) noexcept { visible_[c] = visible; }

    // Exact tokens from number `token` on: rows of floats, of which up to 31 past the last are read.
    void exact(const float* k, std::ptrdiff_t key_stride, const float* v, std::ptrdiff_t value_stride,
               Index count, Index token) {
        flush();
        for (Index first = 0; first < count; first += kBlockTokens) {
            const int tokens = static_cast<int>(std::min<Index>(kBlockTokens, count - first));
            if (!see_block(token + first, tokens)) continue;
            kernels_.products(k + first * key_stride, key_stride, tokens, key_dim_, exact_, stride_, columns_,
                              logits_);
            if (kernels_.soften(block(tokens, false), state_, logits_) != 0)
                kernels_.accumulate(v + first * value_stride, value_stride, tokens, value_dim_, logits_,
                                    columns_, state_.exact, state_.stride);
        }
    }

    // A block of codes whose first token is number `token`, and the mean of its keys if they have one. Its values are summed at
    // the next call, or by flush(): the products of the next block do not wait for this block's weights.
    void coded(const void* key_block, const void* value_block, const void* key_mean, int tokens,
               Index token) {
        if (!see_block(token, tokens)) return;
        const auto* keys = static_cast<const std::uint8_t*>(key_block);
        const BlockQueries queries{columns_, exact_, rotated_, stride_, rounded_};
        alignas(64) float key_scales[kBlockTokens];
        alignas(64) float shares[kBlockTokens];
        float mean_products[kMaxColumns];
        float* const logits = pending_.odd ? other_logits_ : logits_;
        simd::SoftmaxBlock softmax = block(tokens, true);
        const auto* mean = static_cast<const std::uint8_t*>(key_mean);
        softmax.key_scales = keys_.products(kernels_, keys, mean, tokens, queries, logits, key_scales, tile_);
        flush();
        // The waiting block's weights have been used: their place is free.
        if (mean != nullptr) {
            multiply_mean(mean, queries, pending_.odd ? logits_ : other_logits_, shares, mean_products);
            softmax.shares = shares;
            softmax.mean_products = mean_products;
        }
        pending_.values = static_cast<const std::uint8_t*>(value_block);
        pending_.tokens = tokens;
        pending_.weights = logits;
        pending_.counted = values_.soften(kernels_, pending_.values, softmax, state_, logits, weights_);
        pending_.odd = !pending_.odd;
    }

    // Sums the values that wait.
    void flush() {
        if (pending_.counted != 0)
            values_.accumulate(kernels_, pending_.values, pending_.tokens, pending_.weights, weights_,
                               pending_.counted, state_, tile_);
        pending_.counted = 0;
    }

    // Products <q, k> of a block's tokens, logits_[c·64 + t]: for scores().
    const float* coded_products(const void* key_block, const void* key_mean, int tokens) {
        const BlockQueries queries{columns_, exact_, rotated_, stride_, rounded_};
        alignas(64) float scales[kBlockTokens];
        alignas(64) float shares[kBlockTokens] = {};
        float mean_products[kMaxColumns] = {};
        const auto* mean = static_cast<const std::uint8_t*>(key_mean);
        if (mean != nullptr) multiply_mean(mean, queries, logits_, shares, mean_products);
        const float* key_scales = keys_.products(kernels_, static_cast<const std::uint8_t*>(key_block), mean,
                                                 tokens, queries, logits_, scales, tile_);
        const float* bias = bias_or_null();
        for (int c = 0; c < columns_; ++c)
            for (int t = 0; t < tokens; ++t) {
                float& product = logits_[c * kBlockTokens + t];
                if (key_scales != nullptr) product *= key_scales[t];
                if (bias != nullptr) product += bias[c];
                product += shares[t] * mean_products[c];
            }
        return logits_;
    }
    const float* exact_products(const float* k, std::ptrdiff_t stride, int tokens) {
        kernels_.products(k, stride, tokens, key_dim_, exact_, stride_, columns_, logits_);
        return logits_;
    }

    // Outputs, and log-sum-exps where wanted.
    static void finish(const ValueQuantizer& values, const KvMeans* means, const simd::SoftmaxState& state,
                       float* out, std::ptrdiff_t out_stride, float* lse, float* scratch) {
        const BlockFormat<ValueQuantizer> format(values);
        const auto dim = static_cast<int>(values.dim());
        float* const row = scratch + simd::work_floats(2, dim) + simd::padded(dim);
        for (int c = 0; c < state.columns; ++c) {
            const simd::SoftmaxColumn& column = state.column[c];
            float* const to = out + c * out_stride;
            const bool empty = !(column.sum > 0.0f);
            if (lse != nullptr)
                lse[c] = empty ? -std::numeric_limits<float>::infinity()
                               : static_cast<float>((static_cast<double>(column.maximum) +
                                                     std::log2(static_cast<double>(column.sum))) *
                                                    0.69314718055994531);
            if (empty) {
                std::fill(to, to + dim, 0.0f);
                continue;
            }
            std::fill(row, row + dim, 0.0f);
            if (column.coded_sum > 0.0f) format.rotate_back(state.rotated + c * state.stride, row, scratch);
            const float inverse = 1.0f / column.sum, coded = column.coded_sum / column.sum;
            const float* exact = state.exact + c * state.stride;
            for (int i = 0; i < dim; ++i) {
                to[i] = (exact[i] + row[i]) * inverse;
                if (means != nullptr) to[i] += coded * means->value[static_cast<std::size_t>(i)];
            }
        }
    }
    static std::ptrdiff_t finish_floats(Index value_dim) noexcept {
        return simd::work_floats(2, value_dim) + 2 * simd::padded(value_dim);
    }

private:
    // Of the mean of a block's keys (KvBlockCodec::encode_mean): each token's share, each query's product. `work` holds 64 floats
    // for each query.
    void multiply_mean(const std::uint8_t* mean, const BlockQueries& queries, float* work, float* shares,
                       float* products) const {
        kernels_.load_shares(keys_.shares_of(mean), shares);
        keys_.mean_products(kernels_, mean, queries, products, work, tile_);
    }

    static const simd::RotationPlan* rotation_of(const KeyQuantizer& keys) noexcept {
        if constexpr (BlockFormat<KeyQuantizer>::kRotated)
            return keys.plan().rotation;
        else
            return nullptr;
    }

    [[noreturn]] void refuse(const char* where, const simd::InputColumns& query, Index column) const {
        if (TURBOQUANT_KERNEL(check_columns)(key_dim_, query, kLargestNorm, tile_).error ==
            simd::EncodeError::not_finite)
            throw_not_finite(where, "queries", column);
        throw_too_large(where, "queries", column);
    }

    // The part of a block that each column sees; false where none sees any.
    bool see_block(Index token, int tokens) noexcept {
        bool any = false;
        for (int c = 0; c < columns_; ++c) {
            const Index last = std::clamp<Index>(visible_[c].last - token, 0, tokens);
            first_[c] = static_cast<int>(std::clamp<Index>(visible_[c].first - token, 0, last));
            last_[c] = static_cast<int>(last);
            any |= first_[c] < last_[c];
        }
        return any;
    }
    // The columns' products with the mean of all keys, where there is one.
    const float* bias_or_null() const noexcept {
        return key_mean_of_all(means_) != nullptr ? bias_ : nullptr;
    }
    simd::SoftmaxBlock block(int tokens, bool coded) const noexcept {
        return {tokens,  first_,  last_,    nullptr, nullptr, coded ? bias_or_null() : nullptr,
                nullptr, nullptr, softcap_, coded,   0.0f};
    }

    FloatKernels kernels_;
    KeyFormat<KeyQuantizer> keys_;
    BlockFormat<ValueQuantizer> values_;
    const KvMeans* means_;
    int key_dim_, value_dim_, columns_ = 0;
    const simd::RotationPlan* rotation_;
    std::ptrdiff_t stride_;
    float factor_, softcap_;
    float *exact_, *rotated_, *logits_, *other_logits_, *bias_, *tile_;
    std::int8_t* quads_;
    simd::SoftmaxState state_{};
    simd::ScanQuery rounded_[kMaxColumns]{};
    simd::RoundedWeights weights_[kMaxColumns];
    // A block whose weights are known.
    struct Pending {
        const std::uint8_t* values = nullptr;
        int tokens = 0;
        const float* weights = nullptr;
        std::uint32_t counted = 0;
        bool odd = false;
    } pending_;
    Visible visible_[kMaxColumns]{};
    int first_[kMaxColumns]{}, last_[kMaxColumns]{};
};

}  // namespace detail
TURBOQUANT_NAMESPACE_END
