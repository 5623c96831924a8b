// FlatIndex keeps what it is given: how vectors were added does not matter, ids, removal, copies, shards.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "flat_index_support.hpp"
#include "test_vectors.hpp"
#include "turboquant/turboquant.hpp"

namespace tq = turboquant;
using namespace flat_index_support;
using tq::Dynamic;

namespace {

template <class FlatIndexT>
class FlatIndexOf : public testing::Test {};
TYPED_TEST_SUITE(FlatIndexOf, Kinds, );

// Kept as they are until 1024 with centring: scores to float's rounding, here at most d·2^-24 of a sum of magnitudes.
TYPED_TEST(FlatIndexOf, ExactBeforeTheMeanIsKnown) {
    const Eigen::MatrixXf x = vectors(kDim, 1023, 1), queries = vectors(kDim, 5, 2);
    for (const Metric metric : all_metrics()) {
        SCOPED_TRACE(name_of(metric));
        TypeParam index(kDim, options_of(metric, true));
        index.add(x);
        EXPECT_EQ(index.mean().size(), 0);
        const Eigen::MatrixXd exact = true_scores(x, queries, metric);
        const Eigen::MatrixXd errors = index.scores(queries).template cast<double>() - exact;
        EXPECT_LE(errors.cwiseAbs().maxCoeff(), exact.cwiseAbs().maxCoeff() * kDim * 6e-8);
        index.add(x.col(0));
        ASSERT_EQ(index.mean().size(), kDim);
        Eigen::MatrixXd all(kDim, 1024);
        all << x.template cast<double>(), x.col(0).template cast<double>();
        if (metric == Metric::cosine) all.colwise().normalize();
        EXPECT_LE((index.mean().template cast<double>() - all.rowwise().mean()).cwiseAbs().maxCoeff(), 1e-6);
        EXPECT_GT((index.scores(queries).topRows(1023).template cast<double>() - exact).cwiseAbs().maxCoeff(),
                  exact.cwiseAbs().maxCoeff() * kDim * 6e-8);
    }
}

TYPED_TEST(FlatIndexOf, WithoutCentringNothingIsKept) {
    TypeParam index(kDim, options_of(Metric::inner_product, false));
    const Eigen::MatrixXf x = vectors(kDim, 3, 1);
    index.add(x);
    EXPECT_EQ(index.mean().size(), 0);
    // The estimates are what the quantizer itself gives, up to the rounding of the query to int8.
    const auto codes = index.quantizer().encode(x);
    const Eigen::MatrixXf own = index.quantizer().inner_products(codes, x), scores = index.scores(x);
    EXPECT_LE((own - scores).cwiseAbs().maxCoeff(), .02f * own.cwiseAbs().maxCoeff());
    EXPECT_FALSE((own.array() == 0.0f).any());
}

// --- Adding -----------------------------------------------------------------------------------------------------------------

TYPED_TEST(FlatIndexOf, HowCallsSplitTheVectorsDoesNotMatter) {
    const Index n = 2300;
    const Eigen::MatrixXf all_ordinary = vectors(kDim, n, 1), some_zero = with_ties(n, 1);
    const Eigen::MatrixXf queries = vectors(kDim, 4, 2);
    for (const Metric metric : all_metrics())
        for (const int variant : {0, 1, 2, 3}) {
            const bool centring = variant % 2 != 0;
            const Eigen::MatrixXf& x = variant < 2 ? all_ordinary : some_zero;
            SCOPED_TRACE(testing::Message() << name_of(metric) << ", variant " << variant);
            const auto options = options_of(metric, centring);
            TypeParam once(kDim, options), singly(kDim, options), pieces(kDim, options),
                reserved(kDim, options);
            EXPECT_EQ(once.add(x), 0);
            for (Index i = 0; i < n; ++i) ASSERT_EQ(singly.add(x.col(i)), i);
            for (Index first = 0, some = 1; first < n;
                 first += some, some = std::min(3 * some + 7, n - first))
                EXPECT_EQ(pieces.add(x.middleCols(first, some)), first);
            reserved.reserve(5000);
            reserved.add(x.leftCols(1000));
            reserved.add(x.leftCols(0));
            reserved.add(x.rightCols(n - 1000));
            EXPECT_TRUE(same_index(singly, once, queries));
            EXPECT_TRUE(same_index(pieces, once, queries));
            EXPECT_TRUE(same_index(reserved, once, queries));
        }
}

// A call that fails leaves everything as it was, wherever the bad column lies.
TYPED_TEST(FlatIndexOf, FailedCallsChangeNothing) {
    const Index n = 2300;
    const Eigen::MatrixXf x = vectors(kDim, n, 1), queries = vectors(kDim, 4, 2);
    for (const bool centring : {false, true}) {
        const auto options = options_of(Metric::l2, centring);
        TypeParam index(kDim, options), expected(kDim, options);
        expected.add(x);
        const std::vector<Index> splits = {0, 10, 1000, 1023, 1024, 1025, 2200, n};
        for (std::size_t s = 0; s + 1 < splits.size(); ++s) {
            const Index first = splits[s];
            const Eigen::MatrixXf before = index.scores(queries);
            for (const Index bad :
                 {first, std::min<Index>(1023, n - 1), std::min<Index>(1024, n - 1), n - 1}) {
                if (bad < first) continue;
                Eigen::MatrixXf spoilt = x.rightCols(n - first);
                spoilt(kDim - 1, bad - first) = std::numeric_limits<float>::quiet_NaN();
                EXPECT_THROW(index.add(spoilt), std::invalid_argument);
                IdList ids(static_cast<std::size_t>(n - first));
                std::iota(ids.begin(), ids.end(), 5000);
                EXPECT_THROW(index.add(spoilt, ids), std::invalid_argument);
                ASSERT_EQ(index.size(), first);
                ASSERT_TRUE(same(index.scores(queries), before));
            }
            EXPECT_EQ(index.add(x.middleCols(first, splits[s + 1] - first)), first);  // no id was used up
        }
        EXPECT_TRUE(same_index(index, expected, queries));
    }
}

TYPED_TEST(FlatIndexOf, EveryKindOfInput) {
    const auto options = options_of(Metric::inner_product, true);
    const Eigen::MatrixXf x = vectors(kDim, 1030, 1), queries = vectors(kDim, 3, 2);
    const auto check = [&](const auto& narrow, const auto& narrow_queries) {
        TypeParam a(kDim, options), b(kDim, options);
        a.add(narrow);
        b.add(narrow.template cast<float>());
        EXPECT_TRUE(same(a.search(narrow_queries, 5), b.search(narrow_queries.template cast<float>(), 5)));
        EXPECT_TRUE(same(a.scores(narrow_queries), b.scores(narrow_queries.template cast<float>())));
    };
    check(x.cast<Eigen::half>().eval(), queries.cast<Eigen::half>().eval());
    check(x.cast<Eigen::bfloat16>().eval(), queries.cast<Eigen::bfloat16>().eval());
    using RowMajor = Eigen::Matrix<float, Dynamic, Dynamic, Eigen::RowMajor>;
    const RowMajor rows = x;
    Eigen::MatrixXf padded = Eigen::MatrixXf::Zero(kDim + 5, x.cols());
    padded.middleRows(2, kDim) = x;
    TypeParam plain(kDim, options), row_major(kDim, options), strided(kDim, options),
        expression(kDim, options);
    plain.add(x);
    row_major.add(rows);
    strided.add(padded.middleRows(2, kDim));
    expression.add(0.5f * (x + x));
    for (const TypeParam* other : {&row_major, &strided, &expression})
        EXPECT_TRUE(same_index(*other, plain, queries));
    EXPECT_TRUE(same(plain.search(RowMajor(queries), 5), plain.search(2.0f * (0.5f * queries), 5)));
}

// --- Ids --------------------------------------------------------------------------------------------------------------------

TYPED_TEST(FlatIndexOf, Ids) {
    TypeParam index(kDim, options_of(Metric::inner_product, false));
    const Eigen::MatrixXf x = vectors(kDim, 3, 1);
    EXPECT_EQ(index.add(x), 0);
    EXPECT_EQ(index.add(x), 3);
    index.add(x, {10, 7, 1000});             // in no order
    index.add(x, IdList{1001, 1002, 1003});  // ascending
    Eigen::Matrix<std::int64_t, Dynamic, 1> own(3);
    own << 200, 202, 204;
    index.add(x, own);
    EXPECT_EQ(index.add(x), 1004);  // above all that were ever used
    EXPECT_EQ(index.ids(),
              (IdList{0, 1, 2, 3, 4, 5, 10, 7, 1000, 1001, 1002, 1003, 200, 202, 204, 1004, 1005, 1006}));
    EXPECT_TRUE(index.contains(202));
    EXPECT_FALSE(index.contains(201));
    EXPECT_FALSE(index.contains(-1));
    index.remove({1006, 1005});
    EXPECT_EQ(index.add(x.col(0)), 1007);  // none is used twice
    index.remove(index.search(x.col(0), 2).ids.col(0));
    EXPECT_EQ(index.size(), 15);
    index.add(x.col(0), {1005});  // unless the caller wants it
    EXPECT_TRUE(index.contains(1005));
}

TYPED_TEST(FlatIndexOf, IdsOfTheFirstVectorsSurviveEncoding) {
    TypeParam index(kDim, options_of(Metric::cosine, true));
    const Eigen::MatrixXf x = vectors(kDim, 1500, 1);
    IdList ids(1500);
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int64_t>((i * 7919) % 1500);
    index.add(x.leftCols(900), tq::Ids(ids.data(), 900));
    index.add(x.rightCols(600), tq::Ids(ids.data() + 900, 600));
    EXPECT_EQ(index.ids(), ids);
    for (Index i = 0; i < 1500;
         i += 100)  // a vector is nearest to itself by far: cosines of others are below .8
        EXPECT_EQ(index.search(x.col(i), 1).ids(0, 0), ids[static_cast<std::size_t>(i)]);
}

// Scores by id do not change when others go, on either side of the border and of a block.
TYPED_TEST(FlatIndexOf, Remove) {
    for (const bool own_ids : {false, true})
        for (const Index n : {200, 1024, 1100}) {
            SCOPED_TRACE(testing::Message() << "own ids " << own_ids << ", n = " << n);
            TypeParam index(kDim, options_of(Metric::l2, true));
            const Eigen::MatrixXf x = vectors(kDim, n, 1), queries = vectors(kDim, 2, 2);
            IdList ids(static_cast<std::size_t>(n));
            for (Index i = 0; i < n; ++i) ids[static_cast<std::size_t>(i)] = own_ids ? (i * 17) % n + 5 : i;
            own_ids ? index.add(x, ids) : static_cast<void>(index.add(x));
            const Eigen::MatrixXf all = index.scores(queries);
            std::vector<std::pair<std::int64_t, Index>> left;
            for (Index i = 0; i < n; ++i) left.emplace_back(ids[static_cast<std::size_t>(i)], i);
            for (std::uint64_t round = 0; !left.empty(); ++round) {
                IdList gone;
                std::vector<std::pair<std::int64_t, Index>> stay;
                for (std::size_t i = 0; i < left.size(); ++i)
                    ((i * 2654435761u + round) % 5 < 2 || left.size() < 3 ? gone.push_back(left[i].first)
                                                                          : stay.push_back(left[i]));
                std::reverse(gone.begin(), gone.end());
                index.remove(gone);
                left = stay;
                ASSERT_EQ(index.size(), static_cast<Index>(left.size()));
                IdList there = index.ids(), expected;
                for (const auto& entry : left) expected.push_back(entry.first);
                const Eigen::MatrixXf scores = index.scores(queries);
                for (const auto& [id, position] : left) {
                    const auto at = std::find(there.begin(), there.end(), id) - there.begin();
                    ASSERT_LT(at, index.size());
                    ASSERT_TRUE(same(scores.row(at), all.row(position)));
                }
                for (const std::int64_t id : gone) ASSERT_FALSE(index.contains(id));
                EXPECT_TRUE(same(index.search(queries, 5), by_sorting(scores, there, 5, Metric::l2)));
            }
            EXPECT_TRUE(index.empty());
            EXPECT_EQ(index.search(queries, 1).ids(0, 0), -1);
            // As good as new; the mean stays once it is known.
            EXPECT_EQ(index.add(x), own_ids ? n + 5 : n);
            if (n >= 1024) {
                EXPECT_TRUE(same(index.scores(queries), all));
            }
        }
}

// --- One index, many uses -----------------------------------------------------------------------------------------------------

TYPED_TEST(FlatIndexOf, CopiesAndMoves) {
    const Eigen::MatrixXf x = vectors(kDim, 1100, 1), queries = vectors(kDim, 3, 2);
    for (const Index n : {500, 1100}) {
        TypeParam index(kDim, options_of(Metric::l2, true)), expected = index;
        expected.add(x);
        index.add(x.leftCols(n));
        const Eigen::MatrixXf scores = index.scores(queries);
        TypeParam copy = index;
        copy.remove({0, 1, 2});
        copy.add(x);
        EXPECT_TRUE(same(index.scores(queries), scores));
        TypeParam moved = std::move(index);
        EXPECT_TRUE(same(moved.scores(queries), scores));
        moved.add(x.rightCols(1100 - n));
        EXPECT_TRUE(same_index(moved, expected, queries));
        copy = moved;
        EXPECT_TRUE(same_index(copy, expected, queries));
    }
}

// Shards with the mean of one of them, or of a whole: together they answer like the whole.
TYPED_TEST(FlatIndexOf, ShardsShareAMean) {
    const Eigen::MatrixXf x = vectors(kDim, 2000, 1), queries = vectors(kDim, 3, 2);
    for (const Metric metric : all_metrics()) {
        TypeParam whole(kDim, options_of(metric, true));
        whole.add(x);
        auto options = options_of(metric, true);
        options.mean = whole.mean();
        TypeParam first(kDim, options), second(kDim, options);
        EXPECT_TRUE(same(first.mean(), whole.mean()));
        first.add(x.leftCols(300));
        second.add(x.rightCols(1700));
        EXPECT_TRUE(same(first.scores(queries), whole.scores(queries).topRows(300)));
        EXPECT_TRUE(same(second.scores(queries), whole.scores(queries).bottomRows(1700)));
    }
}

}  // namespace
