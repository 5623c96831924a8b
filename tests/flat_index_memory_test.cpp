// The memory an index takes: what its vectors need, and little else.
#include <algorithm>
#include <cstddef>
#include <memory>
#include <type_traits>

#include <gtest/gtest.h>

#include "flat_index_support.hpp"
#include "turboquant/turboquant.hpp"

namespace tq = turboquant;
using namespace flat_index_support;

namespace {

template <class BitsT>
class FlatIndexMemory : public testing::Test {};
template <int Bits>
using Constant = std::integral_constant<int, Bits>;
using AllBits = testing::Types<Constant<1>, Constant<2>, Constant<3>, Constant<4>>;
TYPED_TEST_SUITE(FlatIndexMemory, AllBits, );

// bytes() per vector: those of the codes, 4 for the term of centring or l2, 8 for ids of one's own; 2 % for all the rest.
template <class FlatIndexT>
void takes_what_vectors_need(Index dim, Metric metric, bool centring, bool own_ids, Index n, Index piece) {
    SCOPED_TRACE(testing::Message() << name_of(metric) << ", centring " << centring << ", own ids " << own_ids
                                    << ", d = " << dim << ", n = " << n << ", in pieces of " << piece);
    FlatIndexT index(dim, options_of(metric, centring));
    const Eigen::MatrixXf x = vectors(dim, piece, 1);
    IdList ids(static_cast<std::size_t>(piece));
    for (Index first = 0; first < n; first += piece) {
        for (Index i = 0; i < piece; ++i) ids[static_cast<std::size_t>(i)] = first + i;
        own_ids ? index.add(x, ids) : static_cast<void>(index.add(x));
    }
    ASSERT_EQ(index.size(), n);
    const auto each = static_cast<double>(index.quantizer().bytes_per_vector() +
                                          (centring || metric == Metric::l2 ? 4u : 0u) + (own_ids ? 8u : 0u));
    const double taken = static_cast<double>(index.bytes()) / static_cast<double>(n);
    EXPECT_GE(taken, each);
    EXPECT_LE(taken, 1.02 * each);
}

TYPED_TEST(FlatIndexMemory, HundredThousandVectors) {
    using FlatIndexT = tq::FlatIndex<tq::Dynamic, TypeParam::value>;
    for (const Index dim : {100, 128, 768, 1536})
        takes_what_vectors_need<FlatIndexT>(dim, Metric::inner_product, true, dim == 128, 100000, 4000);
    takes_what_vectors_need<FlatIndexT>(100, Metric::inner_product, false, false, 100000, 4000);
    takes_what_vectors_need<FlatIndexT>(100, Metric::l2, false, true, 100000, 4000);
    takes_what_vectors_need<FlatIndexT>(128, Metric::cosine, true, true, 100000, 50);
}

// No dimension wastes: of a block's rest no byte is lost at any number of bits.
TYPED_TEST(FlatIndexMemory, EveryRestOfABlock) {
    using FlatIndexT = tq::FlatIndex<tq::Dynamic, TypeParam::value>;
    for (Index dim = 1; dim <= 300; dim += dim < 65 ? 1 : 13)
        takes_what_vectors_need<FlatIndexT>(dim, Metric::inner_product, dim % 3 != 0, dim % 3 == 2, 32768,
                                            4096);
}

// What is removed can be used again, and is not kept for long: never more than was there.
TYPED_TEST(FlatIndexMemory, Removal) {
    tq::FlatIndex<tq::Dynamic, TypeParam::value> index(100, options_of(Metric::inner_product, true));
    index.add(vectors(100, 3000, 1));
    index.remove({5});
    const std::size_t before = index.bytes();
    for (int round = 0; round < 20; ++round) {
        IdList ids = index.ids();
        ids.resize(1000);
        index.remove(ids);
        index.add(vectors(100, 1000, 2));
    }
    EXPECT_LE(index.bytes(), before + before / 50);
}

TYPED_TEST(FlatIndexMemory, Reserve) {
    tq::FlatIndex<tq::Dynamic, TypeParam::value> index(100, options_of(Metric::inner_product, true));
    index.reserve(-5);
    index.reserve(0);
    const std::size_t empty = index.bytes();
    index.reserve(5000);
    const std::size_t reserved = index.bytes();
    EXPECT_GE(reserved, empty + 5000 * (index.quantizer().bytes_per_vector() + 4));
    index.add(vectors(100, 5000, 1));
    EXPECT_EQ(index.bytes(), reserved);
}

// Enough for segments that share an allocation, then more, and copies.
TYPED_TEST(FlatIndexMemory, ReserveOfMuch) {
    const Index dim = 1024, n = 20500;
    const auto options = options_of(Metric::inner_product, false);
    const Eigen::MatrixXf x = vectors(dim, 512, 1), queries = vectors(dim, 2, 2);
    tq::FlatIndex<tq::Dynamic, TypeParam::value> grown(dim, options), reserved(dim, options);
    reserved.add(x.leftCols(100));
    reserved.reserve(n);
    const std::size_t before = reserved.bytes();
    EXPECT_LE(before,
              static_cast<std::size_t>(n) * (reserved.quantizer().bytes_per_vector() + 4) * 102 / 100);
    grown.add(x.leftCols(100));
    while (grown.size() < n) {
        const Index some = std::min<Index>(512, n - grown.size());
        grown.add(x.leftCols(some));
        reserved.add(x.leftCols(some));
    }
    EXPECT_EQ(reserved.bytes(), before);
    reserved.add(x);
    grown.add(x);
    const auto copy = std::make_unique<tq::FlatIndex<tq::Dynamic, TypeParam::value>>(reserved);
    const Eigen::MatrixXf scores = grown.scores(queries);
    EXPECT_TRUE(same(reserved.scores(queries), scores));
    reserved = tq::FlatIndex<tq::Dynamic, TypeParam::value>(dim, options);
    EXPECT_TRUE(same(copy->scores(queries), scores));
}

}  // namespace
