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
    char kind;                  // 'I'
    std::uint64_t records = 0;  // bytes before the payload: the quantizers'
    std::uint64_t payload = 0;
    std::array<std::uint64_t, 11> fields{};
    std::uint64_t checksum = 0;

    std::uint64_t blocks() const noexcept { return payload / kBlockBytes + (payload % kBlockBytes != 0); }
    std::uint64_t tail() const noexcept { return (8 * (blocks() + 1) + 63) / 64 * 64; }
    std::uint64_t total() const noexcept { return kHeaderBytes + records + payload + tail(); }
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

// The header in the first `got` ≤ 128 bytes.
inline ContainerHeader read_container_header(const std::uint8_t* bytes, std::size_t got, char kind,
                                             const std::string& where) {
    std::uint8_t magic[8];
    std::memcpy(magic, kMagic, sizeof magic);
    magic[3] = static_cast<std::uint8_t>(kind);
    if (!std::equal(magic, magic + std::min<std::size_t>(got, 8), bytes))
        throw_bad_file(where, what_it_holds(bytes, got) + "; " + kind_name(kind) + " was asked for");
    if (got < kHeaderBytes) throw_truncated(where, kHeaderBytes, got);
    check_version(bytes, where);
    ContainerHeader header;
    header.kind = kind;
    header.checksum = get(bytes + 120, 8);
    if (crc64(bytes, 120) != header.checksum)
        throw_bad_file(where, "checksum mismatch in the header (bytes 0 to 127): the file is damaged");
    header.payload = get(bytes + 16, 8);
    for (std::size_t i = 0; i < header.fields.size(); ++i) header.fields[i] = get(bytes + 32 + 8 * i, 8);
    const std::uint64_t total = get(bytes + 24, 8), least = RecordHeader().total();
    if (header.payload > std::uint64_t{1} << 62 || total < header.total() + least || total % 64 != 0)
        throw_unexpected(where, "bytes of the container, at least", header.total() + least, total);
    header.records = total - header.total();
    return header;
}

// A quantizer's record, once it has been read: `records` bytes, with as many vectors.
inline void check_records(const ContainerHeader& header, std::uint64_t records, Index vectors,
                          const std::string& where) {
    if (vectors != 0)
        throw_unexpected(where, "vectors in the quantizer's record", 0, static_cast<std::uint64_t>(vectors));
    if (header.records != records)
        throw_unexpected(where, "bytes of the container", header.total() - header.records + records,
                         header.total());
}

// Of a stream; `whole`: nothing may follow the container. Where the stream says how long it is, the container is not longer.
inline ContainerHeader read_container_header(std::istream& is, char kind, bool whole,
                                             const std::string& where) {
    if (!is) throw_bad_file(where, "the stream had failed before");
    HeaderBytes bytes{};
    const std::size_t got = read_some(is, bytes.data(), bytes.size(), where);
    const ContainerHeader header = read_container_header(bytes.data(), got, kind, where);
    if (const std::uint64_t left = bytes_left(is); left > 0)
        check_length(header.total(), kHeaderBytes + left, whole, where);
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
        check_checksums(checksums_.all(), {tail.data(), tail.size(), checksums_.all().size(), first},
                        header_.checksum, header_.payload, where_);
    }

private:
    std::uint64_t offset() const noexcept { return kHeaderBytes + header_.records + read_; }

    std::istream& is_;
    const ContainerHeader& header_;
    std::string where_;
    BlockChecksums checksums_;
    std::uint64_t read_ = 0;
};

// A payload that lies in memory, as PayloadReader reads one.
class PayloadView {
public:
    PayloadView(const std::uint8_t* payload, const ContainerHeader& header, std::string where)
        : payload_(payload), header_(header), where_(std::move(where)) {}

    const std::uint8_t* take(std::size_t size) {
        if (size > header_.payload - taken_)
            throw_bad_file(where_, "the payload ends before the arrays that the header names");
        taken_ += size;
        return payload_ + (taken_ - size);
    }
    void align() { (void)take(aligned(taken_) - taken_); }
    // Checks the tail, and where `all` the payload.
    void finish(bool all) {
        if (taken_ != header_.payload)
            throw_unexpected(where_, "bytes of the payload", taken_, header_.payload);
        const Tail tail{payload_ + header_.payload, static_cast<std::size_t>(header_.tail()),
                        static_cast<std::size_t>(header_.blocks()),
                        kHeaderBytes + header_.records + header_.payload};
        if (all)
            check_checksums(block_checksums(payload_, static_cast<std::size_t>(header_.payload)), tail,
                            header_.checksum, header_.payload, where_);
        else
            check_table(tail, header_.checksum, where_);
    }

private:
    const std::uint8_t* payload_;
    const ContainerHeader& header_;
    std::string where_;
    std::size_t taken_ = 0;
};

}  // namespace detail
TURBOQUANT_NAMESPACE_END
