// Hot calls allocate nothing: encoding into codes with room, decoding and scoring into the caller's memory.
//
// Counted are operator new, replaced below, and Eigen's own heap, which calls malloc: its debugging hook reports every
// allocation as a failed assertion, and the assertion counts.
#include <cstddef>

namespace allocation_count {
inline int eigen_allocations = 0;
inline void failed_assertion() noexcept { ++eigen_allocations; }
}  // namespace allocation_count

#define EIGEN_RUNTIME_NO_MALLOC
#define eigen_assert(condition) ((condition) ? (void)0 : ::allocation_count::failed_assertion())

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "test_vectors.hpp"
#include "turboquant/turboquant.hpp"

namespace {
std::atomic<int> new_calls{0};

void* allocate(std::size_t size, std::size_t alignment) {
    ++new_calls;
    // aligned_alloc wants a multiple of the alignment.
    void* memory = std::aligned_alloc(alignment, (size / alignment + 1) * alignment);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}
// Not inlined: g++ would see memory of operator new in std::free.
TURBOQUANT_NOINLINE void release(void* memory) noexcept { std::free(memory); }
}  // namespace

void* operator new(std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
void* operator new[](std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
    return allocate(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
    return allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }

namespace {

namespace tq = turboquant;
using test_vectors::gaussian;
using tq::Codes;
using tq::Dynamic;
using tq::Index;

// How many allocations `call` makes.
template <class Call>
int allocations(Call&& call) {
    allocation_count::eigen_allocations = 0;
    const int before = new_calls;
    Eigen::internal::set_is_malloc_allowed(false);
    call();
    Eigen::internal::set_is_malloc_allowed(true);
    return new_calls - before + allocation_count::eigen_allocations;
}

template <class Quantizer>
void hot_calls_allocate_nothing(const Quantizer& quantizer) {
    const Index dim = quantizer.dim();
    SCOPED_TRACE(quantizer.id().description());
    const Eigen::MatrixXf x = gaussian(dim, 8, 1), queries = gaussian(dim, 70, 2);
    const auto half = x.cast<Eigen::half>().eval();
    const std::vector<Index> positions = {3, 1, 3};
    Codes codes = quantizer.encode(x);
    EXPECT_EQ(allocations([&] { quantizer.encode(x, codes); }), 0);
    EXPECT_EQ(allocations([&] { quantizer.encode(half, codes); }), 0);
    EXPECT_EQ(allocations([&] { quantizer.encode(x.middleCols(2, 3), codes); }), 0);
    EXPECT_EQ(allocations([&] { quantizer.encode(x, codes); }), 0);
    EXPECT_EQ(allocations([&] {
                  codes.clear();
                  quantizer.encode(x, codes);
              }),
              0);
    codes.reserve(100);
    EXPECT_EQ(allocations([&] {
                  for (int i = 0; i < 10; ++i) quantizer.append(x, codes);
                  quantizer.append(x.col(1), codes);
                  codes.erase(3);
              }),
              0);
    Codes reserved;
    reserved.reserve(20);
    quantizer.append(x.col(0), reserved);  // the memory comes with the first
    EXPECT_EQ(allocations([&] { quantizer.append(x, reserved); }), 0);

    quantizer.encode(x, codes);
    Eigen::MatrixXf back(dim, 8), scores(8, 70), one(8, 1), some(3, 70), products(8, 8);
    Eigen::VectorXf vector(dim);
    EXPECT_EQ(allocations([&] {
                  quantizer.decode(codes, back);
                  quantizer.decode(codes[2], vector);
              }),
              0);
    EXPECT_EQ(allocations([&] {
                  quantizer.inner_products(codes, queries, scores);
                  quantizer.inner_products(codes, queries.col(3), one);
                  quantizer.inner_products(codes, half.col(3), one);
                  quantizer.inner_products(codes, positions, queries, some);
              }),
              0);
    EXPECT_EQ(allocations([&] {
                  quantizer.squared_distances(codes, queries, scores);
                  quantizer.squared_distances(codes, queries.col(3), one);
                  quantizer.squared_distances(codes, positions, queries, some);
              }),
              0);
    EXPECT_EQ(allocations([&] { quantizer.code_products(codes, codes, products); }), 0);
    EXPECT_EQ(allocations([&] {
                  const Quantizer copy = quantizer;
                  (void)copy.bytes_per_vector();
              }),
              0);
}

TEST(Allocations, TheCountWorks) {
    EXPECT_EQ(allocations([] {
                  int* volatile number = new int(3);  // volatile, or compilers may leave both out
                  delete number;
              }),
              1);
    EXPECT_EQ(allocations([] {
                  ::operator delete[](::operator new[](9, std::align_val_t{64}), std::align_val_t{64});
              }),
              1);
    EXPECT_GE(allocations([] { Eigen::VectorXf(1000).setZero(); }), 1);
    EXPECT_GE(allocations([] { (void)tq::MseQuantizer<Dynamic, 4>(128, 7).encode(gaussian(128, 1, 1)); }), 1);
}

TEST(Allocations, None) {
    hot_calls_allocate_nothing(tq::MseQuantizer<128, 4>(7));
    hot_calls_allocate_nothing(tq::TurboQuantizer<128, 4>(7));
    for (const Index dim : {100, 128, 1536, 3072}) {
        hot_calls_allocate_nothing(tq::MseQuantizer<Dynamic, 4>(dim, 7));
        hot_calls_allocate_nothing(tq::MseQuantizer<Dynamic, 4>(dim, 7, tq::ScaleRule::unbiased));
        hot_calls_allocate_nothing(
            tq::MseQuantizer<Dynamic, 4>(dim, 7, tq::ScaleRule::unbiased, tq::Refinement::scale_search));
        hot_calls_allocate_nothing(tq::TrellisQuantizer<Dynamic, 3>(dim, 7, tq::ScaleRule::unbiased));
        hot_calls_allocate_nothing(tq::TurboQuantizer<Dynamic, 4>(dim, 7));
        hot_calls_allocate_nothing(tq::ResidualSignQuantizer<Dynamic>(dim, 7));
    }
}

template <class Cache>
void attend_allocates_nothing(Cache cache) {
    cache.append(gaussian(cache.dim(), 500, 1), gaussian(cache.value_dim(), 500, 2));
    const Eigen::MatrixXf q = gaussian(cache.dim(), 40, 3);
    const auto half = q.cast<Eigen::half>().eval();
    Eigen::MatrixXf out(cache.value_dim(), 40);
    std::vector<float> lse(40);
    tq::AttendOptions causal;
    causal.causal = true;
    causal.heads_per_token = 4;
    causal.lse = lse.data();
    EXPECT_EQ(allocations([&] {
                  cache.attend(q, out);
                  cache.attend(half, out);
                  cache.attend(q, out, causal);
                  cache.attend(q.col(1), out.col(1));
                  cache.attend(q.leftCols(4), out.leftCols(4));
              }),
              0);
    tq::AttendState state;
    const auto& codec = cache.codec();
    std::vector<std::uint8_t> keys(codec.key_block_bytes()), values(codec.value_block_bytes());
    codec.encode(gaussian(cache.dim(), 64, 4), gaussian(cache.value_dim(), 64, 5), 0, 64, keys.data(),
                 values.data());
    const std::vector<tq::KvPage> pages = {{keys.data(), values.data(), 64}, {keys.data(), values.data(), 9}};
    codec.attend(pages, q, state);
    EXPECT_EQ(allocations([&] {
                  state.reset(cache.value_dim(), 40);
                  codec.attend(pages, q, state);
                  codec.merge(state, state);
                  codec.finish(state, out, lse.data());
              }),
              0);
}

TEST(Allocations, Attention) {
    attend_allocates_nothing(tq::KvCache<128, 4>());
    attend_allocates_nothing(tq::KvCache<Dynamic, 8, 2>(80, 112));
    attend_allocates_nothing(tq::KvCache<Dynamic, 3>(576, 512));
    // One token into a cache with room in its window: nothing; the copy below shares everything but the list of blocks.
    tq::KvCache<64, 4> cache;
    const Eigen::MatrixXf x = gaussian(64, 300, 1);
    cache.append(x, x);
    EXPECT_EQ(allocations([&] { cache.append(x.col(0), x.col(1)); }), 0);
    EXPECT_LE(allocations([&] { const tq::KvCache<64, 4> branch = cache; }), 1);
}

// One query into a result that is there, among vectors that are encoded and among those that are not yet.
template <class FlatIndexT>
void search_allocates_nothing(Index dim, Index count) {
    for (const auto metric : {tq::Metric::inner_product, tq::Metric::cosine, tq::Metric::l2}) {
        tq::FlatIndexOptions options;
        options.metric = metric;
        FlatIndexT index(dim, options);
        index.add(gaussian(dim, count, 1));
        const Eigen::MatrixXf queries = gaussian(dim, 2, 2);
        const auto half = queries.cast<Eigen::half>().eval();
        const auto odd = [](std::int64_t id) { return id % 2 == 1; };
        tq::SearchResult hits = index.search(queries.col(0), 10);
        Eigen::MatrixXf scores(count, 1);
        EXPECT_EQ(allocations([&] {
                      index.search(queries.col(1), 10, hits);
                      index.search(half.col(1), 10, hits);
                      index.search(queries.col(0), 10, odd, hits);
                      index.scores(queries.col(0), scores);
                  }),
                  0);
    }
}

TEST(Allocations, Search) {
    for (const Index count : {1000, 1100}) {
        for (const Index dim : {100, 1536, 3072})
            search_allocates_nothing<tq::FlatIndex<Dynamic, 4>>(dim, count);
        search_allocates_nothing<tq::FlatIndex<128, 3>>(128, count);
        search_allocates_nothing<tq::FlatIndex<Dynamic, 8>>(100, count);
    }
}

TEST(Allocations, Rotation) {
    for (const Index dim : {100, 128, 1536, 3072}) {
        const tq::Rotation<Dynamic> rotation(dim, 7);
        const Eigen::MatrixXf x = gaussian(dim, 3, 1);
        Eigen::MatrixXf y(dim, 3);
        EXPECT_EQ(allocations([&] {
                      rotation.apply(x, y);
                      rotation.apply_transpose(x, y);
                      rotation.apply(x.col(0), y.col(1));
                  }),
                  0);
    }
}

// Codes that another encode filled are found by value again: a quantizer of known codebook allocates its tables alone.
TEST(Allocations, ConstructingAgainBuildsNoCodebook) {
    const tq::MseQuantizer<Dynamic, 4> first(1536, 7);
    EXPECT_LE(allocations([] { const tq::MseQuantizer<Dynamic, 4> again(1536, 8); }), 3);
}

}  // namespace
