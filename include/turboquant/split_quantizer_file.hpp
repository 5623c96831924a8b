// SplitQuantizer in the files of serialization.hpp. The preamble of its codes:
//
//     0  28  the outliers' quantizer, as at 16 … 43 of the header: kind, dimension, bits, scale rule, scale type, rotation, sketch
//    28   8  its seed
//    36  36  the rest's quantizer, likewise
//    72   8  zeros
//    80      a bit for each channel, least significant first, 1 = outlier; then zeros up to a multiple of 64 bytes
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "turboquant/config.hpp"
#include "turboquant/record_format.hpp"
#include "turboquant/serialization.hpp"
#include "turboquant/split_quantizer.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace detail {

inline constexpr std::size_t kPartBytes = kDescriptionBytes + 8;

inline void write_part(const CodecId& id, int rule, std::uint8_t* to) noexcept {
    put_description(to, id, rule);
    put(to + kDescriptionBytes, 8, id.seed);
}

// The quantizer that write_part() described.
template <class Quantizer>
Quantizer read_part(const std::uint8_t* from, const std::string& where) {
    check_description(from, where);
    RecordHeader part;
    part.id = described_id(from);
    part.id.seed = get(from + kDescriptionBytes, 8);
    part.scale_rule = described_rule(from);
    part.bytes_per_vector = 1;
    check_wanted(part, SerializationTraits<Quantizer>::id(), where);
    if (const std::string reason = too_large(part); !reason.empty()) throw_bad_file(where, reason);
    return SerializationTraits<Quantizer>::make(part.id.dim, part.id.seed, part.scale_rule);
}

}  // namespace detail

template <class Outliers, class Rest>
struct SerializationTraits<SplitQuantizer<Outliers, Rest>> {
    using Quantizer = SplitQuantizer<Outliers, Rest>;
    static CodecId id() noexcept {
        CodecId id;
        id.kind = QuantizerKind::split;
        id.dim = Quantizer::kDim;
        id.bits = SerializationTraits<Outliers>::id().bits;
        return id;
    }
    static int scale_rule(const Quantizer&) noexcept { return 0; }

    static void write_preamble(const Quantizer& quantizer, std::uint8_t* to) {
        std::memset(to, 0, detail::preamble_bytes(quantizer.id()));
        const Outliers& outliers = quantizer.outliers();
        const Rest& rest = quantizer.rest();
        detail::write_part(outliers.id(), SerializationTraits<Outliers>::scale_rule(outliers), to);
        detail::write_part(rest.id(), SerializationTraits<Rest>::scale_rule(rest), to + detail::kPartBytes);
        for (const Index channel : quantizer.outlier_channels())
            to[80 + channel / 8] = static_cast<std::uint8_t>(to[80 + channel / 8] | 1u << (channel % 8));
    }

    static Quantizer make_from(const CodecId& id, const std::uint8_t* preamble, const std::string& where) {
        const std::uint8_t* const second = preamble + detail::kPartBytes;
        std::vector<Index> channels;
        for (Index i = 0; i < id.dim; ++i)
            if ((preamble[80 + i / 8] >> (i % 8) & 1u) != 0) channels.push_back(i);
        // Before anything is built: tables take memory in proportion to the dimension.
        const Index some = detail::described_id(preamble).dim, others = detail::described_id(second).dim;
        if (some < 1 || others < 1 || some + others != id.dim || some != static_cast<Index>(channels.size()))
            detail::throw_bad_file(where, "parts of dimensions " + std::to_string(some) + " and " +
                                              std::to_string(others) + " contradict " +
                                              std::to_string(channels.size()) + " outlier channels of " +
                                              std::to_string(id.dim));
        Outliers outliers = detail::read_part<Outliers>(preamble, where + ": outliers");
        Rest rest = detail::read_part<Rest>(second, where + ": rest");
        return Quantizer(std::move(outliers), std::move(rest), channels);
    }
};

TURBOQUANT_NAMESPACE_END
