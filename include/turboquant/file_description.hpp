// What a saved file holds, without knowing its type: codes, a search index or an attention cache, of which quantizers, how
// many vectors.
//
//   const FileDescription file = describe_file("base.tqi");   // every checksum is verified
//   if (file.kind == FileKind::index && file.id.bits == 4) …
//
// A program that opens files of any type calls it first, and then the load of the type that the file names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "turboquant/codes.hpp"
#include "turboquant/config.hpp"
#include "turboquant/container_format.hpp"
#include "turboquant/flat_index.hpp"
#include "turboquant/kv_cache_file.hpp"
#include "turboquant/mapped_file.hpp"
#include "turboquant/record_format.hpp"
#include "turboquant/serialization.hpp"

TURBOQUANT_NAMESPACE_BEGIN

enum class FileKind : int { codes, index, cache };

struct FileDescription {
    FileKind kind = FileKind::codes;
    std::uint64_t bytes = 0;  // of the file, or of the first record of a file that holds several
    CodecId id;               // the quantizer; a cache's for keys
    ScaleRule scale_rule = ScaleRule::norm;  // of MseQuantizer
    Index size = 0;                          // vectors, or tokens

    // An index: how it compares, whether vectors are encoded less a mean, whether they have ids of their own.
    Metric metric = Metric::inner_product;
    bool centring = false, ids = false;

    // A cache: the quantizer of values, and what is kept in full precision.
    CodecId value_id;
    ScaleRule value_scale_rule = ScaleRule::norm;
    Index window = 0, sinks = 0;
};

namespace detail {

inline void describe_codes(const std::uint8_t* bytes, std::size_t size, const std::string& where,
                           FileDescription& file) {
    const RecordHeader header = read_header(bytes, std::min(size, kHeaderBytes), where);
    check_record(header, bytes, size, /*whole=*/false, where);
    file.id = header.id;
    file.scale_rule = static_cast<ScaleRule>(header.scale_rule);
    file.size = header.count;
    file.bytes = header.total();
}

inline void describe_index(const std::uint8_t* bytes, std::size_t size, const std::string& where,
                           FileDescription& file) {
    const ContainerHeader header = read_container_header(bytes, std::min(size, kHeaderBytes), 'I', where);
    check_length(header.total(), size, /*whole=*/true, where);
    FileDescription quantizer;
    describe_codes(bytes + kHeaderBytes, static_cast<std::size_t>(header.records), where, quantizer);
    check_records(header, quantizer.bytes, quantizer.size, where);
    PayloadView payload(bytes + kHeaderBytes + header.records, header, where);
    (void)payload.take(static_cast<std::size_t>(header.payload));
    payload.finish(/*all=*/true);
    if (header.fields[0] > 2) throw_unexpected(where, "metric of the index, at most", 2, header.fields[0]);
    file.id = quantizer.id;
    file.scale_rule = quantizer.scale_rule;
    file.size = static_cast<Index>(header.fields[3]);
    file.bytes = header.total();
    file.metric = static_cast<Metric>(header.fields[0]);
    file.centring = header.fields[1] != 0;
    file.ids = header.fields[4] != 0;
}

inline void describe_cache(const std::uint8_t* bytes, std::size_t size, const std::string& where,
                           FileDescription& file) {
    const RecordHeader header = read_cache_header(bytes, std::min(size, kHeaderBytes), where);
    check_record(header, bytes, size, /*whole=*/true, where);
    const CacheFields fields = read_cache_fields(header, bytes + kHeaderBytes, where);
    file.id = fields.key_id;
    file.scale_rule = static_cast<ScaleRule>(fields.key_rule);
    file.value_id = fields.value_id;
    file.value_scale_rule = static_cast<ScaleRule>(fields.value_rule);
    file.size = fields.size;
    file.window = fields.window;
    file.sinks = fields.sinks;
    file.centring = fields.centring;
    file.bytes = header.total();
}

}  // namespace detail

// Reads the whole file once, to verify its checksums. Throws std::runtime_error, naming the file and what is wrong with it,
// where it cannot be read, is not of this library, or is damaged.
inline FileDescription describe_file(const std::string& path) {
    const std::string where = detail::quoted("describe_file", path);
    const MappedFile map(path, where);
    FileDescription file;
    const char letter = map.size() >= sizeof detail::kMagic ? static_cast<char>(map.data()[3]) : 'C';
    if (letter == 'I') {
        file.kind = FileKind::index;
        detail::describe_index(map.data(), map.size(), where, file);
    } else if (letter == 'K') {
        file.kind = FileKind::cache;
        detail::describe_cache(map.data(), map.size(), where, file);
    } else {
        detail::describe_codes(map.data(), map.size(), where, file);
    }
    return file;
}

TURBOQUANT_NAMESPACE_END
