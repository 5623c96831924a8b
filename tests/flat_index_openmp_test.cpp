// Search by several threads, in a program that is built with OpenMP: the same result whatever their number.
#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

#include "flat_index_support.hpp"
#include "turboquant/turboquant.hpp"

namespace tq = turboquant;
using namespace flat_index_support;
using tq::Dynamic;

namespace {

// Files do not hold the number of threads.
TEST(FlatIndexOpenMp, ThreadsOfALoadedIndex) {
    auto options = options_of(Metric::l2, true);
    options.threads = 3;
    tq::FlatIndex<Dynamic, 4> index(kDim, options);
    index.add(with_ties(5300, 1));
    std::stringstream file;
    index.save(file);
    auto loaded = tq::FlatIndex<Dynamic, 4>::load(file);
    EXPECT_EQ(loaded.options().threads, 1);
    EXPECT_TRUE(same_index(loaded, index, vectors(kDim, 3, 2)));
    loaded.set_threads(4);
    EXPECT_EQ(loaded.options().threads, 4);
    EXPECT_TRUE(same(loaded.search(vectors(kDim, 7, 2), 10), index.search(vectors(kDim, 7, 2), 10)));
    EXPECT_THROW(loaded.set_threads(0), std::invalid_argument);
    EXPECT_EQ(loaded.options().threads, 4);
}

template <class FlatIndexT>
void threads_do_not_matter() {
    const Eigen::MatrixXf queries = vectors(kDim, 7, 2), many = vectors(kDim, 300, 3);
    const auto odd = [](std::int64_t id) { return id % 2 == 1; };
    for (const Metric metric : all_metrics())
        for (const Index n : {0, 500, 1024, 5300}) {
            SCOPED_TRACE(testing::Message() << name_of(metric) << ", n = " << n);
            FlatIndexT single(kDim, options_of(metric, true));
            single.add(with_ties(n, 1));
            for (const int threads : {2, 3, 16}) {
                auto options = options_of(metric, true);
                options.threads = threads;
                FlatIndexT index(kDim, options);
                index.add(with_ties(n, 1));
                for (const Index k : std::vector<Index>{0, 1, 10, n + 3})
                    EXPECT_TRUE(same(index.search(queries, k), single.search(queries, k)));
                EXPECT_TRUE(same(index.search(queries.col(0), 10), single.search(queries.col(0), 10)));
                EXPECT_TRUE(same(index.search(many, 3), single.search(many, 3)));
                EXPECT_TRUE(same(index.search(queries, 10, odd), single.search(queries, 10, odd)));
                if (n == 0) continue;
                EXPECT_THROW(
                    index.search(queries, 10, [](std::int64_t) -> bool { throw std::domain_error("no"); }),
                    std::domain_error);
            }
        }
}

TEST(FlatIndexOpenMp, Blocks) { threads_do_not_matter<tq::FlatIndex<Dynamic, 4>>(); }
TEST(FlatIndexOpenMp, Records) { threads_do_not_matter<tq::FlatIndex<Dynamic, 6>>(); }

}  // namespace
