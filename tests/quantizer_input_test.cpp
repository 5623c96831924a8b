// Every way to hand vectors to a quantizer gives the same codes: element types, strides, storage orders, expressions,
// one vector or many, all at once or in pieces.
#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "test_vectors.hpp"
#include "turboquant/turboquant.hpp"

namespace tq = turboquant;
using test_vectors::bytes_of;
using test_vectors::gaussian;
using tq::Codes;
using tq::Dynamic;
using tq::Index;

namespace {

constexpr std::uint64_t kSeed = 7;

template <class Q>
class Inputs : public testing::Test {};
using InputTypes = testing::Types<tq::MseQuantizer<100, 4>, tq::TurboQuantizer<Dynamic, 4>>;
TYPED_TEST_SUITE(Inputs, InputTypes, );

TYPED_TEST(Inputs, SixteenBitFloatsAreTheirValues) {
    const TypeParam quantizer(100, kSeed);
    const Eigen::MatrixXf x = gaussian(100, 5, 1);
    const Eigen::Matrix<Eigen::half, Dynamic, Dynamic> half = x.cast<Eigen::half>();
    const Eigen::Matrix<Eigen::bfloat16, Dynamic, Dynamic> brain = x.cast<Eigen::bfloat16>();
    const Codes codes = quantizer.encode(x);
    const auto compare = [&](const auto& narrow) {
        const Eigen::MatrixXf wide = narrow.template cast<float>();
        EXPECT_EQ(bytes_of(quantizer.encode(narrow)), bytes_of(quantizer.encode(wide)));
        EXPECT_TRUE(quantizer.inner_products(codes, narrow) == quantizer.inner_products(codes, wide));
        EXPECT_TRUE(quantizer.squared_distances(codes, narrow) == quantizer.squared_distances(codes, wide));
        // More than one block of queries.
        const auto many = narrow.replicate(1, 40).eval();
        EXPECT_TRUE(quantizer.inner_products(codes, many) ==
                    quantizer.inner_products(codes, many.template cast<float>()));
        const auto block = narrow.middleCols(1, 3);
        EXPECT_EQ(bytes_of(quantizer.encode(block)), bytes_of(quantizer.encode(wide.middleCols(1, 3))));
    };
    compare(half);
    compare(brain);
}

TYPED_TEST(Inputs, AnyEigenExpression) {
    const TypeParam quantizer(100, kSeed);
    const Eigen::MatrixXf x = gaussian(100, 5, 1);
    const auto expected = bytes_of(quantizer.encode(x));
    const auto same = [&](const auto& input) { return bytes_of(quantizer.encode(input)) == expected; };

    // An n × d row-major buffer is the same memory, as a map of columns, and as its transpose.
    const std::vector<float> buffer(x.data(), x.data() + x.size());
    EXPECT_TRUE(same(Eigen::Map<const Eigen::MatrixXf>(buffer.data(), 100, 5)));
    using RowMajor = Eigen::Matrix<float, Dynamic, Dynamic, Eigen::RowMajor>;
    const Eigen::Map<const RowMajor> rows(buffer.data(), 5, 100);
    EXPECT_TRUE(same(rows.transpose()));
    // Storage by rows of the d × n matrix: inner stride n.
    const RowMajor by_rows = x;
    EXPECT_TRUE(same(by_rows));
    EXPECT_TRUE(same(Eigen::MatrixXf(x.transpose()).transpose()));
    // Outer stride, inner stride, both.
    Eigen::MatrixXf wide = Eigen::MatrixXf::Constant(211, 12, 9.0f);
    wide.block(3, 2, 100, 5) = x;
    EXPECT_TRUE(same(wide.block(3, 2, 100, 5)));
    std::vector<float> spread(100 * 5 * 2 + 40, 9.0f);
    Eigen::Map<Eigen::MatrixXf, 0, Eigen::Stride<Dynamic, Dynamic>> strided(
        spread.data(), 100, 5, Eigen::Stride<Dynamic, Dynamic>(203, 2));
    strided = x;
    EXPECT_TRUE(same(strided));
    // Expressions, evaluated once.
    EXPECT_TRUE(same(x * 1.0f));
    EXPECT_TRUE(same((x + x) * 0.5f));
    EXPECT_TRUE(same(x.template cast<double>().template cast<float>()));
    EXPECT_TRUE(same(x.colwise().reverse().eval().colwise().reverse()));
    // Fixed sizes, references.
    const Eigen::Matrix<float, 100, 5> fixed = x;
    EXPECT_TRUE(same(fixed));
    const Eigen::Ref<const Eigen::MatrixXf> ref(x);
    EXPECT_TRUE(same(ref));

    // One vector: the first of the records.
    const auto first = bytes_of(quantizer.encode(x.leftCols(1)));
    const auto one = [&](const auto& input) { return bytes_of(quantizer.encode(input)) == first; };
    EXPECT_TRUE(one(x.col(0)));
    EXPECT_TRUE(one(Eigen::VectorXf(x.col(0))));
    EXPECT_TRUE(one(Eigen::Map<const Eigen::VectorXf>(buffer.data(), 100)));
    EXPECT_TRUE(one(by_rows.col(0)));
    EXPECT_TRUE(one(Eigen::RowVectorXf(x.col(0).transpose()).transpose()));
    EXPECT_TRUE(std::equal(first.begin(), first.end(), expected.begin()));

    // The same for queries.
    const Codes codes = quantizer.encode(x);
    const Eigen::MatrixXf dots = quantizer.inner_products(codes, x);
    EXPECT_TRUE(quantizer.inner_products(codes, by_rows) == dots);
    EXPECT_TRUE(quantizer.inner_products(codes, strided) == dots);
    EXPECT_TRUE(quantizer.inner_products(codes, x * 1.0f) == dots);
    EXPECT_TRUE(quantizer.inner_products(codes, x.col(2)) == dots.col(2));
}

TYPED_TEST(Inputs, PiecesEqualTheWhole) {
    const TypeParam quantizer(100, kSeed);
    const Eigen::MatrixXf x = gaussian(100, 30, 1);
    const Codes whole = quantizer.encode(x);
    for (const Index piece : {1, 4, 7, 29, 30}) {
        Codes codes;
        for (Index i = 0; i < 30; i += piece)
            quantizer.append(x.middleCols(i, std::min<Index>(piece, 30 - i)), codes);
        EXPECT_EQ(codes.size(), 30);
        EXPECT_EQ(bytes_of(codes), bytes_of(whole)) << piece;
    }
    Codes reused = quantizer.encode(gaussian(100, 3, 2));
    quantizer.encode(x, reused);
    EXPECT_EQ(bytes_of(reused), bytes_of(whole));
    quantizer.encode(x.leftCols(2), reused);
    EXPECT_EQ(reused.size(), 2);
    EXPECT_EQ(bytes_of(reused), bytes_of(whole.range(0, 2)));
    // Ranges decode to the columns they are.
    EXPECT_TRUE(quantizer.decode(whole.range(5, 9)) == quantizer.decode(whole).middleCols(5, 9));
    EXPECT_TRUE(quantizer.decode(whole[29]) == quantizer.decode(whole).col(29));
}

}  // namespace
