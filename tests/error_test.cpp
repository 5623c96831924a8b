// Bad input: every message says what was expected and what came, and nothing of a call that throws is stored. Extreme
// but finite input works.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "test_vectors.hpp"
#include "turboquant/turboquant.hpp"

namespace tq = turboquant;
using test_vectors::bytes_of;
using test_vectors::gaussian;
using test_vectors::mentions;
using test_vectors::message_of;
using test_vectors::Parts;
using tq::Codes;
using tq::Dynamic;
using tq::Index;

namespace {

using HalfScaled = tq::MseQuantizer<Dynamic, 4, tq::Rotation<Dynamic>, Eigen::half>;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Three quantizers of one dimension that cover every kernel: indices, signs, both.
template <class Quantizer>
class Errors : public testing::Test {
protected:
    static constexpr Index kDim = 100;
    const Quantizer quantizer{kDim, 7};
    const Eigen::MatrixXf data = gaussian(kDim, 5, 1);
    const std::string name = Quantizer::kName;
};
using Quantizers =
    testing::Types<tq::MseQuantizer<Dynamic, 4>, tq::MseQuantizer<100, 4>, tq::TurboQuantizer<Dynamic, 4>,
                   tq::TurboQuantizer<Dynamic, 1>, tq::ResidualSignQuantizer<Dynamic>,
                   tq::ResidualSignQuantizer<Dynamic, tq::SketchKind::gaussian>, HalfScaled>;
TYPED_TEST_SUITE(Errors, Quantizers, );

TYPED_TEST(Errors, WrongRows) {
    const auto& q = this->quantizer;
    const Eigen::MatrixXf wrong = gaussian(99, 2, 1);
    Codes codes = q.encode(this->data);
    const auto before = bytes_of(codes);
    Eigen::MatrixXf out(5, 2);
    const auto expected = [&](const std::string& call) {
        return Parts{"turboquant: " + this->name + "::" + call, "dimension 100", "99 rows"};
    };
    EXPECT_TRUE(mentions(message_of([&] { (void)q.encode(wrong); }), expected("encode")));
    EXPECT_TRUE(mentions(message_of([&] { q.encode(wrong, codes); }), expected("encode")));
    EXPECT_TRUE(mentions(message_of([&] { q.append(wrong, codes); }), expected("append")));
    EXPECT_TRUE(
        mentions(message_of([&] { (void)q.inner_products(codes, wrong); }), expected("inner_products")));
    EXPECT_TRUE(
        mentions(message_of([&] { q.inner_products(codes, wrong, out); }), expected("inner_products")));
    EXPECT_TRUE(mentions(message_of([&] { (void)q.squared_distances(codes, wrong); }),
                         expected("squared_distances")));
    EXPECT_EQ(bytes_of(codes), before);
}

TYPED_TEST(Errors, WrongOutput) {
    const auto& q = this->quantizer;
    const Codes codes = q.encode(this->data);
    Eigen::MatrixXf out = Eigen::MatrixXf::Constant(100, 4, 3.0f);
    const auto expected = [&](const std::string& call, const std::string& shape) {
        return Parts{this->name + "::" + call, "must be " + shape, "but is 100 × 4"};
    };
    const Eigen::MatrixXf queries = gaussian(100, 2, 3);
    const std::vector<Index> positions = {0, 1, 2};
    EXPECT_TRUE(mentions(message_of([&] { q.decode(codes, out); }), expected("decode", "100 × 5")));
    EXPECT_TRUE(mentions(message_of([&] { q.inner_products(codes, queries, out); }),
                         expected("inner_products", "5 × 2")));
    EXPECT_TRUE(mentions(message_of([&] { q.inner_products(codes, positions, queries, out); }),
                         expected("inner_products", "3 × 2")));
    EXPECT_TRUE(mentions(message_of([&] { q.squared_distances(codes, queries, out); }),
                         expected("squared_distances", "5 × 2")));
    EXPECT_TRUE(mentions(message_of([&] { q.squared_distances(codes, positions, queries, out); }),
                         expected("squared_distances", "3 × 2")));
    EXPECT_TRUE(mentions(message_of([&] { q.code_products(codes, codes, out); }),
                         expected("code_products", "5 × 5")));
    EXPECT_TRUE((out.array() == 3.0f).all());
}

TYPED_TEST(Errors, CodesOfAnotherQuantizerNameBoth) {
    const auto& q = this->quantizer;
    const TypeParam other_seed(100, 8), other_dim_free(100, 7);
    Codes codes = other_seed.encode(this->data);
    const auto before = bytes_of(codes);
    const auto expected = [&](const std::string& call) {
        return Parts{this->name + "::" + call, codes.id().description(), "seed 8", q.id().description(),
                     "seed 7"};
    };
    const Eigen::MatrixXf queries = gaussian(100, 2, 3);
    const Codes own = q.encode(this->data);
    EXPECT_TRUE(mentions(message_of([&] { q.encode(this->data, codes); }), expected("encode")));
    EXPECT_TRUE(mentions(message_of([&] { q.append(this->data, codes); }), expected("append")));
    EXPECT_TRUE(mentions(message_of([&] { (void)q.decode(codes); }), expected("decode")));
    EXPECT_TRUE(
        mentions(message_of([&] { (void)q.inner_products(codes, queries); }), expected("inner_products")));
    EXPECT_TRUE(mentions(message_of([&] { (void)q.inner_products(codes, std::vector<Index>{0}, queries); }),
                         expected("inner_products")));
    EXPECT_TRUE(mentions(message_of([&] { (void)q.squared_distances(codes, queries); }),
                         expected("squared_distances")));
    EXPECT_TRUE(mentions(message_of([&] { (void)q.code_products(codes, own); }), expected("code_products")));
    EXPECT_TRUE(mentions(message_of([&] { (void)q.code_products(own, codes); }), expected("code_products")));
    EXPECT_EQ(bytes_of(codes), before);
    // A quantizer made alike reads them.
    EXPECT_EQ(message_of([&] { (void)other_dim_free.decode(own); }), "");
    // Cleared codes belong to nobody.
    codes.clear();
    q.encode(this->data, codes);
    EXPECT_EQ(bytes_of(codes), bytes_of(own));
}

TYPED_TEST(Errors, NotFiniteNamesTheColumnAndStoresNothing) {
    const auto& q = this->quantizer;
    for (const float bad : {kNan, -kNan, kInfinity, -kInfinity}) {
        // The first and the last coordinate, one in the middle; the first and the last column.
        for (const Index row : {Index{0}, Index{50}, Index{99}}) {
            for (const Index column : {Index{0}, Index{3}, Index{4}}) {
                Eigen::MatrixXf x = gaussian(100, 5, 2);
                x(row, column) = bad;
                const std::string named = "column " + std::to_string(column) + " holds a NaN or an infinity";
                const auto expect_refused = [&](const auto& input) {
                    Codes codes = q.encode(this->data);
                    const auto before = bytes_of(codes);
                    EXPECT_TRUE(mentions(message_of([&] { q.encode(input, codes); }),
                                         Parts{this->name + "::encode", named}));
                    EXPECT_TRUE(mentions(message_of([&] { q.append(input, codes); }),
                                         Parts{this->name + "::append", named}));
                    EXPECT_EQ(codes.size(), 5);
                    EXPECT_EQ(codes.id(), q.id());
                    EXPECT_EQ(bytes_of(codes), before);
                    Codes fresh;
                    EXPECT_TRUE(mentions(message_of([&] { q.encode(input, fresh); }), Parts{named}));
                    EXPECT_TRUE(mentions(message_of([&] { q.append(input, fresh); }), Parts{named}));
                    EXPECT_EQ(fresh.size(), 0);
                    EXPECT_EQ(fresh.fingerprint(), 0u);
                    EXPECT_TRUE(mentions(message_of([&] { (void)q.encode(input); }), Parts{named}));
                    const std::string of_queries =
                        "column " + std::to_string(column) + " of the queries holds a NaN or an infinity";
                    EXPECT_TRUE(mentions(message_of([&] { (void)q.inner_products(codes, input); }),
                                         Parts{this->name + "::inner_products", of_queries}));
                    EXPECT_TRUE(mentions(message_of([&] { (void)q.squared_distances(codes, input); }),
                                         Parts{this->name + "::squared_distances", of_queries}));
                };
                expect_refused(x);
                expect_refused(x.template cast<Eigen::half>().eval());
                expect_refused(x.template cast<Eigen::bfloat16>().eval());
            }
        }
    }
}

TYPED_TEST(Errors, LargeBlocksOfQueriesNameTheColumn) {
    // More queries than one block holds.
    const auto& q = this->quantizer;
    const Codes codes = q.encode(this->data);
    Eigen::MatrixXf queries = gaussian(100, 300, 4);
    queries(17, 251) = kNan;
    EXPECT_TRUE(
        mentions(message_of([&] { (void)q.inner_products(codes, queries); }), Parts{"column 251 of"}));
    EXPECT_TRUE(
        mentions(message_of([&] { (void)q.squared_distances(codes, queries); }), Parts{"column 251 of"}));
}

TYPED_TEST(Errors, NoColumns) {
    const auto& q = this->quantizer;
    const Eigen::MatrixXf none(100, 0);
    Codes codes = q.encode(none);
    EXPECT_EQ(codes.size(), 0);
    EXPECT_EQ(codes.bytes(), 0u);
    EXPECT_EQ(q.decode(codes).cols(), 0);
    EXPECT_EQ(q.decode(codes).rows(), 100);
    EXPECT_EQ(q.decode(Codes()).cols(), 0);
    EXPECT_EQ(q.inner_products(codes, this->data).rows(), 0);
    EXPECT_EQ(q.squared_distances(codes, this->data).rows(), 0);
    EXPECT_EQ(q.code_products(codes, codes).size(), 0);
    q.append(this->data, codes);
    const auto before = bytes_of(codes);
    q.append(none, codes);
    EXPECT_EQ(bytes_of(codes), before);
    EXPECT_EQ(q.inner_products(codes, none).cols(), 0);
    EXPECT_EQ(q.inner_products(codes, none).rows(), 5);
    EXPECT_EQ(q.inner_products(codes, std::vector<Index>{}, this->data).rows(), 0);
    q.encode(none, codes);
    EXPECT_EQ(codes.size(), 0);
}

TYPED_TEST(Errors, Positions) {
    const auto& q = this->quantizer;
    const Codes codes = q.encode(this->data);
    const Eigen::MatrixXf queries = gaussian(100, 2, 3);
    const std::vector<Index> negative = {0, -1}, beyond = {4, 5};
    const auto expected = [&](const std::string& call, const std::string& position) {
        return Parts{this->name + "::" + call, "position " + position + " ", "there are 5 codes"};
    };
    EXPECT_TRUE(mentions(message_of([&] { (void)q.inner_products(codes, negative, queries); }),
                         expected("inner_products", "-1")));
    EXPECT_TRUE(mentions(message_of([&] { (void)q.inner_products(codes, beyond, queries); }),
                         expected("inner_products", "5")));
    EXPECT_TRUE(mentions(message_of([&] { (void)q.squared_distances(codes, negative, queries); }),
                         expected("squared_distances", "-1")));
    EXPECT_TRUE(mentions(message_of([&] { (void)q.squared_distances(codes, beyond, queries); }),
                         expected("squared_distances", "5")));
}

TYPED_TEST(Errors, ZeroVectors) {
    const auto& q = this->quantizer;
    Eigen::MatrixXf x = this->data;
    x.col(1).setZero();
    x.col(3).setConstant(-0.0f);
    const Codes codes = q.encode(x);
    const std::size_t stride = codes.bytes_per_vector();
    const auto bytes = bytes_of(codes);
    for (const std::size_t column : {1u, 3u})
        for (std::size_t i = 0; i < stride; ++i) EXPECT_EQ(bytes[column * stride + i], 0);
    const Eigen::MatrixXf back = q.decode(codes);
    EXPECT_TRUE((back.col(1).array() == 0.0f).all());
    EXPECT_TRUE((back.col(3).array() == 0.0f).all());
    EXPECT_GT(back.col(2).norm(), 1.0f);
    const Eigen::MatrixXf dots = q.inner_products(codes, this->data);
    EXPECT_TRUE((dots.row(1).array() == 0.0f).all());
    const Eigen::MatrixXf distances = q.squared_distances(codes, this->data);
    EXPECT_NEAR(distances(1, 0), this->data.col(0).squaredNorm(), 1e-5f * this->data.col(0).squaredNorm());
    EXPECT_TRUE((q.code_products(codes, codes).row(1).array() == 0.0f).all());
    // A query of zeros, of either sign.
    EXPECT_TRUE((q.inner_products(codes, x).col(1).array() == 0.0f).all());
    EXPECT_TRUE((q.inner_products(codes, x).col(3).array() == 0.0f).all());
}

TYPED_TEST(Errors, NormThatOverflowsNamesColumnAndNorm) {
    const auto& q = this->quantizer;
    Eigen::MatrixXf x = gaussian(100, 5, 2);
    x.col(2).setConstant(3e38f);  // norm 3e39
    const auto expected = [&](const std::string& call) {
        return Parts{this->name + "::" + call, "column 2 has norm 3e+39"};
    };
    Codes codes = q.encode(this->data);
    const auto before = bytes_of(codes);
    EXPECT_TRUE(mentions(message_of([&] { (void)q.encode(x); }), expected("encode")));
    EXPECT_TRUE(mentions(message_of([&] { q.encode(x, codes); }), expected("encode")));
    EXPECT_TRUE(mentions(message_of([&] { q.append(x, codes); }), expected("append")));
    EXPECT_EQ(codes.size(), 5);
    EXPECT_EQ(bytes_of(codes), before);
}

// A vector times a power of two has the same codes, and its scales times the same power, as long as those are normal
// floats: nothing in the encoder depends on the magnitude.
TYPED_TEST(Errors, EncodingIsInvariantToPowersOfTwo) {
    const auto& q = this->quantizer;
    constexpr bool kHalf = std::is_same_v<TypeParam, HalfScaled>;
    const Codes codes = q.encode(this->data);
    const Eigen::MatrixXf back = q.decode(codes);
    for (const int exponent : {-100, -64, -40, -31, -30, -29, -8, 8, 26, 27, 28, 29, 30, 64, 100, 120}) {
        if (kHalf && std::abs(exponent) > 8) continue;
        const float power = std::ldexp(1.0f, exponent);
        Codes scaled = q.encode(this->data * power);
        const Eigen::MatrixXf scaled_back = q.decode(scaled);
        EXPECT_TRUE(scaled_back == back * power) << "2^" << exponent;
        // Over codes that are there, the trial run takes the same way.
        q.encode(this->data, scaled);
        EXPECT_EQ(bytes_of(scaled), bytes_of(codes));
        q.encode(this->data * power, scaled);
        EXPECT_TRUE(q.decode(scaled) == back * power) << "2^" << exponent;
    }
}

// ‖x − x̂‖/‖x‖ of any input, extreme or not, stays below 1.5: a gaussian sketch leaves 1.25 on average, everything else less than 1.
TYPED_TEST(Errors, ExtremeButFinite) {
    const auto& q = this->quantizer;
    if (std::is_same_v<TypeParam, HalfScaled>) GTEST_SKIP() << "its scale has another range";
    Eigen::MatrixXf x = gaussian(100, 8, 5);
    x.col(0) *= 1e30f;
    x.col(1) *= 1e-30f;
    x.col(2) *= 1e-38f;                                                 // denormals among normal numbers
    x.col(3) = (x.col(3) * 1e5f).array().round().matrix() * 0x1p-149f;  // denormals only
    x.col(4)(17) = 1e38f;                                               // one huge outlier
    x.col(5).setZero();
    x.col(5)(99) = std::numeric_limits<float>::denorm_min();
    x.col(6) = (x.col(6).array().abs() < 0.5f).select(-0.0f, x.col(6));
    x.col(7).setConstant(3e37f);  // norm 3e38, just inside float
    const Codes codes = q.encode(x);
    const Eigen::MatrixXd back = q.decode(codes).template cast<double>();
    const Eigen::MatrixXd exact = x.cast<double>();
    for (Index j = 0; j < x.cols(); ++j) {
        EXPECT_TRUE(back.col(j).allFinite()) << j;
        if (j == 5) continue;  // a scale of one denormal step cannot be accurate
        EXPECT_LT((back.col(j) - exact.col(j)).norm(), 1.5 * exact.col(j).norm()) << j;
    }
    // Extreme queries too: ⟨q, x̂⟩ scales with the query, to rounding.
    const Codes plain = q.encode(this->data);
    const Eigen::MatrixXf dots = q.inner_products(plain, this->data);
    const Eigen::MatrixXf large = q.inner_products(plain, this->data * 0x1p100f);
    const Eigen::MatrixXf small = q.inner_products(plain, this->data * 0x1p-100f);
    EXPECT_LE((large * 0x1p-100f - dots).norm(), 1e-6f * dots.norm());
    EXPECT_LE((small * 0x1p100f - dots).norm(), 1e-6f * dots.norm());
}

TEST(ErrorsOfConstructors, Dimension) {
    EXPECT_TRUE(mentions(message_of([] { (void)tq::MseQuantizer<128, 4>(64, 7); }),
                         Parts{"MseQuantizer", "128", "64"}));
    EXPECT_TRUE(mentions(message_of([] { (void)tq::TurboQuantizer<128, 4>(64, 7); }),
                         Parts{"TurboQuantizer", "128", "64"}));
    EXPECT_TRUE(mentions(message_of([] { (void)tq::TurboQuantizer<128, 1>(64, 7); }),
                         Parts{"TurboQuantizer", "128", "64"}));
    EXPECT_TRUE(mentions(message_of([] { (void)tq::ResidualSignQuantizer<128>(64, 7); }),
                         Parts{"ResidualSignQuantizer", "128", "64"}));
    EXPECT_TRUE(mentions(message_of([] { (void)tq::Rotation<128>(64, 7); }), Parts{"Rotation", "128", "64"}));
    EXPECT_TRUE(mentions(message_of([] { (void)tq::LloydMaxCodebook<128, 4>(64, 7); }),
                         Parts{"LloydMaxCodebook", "128", "64"}));
    for (const Index dim : {Index{0}, Index{-1}, Index{1} << 40}) {
        const std::string text = std::to_string(dim);
        EXPECT_TRUE(mentions(message_of([&] { (void)tq::MseQuantizer<Dynamic, 4>(dim, 7); }),
                             Parts{"MseQuantizer", "between 1 and", text}));
        EXPECT_TRUE(mentions(message_of([&] { (void)tq::TurboQuantizer<Dynamic, 4>(dim, 7); }),
                             Parts{"TurboQuantizer", "between 1 and", text}));
        EXPECT_TRUE(mentions(message_of([&] { (void)tq::ResidualSignQuantizer<Dynamic>(dim, 7); }),
                             Parts{"ResidualSignQuantizer", "between 1 and", text}));
        EXPECT_TRUE(mentions(message_of([&] { (void)tq::Rotation<Dynamic>(dim, 7); }),
                             Parts{"Rotation", "between 1 and", text}));
        EXPECT_TRUE(mentions(message_of([&] { (void)tq::LloydMaxCodebook<Dynamic, 4>(dim, 7); }),
                             Parts{"LloydMaxCodebook", "between 1 and", text}));
    }
    EXPECT_EQ(message_of([] { (void)tq::MseQuantizer<128, 4>(128, 7); }), "");
}

TEST(ErrorsOfCodes, BitsAndKindAreNamed) {
    const Eigen::MatrixXf x = gaussian(64, 2, 1);
    const tq::MseQuantizer<Dynamic, 4> four(64, 7);
    const tq::MseQuantizer<Dynamic, 3> three(64, 7);
    const tq::TurboQuantizer<Dynamic, 4> turbo(64, 7);
    const HalfScaled half(64, 7);
    const tq::MseQuantizer<Dynamic, 4> other_dim(65, 7);
    EXPECT_TRUE(mentions(message_of([&] { (void)four.decode(three.encode(x)); }), Parts{"3 bits", "4 bits"}));
    EXPECT_TRUE(mentions(message_of([&] { (void)four.decode(turbo.encode(x)); }),
                         Parts{"made by TurboQuantizer of dimension 64, 4 bits",
                               "this is MseQuantizer of dimension 64, 4 bits"}));
    EXPECT_TRUE(mentions(message_of([&] { (void)four.decode(half.encode(x)); }), Parts{"float16 scales"}));
    EXPECT_TRUE(mentions(message_of([&] { (void)other_dim.decode(four.encode(x)); }),
                         Parts{"dimension 64", "dimension 65"}));
    // The decoder is the same for all scale rules.
    const tq::MseQuantizer<Dynamic, 4> unbiased(64, 7, tq::ScaleRule::unbiased);
    EXPECT_EQ(message_of([&] { (void)four.decode(unbiased.encode(x)); }), "");
}

TEST(ErrorsOfCodes, RangesAndErase) {
    const tq::MseQuantizer<Dynamic, 4> quantizer(64, 7);
    Codes codes = quantizer.encode(gaussian(64, 5, 1));
    const auto before = bytes_of(codes);
    for (const Index i : {Index{-1}, Index{5}, std::numeric_limits<Index>::max()})
        EXPECT_TRUE(mentions(message_of([&] { codes.erase(i); }), Parts{"Codes::erase", "there are 5"}));
    const auto range = [&](Index first, Index count) {
        return message_of([&] { (void)codes.range(first, count); });
    };
    EXPECT_TRUE(mentions(range(-1, 2), Parts{"range", "there are 5"}));
    EXPECT_TRUE(mentions(range(0, 6), Parts{"records 0 to 6"}));
    EXPECT_TRUE(mentions(range(3, 3), Parts{"records 3 to 6"}));
    EXPECT_TRUE(mentions(range(6, 0), Parts{"there are 5"}));
    EXPECT_TRUE(mentions(range(0, -1), Parts{"there are 5"}));
    EXPECT_NE(range(1, std::numeric_limits<Index>::max()), "");
    EXPECT_EQ(range(5, 0), "");
    EXPECT_NE(message_of([&] { (void)codes[5]; }), "");
    EXPECT_NE(message_of([] { Codes().erase(0); }), "");
    EXPECT_EQ(bytes_of(codes), before);
}

TEST(ErrorsOfScales, HalfOverflowNamesColumnAndNorm) {
    const HalfScaled quantizer(64, 7);
    Eigen::MatrixXf x = gaussian(64, 3, 1);
    Codes codes = quantizer.encode(x);
    const auto before = bytes_of(codes);
    x.col(1) *= 1e5f / x.col(1).norm();
    const auto expected = Parts{"column 1 has norm 100000", "scale"};
    EXPECT_TRUE(mentions(message_of([&] { (void)quantizer.encode(x); }), expected));
    EXPECT_TRUE(mentions(message_of([&] { quantizer.encode(x, codes); }), expected));
    EXPECT_TRUE(mentions(message_of([&] { quantizer.append(x, codes); }), expected));
    EXPECT_EQ(bytes_of(codes), before);
    x.col(1) *= 0.65f;  // 65000 fits
    EXPECT_EQ(message_of([&] { quantizer.encode(x, codes); }), "");
    EXPECT_NE(bytes_of(codes), before);

    const tq::MseQuantizer<Dynamic, 4, tq::Rotation<Dynamic>, Eigen::bfloat16> brain(64, 7);
    EXPECT_EQ(message_of([&] { (void)brain.encode(x * 1e30f); }), "");
}

// The unbiased scale ‖x‖²/⟨Πx, c⟩ exceeds the norm by √d/.8 where Πx is one spike: the guarantee holds there too.
TEST(ErrorsOfScales, UnbiasedHalfScaleOfASpikeInTheRotatedDomain) {
    for (const Index dim : {Index{64}, Index{1000}, Index{1024}}) {
        const HalfScaled quantizer(dim, 7, tq::ScaleRule::unbiased);
        const Eigen::VectorXf spike = quantizer.rotation().apply_transpose(Eigen::VectorXf::Unit(dim, 3));
        Eigen::MatrixXf x(dim, 3);
        x << gaussian(dim, 1, 5), spike * 30000.0f, gaussian(dim, 1, 6);
        Codes codes = quantizer.encode(gaussian(dim, 3, 1));
        const auto before = bytes_of(codes);
        EXPECT_TRUE(
            mentions(message_of([&] { quantizer.append(x, codes); }), Parts{"column 1 has norm 30000"}))
            << dim;
        EXPECT_TRUE(
            mentions(message_of([&] { quantizer.encode(x, codes); }), Parts{"column 1 has norm 30000"}))
            << dim;
        EXPECT_TRUE(bytes_of(codes) == before) << dim;
    }
}

TEST(ErrorsOfRotation, RowsAndOutputs) {
    const tq::Rotation<Dynamic> rotation(100, 7);
    const Eigen::MatrixXf x = gaussian(99, 2, 1), right = gaussian(100, 2, 1);
    Eigen::MatrixXf out(100, 3);
    EXPECT_TRUE(mentions(message_of([&] { (void)rotation.apply(x); }),
                         Parts{"Rotation::apply", "dimension 100", "99 rows"}));
    EXPECT_TRUE(
        mentions(message_of([&] { (void)rotation.apply_transpose(x); }), Parts{"Rotation::apply_transpose"}));
    EXPECT_TRUE(
        mentions(message_of([&] { rotation.apply(right, out); }), Parts{"must be 100 × 2", "is 100 × 3"}));
    EXPECT_NE(message_of([&] { rotation.apply_transpose(right, out); }), "");
}

}  // namespace
