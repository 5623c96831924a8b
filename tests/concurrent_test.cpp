// Const calls on one object from many threads at once, each with results of its own: the same as from one. Under the thread
// sanitizer (.ci/full) this shows that they share nothing that is written to, tables built by whoever comes first included.
#include <atomic>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "test_vectors.hpp"
#include "turboquant/turboquant.hpp"

namespace {

namespace tq = turboquant;
using test_vectors::bytes_of;
using test_vectors::gaussian;
using tq::Dynamic;
using tq::Index;

constexpr int kThreads = 4;

// Runs body(thread) in all threads, which start together.
template <class Body>
void in_threads(const Body& body) {
    std::atomic<int> waiting{kThreads};
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i)
        threads.emplace_back([&, i] {
            --waiting;
            while (waiting > 0) std::this_thread::yield();
            body(i);
        });
    for (std::thread& thread : threads) thread.join();
}

// Dimensions that no other case uses: the tables are built by the threads.
TEST(Concurrent, ConstructionAndEncoding) {
    const Eigen::MatrixXf x = gaussian(93, 40, 1);
    std::vector<tq::Codes> codes(kThreads), sketched(kThreads);
    in_threads([&](int i) {
        const tq::MseQuantizer<Dynamic, 3> quantizer(93, 5);
        codes[static_cast<std::size_t>(i)] = quantizer.encode(x);
        sketched[static_cast<std::size_t>(i)] = tq::TurboQuantizer<Dynamic, 3>(93, 5).encode(x);
    });
    for (std::size_t i = 1; i < kThreads; ++i) {
        EXPECT_EQ(bytes_of(codes[i]), bytes_of(codes[0]));
        EXPECT_EQ(bytes_of(sketched[i]), bytes_of(sketched[0]));
    }
}

TEST(Concurrent, OneQuantizer) {
    const tq::TurboQuantizer<Dynamic, 4> quantizer(70, 5);
    const Eigen::MatrixXf x = gaussian(70, 50, 1), queries = gaussian(70, 3, 2);
    const tq::Codes codes = quantizer.encode(x);
    const Eigen::MatrixXf back = quantizer.decode(codes), dots = quantizer.inner_products(codes, queries),
                          distances = quantizer.squared_distances(codes, queries),
                          products = quantizer.code_products(codes, codes);
    in_threads([&](int) {
        EXPECT_EQ(bytes_of(quantizer.encode(x)), bytes_of(codes));
        EXPECT_TRUE(quantizer.decode(codes) == back);
        EXPECT_TRUE(quantizer.inner_products(codes, queries) == dots);
        EXPECT_TRUE(quantizer.squared_distances(codes, queries) == distances);
        EXPECT_TRUE(quantizer.code_products(codes, codes) == products);
    });
}

template <class IndexT>
void search_from_many_threads(IndexT index) {
    index.add(gaussian(index.dim(), 2100, 1));
    const Eigen::MatrixXf queries = gaussian(index.dim(), 6, 2);
    const tq::SearchResult hits = index.search(queries, 8);
    const auto even = [](std::int64_t id) { return id % 2 == 0; };
    const tq::SearchResult filtered = index.search(queries, 8, even),
                           range = index.range_search(queries.col(0), hits.scores(5, 0));
    in_threads([&](int) {
        const tq::SearchResult again = index.search(queries, 8), some = index.search(queries, 8, even);
        EXPECT_TRUE(again.ids == hits.ids);
        EXPECT_TRUE(again.scores == hits.scores);
        EXPECT_TRUE(some.ids == filtered.ids);
        EXPECT_TRUE(index.range_search(queries.col(0), hits.scores(5, 0)).ids == range.ids);
        std::ostringstream file;
        index.save(file);
    });
}
TEST(Concurrent, Search) {
    search_from_many_threads(tq::FlatIndex<Dynamic, 4>(48));
    search_from_many_threads(tq::FlatIndex<Dynamic, 8>(48));
}

// One cache that is read, and branches of it that go on by themselves: they share blocks by counted references.
TEST(Concurrent, Attention) {
    using Cache = tq::KvCache<Dynamic, 4, 3>;
    Cache cache(48);
    cache.append(gaussian(48, 400, 1), gaussian(48, 400, 2));
    const Eigen::MatrixXf q = gaussian(48, 5, 3), more = gaussian(48, 150, 4), out = cache.attend(q);
    Cache longer = cache;
    longer.append(more, more);
    const Eigen::MatrixXf later = longer.attend(q);
    in_threads([&](int i) {
        EXPECT_TRUE(cache.attend(q) == out);
        Cache branch = cache;
        branch.append(more, more);
        EXPECT_TRUE(branch.attend(q) == later);
        branch.truncate(200 + i);
        branch.append(more, more);
        EXPECT_EQ(branch.size(), 350 + i);
        EXPECT_TRUE(cache.attend(q) == out);
    });
}

}  // namespace
