// Codes in files and streams: checksummed, versioned, the same bytes on every machine.
//
//   save("keys.tq", quantizer, codes);                                           // a path or a std::ostream
//   auto [quantizer, codes] = load<TurboQuantizer<128, 4>>("keys.tq");           // a path or a std::istream
//   const MappedFile file("keys.tq");                                            // nothing is copied
//   auto [quantizer, view]  = view_of_bytes<TurboQuantizer<128, 4>>(file.data(), file.size());
//
// The quantizer is rebuilt from dimension, seed and scale rule. No matrix is stored: every kind of rotation and sketch,
// haar and gaussian too, is the same on every build of this library. A file is one record; a stream may hold several,
// one after another, each a multiple of 64 bytes long. record_format.hpp describes the bytes.
//
// A flipped bit, a missing or surplus byte, another type's file: std::runtime_error that says what was expected and
// what came. The file is verified before the quantizer is built, and nothing larger than the file is allocated
// for what it claims to hold. Without exceptions the program ends with the same message.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <istream>
#include <ostream>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include "turboquant/codes.hpp"
#include "turboquant/config.hpp"
#include "turboquant/mapped_file.hpp"
#include "turboquant/mse_quantizer.hpp"
#include "turboquant/record_format.hpp"
#include "turboquant/replacement_file.hpp"
#include "turboquant/residual_sign_quantizer.hpp"
#include "turboquant/turbo_quantizer.hpp"

TURBOQUANT_NAMESPACE_BEGIN

// How a file describes a quantizer type and rebuilds one. Specialize it for quantizers of your own:
//   CodecId id()                          of the type: dim Eigen::Dynamic where any will do; seed 0
//   int scale_rule(const Quantizer&)      0 where there is none
//   Quantizer make(Index dim, std::uint64_t seed, int scale_rule)
// or, where the codes are preceded by a preamble (SplitQuantizer), instead of make():
//   void write_preamble(const Quantizer&, std::uint8_t*)
//   Quantizer make_from(const CodecId&, const std::uint8_t* preamble, const std::string& where)
// Beyond that a quantizer needs id() and bytes_per_vector(), and a QuantizerKind that record_format.hpp knows.
template <class Quantizer>
struct SerializationTraits {
    static_assert(sizeof(Quantizer) == 0,
                  "turboquant: this type cannot be saved or loaded: specialize SerializationTraits for it");
};

template <int Dim, int Bits, class RotationT, class ScaleT>
struct SerializationTraits<MseQuantizer<Dim, Bits, RotationT, ScaleT>> {
    using Quantizer = MseQuantizer<Dim, Bits, RotationT, ScaleT>;
    static CodecId id() noexcept {
        return {QuantizerKind::mse,
                Dim,
                Bits,
                RotationT::kKind,
                SketchKind::orthogonal,
                detail::scale_type_of<ScaleT>(),
                0};
    }
    static int scale_rule(const Quantizer& quantizer) noexcept {
        return static_cast<int>(quantizer.scale_rule());
    }
    static Quantizer make(Index dim, std::uint64_t seed, int rule) {
        return Quantizer(dim, seed, static_cast<ScaleRule>(rule));
    }
};

template <int Dim, SketchKind Kind>
struct SerializationTraits<ResidualSignQuantizer<Dim, Kind>> {
    using Quantizer = ResidualSignQuantizer<Dim, Kind>;
    static CodecId id() noexcept {
        return {QuantizerKind::residual_sign, Dim, 1, RotationKind::hadamard, Kind,
                simd::ScaleType::float32,     0};
    }
    static int scale_rule(const Quantizer&) noexcept { return 0; }
    static Quantizer make(Index dim, std::uint64_t seed, int) { return Quantizer(dim, seed); }
};

template <int Dim, int Bits, SketchKind Kind, class RotationT>
struct SerializationTraits<TurboQuantizer<Dim, Bits, Kind, RotationT>> {
    using Quantizer = TurboQuantizer<Dim, Bits, Kind, RotationT>;
    static CodecId id() noexcept {
        return {QuantizerKind::turbo, Dim, Bits, RotationT::kKind, Kind, simd::ScaleType::float32, 0};
    }
    static int scale_rule(const Quantizer&) noexcept { return 0; }
    static Quantizer make(Index dim, std::uint64_t seed, int) { return Quantizer(dim, seed); }
};

// What load returns: the quantizer that made the codes, and the codes.
template <class Quantizer>
struct Loaded {
    Quantizer quantizer;
    Codes codes;
};

// What of a file in memory is compared with its checksums when it is opened. Without the vectors' bytes, opening does not
// read them, and takes the same time for any size; every index and offset is checked all the same, so that damage gives
// wrong scores, never a crash.
enum class Verify { all, headers };

// What view_of_bytes returns; `codes` looks into the caller's memory, which must outlive it.
template <class Quantizer>
struct LoadedView {
    Quantizer quantizer;
    CodesView codes;
};

namespace detail {

template <class Traits, class = void>
struct has_preamble : std::false_type {};
template <class Traits>
struct has_preamble<Traits, std::void_t<decltype(&Traits::make_from)>> : std::true_type {};

// --- Writing -------------------------------------------------------------------------------------------------------

// write_record() of a quantizer's codes, behind their preamble where they have one.
template <class Quantizer>
bool write_codes(std::ostream& os, const Quantizer& quantizer, const RecordHeader& header,
                 const CodesView& codes) {
    using Traits = SerializationTraits<Quantizer>;
    if constexpr (has_preamble<Traits>::value) {
        std::vector<std::uint8_t> payload(header.payload());
        Traits::write_preamble(quantizer, payload.data());
        if (codes.bytes() > 0) std::memcpy(payload.data() + header.preamble, codes.data(), codes.bytes());
        return write_record(os, header, payload.data());
    } else {
        return (void)quantizer, write_record(os, header, codes.data());
    }
}

// Throws std::invalid_argument when the codes are not the quantizer's. Codes that belong to no quantizer yet are empty
// codes of any.
template <class Quantizer>
RecordHeader header_of(const char* where, const Quantizer& quantizer, const CodesView& codes) {
    RecordHeader header;
    header.id = quantizer.id();
    header.scale_rule = SerializationTraits<Quantizer>::scale_rule(quantizer);
    header.count = codes.size();
    header.bytes_per_vector = quantizer.bytes_per_vector();
    header.preamble = preamble_bytes(header.id);
    if (const std::string reason = too_large(header); !reason.empty())
        throw_invalid_argument(std::string(where) + ": " + reason);
    if (codes.size() == 0 && codes.id().kind == QuantizerKind::none) return header;
    if (codes.id() != header.id || codes.bytes_per_vector() != header.bytes_per_vector)
        throw_invalid_argument(std::string(where) + ": the codes were made by " + codes.id().description() +
                               " (" + std::to_string(codes.bytes_per_vector()) +
                               " bytes per vector), but the quantizer is " + header.id.description() + " (" +
                               std::to_string(header.bytes_per_vector) + ")");
    if (codes.size() < 0 || (codes.size() > 0 && codes.data() == nullptr))
        throw_invalid_argument(std::string(where) + ": a view of " + std::to_string(codes.size()) +
                               " codes without memory");
    return header;
}

// --- Reading -------------------------------------------------------------------------------------------------------

template <class Quantizer>
Quantizer make_quantizer(const CodecId& id, int rule, const std::uint8_t* preamble,
                         const std::string& where) {
    using Traits = SerializationTraits<Quantizer>;
    if constexpr (has_preamble<Traits>::value)
        return (void)rule, Traits::make_from(id, preamble, where);
    else
        return (void)preamble, (void)where, Traits::make(id.dim, id.seed, rule);
}

// The quantizer that a file describes; preamble: its preamble_bytes(id).
template <class Quantizer>
Quantizer rebuild(const CodecId& id, int rule, const std::uint8_t* preamble, const std::string& where) {
    Quantizer quantizer = make_quantizer<Quantizer>(id, rule, preamble, where);
    if (quantizer.id() != id)
        throw_bad_file(where, "the file holds codes of a " + id.description() +
                                  ", but the quantizer built from it is " + quantizer.id().description());
    return quantizer;
}
template <class Quantizer>
Quantizer rebuild(const RecordHeader& header, const std::uint8_t* preamble, const std::string& where) {
    Quantizer quantizer = rebuild<Quantizer>(header.id, header.scale_rule, preamble, where);
    if (quantizer.bytes_per_vector() != header.bytes_per_vector)
        throw_unexpected(where, "bytes per vector", quantizer.bytes_per_vector(), header.bytes_per_vector);
    return quantizer;
}

// Up to `size` bytes; how many came.
inline std::size_t read_some(std::istream& is, std::uint8_t* to, std::size_t size, const std::string& where) {
    is.read(reinterpret_cast<char*>(to), static_cast<std::streamsize>(size));
    if (is.bad()) throw_bad_file(where, "the stream could not be read");
    return static_cast<std::size_t>(is.gcount());
}

// Bytes between here and the end of the stream; zero when it does not say.
inline std::uint64_t bytes_left(std::istream& is) {
    std::streambuf* buffer = is.rdbuf();
    const std::streamoff here = buffer->pubseekoff(0, std::ios::cur, std::ios::in);
    if (here < 0) return 0;
    const std::streamoff end = buffer->pubseekoff(0, std::ios::end, std::ios::in);
    if (end < 0) return 0;
    buffer->pubseekoff(here, std::ios::beg, std::ios::in);
    return end > here ? static_cast<std::uint64_t>(end - here) : 0;
}

// The payload and the tail, verified. Memory for `known` bytes is taken at once; beyond that it grows as data arrives.
inline Codes read_codes(std::istream& is, const RecordHeader& header, bool known, const std::string& where) {
    Codes codes;
    if (known) codes.room(1, static_cast<Index>(header.payload()));
    std::vector<std::uint64_t> checksums;
    for (std::size_t at = 0; at < header.payload(); at += kBlockBytes) {
        const std::size_t size = std::min(kBlockBytes, header.payload() - at);
        const auto bytes = static_cast<Index>(at + size);
        std::uint8_t* block = codes.room(1, bytes) + at;
        codes.commit(header.id, 1, bytes);
        const std::size_t got = read_some(is, block, size, where);
        if (got < size) throw_truncated(where, header.total(), kHeaderBytes + at + got);
        checksums.push_back(crc64(block, size));
    }
    std::vector<std::uint8_t> tail(header.tail());
    const std::size_t got = read_some(is, tail.data(), tail.size(), where);
    if (got < tail.size()) throw_truncated(where, header.total(), kHeaderBytes + header.payload() + got);
    check_tail(header, checksums, tail.data(), where);
    codes.commit(header.id, header.bytes_per_vector, header.count);
    return codes;
}

// The record that fills `size` bytes of memory.
template <class Quantizer>
LoadedView<Quantizer> view_record(const std::uint8_t* bytes, std::size_t size, const std::string& where) {
    const RecordHeader header = read_header(bytes, std::min(size, kHeaderBytes), where);
    check_wanted(header, SerializationTraits<Quantizer>::id(), where);
    check_record(header, bytes, size, /*whole=*/true, where);
    const std::uint8_t* payload = bytes + kHeaderBytes;
    return {rebuild<Quantizer>(header, payload, where),
            CodesView(payload + header.preamble, header.count, header.bytes_per_vector, header.id)};
}

inline Codes without_preamble(const RecordHeader& header, const Codes& payload) {
    Codes codes;
    std::uint8_t* const to = codes.room(header.bytes_per_vector, header.count);
    if (header.count > 0)
        std::memcpy(to, payload.data() + header.preamble, header.payload() - header.preamble);
    codes.commit(header.id, header.bytes_per_vector, header.count);
    return codes;
}

template <class Quantizer>
Loaded<Quantizer> load_record(std::istream& is, bool whole, const std::string& where) {
    if (!is) throw_bad_file(where, "the stream had failed before");
    HeaderBytes bytes;
    const RecordHeader header =
        read_header(bytes.data(), read_some(is, bytes.data(), bytes.size(), where), where);
    check_wanted(header, SerializationTraits<Quantizer>::id(), where);
    const std::uint64_t left = bytes_left(is);
    if (left > 0) check_length(header.total(), kHeaderBytes + left, whole, where);
    Codes codes = read_codes(is, header, left > 0, where);
    if (whole && is.peek() != std::istream::traits_type::eof())
        throw_bad_file(where, "trailing bytes after the expected " + std::to_string(header.total()));
    Quantizer quantizer = rebuild<Quantizer>(header, codes.data(), where);
    if (header.preamble > 0) codes = without_preamble(header, codes);
    return {std::move(quantizer), std::move(codes)};
}

}  // namespace detail

// Writes one record and flushes. Throws std::invalid_argument when the codes are not the quantizer's, and
// std::runtime_error when the stream fails.
template <class Quantizer>
void save(std::ostream& os, const Quantizer& quantizer, CodesView codes) {
    const detail::RecordHeader header = detail::header_of("save", quantizer, codes);
    if (!detail::write_codes(os, quantizer, header, codes))
        detail::throw_runtime_error("save: writing " + std::to_string(header.total()) +
                                    " bytes to the stream failed");
}

// The same into a file, which is replaced at once when all is on the disk: a crash or a failure leaves the old one.
template <class Quantizer>
void save(const std::string& path, const Quantizer& quantizer, CodesView codes) {
    const detail::RecordHeader header = detail::header_of("save", quantizer, codes);
    detail::ReplacementFile file(detail::quoted("save", path), path);
    errno = 0;
    if (!detail::write_codes(file.stream(), quantizer, header, codes))
        file.fail("writing " + std::to_string(header.total()) + " bytes failed", errno);
    file.commit();
}

// Reads one record, and not a byte more. A Quantizer of fixed Dim takes that dimension alone, one of Dim
// Eigen::Dynamic any. Throws std::runtime_error as above; the stream is then somewhere in the record.
template <class Quantizer>
Loaded<Quantizer> load(std::istream& is) {
    return detail::load_record<Quantizer>(is, /*whole=*/false, "load");
}

// Reads a file that holds one record and nothing else.
template <class Quantizer>
Loaded<Quantizer> load(const std::string& path) {
    const std::string where = detail::quoted("load", path);
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    if (!file) detail::throw_bad_file(where, "cannot open it: " + std::system_category().message(errno));
    return detail::load_record<Quantizer>(file, /*whole=*/true, where);
}

// Verifies the record that fills `size` bytes of memory and returns a view into it: nothing is copied, O(size). Records
// are aligned to 64 bytes when `data` is; any address works.
template <class Quantizer>
LoadedView<Quantizer> view_of_bytes(const void* data, std::size_t size) {
    return detail::view_record<Quantizer>(static_cast<const std::uint8_t*>(data), size, "view_of_bytes");
}

TURBOQUANT_NAMESPACE_END
