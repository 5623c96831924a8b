// Refinement::scale_search: indices of larger cosine with the vector than the nearest, in records of the same form.
#include <cmath>
#include <cstdint>
#include <limits>

#include <gtest/gtest.h>

#include "test_vectors.hpp"
#include "turboquant/turboquant.hpp"

namespace {

namespace tq = turboquant;
using test_vectors::bytes_of;
using test_vectors::gaussian;
using test_vectors::mentions;
using test_vectors::message_of;
using tq::Dynamic;
using tq::Index;
using tq::MseQuantizer;
using tq::Refinement;
using tq::ScaleRule;

// Gaussian columns, then one-hot, two spikes, constant, ramp, an outlier, and a column of zeros.
Eigen::MatrixXf some_vectors(Index dim) {
    Eigen::MatrixXf x(dim, 26);
    x.leftCols(20) = gaussian(dim, 20, 11);
    x.rightCols(6).setZero();
    x(dim / 3, 20) = -2;
    x(0, 21) = x(dim - 1, 21) = 1;
    x.col(22).setOnes();
    for (Index i = 0; i < dim; ++i) x(i, 23) = static_cast<float>(i + 1);
    x.col(24) = x.col(0);
    x(dim / 2, 24) = 30;
    return x;
}

// ‖x‖²‖x̂‖²/<x, x̂>² − 1: the squared error of the best multiple of x̂, and the variance of inner products times d.
double error_of(const Eigen::VectorXf& x, const Eigen::VectorXf& back) {
    const Eigen::VectorXd a = x.cast<double>(), b = back.cast<double>();
    return a.squaredNorm() * b.squaredNorm() / (a.dot(b) * a.dot(b)) - 1;
}

template <int Bits>
void expect_never_worse(Index dim) {
    SCOPED_TRACE(std::to_string(Bits) + " bits, dimension " + std::to_string(dim));
    const Eigen::MatrixXf x = some_vectors(dim);
    const MseQuantizer<Dynamic, Bits> plain(dim, 3, ScaleRule::least_squares);
    const MseQuantizer<Dynamic, Bits> refined(dim, 3, ScaleRule::least_squares, Refinement::scale_search);
    EXPECT_EQ(plain.fingerprint(), refined.fingerprint());
    const Eigen::MatrixXf a = plain.decode(plain.encode(x)), b = plain.decode(refined.encode(x));
    // Sums of up to 1536 products in 32 parts, and rotations, in float: a few 2^-24 each of the cosine.
    for (Index i = 0; i + 1 < x.cols(); ++i)
        EXPECT_LE(error_of(x.col(i), b.col(i)), error_of(x.col(i), a.col(i)) + 2e-6) << "column " << i;
    EXPECT_TRUE(b.col(x.cols() - 1).isZero(0));
}

TEST(Refinement, IsNeverWorse) {
    for (Index dim : {1, 2, 7, 31, 33, 64, 100, 128, 200, 256, 1000}) {
        expect_never_worse<1>(dim);
        expect_never_worse<2>(dim);
        expect_never_worse<3>(dim);
        expect_never_worse<4>(dim);
        expect_never_worse<6>(dim);
    }
    expect_never_worse<8>(128);
}

template <int Bits>
double gain(Index dim, Index vectors) {
    const Eigen::MatrixXf x = gaussian(dim, vectors, 5);
    double sums[2] = {};
    for (int r = 0; r < 2; ++r) {
        const MseQuantizer<Dynamic, Bits> quantizer(dim, 7, ScaleRule::unbiased, static_cast<Refinement>(r));
        const Eigen::MatrixXf back = quantizer.decode(quantizer.encode(x));
        for (Index i = 0; i < vectors; ++i) sums[r] += error_of(x.col(i), back.col(i));
    }
    return 1 - sums[1] / sums[0];
}

// What the class states, less at most a tenth of it: the deviation of a vector's gain is near .08 at 4 bits and d = 128, so
// that of the mean of 4000 is .0013, and a tenth is eleven of them.
TEST(Refinement, GainsWhatIsStated) {
    EXPECT_GT(gain<2>(128, 4000), .009);
    EXPECT_GT(gain<3>(128, 4000), .052);
    EXPECT_GT(gain<4>(128, 4000), .131);
    EXPECT_GT(gain<5>(128, 4000), .18);
    EXPECT_GT(gain<4>(1536, 500), .018);
}

// The unbiased scale makes <x, x̂> = ‖x‖², whatever the indices; least squares makes <x, x̂> = ‖x̂‖².
TEST(Refinement, ScalesFitTheIndices) {
    for (Index dim : {64, 100, 128, 700}) {
        const Eigen::MatrixXf x = gaussian(dim, 40, 9);
        const MseQuantizer<Dynamic, 4> unbiased(dim, 1, ScaleRule::unbiased, Refinement::scale_search);
        const MseQuantizer<Dynamic, 4> least(dim, 1, ScaleRule::least_squares, Refinement::scale_search);
        const Eigen::MatrixXf a = unbiased.decode(unbiased.encode(x)), b = least.decode(least.encode(x));
        for (Index i = 0; i < x.cols(); ++i) {
            EXPECT_NEAR(x.col(i).dot(a.col(i)) / x.col(i).squaredNorm(), 1, 1e-5);
            EXPECT_NEAR(x.col(i).dot(b.col(i)) / b.col(i).squaredNorm(), 1, 1e-5);
        }
    }
}

template <int Bits>
void expect_same_bytes(Index dim, std::uint64_t& digest) {
    const MseQuantizer<Dynamic, Bits> quantizer(dim, 7, ScaleRule::unbiased, Refinement::scale_search);
    const Eigen::MatrixXf x = some_vectors(dim);
    const auto expected = bytes_of(quantizer.encode(x));
    for (const std::uint8_t byte : expected) digest = (digest ^ byte) * 0x100000001b3u;  // FNV-1a
    for (const tq::Target target : tq::supported_targets()) {
        const test_vectors::ScopedTarget scoped(target);
        EXPECT_EQ(bytes_of(quantizer.encode(x)), expected)
            << tq::target_name(target) << ", " << Bits << " bits, dimension " << dim;
        tq::Codes one_by_one;
        for (Index i = 0; i < x.cols(); ++i) quantizer.append(x.col(i), one_by_one);
        EXPECT_EQ(bytes_of(one_by_one), expected) << tq::target_name(target);
    }
}

TEST(Refinement, BytesAreTheSameOnEveryTarget) {
    std::uint64_t digest = 0xcbf29ce484222325u;
    for (Index dim : {5, 64, 100, 128, 144, 256, 1536}) {
        expect_same_bytes<2>(dim, digest);
        expect_same_bytes<3>(dim, digest);
        expect_same_bytes<4>(dim, digest);
        expect_same_bytes<5>(dim, digest);
    }
    expect_same_bytes<1>(128, digest);
    expect_same_bytes<6>(128, digest);
    expect_same_bytes<8>(128, digest);
#if !defined(__FAST_MATH__)
    EXPECT_EQ(digest, 0xb9f1988c7777aa42u);
#endif
}

TEST(Refinement, FixedAndDynamicAgree) {
    const Eigen::MatrixXf x = some_vectors(128);
    const MseQuantizer<128, 4> fixed(7, ScaleRule::unbiased, Refinement::scale_search);
    const MseQuantizer<Dynamic, 4> dynamic(128, 7, ScaleRule::unbiased, Refinement::scale_search);
    EXPECT_EQ(bytes_of(fixed.encode(x)), bytes_of(dynamic.encode(x)));
    EXPECT_EQ(fixed.refinement(), Refinement::scale_search);
    EXPECT_EQ((MseQuantizer<128, 4>(7, ScaleRule::unbiased, Refinement::none).refinement()),
              Refinement::none);
}

// An index and an attention cache encode with the quantizer that they are given.
TEST(Refinement, ContainersUseIt) {
    const Eigen::MatrixXf x = gaussian(64, 64, 3);
    const MseQuantizer<64, 4> plain(7, ScaleRule::unbiased);
    const MseQuantizer<64, 4> refined(7, ScaleRule::unbiased, Refinement::scale_search);
    const Eigen::MatrixXf expected = refined.decode(refined.encode(x));

    tq::FlatIndexOptions options;
    options.centring = false;
    tq::BasicFlatIndex<MseQuantizer<64, 4>> index(refined, options), same(plain, options);
    index.add(x);
    same.add(x);
    const Eigen::MatrixXf query = gaussian(64, 1, 4);
    Eigen::MatrixXf scores(64, 1), plain_scores(64, 1);
    index.scores(query, scores);
    same.scores(query, plain_scores);
    const Eigen::VectorXf products = expected.transpose() * query;
    // Int8 rounding of queries and centroids: .0105·‖x̂‖‖q‖/√d a score in root mean square (quantizer.hpp), here five times.
    const float bound = .0525f * query.norm() * expected.colwise().norm().maxCoeff() / 8;
    EXPECT_LT((scores - products).cwiseAbs().maxCoeff(), bound);
    EXPECT_NE(scores, plain_scores);

    const tq::KvBlockCodec<MseQuantizer<64, 4>> codec(refined, refined);
    std::vector<std::uint8_t> keys(codec.key_block_bytes()), values(codec.value_block_bytes());
    codec.encode(x, x, 0, 64, keys.data(), values.data());
    Eigen::VectorXf key(64), value(64);
    for (Index t : {0, 17, 63}) {
        codec.decode(keys.data(), values.data(), t, key.data(), value.data());
        EXPECT_TRUE(key.isApprox(expected.col(t), 1e-5f));
        EXPECT_TRUE(value.isApprox(expected.col(t), 1e-5f));
    }
}

TEST(Refinement, Errors) {
    EXPECT_TRUE(mentions(
        message_of([] { MseQuantizer<Dynamic, 4>(64, 1, ScaleRule::norm, Refinement::scale_search); }),
        {"MseQuantizer", "unbiased", "norm"}));
    const MseQuantizer<Dynamic, 4> quantizer(64, 1, ScaleRule::unbiased, Refinement::scale_search);
    Eigen::MatrixXf x = gaussian(64, 5, 3);
    tq::Codes codes = quantizer.encode(x);
    const auto before = bytes_of(codes);
    x(3, 2) = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(mentions(message_of([&] { quantizer.encode(x, codes); }), {"column 2", "NaN"}));
    EXPECT_EQ(bytes_of(codes), before);
    x.setConstant(3e38f);
    EXPECT_TRUE(mentions(message_of([&] { quantizer.append(x, codes); }), {"column 0", "too large"}));
    EXPECT_EQ(bytes_of(codes), before);
    x = gaussian(64, 5, 3);
    EXPECT_EQ(bytes_of(quantizer.encode(x * 0x1p-126f)).size(), before.size());
}

}  // namespace
