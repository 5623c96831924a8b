// Search by several threads, in a program that is built with OpenMP: the same result whatever their number.
#include <cstdint>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

#include "flat_index_support.hpp"
#include "turboquant/turboquant.hpp"

namespace tq = turboquant;
using namespace flat_index_support;
using tq::Dynamic;

namespace {

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
