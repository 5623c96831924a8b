// Files of format version 1, committed in tests/data: they load for ever, and give what they gave when they were written.
//
// Each case has a file and, in tests/data/results.txt, a digest of what is computed from it; both are the same on every
// machine. TURBOQUANT_WRITE_GOLDEN=1 adds files and digests that are missing, and leaves the others alone.
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "saved_files.hpp"
#include "turboquant/turboquant.hpp"

namespace {

namespace tq = turboquant;
using saved_files::content_of;
using saved_files::saved;
using tq::Dynamic;
using tq::Index;

const std::string kData = TURBOQUANT_SOURCE_DIR "/tests/data/";

// Integers times a power of two, exact on every machine.
Eigen::MatrixXf vectors(Index dim, Index n, std::uint64_t seed = 1) {
    const tq::RandomBits bits(seed, static_cast<tq::RandomStream>(4000));
    return Eigen::MatrixXf::NullaryExpr(dim, n, [&](Index i, Index j) {
        const std::uint64_t word = bits.word(static_cast<std::uint64_t>(j * dim + i));
        return static_cast<float>(static_cast<int>(word >> 48) - (1 << 15)) * 0x1p-14f;
    });
}

// FNV-1a, 64 bits.
class Digest {
public:
    template <class Matrix>
    void add(const Eigen::PlainObjectBase<Matrix>& m) {
        const auto* bytes = reinterpret_cast<const unsigned char*>(m.data());
        for (std::size_t i = 0; i < static_cast<std::size_t>(m.size()) * sizeof(*m.data()); ++i)
            hash_ = (hash_ ^ bytes[i]) * 0x100000001b3u;
    }
    std::string text() const {
        char hex[17];
        std::snprintf(hex, sizeof hex, "%016llx", static_cast<unsigned long long>(hash_));
        return hex;
    }

private:
    std::uint64_t hash_ = 0xcbf29ce484222325u;
};

struct Case {
    const char* name;
    std::function<std::string()> write;                           // the file, made anew
    std::function<Digest(const std::string& path)> digest;        // of what the file gives
    std::function<std::string(const std::string& path)> rewrite;  // loaded and saved again
};

// --- Codes ----------------------------------------------------------------------------------------------------------------

template <class Quantizer>
Case codes(const char* name, const Quantizer& quantizer) {
    return {name, [=] { return saved(quantizer, quantizer.encode(vectors(quantizer.dim(), 5))); },
            [](const std::string& path) {
                Digest digest;
                const auto loaded = tq::load<Quantizer>(path);
                digest.add(loaded.quantizer.decode(loaded.codes));
                const tq::MappedFile file(path);
                const auto view = tq::view_of_bytes<Quantizer>(file.data(), file.size());
                EXPECT_TRUE(view.quantizer.decode(view.codes) == loaded.quantizer.decode(loaded.codes));
                return digest;
            },
            [](const std::string& path) {
                const auto loaded = tq::load<Quantizer>(path);
                return saved(loaded.quantizer, loaded.codes);
            }};
}

// --- Indexes --------------------------------------------------------------------------------------------------------------

// Scores are the same bits everywhere for blocks (MseQuantizer of up to 4 bits); of the others the order of the best is.
template <class IndexT>
Case index(const char* name, std::function<IndexT()> make, bool exact_scores) {
    return {name, [=] { return saved(make()); },
            [=](const std::string& path) {
                Digest digest;
                const IndexT loaded = IndexT::load(path), mapped = IndexT::map(path);
                const Eigen::MatrixXf queries = vectors(loaded.dim(), 6, 2);
                const tq::SearchResult hits = loaded.search(queries, 5), again = mapped.search(queries, 5);
                EXPECT_TRUE(hits.ids == again.ids);
                EXPECT_TRUE(hits.scores == again.scores);
                digest.add(hits.ids);
                if (exact_scores) digest.add(hits.scores);
                return digest;
            },
            [](const std::string& path) { return saved(IndexT::load(path)); }};
}

template <class IndexT>
IndexT filled(IndexT index, Index n, bool ids) {
    std::vector<std::int64_t> names;
    for (Index i = 0; i < n; ++i) names.push_back(1000 - 3 * i + (i % 2) * 10000);
    if (ids)
        index.add(vectors(index.dim(), n), names);
    else
        index.add(vectors(index.dim(), n));
    index.remove(index.ids()[1]);
    return index;
}

tq::FlatIndexOptions options(tq::Metric metric, bool centring, Index mean_dim = 0) {
    tq::FlatIndexOptions options;
    options.seed = 11;
    options.metric = metric;
    options.centring = centring;
    if (mean_dim > 0) options.mean = vectors(mean_dim, 1, 3);
    return options;
}

// --- Caches ---------------------------------------------------------------------------------------------------------------

template <class Cache>
Case cache(const char* name, std::function<Cache()> make) {
    return {name, [=] { return saved(make()); },
            [](const std::string& path) {
                Digest digest;
                const Cache loaded = Cache::load(path);
                digest.add(loaded.keys());
                digest.add(loaded.values());
                return digest;
            },
            [](const std::string& path) { return saved(Cache::load(path)); }};
}

template <class Cache>
Cache filled(Cache cache, Index n) {
    cache.append(vectors(cache.dim(), n, 4), vectors(cache.value_dim(), n, 5));
    return cache;
}

// Keys of which every fifth is five times as long: blocks of them are graded.
template <class Cache>
Cache filled_unevenly(Cache cache, Index n) {
    Eigen::MatrixXf k = vectors(cache.dim(), n, 4);
    for (Index t = 0; t < n; t += 5) k.col(t) *= 5.0f;
    cache.append(k, vectors(cache.value_dim(), n, 5));
    return cache;
}

tq::KvCacheOptions cache_options(tq::CentringChoice centring) {
    tq::KvCacheOptions options;
    options.seed = 11;
    options.window = 3;
    options.sinks = 2;
    options.centring = centring;
    return options;
}

template <int Bits>
using Mse = tq::MseQuantizer<Dynamic, Bits>;
using Haar = tq::MseQuantizer<Dynamic, 3, tq::Rotation<Dynamic, tq::RotationKind::haar>>;
template <class Scale>
using Scaled = tq::MseQuantizer<Dynamic, 4, tq::Rotation<Dynamic>, Scale>;
using Split = tq::SplitQuantizer<Mse<4>, Mse<2>>;

std::vector<Case> cases() {
    const std::vector<Index> channels = {1, 5, 6, 11, 17};
    return {
        codes("codes_mse1", Mse<1>(33, 7, tq::ScaleRule::unbiased)),
        codes("codes_mse2", Mse<2>(33, 7, tq::ScaleRule::norm)),
        codes("codes_mse3", Mse<3>(33, 7, tq::ScaleRule::least_squares)),
        codes("codes_mse4", Mse<4>(100, 7)),
        codes("codes_mse5", Mse<5>(33, 7)),
        codes("codes_mse6", Mse<6>(33, 7)),
        codes("codes_mse7", Mse<7>(33, 7)),
        codes("codes_mse8", Mse<8>(33, 7)),
        codes("codes_mse4_half", Scaled<Eigen::half>(33, 7)),
        codes("codes_mse4_bfloat16", Scaled<Eigen::bfloat16>(33, 7)),
        codes("codes_mse3_haar", Haar(12, 7)),
        codes("codes_turbo1", tq::TurboQuantizer<Dynamic, 1>(33, 7)),
        codes("codes_turbo4", tq::TurboQuantizer<Dynamic, 4>(33, 7)),
        codes("codes_turbo3_gaussian", tq::TurboQuantizer<Dynamic, 3, tq::SketchKind::gaussian>(12, 7)),
        codes("codes_residual_sign", tq::ResidualSignQuantizer<Dynamic>(33, 7)),
        codes("codes_residual_sign_gaussian",
              tq::ResidualSignQuantizer<Dynamic, tq::SketchKind::gaussian>(12, 7)),
        codes("codes_split", Split(20, 7, channels)),
        codes("codes_trellis1", tq::TrellisQuantizer<Dynamic, 1>(33, 7)),
        codes("codes_trellis2", tq::TrellisQuantizer<Dynamic, 2>(33, 7, tq::ScaleRule::unbiased)),
        codes("codes_trellis3", tq::TrellisQuantizer<Dynamic, 3>(33, 7, tq::ScaleRule::least_squares)),
        codes("codes_trellis4", tq::TrellisQuantizer<Dynamic, 4>(100, 7)),
        codes("codes_trellis2_16states", tq::TrellisQuantizer<Dynamic, 2, 16>(33, 7)),
        codes("codes_trellis3_16states",
              tq::TrellisQuantizer<Dynamic, 3, 16>(33, 7, tq::ScaleRule::unbiased)),

        index<tq::FlatIndex<Dynamic, 4>>(
            "index_4bits_given_mean",
            [] {
                return filled(tq::FlatIndex<Dynamic, 4>(32, options(tq::Metric::inner_product, true, 32)), 40,
                              true);
            },
            true),
        index<tq::FlatIndex<Dynamic, 3>>(
            "index_3bits_cosine",
            [] {
                return filled(tq::FlatIndex<Dynamic, 3>(33, options(tq::Metric::cosine, false)), 40, false);
            },
            true),
        index<tq::FlatIndex<Dynamic, 2>>(
            "index_2bits_found_mean_l2",
            [] { return filled(tq::FlatIndex<Dynamic, 2>(8, options(tq::Metric::l2, true)), 1030, false); },
            true),
        index<tq::FlatIndex<Dynamic, 1>>(
            "index_1bit_vectors_as_they_are",
            [] {
                return filled(tq::FlatIndex<Dynamic, 1>(16, options(tq::Metric::inner_product, true)), 20,
                              true);
            },
            false),
        index<tq::FlatIndex<Dynamic, 8>>(
            "index_8bits",
            [] { return filled(tq::FlatIndex<Dynamic, 8>(32, options(tq::Metric::l2, true, 32)), 40, true); },
            false),
        index<tq::BasicFlatIndex<tq::TurboQuantizer<Dynamic, 3>>>(
            "index_turbo3",
            [] {
                return filled(tq::BasicFlatIndex<tq::TurboQuantizer<Dynamic, 3>>(
                                  32, options(tq::Metric::inner_product, true, 32)),
                              40, false);
            },
            false),
        index<tq::BasicFlatIndex<Split>>(
            "index_split",
            [=] {
                return filled(tq::BasicFlatIndex<Split>(Split(20, 7, channels, tq::ScaleRule::unbiased),
                                                        options(tq::Metric::inner_product, false)),
                              40, true);
            },
            false),

        index<tq::BasicFlatIndex<tq::TrellisQuantizer<Dynamic, 2>>>(
            "index_trellis2",
            [] {
                return filled(tq::BasicFlatIndex<tq::TrellisQuantizer<Dynamic, 2>>(
                                  32, options(tq::Metric::inner_product, true, 32)),
                              40, false);
            },
            false),

        cache<tq::KvCache<Dynamic, 4, 3>>(
            "cache_4_3",
            [] { return filled(tq::KvCache<Dynamic, 4, 3>(16, cache_options(tq::Centring::values)), 150); }),
        cache<tq::KvCache<Dynamic, 8, 2>>(
            "cache_8_2_centred",
            [] { return filled(tq::KvCache<Dynamic, 8, 2>(16, 24, cache_options(tq::Centring::all)), 100); }),
        cache<tq::KvCache<Dynamic, 3, 4>>(
            "cache_3_4_blocks",
            [] {
                return filled(tq::KvCache<Dynamic, 3, 4>(33, 16, cache_options(tq::Centring::blocks)), 150);
            }),
        cache<tq::KvCache<Dynamic, 2, 4>>(
            "cache_2_4_graded",
            [] {
                return filled_unevenly(
                    tq::KvCache<Dynamic, 2, 4>(32, 16, cache_options(tq::Centring::blocks)), 150);
            }),
        cache<tq::KvCache<Dynamic, 3, 4>>(
            "cache_3_4_graded",
            [] {
                return filled_unevenly(
                    tq::KvCache<Dynamic, 3, 4>(64, 16, cache_options(tq::Centring::blocks)), 100);
            }),
        cache<tq::KvCache<Dynamic, 4, 1>>(
            "cache_4_1_graded",
            [] {
                return filled_unevenly(
                    tq::KvCache<Dynamic, 4, 1>(64, 16, cache_options(tq::Centring::blocks)), 100);
            }),
        cache<tq::BasicKvCache<tq::TurboQuantizer<Dynamic, 3>, Mse<2>>>(
            "cache_turbo3_2",
            [] {
                return filled(tq::BasicKvCache<tq::TurboQuantizer<Dynamic, 3>, Mse<2>>(
                                  16, cache_options(tq::Centring::none)),
                              80);
            }),
        cache<tq::BasicKvCache<Split, Split>>("cache_split",
                                              [=] {
                                                  return filled(
                                                      tq::BasicKvCache<Split, Split>(
                                                          Split(20, 7, channels, tq::ScaleRule::unbiased),
                                                          Split(20, 8, {0, 3}, tq::ScaleRule::least_squares),
                                                          cache_options(tq::Centring::values)),
                                                      80);
                                              }),
    };
}

std::string path_of(const Case& c) { return kData + c.name + ".tq"; }

std::map<std::string, std::string> results() {
    std::map<std::string, std::string> all;
    std::ifstream file(kData + "results.txt");
    for (std::string name, digest; file >> name >> digest;) all[name] = digest;
    return all;
}

TEST(GoldenFiles, AddMissing) {
    if (std::getenv("TURBOQUANT_WRITE_GOLDEN") == nullptr)
        GTEST_SKIP() << "TURBOQUANT_WRITE_GOLDEN=1 adds missing files";
    const auto known = results();
    for (const Case& c : cases()) {
        if (std::ifstream(path_of(c)).good()) continue;
        std::ofstream(path_of(c), std::ios::binary) << c.write();
        ASSERT_EQ(known.count(c.name), 0u) << "a result without its file: " << c.name;
        std::ofstream(kData + "results.txt", std::ios::app)
            << c.name << ' ' << c.digest(path_of(c)).text() << '\n';
    }
}

TEST(GoldenFiles, LoadAndGiveWhatTheyGave) {
    const auto known = results();
    EXPECT_EQ(known.size(), cases().size());
    for (const Case& c : cases()) {
        SCOPED_TRACE(c.name);
        ASSERT_EQ(known.count(c.name), 1u) << "tests/data/results.txt lacks it";
        EXPECT_EQ(c.digest(path_of(c)).text(), known.at(c.name));
    }
}

TEST(GoldenFiles, AreWrittenAgainByteForByte) {
    for (const Case& c : cases()) {
        const std::string file = content_of(path_of(c));
        EXPECT_FALSE(file.empty()) << c.name;
        EXPECT_TRUE(c.rewrite(path_of(c)) == file) << c.name << ": loaded and saved";
        EXPECT_TRUE(c.write() == file) << c.name << ": made anew";
    }
}

}  // namespace
