// KvCache: saving and loading (kv_cache_file.hpp has the format).
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <system_error>
#include <type_traits>
#include <vector>

#include "turboquant/kv_cache.hpp"

TURBOQUANT_NAMESPACE_BEGIN

template <class KeyQuantizer, class ValueQuantizer>
detail::CacheFields BasicKvCache<KeyQuantizer, ValueQuantizer>::fields() const {
    detail::CacheFields fields;
    fields.key_id = codec_.key_quantizer().id();
    fields.value_id = codec_.value_quantizer().id();
    fields.key_rule = SerializationTraits<KeyQuantizer>::scale_rule(codec_.key_quantizer());
    fields.value_rule = SerializationTraits<ValueQuantizer>::scale_rule(codec_.value_quantizer());
    fields.centring = options_.centring;
    fields.key_centring = options_.centring.keys();
    fields.means = codec_.means() != nullptr;
    fields.seed = options_.seed;
    fields.window = options_.window;
    fields.sinks = options_.sinks;
    fields.size = size_;
    fields.coded = coded_;
    fields.key_block_bytes = codec_.key_block_bytes();
    fields.value_block_bytes = codec_.value_block_bytes();
    const BlockParts at = parts();
    fields.key_mean_bytes = at.end - at.mean;
    return fields;
}

template <class KeyQuantizer, class ValueQuantizer>
std::vector<std::uint8_t> BasicKvCache<KeyQuantizer, ValueQuantizer>::written() const {
    const detail::CacheFields all = fields();
    std::vector<std::uint8_t> payload;
    payload.reserve(all.payload());
    payload.resize(detail::kCachePrefix);
    detail::write_cache_prefix(all, payload.data());
    const auto add = [&payload](const void* data, std::size_t bytes) {
        const auto* from = static_cast<const std::uint8_t*>(data);
        payload.insert(payload.end(), from, from + bytes);
    };
    const auto add_preamble = [&payload](const auto& quantizer) {
        using Traits = SerializationTraits<std::decay_t<decltype(quantizer)>>;
        if constexpr (detail::has_preamble<Traits>::value) {
            const std::size_t before = payload.size();
            payload.resize(before + detail::preamble_bytes(quantizer.id()));
            Traits::write_preamble(quantizer, payload.data() + before);
        } else {
            (void)payload, (void)quantizer;
        }
    };
    add_preamble(codec_.key_quantizer());
    add_preamble(codec_.value_quantizer());
    const std::size_t key_bytes = static_cast<std::size_t>(dim()) * sizeof(float);
    const std::size_t value_bytes = static_cast<std::size_t>(value_dim()) * sizeof(float);
    const auto add_tokens = [&](const detail::ExactTokens& tokens, Index first, Index last) {
        using Run = detail::ExactTokens::Run;
        tokens.for_runs(first, last, [&](const Run& run, Index) {
            add(run.keys, static_cast<std::size_t>(run.count) * key_bytes);
        });
        tokens.for_runs(first, last, [&](const Run& run, Index) {
            add(run.values, static_cast<std::size_t>(run.count) * value_bytes);
        });
    };
    if (all.means) {
        add(codec_.means()->key.data(), key_bytes);
        add(codec_.means()->value.data(), value_bytes);
    }
    add_tokens(sinks_, 0, sink_count());
    const BlockParts at = parts();
    for (Index first = 0; first < coded_; first += kBlock) {
        detail::SharedBytes block = blocks_[static_cast<std::size_t>(first / kBlock)];
        if (coded_ - first < kBlock) {  // what truncate() left behind is not part of the cache
            block.make_unique();
            codec_.erase(block.data(), block.data() + at.values, coded_ - first, at.mean_of(block.data()));
        }
        add(block.data(), all.key_block_bytes);
        add(block.data() + at.values, all.value_block_bytes);
        add(block.data() + at.mean, all.key_mean_bytes);
    }
    add_tokens(recent_, coded_, later());
    return payload;
}

template <class KeyQuantizer, class ValueQuantizer>
BasicKvCache<KeyQuantizer, ValueQuantizer> BasicKvCache<KeyQuantizer, ValueQuantizer>::loaded(
    std::istream& is, bool whole, const std::string& where) {
    const detail::LoadedCache file = detail::read_cache(
        is, SerializationTraits<KeyQuantizer>::id(), SerializationTraits<ValueQuantizer>::id(), whole, where);
    const detail::CacheFields& fields = file.fields;
    KvCacheOptions options;
    options.seed = fields.seed;
    options.window = fields.window;
    options.sinks = fields.sinks;
    options.centring = fields.block_means()  ? Centring::blocks
                       : fields.key_centring ? Centring::all
                       : fields.centring     ? Centring::values
                                             : Centring::none;
    const std::uint8_t* const preambles = file.payload.data() + detail::kCachePrefix;
    BasicKvCache cache(
        detail::rebuild<KeyQuantizer>(fields.key_id, fields.key_rule, preambles, where + ": keys"),
        detail::rebuild<ValueQuantizer>(fields.value_id, fields.value_rule,
                                        preambles + detail::preamble_bytes(fields.key_id),
                                        where + ": values"),
        options);
    detail::CacheFields made = cache.fields();
    // Keys had no grades at first: blocks that have none end before them.
    if (fields.key_mean_bytes + cache.codec_.grade_bytes() == made.key_mean_bytes)
        made.key_mean_bytes = fields.key_mean_bytes;
    if (made.block_sizes() != fields.block_sizes())
        detail::throw_bad_file(where, "the file's blocks have " + fields.block_sizes() + " bytes; expected " +
                                          made.block_sizes());
    cache.take(fields, preambles + fields.preambles(), where);
    return cache;
}

template <class KeyQuantizer, class ValueQuantizer>
void BasicKvCache<KeyQuantizer, ValueQuantizer>::take(const detail::CacheFields& fields,
                                                      const std::uint8_t* from, const std::string& where) {
    const std::size_t key_bytes = static_cast<std::size_t>(dim()) * sizeof(float);
    const std::size_t value_bytes = static_cast<std::size_t>(value_dim()) * sizeof(float);
    const auto take_tokens = [&](detail::ExactTokens& tokens, Index first, Index last) {
        if (first == last) return;
        tokens.make_room(first, first, last);
        for (Index i = first; i < last; ++i, from += key_bytes)
            std::memcpy(tokens.room(i, i + 1).keys, from, key_bytes);
        for (Index i = first; i < last; ++i, from += value_bytes)
            std::memcpy(tokens.room(i, i + 1).values, from, value_bytes);
    };
    if (fields.means) {
        std::vector<float> key(static_cast<std::size_t>(dim())), value(static_cast<std::size_t>(value_dim()));
        std::memcpy(key.data(), from, key_bytes);
        std::memcpy(value.data(), from + key_bytes, value_bytes);
        codec_.set_means(Eigen::Map<const Eigen::VectorXf>(key.data(), dim()),
                         Eigen::Map<const Eigen::VectorXf>(value.data(), value_dim()));
        from += key_bytes + value_bytes;
    }
    take_tokens(sinks_, 0, fields.sink_count());
    const BlockParts at = parts();
    blocks_.reserve(static_cast<std::size_t>(fields.blocks()));
    for (Index i = 0; i < fields.blocks(); ++i) {
        blocks_.emplace_back(at.end, /*zeroed=*/fields.key_mean_bytes != at.end - at.mean);
        const auto take_part = [&](std::size_t to, std::size_t bytes) {
            std::memcpy(blocks_.back().data() + to, from, bytes);
            from += bytes;
        };
        take_part(0, fields.key_block_bytes);
        take_part(at.values, fields.value_block_bytes);
        take_part(at.mean, fields.key_mean_bytes);
        if (const std::uint8_t* mean = at.mean_of(blocks_.back().data());
            mean != nullptr && !codec_.well_formed(mean))
            detail::throw_bad_file(where,
                                   "block " + std::to_string(i) + " has keys of grades that cannot be");
    }
    take_tokens(recent_, fields.coded, fields.coded + fields.recent());
    size_ = fields.size;
    coded_ = fields.coded;
}

template <class KeyQuantizer, class ValueQuantizer>
void BasicKvCache<KeyQuantizer, ValueQuantizer>::save(std::ostream& os) const {
    const std::vector<std::uint8_t> payload = written();
    if (!detail::write_cache(os, fields(), payload))
        detail::throw_runtime_error("KvCache::save: writing to the stream failed");
}

template <class KeyQuantizer, class ValueQuantizer>
void BasicKvCache<KeyQuantizer, ValueQuantizer>::save(const std::string& path) const {
    const std::vector<std::uint8_t> payload = written();
    detail::ReplacementFile file(detail::quoted("KvCache::save", path), path);
    errno = 0;
    if (!detail::write_cache(file.stream(), fields(), payload)) file.fail("writing failed", errno);
    file.commit();
}

template <class KeyQuantizer, class ValueQuantizer>
BasicKvCache<KeyQuantizer, ValueQuantizer> BasicKvCache<KeyQuantizer, ValueQuantizer>::load(
    std::istream& is) {
    return loaded(is, false, "KvCache::load");
}

template <class KeyQuantizer, class ValueQuantizer>
BasicKvCache<KeyQuantizer, ValueQuantizer> BasicKvCache<KeyQuantizer, ValueQuantizer>::load(
    const std::string& path) {
    const std::string where = detail::quoted("KvCache::load", path);
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    if (!file) detail::throw_bad_file(where, "cannot open it: " + std::system_category().message(errno));
    return loaded(file, true, where);
}

TURBOQUANT_NAMESPACE_END
