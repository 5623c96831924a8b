// Distortion of MseQuantizer on Gaussian and on adversarial inputs, against the exact value for a uniformly random
// direction, LloydMaxCodebook::distortion(), which a Haar rotation would give on any input. This is the test that a
// structured rotation has to pass.
//
// Bars: D at most 3 % (d >= 256), 4 % (64 … 255) or 8 % (33 … 63) above the exact value at 1 … 4 bits, 20 % at 8 bits,
// after three standard errors. Sample: one rotation per seed, at least 400 seeds and 420 000 coordinates per input and
// number of bits, so a standard error near .5 % at 4 bits (facts.md: relative deviation 3.23 per coordinate). An input on
// which D equals the exact value fails a bar of 3 % only at nine standard errors, p < 1e-18; 5720 bars in all.
// On Gaussian vectors D must equal the exact value within 5 standard errors, p = 6e-7 each. Seeds are fixed.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "test_vectors.hpp"
#include "turboquant/turboquant.hpp"

namespace tq = turboquant;
using tq::Dynamic;
using tq::Index;

namespace {

enum Input {
    kGaussian,
    kOneHot,
    kTwoSpikes,
    kOppositeSpikes,
    kFourSparse,
    kConstant,
    kAlternating,
    kRamp,
    kDecaying,
    kOutlier,
    kLastTwo,
    kInputs
};
constexpr const char* kNames[kInputs] = {"Gaussian",
                                         "one-hot",
                                         "two equal spikes",
                                         "two opposite spikes half the vector apart",
                                         "4-sparse",
                                         "constant",
                                         "alternating",
                                         "ramp",
                                         "1/i-decaying",
                                         "one 30x outlier",
                                         "energy only in the last two"};

// One of each, its random places and Gaussian entries by the seed.
void fill_inputs(std::uint64_t seed, const Eigen::VectorXf& noise, Eigen::MatrixXf& x) {
    const Index d = x.rows();
    const tq::RandomBits bits(seed, tq::RandomStream::haar);
    const auto place = [&](std::uint64_t i) {
        return static_cast<Index>(bits.word(i) % static_cast<std::uint64_t>(d));
    };
    x.setZero();
    x.col(kGaussian) = noise;
    x(place(0), kOneHot) = 1;
    x(place(1), kTwoSpikes) += 1;
    x((place(1) + 1 + place(2) % (d - 1)) % d, kTwoSpikes) += 1;
    x(place(3), kOppositeSpikes) = 1;
    x((place(3) + d / 2) % d, kOppositeSpikes) = -1;
    for (std::uint64_t i = 0; i < 4; ++i)
        x(place(4 + i), kFourSparse) += bits.word(8 + i) & 1u ? 1.0f : -2.0f;
    if (x.col(kFourSparse).isZero()) x(0, kFourSparse) = 1;
    x.col(kConstant).setOnes();
    for (Index i = 0; i < d; ++i) {
        x(i, kAlternating) = i % 2 == 0 ? 1.0f : -1.0f;
        x(i, kRamp) = static_cast<float>(i + 1);
        x(i, kDecaying) = 1.0f / static_cast<float>(i + 1);
    }
    x.col(kOutlier) = noise;
    x(place(12), kOutlier) = 30;
    x.col(kLastTwo).tail(2) = noise.tail(2);
}

struct Moments {
    double sum = 0, squares = 0;
    void add(double value) {
        sum += value;
        squares += value * value;
    }
};

template <int Bits>
void accumulate(Index dim, std::uint64_t seed, const Eigen::MatrixXf& x, const Eigen::VectorXf& squared_norms,
                tq::Codes& codes, Eigen::MatrixXf& back, Moments (&moments)[kInputs]) {
    const tq::MseQuantizer<Dynamic, Bits> quantizer(dim, seed);
    codes.clear();
    quantizer.encode(x, codes);
    quantizer.decode(codes, back);
    back -= x;
    for (int i = 0; i < kInputs; ++i)
        moments[i].add(static_cast<double>(back.col(i).squaredNorm() / squared_norms[i]));
}

class Distortion : public testing::TestWithParam<int> {};

TEST_P(Distortion, WithinTheBars) {
    const Index dim = GetParam();
    const int seeds = std::max<int>(400, static_cast<int>(420000 / dim + 1));
    constexpr int kBits[] = {1, 2, 3, 4, 8};
    const double exact[] = {tq::LloydMaxCodebook<Dynamic, 1>(dim).distortion(),
                            tq::LloydMaxCodebook<Dynamic, 2>(dim).distortion(),
                            tq::LloydMaxCodebook<Dynamic, 3>(dim).distortion(),
                            tq::LloydMaxCodebook<Dynamic, 4>(dim).distortion(),
                            tq::LloydMaxCodebook<Dynamic, 8>(dim).distortion()};
    Moments moments[5][kInputs];
    const Eigen::MatrixXf noise = test_vectors::gaussian(dim, seeds, static_cast<std::uint64_t>(dim));
    Eigen::MatrixXf x(dim, kInputs), back(dim, kInputs);
    tq::Codes codes;
    for (int s = 0; s < seeds; ++s) {
        const auto seed = static_cast<std::uint64_t>(s);
        fill_inputs(seed, noise.col(s), x);
        const Eigen::VectorXf squared_norms = x.colwise().squaredNorm();
        accumulate<1>(dim, seed, x, squared_norms, codes, back, moments[0]);
        accumulate<2>(dim, seed, x, squared_norms, codes, back, moments[1]);
        accumulate<3>(dim, seed, x, squared_norms, codes, back, moments[2]);
        accumulate<4>(dim, seed, x, squared_norms, codes, back, moments[3]);
        accumulate<8>(dim, seed, x, squared_norms, codes, back, moments[4]);
    }
    double worst = 0;
    std::string worst_name;
    for (int b = 0; b < 5; ++b) {
        const double bar = kBits[b] == 8 ? 0.20 : dim >= 256 ? 0.03 : dim >= 64 ? 0.04 : 0.08;
        for (int i = 0; i < kInputs; ++i) {
            const Moments& m = moments[b][i];
            const double mean = m.sum / seeds;
            const double error = std::sqrt(std::max(m.squares / seeds - mean * mean, 0.0) / (seeds - 1));
            const double ratio = mean / exact[b], slack = error / exact[b];
            EXPECT_LE(ratio - 3 * slack, 1 + bar)
                << kBits[b] << " bits, " << kNames[i] << ", standard error " << slack;
            if (i == kGaussian) {
                EXPECT_NEAR(ratio, 1, 5 * slack) << kBits[b] << " bits";
            }
            if (kBits[b] != 8 && ratio > worst) {
                worst = ratio;
                worst_name = std::to_string(kBits[b]) + " bits, " + kNames[i];
            }
        }
    }
    std::printf("d = %d: at most %.3f of the exact distortion (%s)\n", static_cast<int>(dim), worst,
                worst_name.c_str());
}

INSTANTIATE_TEST_SUITE_P(Dimensions, Distortion,
                         testing::Values(33, 48, 63, 64, 72, 80, 96, 100, 112, 113, 127, 128, 160, 192, 200,
                                         255, 256, 300, 384, 576, 768, 1000, 1023, 1024, 1536, 3072),
                         testing::PrintToStringParamName());

}  // namespace
