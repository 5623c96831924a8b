// A dimension known to the compiler has kernels of its own; they give what those of Eigen::Dynamic give, bit for bit, on
// every target, for every number of columns (several are encoded together) and for norms that take the rare paths.
#include <cstdint>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "test_vectors.hpp"
#include "turboquant/turboquant.hpp"

namespace tq = turboquant;
using test_vectors::bytes_of;
using test_vectors::gaussian;
using test_vectors::message_of;
using test_vectors::ScopedTarget;
using tq::Codes;
using tq::Dynamic;
using tq::Index;

namespace {

template <class Dimension>
class FixedDimension : public testing::Test {};

template <int Dim>
using Dimension = std::integral_constant<int, Dim>;

// Powers of two up to 256 stay in registers; so do others below 256 on AVX-512, in threes where there are 4 to 7 groups of
// 16, in fours and twos elsewhere. 63, 100 and 250 have a tail; 130 has one window and a tail; 20 is dense; 300 is large.
using Dimensions = testing::Types<Dimension<20>, Dimension<32>, Dimension<63>, Dimension<64>, Dimension<96>,
                                  Dimension<100>, Dimension<128>, Dimension<130>, Dimension<144>,
                                  Dimension<250>, Dimension<256>, Dimension<300>>;
TYPED_TEST_SUITE(FixedDimension, Dimensions, );

// Ordinary vectors, and from column 4 on extreme ones.
Eigen::MatrixXf columns(Index dim, Index count) {
    Eigen::MatrixXf x = gaussian(dim, count, static_cast<std::uint64_t>(dim + count));
    for (Index j = 4; j < count; ++j)
        x.col(j) *= j % 4 == 0 ? 1e-30f : j % 4 == 1 ? 0.0f : j % 4 == 2 ? 1e30f : 1.0f;
    return x;
}

template <class Fixed, class Free>
void expect_equal(const Fixed& fixed, const Free& free, const Eigen::MatrixXf& x) {
    const Codes expected = free.encode(x);
    EXPECT_EQ(bytes_of(fixed.encode(x)), bytes_of(expected));
    EXPECT_TRUE(fixed.decode(expected) == free.decode(expected));
    // Halves are converted on the way in.
    const Eigen::Matrix<Eigen::half, Dynamic, Dynamic> halves =
        x.cwiseMin(1e4f).cwiseMax(-1e4f).template cast<Eigen::half>();
    EXPECT_EQ(bytes_of(fixed.encode(halves)), bytes_of(free.encode(halves)));
}

TYPED_TEST(FixedDimension, EqualsDynamic) {
    constexpr int kDim = TypeParam::value;
    const tq::MseQuantizer<kDim, 4> mse(7, tq::ScaleRule::unbiased);
    const tq::MseQuantizer<Dynamic, 4> free_mse(kDim, 7, tq::ScaleRule::unbiased);
    const tq::TurboQuantizer<kDim, 3> turbo(7);
    const tq::TurboQuantizer<Dynamic, 3> free_turbo(kDim, 7);
    for (const tq::Target target : tq::supported_targets()) {
        const ScopedTarget scope(target);
        for (Index count = 0; count <= 9; ++count) {
            SCOPED_TRACE(std::string(tq::target_name(target)) + ", " + std::to_string(count) + " columns");
            const Eigen::MatrixXf x = columns(kDim, count);
            expect_equal(mse, free_mse, x);
            expect_equal(turbo, free_turbo, x);
        }
    }
}

// A column that cannot be stored is named, wherever it stands among those encoded together, and nothing is stored.
TYPED_TEST(FixedDimension, NamesTheColumn) {
    constexpr int kDim = TypeParam::value;
    const tq::MseQuantizer<kDim, 4> quantizer(7);
    for (Index bad = 0; bad < 6; ++bad) {
        for (const float value : {std::nanf(""), HUGE_VALF, 3e38f}) {
            Eigen::MatrixXf x = gaussian(kDim, 6, 1);
            x.col(bad).setConstant(value);
            Codes codes = quantizer.encode(gaussian(kDim, 2, 2));
            const auto before = bytes_of(codes);
            const std::string column = "column " + std::to_string(bad);
            EXPECT_NE(message_of([&] { quantizer.append(x, codes); }).find(column), std::string::npos)
                << value;
            EXPECT_NE(message_of([&] { quantizer.encode(x, codes); }).find(column), std::string::npos)
                << value;
            EXPECT_EQ(bytes_of(codes), before);
        }
    }
}

}  // namespace
