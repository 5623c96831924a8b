// FlatIndex's ways to search, each by its definition: a sort of all scores. Scores themselves: the same for one query or
// many, from one thread or many, on every target.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "flat_index_support.hpp"
#include "test_vectors.hpp"
#include "turboquant/turboquant.hpp"

namespace tq = turboquant;
using namespace flat_index_support;
using test_vectors::ScopedTarget;
using tq::Dynamic;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

template <class FlatIndexT>
class FlatSearch : public testing::Test {};
TYPED_TEST_SUITE(FlatSearch, Kinds, );

TYPED_TEST(FlatSearch, SearchIsASortOfScores) {
    Eigen::MatrixXf queries = vectors(kDim, 6, 2);
    queries.col(1).setZero();
    queries.col(2) = with_ties(1, 1).col(0);
    for (const Metric metric : all_metrics())
        for (const bool centring : {false, true})
            for (const Index n : {0, 1, 33, 1023, 1024, 1025, 2100}) {
                SCOPED_TRACE(testing::Message()
                             << name_of(metric) << ", centring " << centring << ", n = " << n);
                TypeParam index(kDim, options_of(metric, centring));
                // Descending ids: ties are settled by id, not by position.
                IdList ids(static_cast<std::size_t>(n));
                for (Index i = 0; i < n; ++i) ids[static_cast<std::size_t>(i)] = 3 * (n - i);
                index.add(with_ties(n, 1), ids);
                EXPECT_EQ(index.ids(), ids);
                const Eigen::MatrixXf scores = index.scores(queries);
                for (const Index k : std::vector<Index>{0, 1, 2, 10, n, n + 5})
                    EXPECT_TRUE(same(index.search(queries, k), by_sorting(scores, ids, k, metric)))
                        << "k = " << k;
            }
}

// Equal vectors have equal scores wherever they lie, and come in the order of their ids.
TYPED_TEST(FlatSearch, EqualVectors) {
    TypeParam index(kDim, options_of(Metric::inner_product, true));
    const Eigen::MatrixXf x = vectors(kDim, 1, 1);
    index.add(x.replicate(1, 2000));
    const SearchResult hits = index.search(x, 2000);
    for (Index i = 0; i < 2000; ++i) ASSERT_EQ(hits.ids(i, 0), i);
    EXPECT_EQ(hits.scores.minCoeff(), hits.scores.maxCoeff());
}

// One query at a time, or as many as there are: the same scores, bit for bit.
TYPED_TEST(FlatSearch, BatchesEqualSingleQueries) {
    TypeParam index(kDim, options_of(Metric::l2, true));
    index.add(vectors(kDim, 1100, 1));
    const Eigen::MatrixXf queries = vectors(kDim, 520, 2);
    const SearchResult all = index.search(queries, 3);
    const Eigen::MatrixXf scores = index.scores(queries);
    for (Index j = 0; j < queries.cols(); j += 13) {
        const SearchResult one = index.search(queries.col(j), 3);
        EXPECT_TRUE(same(one.scores, all.scores.col(j)));
        EXPECT_EQ(one.ids, all.ids.col(j));
        EXPECT_TRUE(same(index.scores(queries.col(j)), scores.col(j)));
    }
    Eigen::MatrixXf wide(1100, 540);  // columns of a larger matrix
    index.scores(queries, wide.middleCols(10, 520));
    EXPECT_TRUE(same(wide.middleCols(10, 520), scores));
}

// --- Other ways to search -----------------------------------------------------------------------------------------------------

TYPED_TEST(FlatSearch, Filter) {
    const Eigen::MatrixXf queries = vectors(kDim, 5, 2);
    for (const Metric metric : all_metrics())
        for (const Index n : {500, 2100}) {
            TypeParam index(kDim, options_of(metric, true));
            index.add(with_ties(n, 1));
            const Eigen::MatrixXf scores = index.scores(queries);
            const auto odd = [](std::int64_t id) { return id % 2 == 1; };
            for (const Index k : std::vector<Index>{0, 1, 10, n}) {
                const auto expected = by_sorting(scores, index.ids(), k, metric,
                                                 [&](std::int64_t id, float) { return odd(id); });
                EXPECT_TRUE(same(index.search(queries, k, odd), expected));
                SearchResult again;
                index.search(queries, k, odd, again);
                EXPECT_TRUE(same(again, expected));
            }
            EXPECT_EQ(index.search(queries, 3, [](std::int64_t) { return false; }).ids.maxCoeff(), -1);
            // Asked far less often than there are vectors.
            int asked = 0;
            index.search(queries.col(0), 1, [&](std::int64_t) { return ++asked > 0; });
            EXPECT_LT(asked, 100);
        }
}

TYPED_TEST(FlatSearch, FilterThatThrows) {
    const Eigen::MatrixXf queries = vectors(kDim, 5, 2);
    for (const Index n : {500, 2100}) {
        TypeParam index(kDim, options_of(Metric::cosine, true));
        index.add(vectors(kDim, n, 1));
        const SearchResult before = index.search(queries, 3);
        int asked = 0;
        const auto filter = [&](std::int64_t) -> bool {
            if (++asked == 7) throw std::domain_error("seven");
            return true;
        };
        EXPECT_THROW(index.search(queries, 10, filter), std::domain_error);
        EXPECT_EQ(asked, 7);  // nobody is asked after that
        EXPECT_TRUE(same(index.search(queries, 3), before));
    }
}

TYPED_TEST(FlatSearch, Rerank) {
    const Eigen::MatrixXf x = vectors(kDim, 1500, 1), queries = vectors(kDim, 4, 2);
    for (const Metric metric : all_metrics()) {
        SCOPED_TRACE(name_of(metric));
        TypeParam index(kDim, options_of(metric, true));
        index.add(x);
        const Eigen::MatrixXf exact = true_scores(x, queries, metric).cast<float>();
        const auto by_position = [&](std::int64_t id, Index j) { return exact(static_cast<Index>(id), j); };
        const auto by_column = [&](std::int64_t id, const auto& query) {
            return true_scores(x.col(static_cast<Index>(id)), query, metric)(0, 0);
        };
        for (const Index rerank : {10, 50, 1500, 2000}) {
            const SearchResult candidates = index.search(queries, std::min<Index>(rerank, 1500));
            SearchResult expected;
            expected.ids.resize(10, 4);
            expected.scores.resize(10, 4);
            for (Index j = 0; j < 4; ++j) {
                const auto among = [&](std::int64_t id, float) {
                    return (candidates.ids.col(j).array() == id).any();
                };
                const SearchResult column = by_sorting(exact.col(j), index.ids(), 10, metric, among);
                expected.ids.col(j) = column.ids;
                expected.scores.col(j) = column.scores;
            }
            EXPECT_TRUE(same(index.search(queries, 10, rerank, by_position), expected));
            EXPECT_TRUE(same(index.search(queries, 10, rerank, by_column), expected));
        }
        EXPECT_EQ(index.search(queries, 0, 0, by_position).ids.size(), 0);
        EXPECT_THROW(
            index.search(queries, 5, 10, [](std::int64_t, Index) -> float { throw std::domain_error("no"); }),
            std::domain_error);
    }
}

TYPED_TEST(FlatSearch, RangeSearch) {
    const Eigen::MatrixXf query = vectors(kDim, 1, 2);
    for (const Metric metric : all_metrics())
        for (const Index n : {0, 500, 2100}) {
            SCOPED_TRACE(testing::Message() << name_of(metric) << ", n = " << n);
            TypeParam index(kDim, options_of(metric, true));
            index.add(with_ties(n, 1));
            const Eigen::MatrixXf scores = index.scores(query);
            std::vector<float> thresholds = {-kInfinity, 0.0f, 1e30f, kInfinity};
            if (n > 0) thresholds.insert(thresholds.end(), {scores(3, 0), scores(7, 0), scores(n / 2, 0)});
            for (const float threshold : thresholds) {
                const auto within = [&](std::int64_t, float s) {
                    return metric == Metric::l2 ? s <= threshold : s >= threshold;
                };
                const auto count = static_cast<Index>(ranking(scores, index.ids(), metric, within).size());
                EXPECT_TRUE(same(index.range_search(query, threshold),
                                 by_sorting(scores, index.ids(), count, metric, within)))
                    << threshold;
            }
        }
}

TYPED_TEST(FlatSearch, FewerThanK) {
    for (const Metric metric : all_metrics()) {
        const float missing = metric == Metric::l2 ? kInfinity : -kInfinity;
        TypeParam index(kDim, options_of(metric, true));
        const Eigen::MatrixXf x = vectors(kDim, 2, 1);
        SearchResult hits = index.search(x, 3);
        EXPECT_EQ(hits.ids.rows(), 3);
        EXPECT_EQ(hits.ids.cols(), 2);
        EXPECT_TRUE((hits.ids.array() == -1).all());
        EXPECT_TRUE((hits.scores.array() == missing).all());
        EXPECT_EQ(index.scores(x).rows(), 0);
        EXPECT_EQ(index.range_search(x.col(0), 0.0f).ids.size(), 0);
        index.add(x);
        index.search(x, 3, hits);
        EXPECT_EQ(hits.ids(0, 1), 1);
        EXPECT_EQ(hits.ids(1, 1), 0);
        EXPECT_EQ(hits.ids(2, 1), -1);
        EXPECT_EQ(hits.scores(2, 1), missing);
        EXPECT_EQ(index.search(x.leftCols(0), 3).ids.cols(), 0);
        EXPECT_EQ(index.search(x.leftCols(0), 3).ids.rows(), 3);
        EXPECT_EQ(index.search(x, 0).ids.cols(), 2);
    }
}

TYPED_TEST(FlatSearch, SearchFromSeveralThreads) {
    TypeParam index(kDim, options_of(Metric::cosine, true));
    index.add(vectors(kDim, 3000, 1));
    const Eigen::MatrixXf queries = vectors(kDim, 40, 2);
    const SearchResult expected = index.search(queries, 10);
    std::atomic<int> right{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            for (int round = 0; round < 3; ++round) {
                if (same(index.search(queries, 10), expected)) ++right;
                const Index j = 10 * t + round;
                if (index.search(queries.col(j), 10).ids == expected.ids.col(j)) ++right;
            }
        });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(right, 24);
}

// Every target builds the same index, and blocks of codes score the same on all of them.
TYPED_TEST(FlatSearch, Targets) {
    const Eigen::MatrixXf x = with_ties(1100, 1), queries = vectors(kDim, 7, 2);
    for (const Metric metric : all_metrics()) {
        Eigen::MatrixXf expected;
        for (const tq::Target target : tq::supported_targets()) {
            SCOPED_TRACE(tq::target_name(target));
            const ScopedTarget scope(target);
            TypeParam index(kDim, options_of(metric, true));
            index.add(x);
            const Eigen::MatrixXf scores = index.scores(queries);
            if (expected.size() == 0) expected = scores;
            const bool blocks = tq::detail::IndexStorage<std::decay_t<decltype(index.quantizer())>>::kBlocks;
            if (blocks)
                EXPECT_TRUE(same(scores, expected));
            else  // inner_products(), with a query of 15 bits or a float one: QuantizerInterface::inner_products
                EXPECT_LE((scores - expected).cwiseAbs().maxCoeff(),
                          12 * 1.3e-4f / std::sqrt(static_cast<float>(kDim)) *
                              (metric == Metric::cosine
                                   ? 1.0f
                                   : x.colwise().norm().maxCoeff() * queries.colwise().norm().maxCoeff()));
            {
                const ScopedTarget other(tq::Target::scalar);
                TypeParam rebuilt(kDim, options_of(metric, true));
                rebuilt.add(x);
                const ScopedTarget back(target);
                EXPECT_TRUE(same(rebuilt.scores(queries), scores));
            }
        }
    }
}

// --- Vectors of every size --------------------------------------------------------------------------------------------------

TYPED_TEST(FlatSearch, CosineOfExtremeVectors) {
    const Eigen::MatrixXf x = vectors(kDim, 1100, 1), queries = vectors(kDim, 4, 2);
    TypeParam index(kDim, options_of(Metric::cosine, true)), scaled(kDim, options_of(Metric::cosine, true));
    index.add(x);
    Eigen::MatrixXf y = x;
    for (Index i = 0; i < y.cols(); ++i) y.col(i) *= std::ldexp(1.0f, static_cast<int>(i % 200) - 100);
    scaled.add(y);
    EXPECT_TRUE(same_index(scaled, index, queries));
    const Eigen::MatrixXf tiny = std::ldexp(1.0f, -110) * queries, huge = std::ldexp(1.0f, 110) * queries;
    EXPECT_TRUE(same(index.search(tiny, 5), index.search(queries, 5)));
    EXPECT_TRUE(same(index.search(huge, 5), index.search(queries, 5)));
    Eigen::VectorXf denormal = Eigen::VectorXf::Zero(kDim);
    denormal[3] = 1e-44f;
    Eigen::VectorXf one = Eigen::VectorXf::Zero(kDim);
    one[3] = 1.0f;
    EXPECT_TRUE(same(index.search(denormal, 5), index.search(one, 5)));
}

TYPED_TEST(FlatSearch, ScoresStayFinite) {
    for (const Metric metric : all_metrics())
        for (const bool centring : {false, true})
            for (const float size : {0.0f, 1e-44f, 1e-30f, 1e-18f, 1e15f, .9e18f}) {
                SCOPED_TRACE(testing::Message()
                             << name_of(metric) << ", centring " << centring << ", size " << size);
                TypeParam index(kDim, options_of(metric, centring));
                Eigen::MatrixXf x = vectors(kDim, 1100, 1);
                x.colwise().normalize();
                index.add(size * x);
                EXPECT_TRUE(index.scores(size * x.leftCols(5)).allFinite());
                EXPECT_TRUE(index.scores(x.leftCols(5)).allFinite());
                EXPECT_TRUE(index.search(size * x.leftCols(5), 3).scores.allFinite());
            }
}

}  // namespace
