// The bytes of a saved KvCache: the header and the checksums of record_format.hpp around a payload of its own.
//
// The header differs from that of codes in the magic number, 89 54 51 4B 0D 0A 1A 0A; it describes the quantizer of the keys,
// "n, the number of vectors" is the payload's length in bytes and "bytes per vector" is 1. The payload, little-endian:
//
//     0   4  the values' quantizer, as at 16 … 43 of the header: kind, dimension, bits, scale rule, scale type, rotation, sketch
//    28   4  flags: 1 centring, 2 means follow, 4 of keys too, 8 instead each block has its keys' mean
//    32   8  seed of the values' quantizer                     72   8  tokens that are quantized
//    40   8  KvCacheOptions::seed                              80   8  bytes of a block of keys
//    48   8  window                                            88   8  bytes of a block of values
//    56   8  sinks                                             96  16  see below, or zeros; then 16 zeros
//    64   8  tokens                                           128      preambles
//
// then the means, key then value, float (flag 2), the sinks (every key, then every value, float), the blocks of quantized tokens
// (keys, values, and with flag 8 the mean of the keys, of each), and the exact tokens after them like the sinks. Preambles are those
// of quantizers that have one (split_quantizer_file.hpp), the keys' first; bytes 96 … 103 are then CodecId::parts of the values, zero
// otherwise; 104 … 111 the bytes of a mean (KvBlockCodec::key_mean_bytes(); before keys had grades, those without), zero without
// flag 8.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <istream>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "turboquant/codes.hpp"
#include "turboquant/config.hpp"
#include "turboquant/record_format.hpp"
#include "turboquant/serialization.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace detail {

inline constexpr std::uint8_t kCacheMagic[8] = {0x89, 'T', 'Q', 'K', '\r', '\n', 0x1A, '\n'};
inline constexpr std::size_t kCachePrefix = 128;

// What a file says of a cache, beside its tokens.
struct CacheFields {
    CodecId key_id, value_id;
    int key_rule = 0, value_rule = 0;
    bool centring = true, key_centring = false, means = false;
    std::uint64_t seed = 0;
    Index window = 0, sinks = 0, size = 0, coded = 0;
    std::size_t key_block_bytes = 0, value_block_bytes = 0, key_mean_bytes = 0;

    bool block_means() const noexcept { return key_mean_bytes > 0; }
    // Of a block's keys, its values and the mean of its keys, for messages.
    std::string block_sizes() const {
        return std::to_string(key_block_bytes) + ", " + std::to_string(value_block_bytes) + " and " +
               std::to_string(key_mean_bytes);
    }
    Index sink_count() const noexcept { return size < sinks ? size : sinks; }
    Index recent() const noexcept { return size - sink_count() - coded; }
    Index blocks() const noexcept { return (coded + simd::kBlockTokens - 1) / simd::kBlockTokens; }
    // Bytes of one exact token.
    std::size_t token_bytes() const noexcept {
        return sizeof(float) *
               (static_cast<std::size_t>(key_id.dim) + static_cast<std::size_t>(value_id.dim));
    }
    std::size_t preambles() const noexcept { return preamble_bytes(key_id) + preamble_bytes(value_id); }
    std::size_t payload() const noexcept {
        return kCachePrefix + preambles() + (means ? token_bytes() : 0) +
               static_cast<std::size_t>(sink_count() + recent()) * token_bytes() +
               static_cast<std::size_t>(blocks()) * (key_block_bytes + value_block_bytes + key_mean_bytes);
    }
};

inline RecordHeader cache_header(const CacheFields& fields, std::size_t payload) noexcept {
    RecordHeader header;
    header.id = fields.key_id;
    header.scale_rule = fields.key_rule;
    header.count = static_cast<Index>(payload);
    header.bytes_per_vector = 1;
    return header;
}

// The first bytes of the payload.
inline void write_cache_prefix(const CacheFields& fields, std::uint8_t* to) noexcept {
    std::memset(to, 0, kCachePrefix);
    const CodecId& id = fields.value_id;
    put_description(to, id, fields.value_rule);
    put(to + 28, 4,
        (fields.centring ? 1u : 0u) + (fields.means ? 2u : 0u) + (fields.key_centring ? 4u : 0u) +
            (fields.block_means() ? 8u : 0u));
    int at = 32;
    for (std::uint64_t field :
         {id.seed, fields.seed, static_cast<std::uint64_t>(fields.window),
          static_cast<std::uint64_t>(fields.sinks), static_cast<std::uint64_t>(fields.size),
          static_cast<std::uint64_t>(fields.coded), std::uint64_t{fields.key_block_bytes},
          std::uint64_t{fields.value_block_bytes}, id.parts, std::uint64_t{fields.key_mean_bytes}}) {
        put(to + at, 8, field);
        at += 8;
    }
}

// Writes a whole file. False when the stream failed; it is flushed otherwise.
inline bool write_cache(std::ostream& os, const CacheFields& fields,
                        const std::vector<std::uint8_t>& payload) {
    RecordHeader header = cache_header(fields, payload.size());
    HeaderBytes first = write_header(header);
    std::memcpy(first.data(), kCacheMagic, sizeof kCacheMagic);
    header.checksum = crc64(first.data(), 120);
    put(&first[120], 8, header.checksum);
    os.write(reinterpret_cast<const char*>(first.data()), static_cast<std::streamsize>(first.size()));
    os.write(reinterpret_cast<const char*>(payload.data()), static_cast<std::streamsize>(payload.size()));
    std::vector<std::uint64_t> checksums;
    for (std::size_t at = 0; at < payload.size(); at += kBlockBytes)
        checksums.push_back(crc64(payload.data() + at, std::min(kBlockBytes, payload.size() - at)));
    const std::vector<std::uint8_t> tail = write_tail(checksums, header.checksum, header.tail());
    os.write(reinterpret_cast<const char*>(tail.data()), static_cast<std::streamsize>(tail.size()));
    os.flush();
    return os.good();
}

// The header in the first `size` ≤ 128 bytes; its count is the payload's length.
inline RecordHeader read_cache_header(const std::uint8_t* bytes, std::size_t size, const std::string& where) {
    if (size >= sizeof kMagic && std::equal(kMagic, kMagic + sizeof kMagic, bytes))
        throw_bad_file(where, "the file holds codes, which turboquant::load reads, not a KvCache");
    if (!std::equal(kCacheMagic, kCacheMagic + std::min(size, sizeof kCacheMagic), bytes))
        throw_bad_file(where, "not a saved KvCache: it does not begin with the bytes 89 'TQK' 0D 0A 1A 0A");
    if (size < kHeaderBytes) throw_truncated(where, kHeaderBytes, size);
    if (const std::uint64_t version = get(bytes + 8, 4); version != kFormatVersion)
        throw_bad_file(where, "format version " + std::to_string(version) +
                                  ", but this library reads version " + std::to_string(kFormatVersion) +
                                  ": the file is from another one, or damaged");
    RecordHeader header;
    header.checksum = get(bytes + 120, 8);
    if (crc64(bytes, 120) != header.checksum)
        throw_bad_file(where, "checksum mismatch in the header (bytes 0 to 127): the file is damaged");
    check_fields(bytes, where);
    header.id = described_id(bytes + kDescriptionAt);
    header.id.seed = get(bytes + 48, 8);
    if (header.id.kind == QuantizerKind::split) header.id.parts = get(bytes + 96, 8);
    header.scale_rule = described_rule(bytes + kDescriptionAt);
    header.bytes_per_vector = 1;
    if (const std::uint64_t got = get(bytes + 88, 8); got != 0)
        throw_unexpected(where, "bytes of a preamble outside of the payload", 0, got);
    if (const std::uint64_t got = get(bytes + 64, 8); got != 1)
        throw_unexpected(where, "bytes per vector", 1, got);
    if (const std::uint64_t got = get(bytes + 72, 8); got != header.id.fingerprint())
        throw_unexpected(where, "fingerprint", header.id.fingerprint(), got);
    header.count = static_cast<Index>(get(bytes + 56, 8));
    if (const std::string reason = too_large(header); !reason.empty()) throw_bad_file(where, reason);
    if (header.payload() < kCachePrefix)
        throw_unexpected(where, "bytes of the payload, at least", kCachePrefix, header.payload());
    if (const std::uint64_t got = get(bytes + 80, 8); got != header.total())
        throw_unexpected(where, "bytes of the record", header.total(), got);
    return header;
}

// The fields, from a header and a payload whose checksums are right; `payload` has header.payload() bytes.
inline CacheFields read_cache_fields(const RecordHeader& header, const std::uint8_t* payload,
                                     const std::string& where) {
    check_description(payload, where + ": values");
    CacheFields fields;
    fields.key_id = header.id;
    fields.key_rule = header.scale_rule;
    fields.value_id = described_id(payload);
    fields.value_id.seed = get(payload + 32, 8);
    fields.value_rule = described_rule(payload);
    const bool split = fields.value_id.kind == QuantizerKind::split;
    if (split) fields.value_id.parts = get(payload + 96, 8);
    const std::uint64_t flags = get(payload + 28, 4);
    fields.centring = (flags & 1u) != 0;
    fields.means = (flags & 2u) != 0;
    fields.key_centring = (flags & 4u) != 0;
    const bool block_means = (flags & 8u) != 0;
    fields.seed = get(payload + 40, 8);
    constexpr std::uint64_t kMost = std::uint64_t{1}
                                    << 40;  // of tokens: sums and products below stay in range
    const std::uint64_t window = get(payload + 48, 8), sinks = get(payload + 56, 8),
                        size = get(payload + 64, 8), coded = get(payload + 72, 8),
                        key_bytes = get(payload + 80, 8), value_bytes = get(payload + 88, 8),
                        mean_bytes = get(payload + 104, 8);
    bool good = flags < 16 && (fields.centring || !(fields.key_centring || block_means)) &&
                !(fields.key_centring && block_means) && block_means == (mean_bytes > 0) && window <= kMost &&
                sinks <= kMost && size <= kMost && coded <= size && key_bytes <= (std::uint64_t{1} << 30) &&
                value_bytes <= (std::uint64_t{1} << 30) && mean_bytes <= (std::uint64_t{1} << 30) &&
                (split || get(payload + 96, 8) == 0);
    for (std::size_t at = 112; at < kCachePrefix; ++at) good = good && payload[at] == 0;
    if (good) {
        fields.window = static_cast<Index>(window);
        fields.sinks = static_cast<Index>(sinks);
        fields.size = static_cast<Index>(size);
        fields.coded = static_cast<Index>(coded);
        fields.key_block_bytes = static_cast<std::size_t>(key_bytes);
        fields.value_block_bytes = static_cast<std::size_t>(value_bytes);
        fields.key_mean_bytes = static_cast<std::size_t>(mean_bytes);
        constexpr Index kBlock = simd::kBlockTokens;
        good = fields.recent() >= 0 &&
               fields.recent() + fields.coded < (fields.coded / kBlock + 1) * kBlock + fields.window &&
               fields.means == (fields.centring && fields.coded > 0) &&
               fields.blocks() <= static_cast<Index>(header.payload()) &&
               fields.payload() == header.payload();
    }
    if (!good) throw_bad_file(where, "the numbers of tokens and bytes in the file contradict one another");
    return fields;
}

// A verified file: its fields, and its payload (as Codes, which own bytes).
struct LoadedCache {
    CacheFields fields;
    Codes payload;
};

inline LoadedCache read_cache(std::istream& is, const CodecId& key_id, const CodecId& value_id, bool whole,
                              const std::string& where) {
    if (!is) throw_bad_file(where, "the stream had failed before");
    HeaderBytes bytes;
    const RecordHeader header =
        read_cache_header(bytes.data(), read_some(is, bytes.data(), bytes.size(), where), where);
    check_wanted(header, key_id, where + ": keys");
    const std::uint64_t left = bytes_left(is);
    if (left > 0) check_length(header.total(), kHeaderBytes + left, whole, where);
    Codes payload = read_codes(is, header, left > 0, where);
    if (whole && is.peek() != std::istream::traits_type::eof())
        throw_bad_file(where, "trailing bytes after the expected " + std::to_string(header.total()));
    CacheFields fields = read_cache_fields(header, payload.data(), where);
    RecordHeader values;
    values.id = fields.value_id;
    values.scale_rule = fields.value_rule;
    values.bytes_per_vector = 1;
    check_wanted(values, value_id, where + ": values");
    if (const std::string reason = too_large(values); !reason.empty()) throw_bad_file(where, reason);
    return {std::move(fields), std::move(payload)};
}

}  // namespace detail
TURBOQUANT_NAMESPACE_END
