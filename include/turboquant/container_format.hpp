// The bytes of saved containers (an index, a cache), around what record_format.hpp lays down for codes.
//
// Unsigned little-endian integers, offset and length from the start:
//
//     0   8  89 54 51 kk 0D 0A 1A 0A, kk = 'I' for an index, 'K' for a cache
//     8   4  format version, 1
//    12   4  bytes of the header, 128
//    16   8  bytes of the payload
//    24   8  bytes of the whole
//    32  88  eleven numbers of 8 bytes, whose meaning is the container's
//   120   8  checksum of bytes 0 … 119
//   128      one record of codes, empty, for each quantizer of the container
//            the payload: the container's arrays, each from a multiple of 64 bytes on, zeros between
//         8  for each 65536 bytes of the payload (the last are fewer), their checksum
//         8  checksum of bytes 0 … 119, then those checksums
//            zeros up to a multiple of 64 bytes
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <istream>
#include <ostream>
#include <string>
#include <vector>

#include "turboquant/config.hpp"
#include "turboquant/record_format.hpp"
#include "turboquant/serialization.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace detail {

struct ContainerHeader {
    char kind;       // 'I' or 'K'
    int quantizers;  // records before the payload
    std::uint64_t payload = 0;
    std::array<std::uint64_t, 11> fields{};
    std::uint64_t checksum = 0;

    std::uint64_t blocks() const noexcept { return payload / kBlockBytes + (payload % kBlockBytes != 0); }
    std::uint64_t tail() const noexcept { return (8 * (blocks() + 1) + 63) / 64 * 64; }
    std::uint64_t total() const noexcept {
        return kHeaderBytes + static_cast<std::uint64_t>(quantizers) * RecordHeader().total() + payload +
               tail();
    }
};

inline std::size_t aligned(std::size_t bytes) noexcept { return (bytes + 63) / 64 * 64; }

inline void write_container_header(std::ostream& os, ContainerHeader& header) {
    HeaderBytes bytes{};
    std::memcpy(bytes.data(), kMagic, sizeof kMagic);
    bytes[3] = static_cast<std::uint8_t>(header.kind);
    put(&bytes[8], 4, kFormatVersion);
    put(&bytes[12], 4, kHeaderBytes);
    put(&bytes[16], 8, header.payload);
    put(&bytes[24], 8, header.total());
    for (std::size_t i = 0; i < header.fields.size(); ++i) put(&bytes[32 + 8 * i], 8, header.fields[i]);
    header.checksum = crc64(bytes.data(), 120);
    put(&bytes[120], 8, header.checksum);
    os.write(reinterpret_cast<const char*>(bytes.data()), kHeaderBytes);
}

// Reads and checks a header; `whole`: nothing may follow the container. Where the stream says how long it is, the container
// is not longer.
inline ContainerHeader read_container_header(std::istream& is, char kind, int quantizers, bool whole,
                                             const std::string& where) {
    if (!is) throw_bad_file(where, "the stream had failed before");
    HeaderBytes bytes{};
    const std::size_t got = read_some(is, bytes.data(), bytes.size(), where);
    std::uint8_t magic[8];
    std::memcpy(magic, kMagic, sizeof magic);
    magic[3] = static_cast<std::uint8_t>(kind);
    if (!std::equal(magic, magic + std::min<std::size_t>(got, 8), bytes.begin()))
        throw_bad_file(where, what_it_holds(bytes.data(), got) + "; " + kind_name(kind) + " was asked for");
    if (got < kHeaderBytes) throw_truncated(where, kHeaderBytes, got);
    check_version(bytes.data(), where);
    ContainerHeader header;
    header.kind = kind;
    header.quantizers = quantizers;
    header.checksum = get(&bytes[120], 8);
    if (crc64(bytes.data(), 120) != header.checksum)
        throw_bad_file(where, "checksum mismatch in the header (bytes 0 to 127): the file is damaged");
    header.payload = get(&bytes[16], 8);
    for (std::size_t i = 0; i < header.fields.size(); ++i) header.fields[i] = get(&bytes[32 + 8 * i], 8);
    if (header.payload > std::uint64_t{1} << 62 || get(&bytes[24], 8) != header.total())
        throw_unexpected(where, "bytes of the container", header.total(), get(&bytes[24], 8));
    const std::uint64_t left = bytes_left(is);
    if (left > 0 && kHeaderBytes + left < header.total())
        throw_truncated(where, header.total(), kHeaderBytes + left);
    if (left > 0 && whole && kHeaderBytes + left > header.total())
        throw_bad_file(where, "trailing bytes: expected " + std::to_string(header.total()) +
                                  " bytes, but got " + std::to_string(kHeaderBytes + left));
    return header;
}

// --- The payload ----------------------------------------------------------------------------------------------------------

// Checksums of a sequence of bytes, one per block.
class BlockChecksums {
public:
    void add(const std::uint8_t* bytes, std::size_t size) {
        while (size > 0) {
            const std::size_t some = std::min(size, kBlockBytes - in_block_);
            current_ = crc64(bytes, some, current_);
            bytes += some;
            size -= some;
            in_block_ += some;
            if (in_block_ == kBlockBytes) close();
        }
    }
    void close() {
        if (in_block_ == 0) return;
        checksums_.push_back(current_);
        current_ = 0;
        in_block_ = 0;
    }
    const std::vector<std::uint64_t>& all() const noexcept { return checksums_; }

private:
    std::vector<std::uint64_t> checksums_;
    std::uint64_t current_ = 0;
    std::size_t in_block_ = 0;
};

class PayloadWriter {
public:
    explicit PayloadWriter(std::ostream& os) : os_(os) {}

    void write(const void* data, std::size_t size) {
        os_.write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
        checksums_.add(static_cast<const std::uint8_t*>(data), size);
        written_ += size;
    }
    // Zeros up to a multiple of 64 bytes: the end of an array.
    void align() {
        const std::uint8_t zeros[64] = {};
        write(zeros, aligned(written_) - written_);
    }
    void finish(const ContainerHeader& header) {
        checksums_.close();
        const std::vector<std::uint8_t> tail = write_tail(checksums_.all(), header.checksum, header.tail());
        os_.write(reinterpret_cast<const char*>(tail.data()), static_cast<std::streamsize>(tail.size()));
        os_.flush();
    }

private:
    std::ostream& os_;
    BlockChecksums checksums_;
    std::size_t written_ = 0;
};

class PayloadReader {
public:
    PayloadReader(std::istream& is, const ContainerHeader& header, std::string where)
        : is_(is), header_(header), where_(std::move(where)) {}

    void read(void* to, std::size_t size) {
        if (size > header_.payload - read_)
            throw_bad_file(where_, "the payload ends before the arrays that the header names");
        const std::size_t got = read_some(is_, static_cast<std::uint8_t*>(to), size, where_);
        if (got < size) throw_truncated(where_, header_.total(), offset() + got);
        checksums_.add(static_cast<const std::uint8_t*>(to), size);
        read_ += size;
    }
    void align() {
        std::uint8_t padding[64];
        read(padding, aligned(read_) - read_);
    }
    // Reads the tail and checks all.
    void finish() {
        if (read_ != header_.payload)
            throw_unexpected(where_, "bytes of the payload", read_, header_.payload);
        checksums_.close();
        std::vector<std::uint8_t> tail(header_.tail());
        const std::uint64_t first = offset();
        const std::size_t got = read_some(is_, tail.data(), tail.size(), where_);
        if (got < tail.size()) throw_truncated(where_, header_.total(), first + got);
        check_checksums(checksums_.all(), tail, header_.checksum, first - header_.payload, header_.payload,
                        where_);
    }

private:
    std::uint64_t offset() const noexcept {
        return header_.total() - header_.tail() - header_.payload + read_;
    }

    std::istream& is_;
    const ContainerHeader& header_;
    std::string where_;
    BlockChecksums checksums_;
    std::uint64_t read_ = 0;
};

}  // namespace detail
TURBOQUANT_NAMESPACE_END
