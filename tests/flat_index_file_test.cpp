// Files of FlatIndex: what comes back is what was saved, and nothing damaged comes back.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

#include "saved_files.hpp"
#include "test_vectors.hpp"

namespace {

namespace tq = turboquant;
using saved_files::saved;
using test_vectors::gaussian;
using test_vectors::Index;

constexpr Index kDim = 100;

template <class IndexT>
IndexT loaded(const std::string& bytes) {
    std::istringstream stream(bytes);
    return IndexT::load(stream);
}
// The message of the std::runtime_error that loading throws; empty when it throws none.
template <class IndexT>
std::string refusal(const std::string& bytes) {
    try {
        (void)loaded<IndexT>(bytes);
    } catch (const std::runtime_error& error) {
        return error.what();
    }
    return {};
}

template <class IndexT>
void expect_equal(const IndexT& a, const IndexT& b) {
    ASSERT_EQ(a.size(), b.size());
    EXPECT_EQ(a.ids(), b.ids());
    EXPECT_TRUE(a.mean() == b.mean());
    const Eigen::MatrixXf queries = gaussian(kDim, 5, 99);
    const tq::SearchResult hits = a.search(queries, 7), again = b.search(queries, 7);
    EXPECT_TRUE(hits.ids == again.ids);
    EXPECT_TRUE(hits.scores == again.scores);
    EXPECT_EQ(saved(a), saved(b));
}

template <class IndexT>
class FlatIndexFiles : public testing::Test {};
using Indexes = testing::Types<tq::FlatIndex<kDim, 4>, tq::FlatIndex<Eigen::Dynamic, 3>,
                               tq::FlatIndex<kDim, 8>, tq::BasicFlatIndex<tq::TurboQuantizer<kDim, 2>>,
                               tq::BasicFlatIndex<tq::ResidualSignQuantizer<Eigen::Dynamic>>>;
TYPED_TEST_SUITE(FlatIndexFiles, Indexes, );

TYPED_TEST(FlatIndexFiles, RoundTrips) {
    const Eigen::MatrixXf x = gaussian(kDim, 1500, 1).array() + 0.3f;
    for (const tq::Metric metric : {tq::Metric::inner_product, tq::Metric::cosine, tq::Metric::l2})
        for (const bool centring : {false, true})
            for (const Index n : {0, 5, 1023, 1024, 1500}) {
                tq::FlatIndexOptions options;
                options.metric = metric;
                options.centring = centring;
                options.seed = 12;
                TypeParam index(kDim, options);
                index.add(x.leftCols(n));
                if (n > 100) index.remove({3, 77});
                TypeParam copy = loaded<TypeParam>(saved(index));
                expect_equal(index, copy);
                EXPECT_EQ(copy.options().metric, metric);
                EXPECT_EQ(copy.options().centring, centring);
                EXPECT_EQ(copy.options().seed, 12u);
                // And both go on in the same way, across the vector at which the mean is found.
                EXPECT_EQ(index.add(x.leftCols(40)), copy.add(x.leftCols(40)));
                expect_equal(index, copy);
            }
}

TEST(FlatIndexFile, KeepsIdsAndAGivenMean) {
    tq::FlatIndexOptions options;
    options.mean = Eigen::VectorXf::Constant(kDim, 0.25f);
    tq::FlatIndex<kDim, 2> index(options);
    index.add(gaussian(kDim, 3, 1), {900, 7, 50});
    tq::FlatIndex<kDim, 2> copy = loaded<tq::FlatIndex<kDim, 2>>(saved(index));
    expect_equal(index, copy);
    EXPECT_EQ(copy.add(gaussian(kDim, 1, 2)), 901);
    EXPECT_TRUE(copy.contains(7));
    EXPECT_TRUE(copy.mean() == options.mean);
}

// One flipped bit anywhere, and an end anywhere.
TYPED_TEST(FlatIndexFiles, AllDamageIsFound) {
    for (const Index n : {3, 1030}) {
        tq::FlatIndexOptions options;
        TypeParam index(kDim, options);
        index.add(gaussian(kDim, n, 1));
        index.remove(1);
        const std::string good = saved(index);
        ASSERT_EQ(refusal<TypeParam>(good), "");
        const std::size_t stride = n == 3 ? 1 : 37;  // of bytes; all of the headers
        for (std::size_t at = 0; at < good.size(); at += at < 400 ? 1 : stride) {
            std::string bad = good;
            bad[at] = static_cast<char>(bad[at] ^ (1 << (at % 8)));
            ASSERT_EQ(refusal<TypeParam>(bad).rfind("turboquant: FlatIndex::load: ", 0), 0u) << "byte " << at;
            ASSERT_EQ(refusal<TypeParam>(good.substr(0, at)).rfind("turboquant: FlatIndex::load: ", 0), 0u)
                << at;
        }
    }
}

TEST(FlatIndexFile, OtherFilesAreNamed) {
    tq::FlatIndex<kDim, 4> index;
    index.add(gaussian(kDim, 10, 1));
    const std::string file = saved(index);
    EXPECT_NE((refusal<tq::FlatIndex<kDim, 3>>(file).find("4 bits")), std::string::npos);
    EXPECT_NE((refusal<tq::FlatIndex<64, 4>>(file).find("dimension 100")), std::string::npos);
    const tq::MseQuantizer<kDim, 4> quantizer;
    std::ostringstream codes;
    tq::save(codes, quantizer, quantizer.encode(gaussian(kDim, 3, 1)));
    EXPECT_NE((refusal<tq::FlatIndex<kDim, 4>>(codes.str()).find("holds codes")), std::string::npos);
    EXPECT_NE((refusal<tq::FlatIndex<kDim, 4>>("hello").find("not a TurboQuant file")), std::string::npos);
    std::istringstream as_codes(file);
    try {
        (void)tq::load<tq::MseQuantizer<kDim, 4>>(as_codes);
        FAIL() << "an index was read as codes";
    } catch (const std::runtime_error& error) {
        EXPECT_NE(std::string(error.what()).find("holds a search index"), std::string::npos) << error.what();
    }
}

TEST(FlatIndexFile, Paths) {
    const std::string path = testing::TempDir() + "turboquant_index_file_test.tqi";
    tq::FlatIndex<kDim, 4> index;
    index.add(gaussian(kDim, 1100, 1));
    index.save(path);
    expect_equal(index, tq::FlatIndex<kDim, 4>::load(path));
    std::ofstream(path, std::ios::binary | std::ios::app) << "!";
    try {
        (void)tq::FlatIndex<kDim, 4>::load(path);
        FAIL() << "a trailing byte was not noticed";
    } catch (const std::runtime_error& error) {
        EXPECT_NE(std::string(error.what()).find("trailing bytes"), std::string::npos) << error.what();
        EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
    }
    std::remove(path.c_str());
    EXPECT_THROW((void)(tq::FlatIndex<kDim, 4>::load(path)), std::runtime_error);
    EXPECT_THROW(index.save("/no/such/directory/index.tqi"), std::runtime_error);
}

}  // namespace
