// FlatIndex at 1 to 8 bits: search is a sort of scores, and scores are as good as theory says.
#include <type_traits>

#include <gtest/gtest.h>

#include "flat_index_support.hpp"
#include "turboquant/turboquant.hpp"

namespace tq = turboquant;
using namespace flat_index_support;

namespace {

template <class BitsT>
class FlatIndexBits : public testing::Test {};
template <int Bits>
using Constant = std::integral_constant<int, Bits>;
using AllBits = testing::Types<Constant<1>, Constant<2>, Constant<3>, Constant<4>, Constant<5>, Constant<6>,
                               Constant<7>, Constant<8>>;
TYPED_TEST_SUITE(FlatIndexBits, AllBits, );

// 64: whole rows of a block; 75: a rest, of every width at 1 to 4 bits.
TYPED_TEST(FlatIndexBits, ScoresAsTheorySays) {
    constexpr int kBits = TypeParam::value;
    for (const Index dim : {64, 75})
        scores_as_theory_says<tq::FlatIndex<tq::Dynamic, kBits>>(dim, unbiased_variance<kBits>(dim));
}

}  // namespace
