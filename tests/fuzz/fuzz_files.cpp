// Files: whatever bytes arrive, loading them either throws an exception of ours or gives something that can be used. Inputs
// begin with the kind of file; then either the file itself follows, or edits of a good one, after which its checksums are
// made right again, so that the checks behind them are reached too.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "turboquant/turboquant.hpp"

namespace tq = turboquant;
using tq::Dynamic;
using tq::Index;

namespace {

using Mse = tq::MseQuantizer<Dynamic, 3>;
using Turbo = tq::TurboQuantizer<16, 4>;
using FlatIndex = tq::FlatIndex<Dynamic, 4>;
using Records = tq::BasicFlatIndex<Turbo>;
using KvCache = tq::KvCache<32, 4, 2>;
using Split = tq::SplitQuantizer<Mse, Mse>;
using Trellis = tq::TrellisQuantizer<Dynamic, 2>;
using TrellisIndex = tq::BasicFlatIndex<Trellis>;
using SplitCache = tq::BasicKvCache<Split, Split>;

// Integers, so that every machine makes the same files.
Eigen::MatrixXf vectors(Index dim, Index n) {
    return Eigen::MatrixXf::NullaryExpr(
        dim, n, [](Index i, Index j) { return static_cast<float>((i * 7919 + j * 104729) % 101 - 50); });
}

template <class Quantizer>
std::string codes_file(const Quantizer& quantizer) {
    std::ostringstream os;
    tq::save(os, quantizer, quantizer.encode(vectors(quantizer.dim(), 5)));
    return os.str();
}
template <class Index_>
std::string index_file(Index_ index, Index n, bool ids) {
    std::vector<std::int64_t> names;
    for (Index i = 0; i < n; ++i) names.push_back(3 * i + 1);
    if (ids)
        index.add(vectors(index.dim(), n), tq::Ids(names.data(), n));
    else
        index.add(vectors(index.dim(), n));
    std::ostringstream os;
    index.save(os);
    return os.str();
}
tq::KvCacheOptions cache_options() {
    tq::KvCacheOptions options;
    options.window = 3;
    options.sinks = 2;
    return options;
}
template <class Cache>
std::string cache_file(Cache cache, Index tokens) {
    cache.append(vectors(cache.dim(), tokens), vectors(cache.value_dim(), tokens));
    std::ostringstream os;
    cache.save(os);
    return os.str();
}

// What loading gives must be usable.
template <class Quantizer>
void use_codes(std::istream& is) {
    const auto loaded = tq::load<Quantizer>(is);
    const Index some = loaded.codes.size() < 100 ? loaded.codes.size() : 100;
    const auto decoded = loaded.quantizer.decode(tq::CodesView(loaded.codes).range(0, some));
    (void)decoded;
}
template <class Index_>
void use_index(std::istream& is) {
    auto index = Index_::load(is);
    const auto hits = index.search(vectors(index.dim(), 2), 3);
    (void)hits;
    index.add(vectors(index.dim(), 1));
}
// The same over the file's memory, of exactly its size, with all checksums and with those of headers alone.
void use_mapped_index(std::istream& is) {
    const std::string file((std::istreambuf_iterator<char>(is)), std::istreambuf_iterator<char>());
    struct Delete {
        void operator()(std::uint8_t* p) const { ::operator delete[](p, std::align_val_t{64}); }
    };
    const std::unique_ptr<std::uint8_t[], Delete> memory(
        static_cast<std::uint8_t*>(::operator new[](file.size(), std::align_val_t{64})));
    std::memcpy(memory.get(), file.data(), file.size());
    auto index = FlatIndex::view_of_bytes(memory.get(), file.size(), tq::Verify::headers);
    const auto hits = index.search(vectors(index.dim(), 2), 3);
    (void)hits;
    index.add(vectors(index.dim(), 1));
    if (index.size() > 1) index.remove(index.ids()[0]);
    (void)FlatIndex::view_of_bytes(memory.get(), file.size());
}
template <class Cache>
void use_cache(std::istream& is) {
    auto cache = Cache::load(is);
    const Eigen::MatrixXf queries = vectors(cache.dim(), 2);
    const auto out = cache.attend(queries);
    (void)out;
    cache.append(vectors(cache.dim(), 1), vectors(cache.value_dim(), 1));
}

struct Kind {
    std::string file;
    std::function<void(std::istream&)> use;
};
const std::vector<Kind>& kinds() {
    static const std::vector<Kind> all = {
        {codes_file(Mse(20, 1)), use_codes<Mse>},
        {codes_file(Turbo(1)), use_codes<Turbo>},
        {index_file(FlatIndex(20), 5, false), use_index<FlatIndex>},
        {index_file(FlatIndex(20), 1500, true), use_index<FlatIndex>},
        {index_file(Records(), 1500, true), use_index<Records>},
        {cache_file(KvCache(cache_options()), 4), use_cache<KvCache>},
        {cache_file(KvCache(cache_options()), 90), use_cache<KvCache>},
        {codes_file(Split(20, 7, {1, 5, 6})), use_codes<Split>},
        {cache_file(SplitCache(Split(20, 7, {1, 5, 6}), Split(20, 8, {2}), cache_options()), 80),
         use_cache<SplitCache>},
        {index_file(FlatIndex(20), 1500, true), use_mapped_index},
        {codes_file(Trellis(20, 1)), use_codes<Trellis>},
        {index_file(TrellisIndex(20), 1500, false), use_index<TrellisIndex>},
    };
    return all;
}

void put(std::string& file, std::size_t at, std::uint64_t value) {
    if (at + 8 <= file.size()) tq::detail::put(reinterpret_cast<std::uint8_t*>(&file[at]), 8, value);
}
std::uint64_t checksum(const std::string& file, std::size_t from, std::size_t size,
                       std::uint64_t before = 0) {
    return from + size <= file.size() ? tq::detail::crc64(file.data() + from, size, before) : 0;
}

// Makes the checksums right, where `payload` bytes lie as in the file before its edits.
void repair(std::string& file, std::size_t payload_at, std::size_t payload) {
    constexpr std::size_t kHeader = tq::detail::kHeaderBytes, kBlock = tq::detail::kBlockBytes;
    // Every header: the first, and those of empty records before the payload.
    for (std::size_t at = 0; at + kHeader <= payload_at; at += at == 0 ? kHeader : kHeader + 64) {
        put(file, at + 120, checksum(file, at, 120));
        if (at > 0) put(file, at + kHeader, checksum(file, 0, 0, checksum(file, at, 120)));
    }
    std::size_t table = payload_at + payload;
    for (std::size_t at = 0; at < payload; at += kBlock, table += 8)
        put(file, table, checksum(file, payload_at + at, payload - at < kBlock ? payload - at : kBlock));
    const std::size_t first = payload_at + payload;
    put(file, table, checksum(file, first, table - first, checksum(file, 0, 120)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const Kind& kind = kinds()[data[0] % kinds().size()];
    const bool whole = data[1] == 0;
    std::string file;
    if (whole) {
        file.assign(reinterpret_cast<const char*>(data + 2), size - 2);
    } else {
        file = kind.file;
        // Four bytes an edit: where, and what is added there. Half of the places are in the headers.
        for (std::size_t i = 2; i + 4 <= size; i += 4) {
            std::size_t at = data[i] + 256u * data[i + 1];
            at = (at & 1u) != 0 ? (at >> 1) % 512 : at >> 1;
            char& byte = file[at % file.size()];
            byte = static_cast<char>(byte ^ static_cast<char>(data[i + 2]));
            if (data[i + 3] == 255) file.resize(at % file.size() + 1);
        }
        if (data[1] % 2 == 1) {
            const bool codes =
                static_cast<std::uint8_t>(kind.file[3]) != 'I';  // caches are laid out like codes
            const std::size_t payload_at = codes ? 128 : 128 + 192;
            std::uint64_t payload = 0;
            const auto* header = reinterpret_cast<const std::uint8_t*>(kind.file.data());
            payload = codes ? tq::detail::get(header + 56, 8) * tq::detail::get(header + 64, 8) +
                                  tq::detail::get(header + 88, 8)
                            : tq::detail::get(header + 16, 8);
            repair(file, payload_at, static_cast<std::size_t>(payload));
        }
    }
    std::istringstream is(file);
    try {
        kind.use(is);
    } catch (const std::invalid_argument& error) {
        if (std::strncmp(error.what(), "turboquant: ", 12) != 0) std::abort();
    } catch (const std::runtime_error& error) {
        if (std::strncmp(error.what(), "turboquant: ", 12) != 0) std::abort();
    }
    return 0;
}
