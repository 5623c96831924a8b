// Bad input to FlatIndex: a std::invalid_argument that says what was expected and what came, and an index as it was before.
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "flat_index_support.hpp"
#include "test_vectors.hpp"
#include "turboquant/turboquant.hpp"

namespace tq = turboquant;
using namespace flat_index_support;
using test_vectors::mentions;
using test_vectors::message_of;
using test_vectors::Parts;
using tq::Dynamic;

namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::int64_t kLargestId = std::numeric_limits<std::int64_t>::max() - 1;

using Blocks = tq::FlatIndex<Dynamic, 4>;
using Records = tq::FlatIndex<Dynamic, 8>;

template <class FlatIndexT>
class FlatIndexErrors : public testing::Test {
protected:
    // Of vectors that are encoded, of some that are not yet, and of none.
    static std::vector<FlatIndexT> indexes() {
        std::vector<FlatIndexT> all;
        for (const Index n : {1100, 100, 0}) {
            all.emplace_back(kDim, options_of(Metric::inner_product, true));
            all.back().add(vectors(kDim, n, 1));
        }
        return all;
    }
};
using Both = testing::Types<Blocks, Records>;
TYPED_TEST_SUITE(FlatIndexErrors, Both, );

// `call` throws with a message that holds `parts`, and the index answers as before.
template <class FlatIndexT, class Call>
void refuses(FlatIndexT& index, const Parts& parts, Call&& call) {
    const FlatIndexT before = index;
    EXPECT_TRUE(mentions(message_of(call), parts));
    EXPECT_TRUE(same_index(index, before, vectors(kDim, 2, 5)));
    const std::int64_t next = index.add(vectors(kDim, 1, 6));
    FlatIndexT expected = before;
    EXPECT_EQ(expected.add(vectors(kDim, 1, 6)), next);
    EXPECT_TRUE(same_index(index, expected, vectors(kDim, 2, 5)));
    index = before;
}

TYPED_TEST(FlatIndexErrors, WrongDimensions) {
    const Eigen::MatrixXf x = vectors(kDim + 1, 2, 1);
    const Parts parts = {"dimension " + std::to_string(kDim), std::to_string(kDim + 1) + " rows"};
    for (TypeParam& index : this->indexes()) {
        const auto named = [&](const char* call) { return Parts{call, parts[0], parts[1]}; };
        refuses(index, named("FlatIndex::add"), [&] { index.add(x); });
        refuses(index, named("FlatIndex::add"), [&] { index.add(x, {5000, 5001}); });
        refuses(index, named("FlatIndex::search"), [&] { index.search(x, 3); });
        refuses(index, named("FlatIndex::search"),
                [&] { index.search(x, 3, [](std::int64_t) { return true; }); });
        refuses(index, named("FlatIndex::search"),
                [&] { index.search(x, 3, 5, [](std::int64_t, Index) { return 0; }); });
        refuses(index, named("FlatIndex::range_search"), [&] { index.range_search(x.col(0), 0.0f); });
        refuses(index, named("FlatIndex::scores"), [&] { index.scores(x); });
        refuses(index, {"FlatIndex::range_search", "one query", "2"},
                [&] { index.range_search(vectors(kDim, 2, 1), 0.0f); });
        Eigen::MatrixXf out(index.size() + 1, 2);
        refuses(
            index,
            {"FlatIndex::scores", std::to_string(index.size()) + " × 2", std::to_string(index.size() + 1)},
            [&] { index.scores(vectors(kDim, 2, 1), out); });
    }
}

TYPED_TEST(FlatIndexErrors, NotFinite) {
    for (TypeParam& index : this->indexes())
        for (const float bad : {kNaN, kInfinity, -kInfinity})
            for (const Index column : {0, 2, 1023, 1024, 2999}) {
                Eigen::MatrixXf x = vectors(kDim, 3000, 1);
                x(column % kDim, column) = bad;
                const std::string named = "column " + std::to_string(column) + " of the ";
                refuses(index, {"FlatIndex::add", named + "vectors", "NaN"}, [&] { index.add(x); });
                if (column > 2) continue;
                const Eigen::MatrixXf queries = x.leftCols(3);
                refuses(index, {"FlatIndex::search", named + "queries", "NaN"},
                        [&] { index.search(queries, 3); });
                refuses(index, {"FlatIndex::scores", named + "queries", "NaN"},
                        [&] { index.scores(queries); });
                refuses(index, {"FlatIndex::range_search", "column 0 of the queries", "NaN"},
                        [&] { index.range_search(queries.col(column), 0.0f); });
            }
    // In the second pass over the queries.
    TypeParam index(kDim, options_of(Metric::l2, true));
    Eigen::MatrixXf queries = vectors(kDim, 600, 1);
    queries(3, 599) = kNaN;
    refuses(index, {"column 599 of the queries"}, [&] { index.search(queries, 3); });
    // 16-bit infinities, as overflow makes them.
    Eigen::MatrixXf large = vectors(kDim, 2, 1);
    large(0, 1) = 1e6f;
    refuses(index, {"column 1 of the vectors"}, [&] { index.add(large.cast<Eigen::half>()); });
}

TYPED_TEST(FlatIndexErrors, NormsTooLarge) {
    for (const Metric metric : {Metric::inner_product, Metric::l2})
        for (const bool centring : {false, true})
            for (const Index n : {0, 1100}) {
                TypeParam index(kDim, options_of(metric, centring));
                index.add(vectors(kDim, n, 1));
                Eigen::MatrixXf x = vectors(kDim, 5, 2);
                x.col(3) *= 1.01e18f / x.col(3).norm();
                refuses(index, {"FlatIndex::add", "column 3 of the vectors", "1e18"}, [&] { index.add(x); });
                refuses(index, {"FlatIndex::search", "column 3 of the queries", "1e18"},
                        [&] { index.search(x, 1); });
                x.col(3).setConstant(3e38f);
                refuses(index, {"FlatIndex::add", "column 3", "1e18"}, [&] { index.add(x); });
            }
    TypeParam cosine(kDim, options_of(Metric::cosine, true));
    cosine.add(Eigen::VectorXf::Constant(kDim, 3e38f));
    EXPECT_NEAR(cosine.scores(Eigen::VectorXf::Constant(kDim, 1e-38f))(0, 0), 1.0f, 1e-6f);
}

TYPED_TEST(FlatIndexErrors, Counts) {
    for (TypeParam& index : this->indexes()) {
        const Eigen::MatrixXf x = vectors(kDim, 2, 1);
        const auto zero = [](std::int64_t, Index) { return 0.0f; };
        refuses(index, {"k must not be negative", "-1"}, [&] { index.search(x, -1); });
        refuses(index, {"k must not be negative", "-1"},
                [&] { index.search(x, -1, [](std::int64_t) { return true; }); });
        refuses(index, {"k must not be negative", "-1"}, [&] { index.search(x, -1, 5, zero); });
        refuses(index, {"rerank", "at least k = 3", "2"}, [&] { index.search(x, 3, 2, zero); });
        refuses(index, {"threshold", "NaN"}, [&] { index.range_search(x.col(0), kNaN); });
    }
}

TYPED_TEST(FlatIndexErrors, Ids) {
    const Eigen::MatrixXf x = vectors(kDim, 3, 1);
    for (TypeParam& index : this->indexes()) {
        refuses(index, {"id for each of the 3 vectors", "2"}, [&] { index.add(x, {5000, 5001}); });
        refuses(index, {"id for each of the 3 vectors", "0"}, [&] { index.add(x, IdList()); });
        refuses(index, {"negative", "-7"}, [&] { index.add(x, {5000, -7, 5002}); });
        refuses(index, {"5001", "twice"}, [&] { index.add(x, {5001, 5000, 5001}); });
        refuses(index, {"5001", "twice"}, [&] { index.add(x, {5000, 5001, 5001}); });
        refuses(index, {"2^63 - 2"}, [&] { index.add(x, {5000, 5001, kLargestId + 1}); });
        refuses(index, {"no id -1"}, [&] { index.remove(-1); });
        refuses(index, {"no id 4000"}, [&] { index.remove({4000}); });
        refuses(index, {"no id " + std::to_string(index.size())}, [&] { index.remove(index.size()); });
        if (index.empty()) continue;
        refuses(index, {"id 7", "taken"}, [&] { index.add(x, {5000, 7, 5001}); });
        refuses(index, {"id 99", "taken"}, [&] { index.add(x, {99, 5000, 5001}); });
        refuses(index, {"id 3", "twice"}, [&] { index.remove({3, 4, 3}); });
        refuses(index, {"no id 4000", "nothing was removed"}, [&] { index.remove({3, 4000, 5}); });
        index.remove({3});
        refuses(index, {"no id 3"}, [&] { index.remove({3}); });
    }
}

// Ids up to 2^63 − 2; after that one, no automatic id is left.
TYPED_TEST(FlatIndexErrors, NoIdsLeft) {
    TypeParam index(kDim, options_of(Metric::inner_product, true));
    const Eigen::MatrixXf x = vectors(kDim, 3, 1);
    index.add(x, {kLargestId - 2, 5, 6});
    EXPECT_EQ(index.add(x.leftCols(2)), kLargestId - 1);
    const TypeParam before = index;
    EXPECT_TRUE(mentions(message_of([&] { index.add(x.col(0)); }), {"FlatIndex::add", "ids"}));
    EXPECT_TRUE(same_index(index, before, x));
    index.add(x.leftCols(0));
    index.add(x.col(0), {7});
    EXPECT_EQ(index.size(), 6);
    EXPECT_TRUE(index.contains(kLargestId));
}

TYPED_TEST(FlatIndexErrors, Options) {
    const auto made_with = [](const tq::FlatIndexOptions& options) {
        return message_of([&] { const TypeParam index(kDim, options); });
    };
    auto options = options_of(Metric::l2, true);
    options.threads = 0;
    EXPECT_TRUE(mentions(made_with(options), {"threads", "at least 1", "0"}));
    options.threads = 1;
    options.mean = Eigen::VectorXf::Zero(kDim + 1);
    EXPECT_TRUE(mentions(made_with(options), {"mean", std::to_string(kDim), std::to_string(kDim + 1)}));
    options.mean = Eigen::VectorXf::Zero(kDim);
    EXPECT_EQ(made_with(options), "");
    for (const float bad : {kNaN, kInfinity, 2e18f}) {
        options.mean[5] = bad;
        EXPECT_TRUE(mentions(made_with(options), {"mean", "NaN", "1e18"})) << bad;
    }
    EXPECT_TRUE(mentions(message_of([] { const TypeParam index(0); }), {"dimension", "0"}));
    EXPECT_TRUE(mentions(message_of([] { const TypeParam index(-3); }), {"dimension", "-3"}));
}

TEST(FlatIndexErrors, FixedDimension) {
    using Fixed = tq::FlatIndex<kDim, 2>;
    EXPECT_EQ(Fixed().dim(), kDim);
    EXPECT_EQ(Fixed(kDim).dim(), kDim);
    EXPECT_TRUE(mentions(message_of([] { const Fixed index(kDim + 1); }),
                         {std::to_string(kDim), std::to_string(kDim + 1)}));
    static_assert(!std::is_default_constructible_v<Blocks>, "a free dimension must be given");
}

TEST(FlatIndexErrors, DimensionTooLargeForInt8) {
    const Index dim = tq::simd::kMaxScanDim + 1;
    EXPECT_TRUE(mentions(message_of([&] { const Blocks index(dim); }), {"dimension", "65536", "65537"}));
}

// A scale of 16 bits overflows where float does not. The message names the caller's column, whichever piece of the call it
// fell into.
TEST(FlatIndexErrors, ScaleOverflows) {
    using Half = tq::BasicFlatIndex<tq::MseQuantizer<Dynamic, 4, tq::Rotation<Dynamic>, Eigen::half>>;
    for (const Index column : {3, 1023, 1024, 2500}) {
        const std::string name = "column " + std::to_string(column) + " of the vectors has norm";
        Eigen::MatrixXf x = vectors(kDim, 3000, 1);
        x.col(column) *= 1e5f;
        for (const bool centring : {false, true}) {
            Half index(kDim, options_of(Metric::inner_product, centring));
            refuses(index, {name, "too large for the type of the stored scale"}, [&] { index.add(x); });
        }
        // After others: columns of the call are counted from 0.
        Half index(kDim, options_of(Metric::inner_product, true));
        index.add(vectors(kDim, 700, 2));
        refuses(index, {name, "less the mean"}, [&] { index.add(x); });
    }
    // One that came before, while vectors were kept exact: its id, to remove it by.
    Half index(kDim, options_of(Metric::inner_product, true));
    Eigen::MatrixXf x = vectors(kDim, 1024, 1);
    x.col(650) *= 1e5f;
    IdList ids;
    for (Index i = 0; i < 700; ++i) ids.push_back(1000 + i);
    index.add(x.leftCols(700), ids);
    refuses(index, {"vector of id 1650, which was kept exact"}, [&] { index.add(x.rightCols(324)); });
    index.remove({1650});
    index.add(x.rightCols(325));
    EXPECT_EQ(index.size(), 1024);
}

}  // namespace
