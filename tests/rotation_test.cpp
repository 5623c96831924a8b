// Rotations are orthogonal, inverted by their transpose, different for every seed and stream, and safe at both ends of
// float's range. How random they are is measured in distortion_test.cpp.
//
// Tolerances: a rotation rounds about 20 times (d = 8192, three rounds of 13 stages, independent errors of 2^-25 each, or
// a dense sum of 47 products); 1e-5 of the norm is 20 times more than any error measured.
#include <cmath>
#include <cstdint>
#include <limits>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "test_vectors.hpp"
#include "turboquant/turboquant.hpp"

namespace tq = turboquant;
using test_vectors::gaussian;
using tq::Dynamic;
using tq::Index;
using tq::RandomStream;
using tq::RotationKind;

namespace {

constexpr double kTolerance = 1e-5;

std::vector<Index> dimensions() {
    std::vector<Index> dims;
    for (Index dim = 1; dim <= 300; ++dim) dims.push_back(dim);
    for (const Index dim :
         {384, 511, 512, 513, 768, 1000, 1024, 1536, 2048, 3000, 3072, 4096, 8191, 8192, 8193})
        dims.push_back(dim);
    return dims;
}

// Norms and inner products of the columns of x are those of the columns of y.
void expect_isometry(const Eigen::MatrixXf& x, const Eigen::MatrixXf& y) {
    const Eigen::MatrixXd before = x.cast<double>(), after = y.cast<double>();
    const Eigen::VectorXd norms = before.colwise().norm();
    for (Index i = 0; i < x.cols(); ++i)
        for (Index j = 0; j <= i; ++j)
            EXPECT_NEAR(after.col(i).dot(after.col(j)), before.col(i).dot(before.col(j)),
                        kTolerance * norms[i] * norms[j]);
}

void expect_same(const Eigen::MatrixXf& x, const Eigen::MatrixXf& y) {
    for (Index i = 0; i < x.cols(); ++i)
        EXPECT_LE((x.col(i) - y.col(i)).cast<double>().norm(), kTolerance * x.col(i).cast<double>().norm());
}

Eigen::MatrixXf varied(Index dim) {
    Eigen::MatrixXf x = gaussian(dim, 6, 1);
    x.col(1).setConstant(1.0f);
    x.col(2) = Eigen::VectorXf::Unit(dim, 0);
    x.col(3) = Eigen::VectorXf::Unit(dim, dim - 1);
    x.col(4) = Eigen::VectorXf::LinSpaced(dim, 0.1f, 1.0f);
    return x;
}

template <class RotationT>
void check_orthogonal(const RotationT& rotation) {
    SCOPED_TRACE(rotation.dim());
    const Eigen::MatrixXf x = varied(rotation.dim());
    const Eigen::MatrixXf y = rotation.apply(x);
    expect_isometry(x, y);
    expect_same(x, rotation.apply_transpose(y));
    const Eigen::MatrixXf z = rotation.apply_transpose(x);
    expect_isometry(x, z);
    expect_same(x, rotation.apply(z));
    // <Πx, y> = <x, Πᵀy>: one is the other's transpose.
    const Eigen::VectorXf other = gaussian(rotation.dim(), 1, 2);
    EXPECT_NEAR(y.col(0).cast<double>().dot(other.cast<double>()),
                x.col(0).cast<double>().dot(rotation.apply_transpose(other).col(0).template cast<double>()),
                kTolerance * static_cast<double>(x.col(0).norm() * other.norm()));
    // Into the caller's memory.
    Eigen::MatrixXf out = Eigen::MatrixXf::Constant(rotation.dim() + 2, 6, 5.0f);
    rotation.apply(x, out.middleRows(1, rotation.dim()));
    EXPECT_TRUE(out.middleRows(1, rotation.dim()) == y);
    rotation.apply_transpose(x, out.middleRows(1, rotation.dim()));
    EXPECT_TRUE(out.middleRows(1, rotation.dim()) == z);
    EXPECT_TRUE((out.row(0).array() == 5.0f).all() && (out.bottomRows(1).array() == 5.0f).all());
}

TEST(Rotation, OrthogonalInEveryDimension) {
    for (const Index dim : dimensions()) check_orthogonal(tq::Rotation<Dynamic>(dim, 7));
}

TEST(Rotation, HaarIsOrthogonal) {
    for (const Index dim : {1, 2, 3, 16, 33, 64, 100, 257})
        check_orthogonal(tq::Rotation<Dynamic, RotationKind::haar>(dim, 7));
}

TEST(Rotation, FixedDimIsTheSame) {
    const Eigen::MatrixXf x = gaussian(100, 3, 1);
    const Eigen::Matrix<float, 100, Dynamic> y = tq::Rotation<100>(7).apply(x);
    EXPECT_TRUE(y == tq::Rotation<Dynamic>(100, 7).apply(x));
    EXPECT_TRUE(tq::Rotation<100>().apply(x) == tq::Rotation<100>(0).apply(x));
    EXPECT_EQ(tq::Rotation<100>(7).dim(), 100);
    EXPECT_EQ(tq::Rotation<100>(7).seed(), 7u);
}

TEST(Rotation, TakesEveryInput) {
    const tq::Rotation<100> rotation(7);
    const Eigen::MatrixXf x = gaussian(100, 3, 1);
    const Eigen::MatrixXf y = rotation.apply(x);
    EXPECT_TRUE(rotation.apply(x.col(1)) == y.col(1));
    EXPECT_TRUE(rotation.apply(x * 1.0f) == y);
    EXPECT_TRUE(rotation.apply(Eigen::Matrix<float, Dynamic, Dynamic, Eigen::RowMajor>(x)) == y);
    const auto half = x.cast<Eigen::half>().eval();
    EXPECT_TRUE(rotation.apply(half) == rotation.apply(half.cast<float>()));
    EXPECT_EQ(rotation.apply(Eigen::MatrixXf(100, 0)).cols(), 0);
}

TEST(Rotation, EqualOnesShareTheirTables) {
    for (const Index dim : {20, 32, 100, 128, 1536}) {
        const tq::Rotation<Dynamic> original(dim, 7);
        const tq::Rotation<Dynamic> copy = original;  // NOLINT: a copy is the point
        EXPECT_EQ(&copy.plan(), &original.plan());
        EXPECT_EQ(&tq::Rotation<Dynamic>(dim, 7).plan(), &original.plan());
        EXPECT_NE(&tq::Rotation<Dynamic>(dim, 8).plan(), &original.plan());
        EXPECT_NE(&tq::Rotation<Dynamic>(dim + 1, 7).plan(), &original.plan());
        EXPECT_NE(&tq::Rotation<Dynamic>(dim, 7, RandomStream::sketch).plan(), &original.plan());
        if (dim <= 128) {
            EXPECT_NE((&tq::Rotation<Dynamic, RotationKind::haar>(dim, 7).plan()), &original.plan());
        }
    }
}

// More than are remembered, from several threads: each is right, whether found or made anew.
TEST(Rotation, ManyAtOnce) {
    const Eigen::MatrixXf x = gaussian(40, 1, 1);
    Eigen::MatrixXf expected(40, 100);
    for (Index seed = 0; seed < 100; ++seed)
        expected.col(seed) = tq::Rotation<40>(static_cast<std::uint64_t>(seed)).apply(x);
    std::vector<std::thread> threads;
    std::vector<int> wrong(4, 0);
    for (std::size_t thread = 0; thread < 4; ++thread)
        threads.emplace_back([&, thread] {
            for (Index i = 0; i < 300; ++i) {
                const Index seed = (i * 7 + static_cast<Index>(thread) * 25) % 100;
                const tq::Rotation<40> rotation(static_cast<std::uint64_t>(seed));
                if (rotation.apply(x) != expected.col(seed)) ++wrong[thread];
            }
        });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

// Two independent rotations of dimension d: <R, S> = trace(RᵀS) has mean 0 and variance 1 (Haar), d where they are
// equal. Over 400 pairs the mean square has standard error .07, so 1.5 is seven of them (p < 1e-11 each); for a rotation
// whose random bits are signs alone it is a sum over pairs of equal paths, no larger.
void expect_independent(const char* what, Index dim, const std::vector<Eigen::MatrixXf>& a,
                        const std::vector<Eigen::MatrixXf>& b) {
    double squares = 0, sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double product = static_cast<double>(a[i].cwiseProduct(b[i]).sum());
        sum += product;
        squares += product * product;
    }
    const auto count = static_cast<double>(a.size());
    EXPECT_LE(squares / count, 1.5) << what << ", d = " << dim;
    EXPECT_LE(std::abs(sum / count), 6 / std::sqrt(count)) << what << ", d = " << dim;
}

TEST(Rotation, SeedsAndStreamsAreIndependent) {
    constexpr std::uint64_t kSeeds = 400;
    for (const Index dim : {8, 40, 48, 64, 100, 128, 144}) {
        const Eigen::MatrixXf identity = Eigen::MatrixXf::Identity(dim, dim);
        std::vector<Eigen::MatrixXf> rotations, next, sketches;
        for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
            rotations.push_back(tq::Rotation<Dynamic>(dim, seed).apply(identity));
            next.push_back(tq::Rotation<Dynamic>(dim, seed + 1).apply(identity));
            sketches.push_back(tq::Rotation<Dynamic>(dim, seed, RandomStream::sketch).apply(identity));
        }
        expect_independent("seeds", dim, rotations, next);
        expect_independent("streams", dim, rotations, sketches);
        // SΠ is not a fixed rotation either: compare it with the next seed's.
        std::vector<Eigen::MatrixXf> products, next_products;
        for (std::size_t i = 0; i + 1 < kSeeds; ++i) {
            products.push_back(sketches[i] * rotations[i]);
            next_products.push_back(sketches[i + 1] * rotations[i + 1]);
        }
        expect_independent("sketches of rotations", dim, products, next_products);
        // The mean over the seeds of every entry is 0: standard error 1/√(400 d), 6 of them.
        Eigen::MatrixXf mean = Eigen::MatrixXf::Zero(dim, dim);
        for (const auto& rotation : rotations) mean += rotation / static_cast<float>(kSeeds);
        EXPECT_LE(mean.cwiseAbs().maxCoeff(),
                  6.0f / std::sqrt(static_cast<float>(kSeeds) * static_cast<float>(dim)))
            << dim;
    }
}

TEST(Rotation, BothEndsOfFloat) {
    for (const Index dim : {5, 48, 64, 100, 1536, 8193}) {
        const tq::Rotation<Dynamic> rotation(dim, 7);
        const Eigen::MatrixXf x = varied(dim);
        const Eigen::MatrixXf y = rotation.apply(x), z = rotation.apply_transpose(x);
        for (const int exponent : {-100, -64, -33, -25, 25, 33, 64, 100}) {
            const float power = std::ldexp(1.0f, exponent);
            // The factor that normalises is rounded to float for ordinary vectors alone: 2 ulps.
            const auto near = [power](const Eigen::MatrixXf& found, const Eigen::MatrixXf& plain) {
                const auto expected = (plain * power).array();
                return ((found.array() - expected).abs() <= 0x1p-22f * expected.abs()).all();
            };
            EXPECT_TRUE(near(rotation.apply(x * power), y)) << dim << ", 2^" << exponent;
            EXPECT_TRUE(near(rotation.apply_transpose(x * power), z)) << dim << ", 2^" << exponent;
        }
        // Denormals: what comes out is rounded to whole steps of 2^-149.
        const Eigen::VectorXf steps = (gaussian(dim, 1, 3) * 1e5f).array().round().matrix();
        const Eigen::VectorXf denormal = steps * 0x1p-149f;
        const Eigen::VectorXf expected = rotation.apply(steps), found = rotation.apply(denormal);
        const Eigen::VectorXd off = found.cast<double>() * 0x1p149 - expected.cast<double>();
        EXPECT_LE(off.cwiseAbs().maxCoeff(), 0.51 + kTolerance * 5e5) << dim;
        // The largest vectors whose rotation fits.
        const Eigen::VectorXf huge =
            Eigen::VectorXf::Constant(dim, static_cast<float>(3e38 / std::sqrt(static_cast<double>(dim))));
        EXPECT_TRUE(rotation.apply(huge).allFinite()) << dim;
        EXPECT_NEAR(rotation.apply(huge).template cast<double>().norm() / huge.cast<double>().norm(), 1,
                    kTolerance);
        const Eigen::VectorXf zero = Eigen::VectorXf::Zero(dim);
        EXPECT_TRUE((rotation.apply(zero).array() == 0.0f).all());
    }
}

TEST(Rotation, WhatIsNotFiniteStaysInItsColumn) {
    for (const Index dim : {20, 64, 100}) {
        const tq::Rotation<Dynamic> rotation(dim, 7);
        Eigen::MatrixXf x = gaussian(dim, 3, 1);
        const Eigen::MatrixXf y = rotation.apply(x);
        for (const float bad :
             {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
            x(dim / 2, 1) = bad;
            const Eigen::MatrixXf found = rotation.apply(x);
            EXPECT_TRUE(found.col(0) == y.col(0));
            EXPECT_TRUE(found.col(2) == y.col(2));
            EXPECT_FALSE(found.col(1).array().isFinite().any()) << dim << " " << bad;
        }
    }
}

}  // namespace
