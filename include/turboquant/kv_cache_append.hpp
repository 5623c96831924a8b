// KvCache: appending tokens.
#pragma once

#include <cstdint>
#include <string>

#include "turboquant/kv_cache.hpp"

TURBOQUANT_NAMESPACE_BEGIN

template <class KeyQuantizer, class ValueQuantizer>
void BasicKvCache<KeyQuantizer, ValueQuantizer>::check_columns(const char* what, Index dim,
                                                               const simd::InputColumns& in, double limit) {
    simd::EncodeResult result{};
    detail::with_scratch(simd::padded(dim), [&](float* scratch) {
        result = TURBOQUANT_KERNEL(check_columns)(static_cast<int>(dim), in, limit, scratch);
    });
    if (result.error == simd::EncodeError::none) return;
    const auto column = static_cast<Index>(result.encoded);
    if (result.error == simd::EncodeError::not_finite)
        detail::throw_not_finite("KvCache::append", what, column);
    detail::throw_invalid_argument("KvCache::append: column " + std::to_string(column) + " of the " + what +
                                   " has norm " + detail::number_text(result.norm) + ", but norms up to " +
                                   detail::number_text(limit) + " can be kept");
}

template <class KeyQuantizer, class ValueQuantizer>
void BasicKvCache<KeyQuantizer, ValueQuantizer>::append_columns(const simd::InputColumns& k,
                                                                const simd::InputColumns& v) {
    const simd::FloatingPointGuard guard;
    const auto count = static_cast<Index>(k.count);
    // What fits beside the waiting tokens is checked as it is copied: tokens count from when size_ says so.
    const bool few = size_ >= options_.sinks && count <= room_before_block();
    if (!few) {
        check_keys(k);
        check_values(v);
    }
    for (Index i = 0; i < count;) {
        const bool sink = size_ < options_.sinks;
        const Index some = std::min(count - i, sink ? options_.sinks - size_ : room_before_block());
        detail::ExactTokens& tokens = sink ? sinks_ : recent_;
        const Index first = sink ? size_ : later();
        tokens.make_room(sink ? 0 : coded_, first, first + some);
        if (!copy_tokens(k, v, i, some, tokens, first) && few) {
            check_keys(k);
            check_values(v);
        }
        size_ += some;
        i += some;
        if (!sink) quantize_full_block();
    }
}

template <class KeyQuantizer, class ValueQuantizer>
bool BasicKvCache<KeyQuantizer, ValueQuantizer>::copy_tokens(const simd::InputColumns& k,
                                                             const simd::InputColumns& v, Index i,
                                                             Index count, detail::ExactTokens& tokens,
                                                             Index first) const {
    const auto copy = TURBOQUANT_KERNEL(copy_rows);
    bool ordinary = true;
    for (const Index end = i + count; i < end;) {
        const detail::ExactTokens::Room to = tokens.room(first, first + (end - i));
        ordinary &= copy(static_cast<int>(dim()), k, i, to.count, key_limit_, to.keys) == i + to.count;
        ordinary &=
            copy(static_cast<int>(value_dim()), v, i, to.count, value_limit_, to.values) == i + to.count;
        i += to.count;
        first += to.count;
    }
    return ordinary;
}

template <class KeyQuantizer, class ValueQuantizer>
void BasicKvCache<KeyQuantizer, ValueQuantizer>::quantize_full_block() {
    const Index end = (coded_ / kBlock + 1) * kBlock;
    if (later() < end + options_.window) return;
    if (options_.centring && codec_.means() == nullptr) set_means(end);
    const BlockParts at = parts();
    const auto index = static_cast<std::size_t>(coded_ / kBlock);
    if (index == blocks_.size())
        blocks_.emplace_back(at.end, /*zeroed=*/false);
    else
        blocks_[index].make_unique();
    std::uint8_t* const block = blocks_[index].data();
    std::uint8_t* const mean = at.mean_of(block);
    const bool whole = coded_ % kBlock == 0;
    if (mean != nullptr && whole) encode_key_mean(end, mean);
    recent_.for_runs(coded_, end, [&](const detail::ExactTokens::Run& run, Index token) {
        codec_.encode_columns("KvCache::append", {run.keys, simd::InputType::float32, dim(), run.count},
                              {run.values, simd::InputType::float32, value_dim(), run.count},
                              /*plain=*/true, static_cast<int>(token % kBlock), block, block + at.values,
                              mean, whole);
    });
    coded_ = end;
}

template <class KeyQuantizer, class ValueQuantizer>
void BasicKvCache<KeyQuantizer, ValueQuantizer>::set_means(Index end) {
    std::vector<float> key(static_cast<std::size_t>(dim())), value(static_cast<std::size_t>(value_dim()));
    const auto mean = [&](std::vector<float>& out, const float* detail::ExactTokens::Run::*rows) {
        const auto size = static_cast<Index>(out.size());
        for (Index i = 0; i < size; ++i) {
            double sum = 0;
            recent_.for_runs(coded_, end, [&](const detail::ExactTokens::Run& run, Index) {
                for (Index t = 0; t < run.count; ++t) sum += static_cast<double>((run.*rows)[t * size + i]);
            });
            out[static_cast<std::size_t>(i)] = static_cast<float>(sum / static_cast<double>(end - coded_));
        }
    };
    const simd::FloatingPointGuard guard;
    if (options_.centring.keys()) mean(key, &detail::ExactTokens::Run::keys);
    mean(value, &detail::ExactTokens::Run::values);
    codec_.set_means(Eigen::Map<const Eigen::VectorXf>(key.data(), dim()),
                     Eigen::Map<const Eigen::VectorXf>(value.data(), value_dim()));
}

template <class KeyQuantizer, class ValueQuantizer>
void BasicKvCache<KeyQuantizer, ValueQuantizer>::encode_key_mean(Index end, std::uint8_t* mean) const {
    const auto floats = static_cast<int>(dim());
    detail::with_scratch(simd::padded(dim()), [&](float* sums) {
        std::fill(sums, sums + simd::padded(dim()), 0.0f);
        recent_.for_runs(coded_, end, [&](const detail::ExactTokens::Run& run, Index) {
            TURBOQUANT_KERNEL(add_rows)(run.keys, dim(), static_cast<int>(run.count), floats, sums);
        });
        codec_.encode_sums("KvCache::append", sums, end - coded_, mean);
    });
    const auto for_rows = [&](const auto& take) {
        recent_.for_runs(coded_, end, [&](const detail::ExactTokens::Run& run, Index token) {
            take(run.keys, dim(), static_cast<int>(run.count), static_cast<int>(token - coded_));
        });
    };
    codec_.measure_keys(for_rows, mean);
}

TURBOQUANT_NAMESPACE_END
