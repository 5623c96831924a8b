// Indexes over files that are mapped: the same answers as loaded ones, nothing copied, and nothing ever written to the file.
// Pages are mapped read-only, so that a write would end the test.
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "saved_files.hpp"
#include "test_vectors.hpp"
#include "turboquant/turboquant.hpp"

namespace {

namespace tq = turboquant;
using saved_files::content_of;
using saved_files::Directory;
using saved_files::expect_contains;
using saved_files::message_of;
using saved_files::saved;
using test_vectors::gaussian;
using test_vectors::Index;

constexpr Index kDim = 100;

template <class IndexT>
void expect_equal(const IndexT& a, const IndexT& b) {
    ASSERT_EQ(a.size(), b.size());
    EXPECT_EQ(a.ids(), b.ids());
    EXPECT_TRUE(a.mean() == b.mean());
    const Eigen::MatrixXf queries = gaussian(a.dim(), 5, 99);
    const tq::SearchResult hits = a.search(queries, 7), again = b.search(queries, 7);
    EXPECT_TRUE(hits.ids == again.ids);
    EXPECT_TRUE(hits.scores == again.scores);
    EXPECT_TRUE(saved(a) == saved(b));
}

using Split = tq::SplitQuantizer<tq::MseQuantizer<30, 4>, tq::MseQuantizer<kDim - 30, 2>>;
std::vector<Index> some_channels() {
    std::vector<Index> channels;
    for (Index i = 0; i < 30; ++i) channels.push_back(3 * i + 1);
    return channels;
}

template <class IndexT>
IndexT empty_index(const tq::FlatIndexOptions& options) {
    return IndexT(kDim, options);
}
template <>
tq::BasicFlatIndex<Split> empty_index(const tq::FlatIndexOptions& options) {
    return tq::BasicFlatIndex<Split>(Split(12, some_channels()), options);
}

template <class IndexT>
class FlatIndexMaps : public testing::Test {};
using Indexes =
    testing::Types<tq::FlatIndex<kDim, 4>, tq::FlatIndex<Eigen::Dynamic, 3>, tq::FlatIndex<kDim, 8>,
                   tq::BasicFlatIndex<tq::TurboQuantizer<kDim, 2>>, tq::BasicFlatIndex<Split>>;
TYPED_TEST_SUITE(FlatIndexMaps, Indexes, );

TYPED_TEST(FlatIndexMaps, AnswerAndGoOnAsLoadedOnesDo) {
    const Directory directory;
    const std::string path = (directory / "index.tqi").string();
    const Eigen::MatrixXf x = gaussian(kDim, 2200, 1).array() + 0.3f;
    for (const tq::Metric metric : {tq::Metric::inner_product, tq::Metric::l2})
        for (const bool centring : {false, true})
            for (const Index n : {0, 5, 1023, 1024, 1030, 2080}) {
                SCOPED_TRACE("n = " + std::to_string(n));
                tq::FlatIndexOptions options;
                options.metric = metric;
                options.centring = centring;
                options.seed = 12;
                TypeParam index = empty_index<TypeParam>(options);
                index.add(x.leftCols(n));
                if (n > 1000) index.remove({3, 77, n - 1});
                index.save(path);
                const std::string file = content_of(path);
                for (const tq::Verify verify : {tq::Verify::all, tq::Verify::headers}) {
                    TypeParam mapped = TypeParam::map(path, verify), loaded = TypeParam::load(path);
                    expect_equal(mapped, loaded);
                    expect_equal(mapped, index);
                    // Vectors into blocks that are begun, out of the middle, and into new segments.
                    EXPECT_EQ(mapped.add(x.leftCols(1)), loaded.add(x.leftCols(1)));
                    expect_equal(mapped, loaded);
                    if (n > 1000) {
                        mapped.remove({5, 600, 1000});
                        loaded.remove({5, 600, 1000});
                        expect_equal(mapped, loaded);
                    }
                    mapped.reserve(4000);
                    mapped.add(x.leftCols(1100));
                    loaded.add(x.leftCols(1100));
                    expect_equal(mapped, loaded);
                    EXPECT_TRUE(content_of(path) == file);
                }
                if (n < 1000) continue;
                // The last vectors away, one by one, which clears slots; then all.
                TypeParam mapped = TypeParam::map(path), loaded = TypeParam::load(path);
                for (int i = 0; i < 40; ++i) {
                    const std::int64_t last = mapped.ids().back();
                    mapped.remove(last);
                    loaded.remove(last);
                }
                expect_equal(mapped, loaded);
                const std::vector<std::int64_t> rest = mapped.ids();
                mapped.remove(rest);
                EXPECT_TRUE(mapped.empty());
                EXPECT_TRUE(content_of(path) == file);
            }
}

// A column that cannot be added leaves a mapped index, and its file, as they were.
TYPED_TEST(FlatIndexMaps, FailedCallsChangeNothing) {
    const Directory directory;
    const std::string path = (directory / "index.tqi").string();
    TypeParam index = empty_index<TypeParam>({});
    index.add(gaussian(kDim, 1500, 1));
    index.save(path);
    TypeParam mapped = TypeParam::map(path);
    Eigen::MatrixXf bad = gaussian(kDim, 700, 2);
    bad(3, 650) = std::numeric_limits<float>::quiet_NaN();
    expect_contains(message_of<std::invalid_argument>([&] { mapped.add(bad); }), "column 650");
    expect_contains(message_of<std::invalid_argument>([&] { mapped.remove({1, 9999}); }), "no id 9999");
    expect_equal(mapped, index);
}

TEST(FlatIndexMap, TakesNoMemoryForVectors) {
    const Directory directory;
    const std::string path = (directory / "index.tqi").string();
    tq::FlatIndex<kDim, 4> index;
    index.add(gaussian(kDim, 20000, 1));
    index.save(path);
    tq::FlatIndex<kDim, 4> mapped = tq::FlatIndex<kDim, 4>::map(path);
    EXPECT_LT(mapped.bytes(), 2000u);  // the mean, and 24 bytes for each 1024 vectors
    EXPECT_GT(index.bytes(), 1000000u);
    mapped.add(gaussian(kDim, 1, 2));  // into the last segment, which is copied
    EXPECT_LT(mapped.bytes(), 1024u * 64u * 2u);
}

// Copies share the mapping, which lasts as long as the last of them, whatever becomes of the file.
TEST(FlatIndexMap, CopiesMovesAndReplacedFiles) {
    const Directory directory;
    const std::string path = (directory / "index.tqi").string();
    tq::FlatIndex<kDim, 3> first, second;
    first.add(gaussian(kDim, 1500, 1));
    second.add(gaussian(kDim, 1200, 2));
    first.save(path);
    auto mapped = std::make_unique<tq::FlatIndex<kDim, 3>>(tq::FlatIndex<kDim, 3>::map(path));
    tq::FlatIndex<kDim, 3> copy = *mapped;
    EXPECT_LT(copy.bytes(), 2000u);
    second.save(path);
    expect_equal(*mapped, first);
    mapped->add(gaussian(kDim, 3, 3));
    expect_equal(copy, first);
    mapped.reset();
    tq::FlatIndex<kDim, 3> moved = std::move(copy);
    expect_equal(moved, first);
    moved.save(path);  // over the very file
    expect_equal(moved, tq::FlatIndex<kDim, 3>::map(path));
    moved = tq::FlatIndex<kDim, 3>::map(path);
    expect_equal(moved, first);
}

// --- Damage ---------------------------------------------------------------------------------------------------------------

// A file in memory of the right alignment.
class Bytes {
public:
    explicit Bytes(const std::string& file) : memory_(64, static_cast<Index>(file.size() / 64 + 2)) {
        std::memcpy(data(), file.data(), file.size());
    }
    std::uint8_t* data() {
        return memory_.data() + (64 - reinterpret_cast<std::uintptr_t>(memory_.data()) % 64) % 64;
    }

private:
    Eigen::Matrix<std::uint8_t, Eigen::Dynamic, Eigen::Dynamic> memory_;
};

template <class IndexT>
std::string refusal(const void* data, std::size_t size, tq::Verify verify = tq::Verify::all) {
    return message_of([&] { (void)IndexT::view_of_bytes(data, size, verify); });
}

TYPED_TEST(FlatIndexMaps, AllDamageIsFound) {
    for (const Index n : {3, 1030}) {
        TypeParam index = empty_index<TypeParam>({});
        index.add(gaussian(kDim, n, 1));
        index.remove(1);
        const std::string good = saved(index);
        Bytes bytes(good);
        ASSERT_EQ(refusal<TypeParam>(bytes.data(), good.size()), "nothing was thrown");
        const std::size_t step = n == 3 ? 1 : 37;
        for (std::size_t at = 0; at < good.size(); at += at < 400 ? 1 : step) {
            const auto bit = static_cast<std::uint8_t>(1u << (at % 8));
            bytes.data()[at] = static_cast<std::uint8_t>(bytes.data()[at] ^ bit);
            ASSERT_EQ(
                refusal<TypeParam>(bytes.data(), good.size()).rfind("turboquant: FlatIndex::view_of", 0), 0u)
                << "byte " << at;
            bytes.data()[at] = static_cast<std::uint8_t>(bytes.data()[at] ^ bit);
            Bytes part(good.substr(0, at));  // so that reading beyond the end is seen by sanitizers
            for (const tq::Verify verify : {tq::Verify::all, tq::Verify::headers})
                ASSERT_EQ(
                    refusal<TypeParam>(part.data(), at, verify).rfind("turboquant: FlatIndex::view_of", 0),
                    0u)
                    << at;
        }
    }
}

// Without the checksums of vectors, everything else is found, and what is not is harmless.
TEST(FlatIndexMap, DamageThatHeadersDoNotShowIsHarmless) {
    tq::FlatIndex<kDim, 4> index;
    std::vector<std::int64_t> ids;
    for (Index i = 0; i < 1030; ++i) ids.push_back(7 * i);
    index.add(gaussian(kDim, 1030, 1), ids);
    const std::string good = saved(index);
    Bytes bytes(good);
    const Eigen::MatrixXf queries = gaussian(kDim, 3, 2);
    const std::size_t payload = saved_files::get(good, 16, 8),
                      tail = (8 * ((payload + 65535) / 65536 + 1) + 63) / 64 * 64;
    int harmless = 0;
    for (std::size_t at = 0; at < good.size(); at += at < 400 || at >= good.size() - tail ? 1 : 61) {
        bytes.data()[at] = static_cast<std::uint8_t>(bytes.data()[at] ^ 0xFFu);
        const bool vectors = at >= 320 && at < good.size() - tail;
        try {
            auto damaged =
                tq::FlatIndex<kDim, 4>::view_of_bytes(bytes.data(), good.size(), tq::Verify::headers);
            EXPECT_TRUE(vectors) << at;
            (void)damaged.search(queries, 5);
            damaged.remove(damaged.ids()[3]);
            ++harmless;
        } catch (const std::invalid_argument&) {  // an id twice; a mean that is not a number
            EXPECT_TRUE(vectors) << at;
        } catch (const std::runtime_error& error) {
            EXPECT_FALSE(vectors) << at << error.what();
        }
        bytes.data()[at] = static_cast<std::uint8_t>(bytes.data()[at] ^ 0xFFu);
    }
    EXPECT_GT(harmless, 1000);
}

TEST(FlatIndexMap, SaysWhatIsWrong) {
    const Directory directory;
    const std::string path = (directory / "index.tqi").string();
    using IndexT = tq::FlatIndex<kDim, 4>;
    IndexT index;
    index.add(gaussian(kDim, 10, 1));
    index.save(path);
    const std::string good = content_of(path);
    Bytes bytes(good + std::string(8, '\0'));
    expect_contains(message_of<std::invalid_argument>(
                        [&] { (void)IndexT::view_of_bytes(bytes.data() + 4, good.size()); }),
                    "the address must be a multiple of 64, but is 4 above one");
    expect_contains(refusal<IndexT>(bytes.data(), good.size() + 8), "trailing bytes");
    expect_contains(refusal<IndexT>(nullptr, 0), "truncated: expected 128 bytes, but got 0");
    expect_contains(refusal<tq::FlatIndex<kDim, 3>>(bytes.data(), good.size()),
                    "a MseQuantizer of dimension 100, 3 bits");
    // A quantizer's record that holds vectors, and one of another length than the header leaves.
    const auto quantizer = index.quantizer();
    std::string full = good, longer = good;
    full.replace(128, 192,
                 saved_files::saved(quantizer, saved_files::arbitrary_codes(quantizer, 1)).substr(0, 192));
    expect_contains(refusal<IndexT>(Bytes(full).data(), good.size()),
                    "turboquant: FlatIndex::view_of_bytes: ");
    saved_files::put(longer, 24, 8, good.size() + 64);
    saved_files::repair_header(longer);
    longer += std::string(64, '\0');
    expect_contains(refusal<IndexT>(Bytes(longer).data(), longer.size()), "trailing bytes");
    std::istringstream stream(longer);
    expect_contains(message_of([&] { (void)IndexT::load(stream); }), "bytes of the container: expected ");
    saved_files::put(longer, 24, 8, 64);
    saved_files::repair_header(longer);
    expect_contains(refusal<IndexT>(Bytes(longer).data(), longer.size()),
                    "bytes of the container, at least: expected ");

    const auto map = [](const std::string& name) { return message_of([&] { (void)IndexT::map(name); }); };
    expect_contains(map(path + "x"), "cannot open it: ");
    expect_contains(map(path + "x"), "FlatIndex::map(\"" + path + "x\")");
    expect_contains(map((directory / ".").string()), "it is not a regular file");
    std::ofstream(path, std::ios::trunc).close();
    expect_contains(map(path), "truncated: expected 128 bytes, but got 0");
    std::ofstream(path) << "hello, world";
    expect_contains(map(path), "not a TurboQuant file");
    const tq::MseQuantizer<kDim, 4> codes;
    tq::save(path, codes, codes.encode(gaussian(kDim, 3, 1)));
    expect_contains(map(path), "holds codes; a search index was asked for");
}

// --- Codes in a mapped file -----------------------------------------------------------------------------------------------

TEST(MappedFile, CodesAreReadWhereTheyLie) {
    const Directory directory;
    const std::string path = (directory / "codes.tq").string();
    const tq::TurboQuantizer<kDim, 4> quantizer(3);
    const tq::Codes codes = quantizer.encode(gaussian(kDim, 50, 1));
    tq::save(path, quantizer, codes);
    tq::MappedFile file(path);
    const auto [loaded, view] = tq::view_of_bytes<tq::TurboQuantizer<kDim, 4>>(file.data(), file.size());
    saved_files::expect_equal(view, codes);
    EXPECT_EQ(view.data(), file.data() + 128);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(view.data()) % 64, 0u);
    EXPECT_TRUE(loaded.decode(view) == quantizer.decode(codes));
    const std::uint8_t* const data = file.data();
    tq::MappedFile moved = std::move(file);
    EXPECT_EQ(moved.data(), data);
    EXPECT_EQ(file.data(), nullptr);  // NOLINT: what a move leaves
    EXPECT_EQ(file.size(), 0u);
    expect_contains(message_of([&] { (void)tq::MappedFile(path + "x"); }),
                    "MappedFile(\"" + path + "x\"): cannot open it: ");
}

}  // namespace
