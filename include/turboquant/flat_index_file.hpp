// FlatIndex: files, and indexes over files in memory. The eleven numbers of the header: metric, centring, whether vectors are encoded (or kept as they are,
// before the mean is known), vectors, whether ids are stored (or are positions), the next automatic id; the rest 0. The
// arrays: the mean (d floats, where vectors are encoded and centring is on), then the vectors (blocks, or records and
// terms: index_storage.hpp; or padded floats), then the ids (8 bytes each).
#pragma once

#include "turboquant/container_format.hpp"
#include "turboquant/flat_index.hpp"

TURBOQUANT_NAMESPACE_BEGIN

// Calls visit(array, elements that n vectors take) for every array but the mean, in the order of files.
template <class Quantizer>
template <class Self, class Visit>
void BasicFlatIndex<Quantizer>::visit_arrays(Self& self, Index n, Visit&& visit) {
    if (self.encoding_)
        Storage::visit(self.storage_, n, visit);
    else
        visit(self.exact_, n);
    if (self.explicit_ids_) visit(self.ids_, n);
}

template <class Quantizer>
std::uint64_t BasicFlatIndex<Quantizer>::payload_bytes(Index n) const {
    std::uint64_t bytes = detail::aligned(mean_bytes());
    visit_arrays(*this, n, [&](const detail::SegmentedArray& array, Index elements) {
        bytes += detail::aligned(static_cast<std::size_t>(elements) * array.element_bytes());
    });
    return bytes;
}

// False when the stream failed.
template <class Quantizer>
bool BasicFlatIndex<Quantizer>::write(std::ostream& os) const {
    const detail::RecordHeader record = detail::header_of("FlatIndex::save", quantizer_, CodesView());
    detail::ContainerHeader header{'I'};
    header.records = record.total();
    header.payload = payload_bytes(count_);
    header.fields = {
        static_cast<std::uint64_t>(options_.metric), options_.centring, encoding_,
        static_cast<std::uint64_t>(count_),          explicit_ids_,     static_cast<std::uint64_t>(next_id_)};
    detail::write_container_header(os, header);
    if (!detail::write_codes(os, quantizer_, record, CodesView())) return false;
    detail::PayloadWriter writer(os);
    writer.write(mean_.data(), mean_bytes());
    writer.align();
    visit_arrays(*this, count_, [&](const detail::SegmentedArray& array, Index elements) {
        for (Index i = 0; i < elements && os; i += array.per_segment())
            writer.write(array.at(i), static_cast<std::size_t>(std::min(array.per_segment(), elements - i)) *
                                          array.element_bytes());
        writer.align();
    });
    writer.finish(header);
    return os.good();
}

template <class Quantizer>
void BasicFlatIndex<Quantizer>::save(std::ostream& os) const {
    if (!write(os)) detail::throw_runtime_error("FlatIndex::save: writing to the stream failed");
}

template <class Quantizer>
void BasicFlatIndex<Quantizer>::save(const std::string& path) const {
    detail::ReplacementFile file(detail::quoted("FlatIndex::save", path), path);
    errno = 0;
    if (!write(file.stream())) file.fail("writing failed", errno);
    file.commit();
}

// An index as the header describes it, whose arrays have yet to come.
template <class Quantizer>
BasicFlatIndex<Quantizer> BasicFlatIndex<Quantizer>::described(const detail::ContainerHeader& header,
                                                               Quantizer quantizer,
                                                               const std::string& where) {
    const auto& fields = header.fields;
    constexpr std::uint64_t kMost[] = {2, 1, 1, std::uint64_t{1} << 48, 1, std::uint64_t{1} << 63, 0, 0,
                                       0, 0, 0};
    for (std::size_t i = 0; i < fields.size(); ++i)
        if (fields[i] > kMost[i])
            detail::throw_bad_file(where, "number " + std::to_string(i) + " of the index: expected at most " +
                                              std::to_string(kMost[i]) + ", but the header says " +
                                              std::to_string(fields[i]));
    FlatIndexOptions options;
    options.metric = static_cast<Metric>(fields[0]);
    options.centring = fields[1] != 0;
    options.seed = quantizer.seed();
    BasicFlatIndex index(std::move(quantizer), std::move(options));
    index.encoding_ = fields[2] != 0;
    index.explicit_ids_ = fields[4] != 0;
    index.next_id_ = static_cast<std::int64_t>(fields[5]);
    const auto count = static_cast<Index>(fields[3]);
    if (!index.encoding_ && count >= detail::kExactVectors)
        detail::throw_unexpected(where, "vectors before the mean is known, at most",
                                 detail::kExactVectors - 1, fields[3]);
    // Each vector takes at least as many bytes as its record, so that what follows cannot overflow.
    if (fields[3] > header.payload / index.quantizer_.bytes_per_vector() ||
        index.payload_bytes(count) != header.payload)
        detail::throw_bad_file(where, "the header names " + std::to_string(fields[3]) +
                                          " vectors, which do not fill " + std::to_string(header.payload) +
                                          " bytes");
    return index;
}

// The last step: the arrays of `count` vectors are there.
template <class Quantizer>
void BasicFlatIndex<Quantizer>::filled(Index count) {
    if (encoding_) storage_.filled(count);
    count_ = count;
    if (encoding_ && options_.centring) settle_mean();
}

template <class Quantizer>
BasicFlatIndex<Quantizer> BasicFlatIndex<Quantizer>::read(std::istream& is, bool whole,
                                                          const std::string& where) {
    const detail::ContainerHeader header = detail::read_container_header(is, 'I', whole, where);
    auto loaded = detail::load_record<Quantizer>(is, /*whole=*/false, where);
    const detail::RecordHeader record = detail::header_of("FlatIndex", loaded.quantizer, loaded.codes);
    detail::check_records(header, record.total(), record.count, where);
    BasicFlatIndex index = described(header, std::move(loaded.quantizer), where);
    const auto count = static_cast<Index>(header.fields[3]);
    detail::PayloadReader reader(is, header, where);
    reader.read(index.mean_.data(), index.mean_bytes());
    reader.align();
    visit_arrays(index, count, [&](detail::SegmentedArray& array, Index elements) {
        for (Index i = 0; i < elements; i += array.per_segment()) {  // memory grows as data comes
            const Index some = std::min(array.per_segment(), elements - i);
            array.resize(i + some);
            reader.read(array.at(i), static_cast<std::size_t>(some) * array.element_bytes());
        }
        reader.align();
    });
    reader.finish();
    index.filled(count);
    return index;
}

template <class Quantizer>
BasicFlatIndex<Quantizer> BasicFlatIndex<Quantizer>::in_memory(const void* data, std::size_t size,
                                                               Verify verify, const std::string& where) {
    const auto* bytes = static_cast<const std::uint8_t*>(data);
    if (reinterpret_cast<std::uintptr_t>(data) % 64 != 0)
        detail::throw_invalid_argument(where + ": the address must be a multiple of 64, but is " +
                                       std::to_string(reinterpret_cast<std::uintptr_t>(data) % 64) +
                                       " above one");
    const detail::ContainerHeader header =
        detail::read_container_header(bytes, std::min(size, detail::kHeaderBytes), 'I', where);
    detail::check_length(header.total(), size, /*whole=*/true, where);
    auto record = detail::view_record<Quantizer>(bytes + detail::kHeaderBytes,
                                                 static_cast<std::size_t>(header.records), where);
    detail::check_records(header, header.records, record.codes.size(), where);
    BasicFlatIndex index = described(header, std::move(record.quantizer), where);
    const auto count = static_cast<Index>(header.fields[3]);
    detail::PayloadView payload(bytes + detail::kHeaderBytes + header.records, header, where);
    const std::uint8_t* const mean = payload.take(index.mean_bytes());
    if (index.mean_bytes() > 0) std::memcpy(index.mean_.data(), mean, index.mean_bytes());
    payload.align();
    visit_arrays(index, count, [&](detail::SegmentedArray& array, Index elements) {
        array.borrow(payload.take(static_cast<std::size_t>(elements) * array.element_bytes()), elements);
        payload.align();
    });
    payload.finish(verify == Verify::all);
    index.filled(count);
    return index;
}

template <class Quantizer>
BasicFlatIndex<Quantizer> BasicFlatIndex<Quantizer>::view_of_bytes(const void* data, std::size_t size,
                                                                   Verify verify) {
    return in_memory(data, size, verify, "FlatIndex::view_of_bytes");
}

template <class Quantizer>
BasicFlatIndex<Quantizer> BasicFlatIndex<Quantizer>::map(const std::string& path, Verify verify) {
    const std::string where = detail::quoted("FlatIndex::map", path);
    auto file = std::make_shared<const MappedFile>(path, where);
    BasicFlatIndex index = in_memory(file->data(), file->size(), verify, where);
    index.file_ = std::move(file);
    return index;
}

template <class Quantizer>
BasicFlatIndex<Quantizer> BasicFlatIndex<Quantizer>::load(std::istream& is) {
    return read(is, /*whole=*/false, "FlatIndex::load");
}

template <class Quantizer>
BasicFlatIndex<Quantizer> BasicFlatIndex<Quantizer>::load(const std::string& path) {
    const std::string where = detail::quoted("FlatIndex::load", path);
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    if (!file) detail::throw_bad_file(where, "cannot open it: " + std::system_category().message(errno));
    return read(file, /*whole=*/true, where);
}

TURBOQUANT_NAMESPACE_END
