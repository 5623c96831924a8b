// KvCache: attention, scores, decoding.
#pragma once

#include <algorithm>
#include <cstring>

#include "turboquant/kv_cache.hpp"

TURBOQUANT_NAMESPACE_BEGIN

template <class KeyQuantizer, class ValueQuantizer>
void BasicKvCache<KeyQuantizer, ValueQuantizer>::attend_columns(const simd::InputColumns& queries,
                                                                const detail::VisibleTokens& visible,
                                                                const AttendOptions& options,
                                                                Eigen::Ref<Eigen::MatrixXf>& out) const {
    const std::ptrdiff_t stride = simd::padded(value_dim());
    const Index columns = std::min<Index>(queries.count, Pass::columns_at_once(dim(), value_dim()));
    const std::ptrdiff_t state_floats = (detail::state_floats(stride, columns) + 15) / 16 * 16;
    const std::ptrdiff_t floats =
        state_floats + std::max(Pass::scratch_floats(dim(), value_dim()), Pass::finish_floats(value_dim()));
    detail::with_scratch(floats, [&](float* scratch) {
        const simd::FloatingPointGuard guard;
        Pass pass(codec_.key_quantizer(), codec_.key_grading(), codec_.value_quantizer(), codec_.means(),
                  options.scale, options.softcap, scratch + state_floats);
        for (Index first = 0; first < queries.count; first += columns) {
            const Index count = std::min(columns, static_cast<Index>(queries.count) - first);
            const simd::SoftmaxState state = detail::state_in(scratch, stride, count);
            detail::clear_state(state);
            pass.begin("KvCache::attend", queries.part(first, count), first, state);
            for (Index c = 0; c < count; ++c) pass.see(static_cast<int>(c), visible(first + c));
            for_tokens(
                [&](const detail::ExactTokens::Run& run, Index token) {
                    pass.exact(run.keys, dim(), run.values, value_dim(), run.count, token);
                },
                [&](const void* keys, const void* values, const void* key_mean, int tokens, Index token) {
                    pass.coded(keys, values, key_mean, tokens, token);
                });
            pass.flush();
            Pass::finish(codec_.value_quantizer(), codec_.means(), state,
                         out.data() + first * out.outerStride(), out.outerStride(),
                         options.lse != nullptr ? options.lse + first : nullptr, scratch + state_floats);
        }
    });
}

template <class KeyQuantizer, class ValueQuantizer>
void BasicKvCache<KeyQuantizer, ValueQuantizer>::score_columns(const simd::InputColumns& queries,
                                                               Eigen::Ref<Eigen::MatrixXf>& out) const {
    detail::with_scratch(Pass::scratch_floats(dim(), value_dim()), [&](float* scratch) {
        const simd::FloatingPointGuard guard;
        Pass pass(codec_.key_quantizer(), codec_.key_grading(), codec_.value_quantizer(), codec_.means(),
                  1.0f / detail::kLog2E, 0.0f, scratch);
        const Index at_once = Pass::columns_at_once(dim(), value_dim());
        for (Index first = 0; first < queries.count; first += at_once) {
            const Index count = std::min(at_once, static_cast<Index>(queries.count) - first);
            pass.begin("KvCache::scores", queries.part(first, count), first, simd::SoftmaxState{});
            const auto store = [&](const float* products, int tokens, Index token) {
                for (Index c = 0; c < count; ++c)
                    std::memcpy(out.data() + (first + c) * out.outerStride() + token, products + c * kBlock,
                                static_cast<std::size_t>(tokens) * sizeof(float));
            };
            for_tokens(
                [&](const detail::ExactTokens::Run& run, Index token) {
                    for (Index t = 0; t < run.count; t += kBlock) {
                        const int tokens = static_cast<int>(std::min(kBlock, run.count - t));
                        store(pass.exact_products(run.keys + t * dim(), dim(), tokens), tokens, token + t);
                    }
                },
                [&](const void* keys, const void*, const void* key_mean, int tokens, Index token) {
                    store(pass.coded_products(keys, key_mean, tokens), tokens, token);
                });
        }
    });
}

template <class KeyQuantizer, class ValueQuantizer>
template <bool Keys>
Eigen::MatrixXf BasicKvCache<KeyQuantizer, ValueQuantizer>::decoded() const {
    const Index rows = Keys ? dim() : value_dim();
    Eigen::MatrixXf out(rows, size_);
    for_tokens(
        [&](const detail::ExactTokens::Run& run, Index token) {
            std::memcpy(out.data() + token * rows, Keys ? run.keys : run.values,
                        static_cast<std::size_t>(rows * run.count) * sizeof(float));
        },
        [&](const void* keys, const void* values, const void* key_mean, int tokens, Index token) {
            for (int t = 0; t < tokens; ++t) {
                float* const to = out.data() + (token + t) * rows;
                codec_.decode(keys, values, t, Keys ? to : nullptr, Keys ? nullptr : to, key_mean);
            }
        });
    return out;
}

TURBOQUANT_NAMESPACE_END
