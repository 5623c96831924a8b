// The bytes of saved codes (serialization.hpp reads and writes them): header, payload, checksums.
//
// One record, unsigned little-endian integers, offset and length from its start:
//
//     0   8  89 54 51 43 0D 0A 1A 0A                           48   8  seed
//     8   4  format version, 1                                 56   8  n, the number of vectors
//    12   4  bytes of the header, 128                          64   8  bytes per vector
//    16   4  quantizer: 1 Mse, 2 ResidualSign, 3 Turbo, 4 Split, 5 Trellis  72   8  CodecId::fingerprint()
//    20   4  dimension                                         80   8  bytes of the whole record
//    24   4  bits                                              88   8  Split: bytes of the preamble, else 0
//    28   4  scale rule: 0 norm, 1 unbiased, 2 least squares   96   8  Split: CodecId::parts, else 0
//                                                             104  16  zeros
//                                                             120   8  checksum of bytes 0 … 119
//    32   4  scale type: 0 float, 1 half, 2 bfloat16          128      payload: n vectors as in codes.hpp
//    36   4  rotation: 0 hadamard, 1 haar                           8  for each block of the payload, its checksum
//    40   4  sketch: 0 orthogonal, 1 gaussian                       8  checksum of bytes 0 … 119, then those checksums
//    44   4  bytes of a block, 65536 (the last is shorter)             zeros up to a multiple of 64 bytes
//
// Trellis codes have no sketch: byte 40 says by how many bits their windows are shorter than 8.
// The payload of a SplitQuantizer begins with a preamble (split_quantizer_file.hpp), a multiple of 64 bytes.
//
// Checksums are CRC-64/XZ: every single flipped bit, and every burst of up to 64 bits, is detected for certain; other
// damage is missed with probability 2^-64. Every byte is covered by a checksum or must be zero.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

#include "turboquant/checksum.hpp"
#include "turboquant/codes.hpp"
#include "turboquant/config.hpp"
#include "turboquant/file_error.hpp"
#include "turboquant/mse_quantizer.hpp"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "TurboQuant's codes hold little-endian numbers: big-endian machines are not supported."
#endif

TURBOQUANT_NAMESPACE_BEGIN
namespace detail {

static_assert(int(QuantizerKind::mse) == 1 && int(QuantizerKind::residual_sign) == 2 &&
                  int(QuantizerKind::turbo) == 3 && int(QuantizerKind::split) == 4 &&
                  int(QuantizerKind::trellis) == 5 && int(ScaleRule::norm) == 0 &&
                  int(ScaleRule::unbiased) == 1 && int(ScaleRule::least_squares) == 2 &&
                  int(simd::ScaleType::float32) == 0 && int(simd::ScaleType::float16) == 1 &&
                  int(simd::ScaleType::bfloat16) == 2 && int(RotationKind::hadamard) == 0 &&
                  int(RotationKind::haar) == 1 && int(SketchKind::orthogonal) == 0 &&
                  int(SketchKind::gaussian) == 1,
              "turboquant: these numbers are part of the file format");

inline constexpr std::uint8_t kMagic[8] = {0x89, 'T', 'Q', 'C', '\r', '\n', 0x1A, '\n'};
inline constexpr std::uint32_t kFormatVersion = 1;
inline constexpr std::size_t kHeaderBytes = 128, kBlockBytes = 65536;
inline constexpr int kLargestDim = 1 << 24;
// Dense matrices take 8·d² bytes, which a file of a few bytes could ask for: 2 GiB at most.
inline constexpr int kLargestDenseDim = 1 << 14;

// --- Header --------------------------------------------------------------------------------------------------------

struct RecordHeader {
    CodecId id;
    int scale_rule = 0;
    Index count = 0;
    std::size_t bytes_per_vector = 0;
    std::size_t preamble = 0;    // bytes before the vectors
    std::uint64_t checksum = 0;  // of the header: read, or once written

    std::size_t payload() const noexcept {
        return preamble + static_cast<std::size_t>(count) * bytes_per_vector;
    }
    std::size_t blocks() const noexcept { return payload() / kBlockBytes + (payload() % kBlockBytes != 0); }
    std::size_t total() const noexcept {
        return (kHeaderBytes + payload() + 8 * (blocks() + 1) + 63) / 64 * 64;
    }
    std::size_t tail() const noexcept { return total() - kHeaderBytes - payload(); }
};

inline void put(std::uint8_t* to, int bytes, std::uint64_t value) noexcept {
    for (int i = 0; i < bytes; ++i) to[i] = static_cast<std::uint8_t>(value >> 8 * i);
}
inline std::uint64_t get(const std::uint8_t* from, int bytes) noexcept {
    std::uint64_t value = 0;
    for (int i = bytes; i-- > 0;) value = value << 8 | from[i];
    return value;
}

using HeaderBytes = std::array<std::uint8_t, kHeaderBytes>;

// A quantizer as headers describe it, without its seed: kind, dimension, bits, scale rule, scale type, rotation, and sketch or
// what a window of trellis codes lacks of 8 bits.
inline constexpr std::size_t kDescriptionBytes = 28;
inline constexpr std::size_t kDescriptionAt = 16;  // in headers

inline void put_description(std::uint8_t* to, const CodecId& id, int scale_rule) noexcept {
    const int sketch = id.kind == QuantizerKind::trellis ? 8 - id.window : static_cast<int>(id.sketch);
    for (int field : {static_cast<int>(id.kind), static_cast<int>(id.dim), static_cast<int>(id.bits),
                      scale_rule, static_cast<int>(id.scale), static_cast<int>(id.rotation), sketch}) {
        put(to, 4, static_cast<std::uint64_t>(field));
        to += 4;
    }
}
// Their ranges have been checked.
inline CodecId described_id(const std::uint8_t* from) noexcept {
    CodecId id;
    id.kind = static_cast<QuantizerKind>(get(from, 4));
    id.dim = static_cast<std::int32_t>(get(from + 4, 4));
    id.bits = static_cast<std::int32_t>(get(from + 8, 4));
    id.scale = static_cast<simd::ScaleType>(get(from + 16, 4));
    id.rotation = static_cast<RotationKind>(get(from + 20, 4));
    const int sketch = static_cast<int>(get(from + 24, 4));
    if (id.kind == QuantizerKind::trellis)
        id.window = 8 - sketch;
    else
        id.sketch = static_cast<SketchKind>(sketch);
    return id;
}
inline int described_rule(const std::uint8_t* from) noexcept { return static_cast<int>(get(from + 12, 4)); }

inline HeaderBytes write_header(RecordHeader& header) noexcept {
    HeaderBytes bytes{};
    std::memcpy(bytes.data(), kMagic, sizeof kMagic);
    const CodecId& id = header.id;
    put(&bytes[8], 4, kFormatVersion);
    put(&bytes[12], 4, kHeaderBytes);
    put_description(&bytes[kDescriptionAt], id, header.scale_rule);
    put(&bytes[44], 4, kBlockBytes);
    int at = 48;
    for (std::uint64_t field :
         {id.seed, static_cast<std::uint64_t>(header.count), std::uint64_t{header.bytes_per_vector},
          id.fingerprint(), std::uint64_t{header.total()}, std::uint64_t{header.preamble}, id.parts}) {
        put(&bytes[static_cast<std::size_t>(at)], 8, field);
        at += 8;
    }
    header.checksum = crc64(bytes.data(), 120);
    put(&bytes[120], 8, header.checksum);
    return bytes;
}

// A number of 4 bytes, and its range.
struct FileField {
    const char* name;
    int at;
    std::uint64_t least, most;
};
inline void check_field(const FileField& field, const std::uint8_t* from, const std::string& where) {
    const std::uint64_t value = get(from + field.at, 4);
    if (value >= field.least && value <= field.most) return;
    throw_bad_file(where, std::string(field.name) + ": expected " + std::to_string(field.least) +
                              (field.least < field.most ? " to " + std::to_string(field.most) : "") +
                              ", but the header says " + std::to_string(value));
}

// The ranges of a description's fields, whatever the quantizer.
inline void check_description(const std::uint8_t* from, const std::string& where) {
    constexpr FileField fields[] = {{"quantizer kind", 0, 1, 5}, {"dimension", 4, 1, kLargestDim},
                                    {"number of bits", 8, 1, 8}, {"scale rule", 12, 0, 2},
                                    {"scale type", 16, 0, 2},    {"rotation kind", 20, 0, 1}};
    for (const FileField& field : fields) check_field(field, from, where);
    constexpr FileField sketch{"sketch kind", 24, 0, 1}, trellis{"bits that windows lack of 8", 24, 0, 2};
    check_field(get(from, 4) == 5 ? trellis : sketch, from, where);
}

// Likewise of a header's.
inline void check_fields(const std::uint8_t* bytes, const std::string& where) {
    check_description(bytes + kDescriptionAt, where);
    check_field({"block size", 44, kBlockBytes, kBlockBytes}, bytes, where);
    check_field({"bytes of the header", 12, kHeaderBytes, kHeaderBytes}, bytes, where);
    for (int at = get(bytes + 16, 4) == 4 ? 104 : 88; at < 120; ++at)
        if (bytes[at] != 0) throw_unexpected(where, "reserved byte of the header", 0, bytes[at]);
}

// Bytes of the preamble of codes of a SplitQuantizer.
inline std::size_t preamble_bytes(const CodecId& id) noexcept {
    return id.kind == QuantizerKind::split ? (80 + (static_cast<std::size_t>(id.dim) + 7) / 8 + 63) / 64 * 64
                                           : 0;
}

// Bytes of one vector's record, as codes.hpp lays it out (but for SplitQuantizer, whose parts the header does not tell).
inline std::size_t record_bytes(const CodecId& id) noexcept {
    const simd::RotationPlan some_sketch;
    simd::CodecPlan plan;
    plan.dim = id.dim;
    const bool plain = id.kind == QuantizerKind::mse || id.kind == QuantizerKind::trellis;
    plan.bits = plain ? id.bits : id.kind == QuantizerKind::turbo ? id.bits - 1 : 0;
    plan.scale_type = id.scale;
    plan.sketch = plain ? nullptr : &some_sketch;
    return plan.record_bytes();
}

// Why codes of this identity are too large for a file, or nothing.
inline std::string too_large(const RecordHeader& header) {
    const bool dense = header.id.rotation == RotationKind::haar || header.id.sketch == SketchKind::gaussian;
    if (dense && header.id.dim > kLargestDenseDim)
        return "dense rotations and sketches go up to dimension " + std::to_string(kLargestDenseDim) +
               ", but this is " + header.id.description();
    const auto most = static_cast<std::size_t>(std::numeric_limits<Index>::max()) / 2;
    if (static_cast<std::uint64_t>(header.count) > most / header.bytes_per_vector)
        return std::to_string(static_cast<std::uint64_t>(header.count)) + " vectors of " +
               std::to_string(header.bytes_per_vector) + " bytes are more than memory can hold";
    return {};
}

// What kinds of file are called; the letter is the fourth byte.
inline std::string kind_name(char kind) {
    return kind == 'C' ? "codes" : kind == 'I' ? "a search index" : "an attention cache";
}

// For messages, of a file that is not what it should be.
inline std::string what_it_holds(const std::uint8_t* bytes, std::size_t size) {
    for (char kind : {'C', 'I', 'K'}) {
        std::uint8_t magic[8];
        std::memcpy(magic, kMagic, sizeof magic);
        magic[3] = static_cast<std::uint8_t>(kind);
        if (size >= sizeof magic && std::equal(magic, magic + sizeof magic, bytes))
            return "the file holds " + kind_name(kind);
    }
    return "not a TurboQuant file: it does not begin with the bytes 89 'TQC' 0D 0A 1A 0A";
}

inline void check_version(const std::uint8_t* bytes, const std::string& where) {
    if (const std::uint64_t version = get(bytes + 8, 4); version != kFormatVersion)
        throw_bad_file(where, "format version " + std::to_string(version) +
                                  ", but this library reads version " + std::to_string(kFormatVersion) +
                                  ": the file is from a " +
                                  (version > kFormatVersion ? "newer" : "different") + " one, or damaged");
}

// The header in the first `size` ≤ 128 bytes of a record, checked but for the type that the caller wants.
inline RecordHeader read_header(const std::uint8_t* bytes, std::size_t size, const std::string& where) {
    if (!std::equal(kMagic, kMagic + std::min(size, sizeof kMagic), bytes))
        throw_bad_file(where, what_it_holds(bytes, size) + "; codes were asked for");
    if (size < kHeaderBytes) throw_truncated(where, kHeaderBytes, size);
    check_version(bytes, where);
    RecordHeader header;
    header.checksum = get(bytes + 120, 8);
    if (crc64(bytes, 120) != header.checksum)
        throw_bad_file(where, "checksum mismatch in the header (bytes 0 to 127): the file is damaged");
    check_fields(bytes, where);
    header.id = described_id(bytes + kDescriptionAt);
    header.scale_rule = described_rule(bytes + kDescriptionAt);
    header.id.seed = get(bytes + 48, 8);
    if (header.id.kind != QuantizerKind::mse && header.id.kind != QuantizerKind::trellis &&
        header.scale_rule != 0)
        throw_unexpected(where, "scale rule of a quantizer that has none", 0,
                         static_cast<std::uint64_t>(header.scale_rule));
    if (header.id.kind == QuantizerKind::split) header.id.parts = get(bytes + 96, 8);
    header.preamble = preamble_bytes(header.id);
    if (const std::uint64_t got = get(bytes + 88, 8); got != header.preamble)
        throw_unexpected(where, "bytes of the preamble", header.preamble, got);
    const std::uint64_t stated = get(bytes + 64, 8);
    // Two parts take up to 8 bits a coordinate and two scales each, and at least a scale each.
    const bool split = header.id.kind == QuantizerKind::split && stated >= 4 &&
                       stated <= static_cast<std::uint64_t>(header.id.dim) + 32;
    header.bytes_per_vector = split ? static_cast<std::size_t>(stated) : record_bytes(header.id);
    if (stated != header.bytes_per_vector)
        throw_unexpected(where, "bytes per vector", header.bytes_per_vector, stated);
    if (const std::uint64_t got = get(bytes + 72, 8); got != header.id.fingerprint())
        throw_unexpected(where, "fingerprint", header.id.fingerprint(), got);
    header.count = static_cast<Index>(get(bytes + 56, 8));
    if (const std::string reason = too_large(header); !reason.empty()) throw_bad_file(where, reason);
    if (const std::uint64_t got = get(bytes + 80, 8); got != header.total())
        throw_unexpected(where, "bytes of the record", header.total(), got);
    return header;
}

// Throws when the file holds codes of another type than `wanted`; dim Eigen::Dynamic stands for any, seeds for all.
inline void check_wanted(const RecordHeader& header, CodecId wanted, const std::string& where) {
    const bool any_dim = wanted.dim == Eigen::Dynamic;
    if (any_dim) wanted.dim = header.id.dim;
    wanted.seed = header.id.seed;
    wanted.parts = header.id.parts;
    if (wanted == header.id) return;
    std::string text = wanted.description();
    text.erase(text.rfind(", seed"));
    if (any_dim) {
        const std::string dim = "dimension " + std::to_string(wanted.dim);
        text.replace(text.find(dim), dim.size(), "any dimension");
    }
    throw_bad_file(
        where, "the file holds codes of a " + header.id.description() + ", but a " + text + " was asked for");
}

// The size of a whole file, or what is left of a stream, against the size that the header states.
inline void check_length(std::uint64_t total, std::uint64_t size, bool whole, const std::string& where) {
    if (size < total) throw_truncated(where, total, size);
    if (whole && size > total)
        throw_bad_file(where, "trailing bytes: expected " + std::to_string(total) + " bytes, but got " +
                                  std::to_string(size));
}

// The tail that follows a payload, at byte `at` of the file: the checksum of each block, that of the header and those
// checksums, zeros.
struct Tail {
    const std::uint8_t* data;
    std::size_t size, blocks;
    std::uint64_t at;
};
// All of it but the checksums of the blocks, which are vouched for.
inline void check_table(const Tail& tail, std::uint64_t header_checksum, const std::string& where) {
    const std::size_t table = 8 * tail.blocks;
    if (crc64(tail.data, table, header_checksum) != get(tail.data + table, 8))
        throw_bad_file(where, "checksum mismatch in the table of checksums (" + std::to_string(table + 8) +
                                  " bytes from byte " + std::to_string(tail.at) + "): the file is damaged");
    for (std::size_t i = table + 8; i < tail.size; ++i)
        if (tail.data[i] != 0)
            throw_unexpected(where, "byte " + std::to_string(tail.at + i) + " of the padding", 0,
                             tail.data[i]);
}
// Compares the checksums of a payload's blocks with those in its tail, too. The payload has `payload` bytes.
inline void check_checksums(const std::vector<std::uint64_t>& blocks, const Tail& tail,
                            std::uint64_t header_checksum, std::uint64_t payload, const std::string& where) {
    check_table(tail, header_checksum, where);
    const std::uint64_t first = tail.at - payload;
    for (std::size_t i = 0; i < blocks.size(); ++i) {
        if (blocks[i] == get(tail.data + 8 * i, 8)) continue;
        const std::uint64_t start = i * kBlockBytes,
                            end = std::min<std::uint64_t>(start + kBlockBytes, payload);
        throw_bad_file(where, "checksum mismatch in block " + std::to_string(i) + " of " +
                                  std::to_string(blocks.size()) + " (bytes " + std::to_string(first + start) +
                                  " to " + std::to_string(first + end - 1) + "): the file is damaged");
    }
}

inline void check_tail(const RecordHeader& header, const std::vector<std::uint64_t>& blocks,
                       const std::uint8_t* tail, const std::string& where) {
    check_checksums(blocks, {tail, header.tail(), blocks.size(), kHeaderBytes + header.payload()},
                    header.checksum, header.payload(), where);
}

// Of the blocks of `size` bytes.
inline std::vector<std::uint64_t> block_checksums(const std::uint8_t* bytes, std::size_t size) {
    std::vector<std::uint64_t> checksums;
    checksums.reserve(size / kBlockBytes + 1);
    for (std::size_t at = 0; at < size; at += kBlockBytes)
        checksums.push_back(crc64(bytes + at, std::min(kBlockBytes, size - at)));
    return checksums;
}

// The length and every checksum of a record in the `size` bytes of memory from `bytes` on, whose header has been read.
inline void check_record(const RecordHeader& header, const std::uint8_t* bytes, std::size_t size, bool whole,
                         const std::string& where) {
    check_length(header.total(), size, whole, where);
    const std::uint8_t* const payload = bytes + kHeaderBytes;
    check_tail(header, block_checksums(payload, header.payload()), payload + header.payload(), where);
}

// The tail that check_checksums accepts, `bytes` long.
inline std::vector<std::uint8_t> write_tail(const std::vector<std::uint64_t>& blocks,
                                            std::uint64_t header_checksum, std::size_t bytes) {
    std::vector<std::uint8_t> tail(bytes);
    const std::size_t table = 8 * blocks.size();
    for (std::size_t i = 0; i < blocks.size(); ++i) put(&tail[8 * i], 8, blocks[i]);
    put(&tail[table], 8, crc64(tail.data(), table, header_checksum));
    return tail;
}

// Writes a whole record. False when the stream failed; it is flushed otherwise.
inline bool write_record(std::ostream& os, RecordHeader header, const std::uint8_t* payload) {
    const auto write = [&os](const std::uint8_t* bytes, std::size_t size) {
        os.write(reinterpret_cast<const char*>(bytes), static_cast<std::streamsize>(size));
    };
    const HeaderBytes first = write_header(header);
    write(first.data(), first.size());
    std::vector<std::uint64_t> checksums;
    checksums.reserve(header.blocks());
    for (std::size_t at = 0; at < header.payload() && os; at += kBlockBytes) {
        const std::size_t size = std::min(kBlockBytes, header.payload() - at);
        checksums.push_back(crc64(payload + at, size));
        write(payload + at, size);
    }
    if (!os) return false;
    const std::vector<std::uint8_t> tail = write_tail(checksums, header.checksum, header.tail());
    write(tail.data(), tail.size());
    os.flush();
    return os.good();
}

}  // namespace detail
TURBOQUANT_NAMESPACE_END
