// TrellisQuantizer: distortion, the form of its records, the same bytes everywhere, and its use in files and containers.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

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
using tq::ScaleRule;
using tq::TrellisQuantizer;

static_assert(tq::is_quantizer_v<TrellisQuantizer<128, 2>> &&
              tq::is_quantizer_v<TrellisQuantizer<Dynamic, 4>>);
static_assert(TrellisQuantizer<128, 2>::kStates == 64 && TrellisQuantizer<128, 4>::kStates == 16);

constexpr const char* kNames[] = {"Gaussian",    "one-hot", "two spikes", "constant",
                                  "alternating", "ramp",    "outlier"};
constexpr int kInputs = 7;

// Inputs on which rotations fail first.
Eigen::MatrixXf inputs(Index dim, std::uint64_t seed) {
    Eigen::MatrixXf x = Eigen::MatrixXf::Zero(dim, kInputs);
    const tq::RandomBits bits(seed, tq::RandomStream::haar);
    const auto place = [&](std::uint64_t i) {
        return static_cast<Index>(bits.word(i) % static_cast<std::uint64_t>(dim));
    };
    x.col(0) = gaussian(dim, 1, seed);
    x(place(0), 1) = 1;
    x(place(1), 2) += 1;
    x(place(2), 2) += 1;
    x.col(3).setOnes();
    for (Index i = 0; i < dim; ++i) {
        x(i, 4) = i % 2 == 0 ? 1.0f : -1.0f;
        x(i, 5) = static_cast<float>(i + 1);
    }
    x.col(6) = x.col(0);
    x(place(3), 6) = 30;
    return x;
}

template <int Bits>
void expect_distortion(Index dim, int seeds, double bar) {
    double sums[kInputs] = {}, squares[kInputs] = {};
    tq::Codes codes;
    for (int s = 0; s < seeds; ++s) {
        const auto seed = static_cast<std::uint64_t>(s);
        const Eigen::MatrixXf x = inputs(dim, seed);
        const TrellisQuantizer<Dynamic, Bits> quantizer(dim, seed);
        codes.clear();
        quantizer.encode(x, codes);
        ASSERT_EQ(codes.bytes_per_vector(), static_cast<std::size_t>((Bits * dim + 7) / 8 + 4));
        const Eigen::MatrixXf error = quantizer.decode(codes) - x;
        for (int i = 0; i < kInputs; ++i) {
            const double relative = static_cast<double>(error.col(i).squaredNorm() / x.col(i).squaredNorm());
            sums[i] += relative;
            squares[i] += relative * relative;
        }
    }
    for (int i = 0; i < kInputs; ++i) {
        const double mean = sums[i] / seeds;
        const double deviation = std::sqrt((squares[i] / seeds - mean * mean) / (seeds - 1));
        EXPECT_LE(mean - 3 * deviation, bar) << Bits << " bits, dimension " << dim << ", " << kNames[i];
        EXPECT_GE(mean,
                  std::pow(0.25, Bits) * .98);  // Shannon; a coordinate of the sphere is worth slightly less
    }
}

// The bars are well above what the class states: .0765/.0205/.0056. 300 seeds at d = 128: the standard error is below 1 %.
TEST(Trellis, Distortion) {
    for (Index dim : {64, 100, 128, 200, 768, 1536}) {
        const int seeds = dim < 256 ? 300 : 60;
        expect_distortion<1>(dim, seeds, .295);
        expect_distortion<2>(dim, seeds, .083);
        expect_distortion<3>(dim, seeds, .0225);
        expect_distortion<4>(dim, seeds, .0068);
    }
    expect_distortion<2>(3000, 12, .083);  // decided in parts
}

// What it states, on Gaussian vectors. 2000 vectors: standard error below .2 %.
TEST(Trellis, DistortionIsWhatIsStated) {
    const Eigen::MatrixXf x = gaussian(128, 2000, 4);
    const auto distortion = [&](const auto& quantizer) {
        const Eigen::MatrixXf error = quantizer.decode(quantizer.encode(x)) - x;
        return (error.colwise().squaredNorm().array() / x.colwise().squaredNorm().array()).mean();
    };
    EXPECT_NEAR(distortion(TrellisQuantizer<128, 1>(3)), .285, .003);
    EXPECT_NEAR(distortion(TrellisQuantizer<128, 2>(3)), .0765, .0008);
    EXPECT_NEAR(distortion(TrellisQuantizer<128, 3>(3)), .0205, .0002);
    EXPECT_NEAR(distortion(TrellisQuantizer<128, 4>(3)), .0056, .0001);
}

// E<q, x̂> = <q, x> over the seeds, with a variance of D/(1 − D)·‖q⊥‖²‖x‖²/d.
template <int Bits>
void expect_unbiased(double distortion) {
    constexpr Index kDim = 128, kVectors = 40;
    constexpr int kSeeds = 200;
    const Eigen::MatrixXf x = gaussian(kDim, kVectors, 21), noise = gaussian(kDim, kVectors, 22);
    const Eigen::MatrixXf q = .5f * x + noise;
    double product = 0, square = 0, variance = 0;
    for (int s = 0; s < kSeeds; ++s) {
        const TrellisQuantizer<kDim, Bits> quantizer(static_cast<std::uint64_t>(s), ScaleRule::unbiased);
        const Eigen::MatrixXf back = quantizer.decode(quantizer.encode(x));
        for (Index i = 0; i < kVectors; ++i) {
            const double exact = static_cast<double>(q.col(i).dot(x.col(i)));
            const double estimate = static_cast<double>(q.col(i).dot(back.col(i)));
            const double across = static_cast<double>(q.col(i).squaredNorm()) -
                                  exact * exact / static_cast<double>(x.col(i).squaredNorm());
            product += estimate * exact;
            square += exact * exact;
            variance += (estimate - exact) * (estimate - exact) * kDim /
                        (across * static_cast<double>(x.col(i).squaredNorm()));
        }
    }
    EXPECT_NEAR(product / square, 1, .01);
    EXPECT_NEAR(variance / (kSeeds * kVectors) / (distortion / (1 - distortion)), 1, .08);
}

// 8000 products: the standard error of the variance is 1.6 %, of the slope at 2 bits .6 % of .29.
TEST(Trellis, InnerProductsAreUnbiased) {
    expect_unbiased<2>(.0765);
    expect_unbiased<3>(.0205);
    expect_unbiased<4>(.0056);
}

// The stream, read bit by bit: what trellis_table.hpp says.
template <int Bits>
void expect_form(Index dim) {
    const TrellisQuantizer<Dynamic, Bits> quantizer(dim, 5, ScaleRule::norm);
    const Eigen::MatrixXf x = inputs(dim, 8);
    const tq::Codes codes = quantizer.encode(x);
    const auto& table = tq::detail::trellis_table<8>(static_cast<int>(dim), Bits);
    Eigen::MatrixXf rotated(dim, x.cols());
    for (Index v = 0; v < x.cols(); ++v) {
        const std::uint8_t* record = codes[v].data();
        const auto bit = [&](Index i) -> unsigned {
            if (i < 0 && dim < 8) return 0u;
            if (i < 0) i += Bits * dim;
            return record[i / 8] >> (7 - i % 8) & 1u;
        };
        float scale;
        std::memcpy(&scale, record + (Bits * dim + 7) / 8, sizeof scale);
        for (Index j = 0; j < dim; ++j) {
            unsigned window = 0;
            for (Index i = Bits * (j + 1) - 8; i < Bits * (j + 1); ++i) window = window << 1 | bit(i);
            rotated(j, v) = scale * (table.unit * table.values[window]);
        }
        for (Index i = Bits * dim; i < (Bits * dim + 7) / 8 * 8; ++i) EXPECT_EQ(bit(i), 0u);
    }
    const Eigen::MatrixXf back = quantizer.decode(codes),
                          expected = quantizer.rotation().apply_transpose(rotated);
    EXPECT_TRUE(back.isApprox(expected, 1e-5f)) << Bits << " bits, dimension " << dim;
}

TEST(Trellis, FormOfRecords) {
    for (Index dim : {1, 2, 3, 5, 7, 8, 9, 16, 17, 31, 64, 65, 100, 127, 128, 256, 300, 1536, 2500}) {
        expect_form<1>(dim);
        expect_form<2>(dim);
        expect_form<3>(dim);
        expect_form<4>(dim);
    }
}

// The encoder's path against a plain search of double precision over all starts.
TEST(Trellis, PathsAreNearlyTheBest) {
    constexpr int kBits = 2, kStates = 64, kBranches = 4;
    constexpr Index kDim = 40;
    const TrellisQuantizer<kDim, kBits> quantizer(3, ScaleRule::norm);
    const auto& table = tq::detail::trellis_table<8>(kDim, kBits);
    const Eigen::MatrixXf x = gaussian(kDim, 50, 6);
    const Eigen::MatrixXf y = quantizer.rotation().apply(x), back = quantizer.decode(quantizer.encode(x));
    double found = 0, least = 0;
    for (Index v = 0; v < x.cols(); ++v) {
        const double norm = static_cast<double>(x.col(v).norm());
        found += static_cast<double>((x.col(v) - back.col(v)).squaredNorm()) / (norm * norm);
        double best = std::numeric_limits<double>::infinity();
        for (int start = 0; start < kStates; ++start) {
            std::vector<double> cost(kStates, std::numeric_limits<double>::infinity());
            cost[static_cast<std::size_t>(start)] = 0;
            for (Index j = 0; j < kDim; ++j) {
                std::vector<double> next(kStates, std::numeric_limits<double>::infinity());
                for (int w = 0; w < kStates * kBranches; ++w) {
                    const double error = static_cast<double>(y(j, v)) / norm -
                                         static_cast<double>(table.unit * table.values[w]);
                    double& to = next[static_cast<std::size_t>(w % kStates)];
                    to = std::min(to, cost[static_cast<std::size_t>(w / kBranches)] + error * error);
                }
                cost = next;
            }
            best = std::min(best, cost[static_cast<std::size_t>(start)]);
        }
        least += best;
        EXPECT_GE(static_cast<double>((x.col(v) - back.col(v)).squaredNorm()) / (norm * norm), best - 1e-5);
    }
    EXPECT_LE(found,
              1.05 * least);  // the state that joins the ends is found from 16 coordinates on each side
}

template <int Bits>
void expect_same_everywhere(Index dim, std::uint64_t& digest) {
    SCOPED_TRACE(std::to_string(Bits) + " bits, dimension " + std::to_string(dim));
    const TrellisQuantizer<Dynamic, Bits> quantizer(dim, 7, ScaleRule::unbiased);
    const Eigen::MatrixXf x = inputs(dim, 2), queries = gaussian(dim, 5, 9);
    const tq::Codes codes = quantizer.encode(x);
    const Eigen::MatrixXf back = quantizer.decode(codes), products = quantizer.inner_products(codes, queries);
    for (const std::uint8_t byte : bytes_of(codes)) digest = (digest ^ byte) * 0x100000001b3u;  // FNV-1a
    for (const tq::Target target : tq::supported_targets()) {
        SCOPED_TRACE(tq::target_name(target));
        const test_vectors::ScopedTarget scoped(target);
        EXPECT_EQ(bytes_of(quantizer.encode(x)), bytes_of(codes));
        EXPECT_EQ(quantizer.decode(codes), back);
        EXPECT_EQ(quantizer.inner_products(codes, queries), products);
        tq::Codes one_by_one;
        for (Index i = 0; i < x.cols(); ++i) quantizer.append(x.col(i), one_by_one);
        EXPECT_EQ(bytes_of(one_by_one), bytes_of(codes));
    }
}

TEST(Trellis, TheSameOnEveryTarget) {
    std::uint64_t digest = 0xcbf29ce484222325u;
    for (Index dim : {1, 3, 8, 33, 64, 100, 128, 144, 200, 256, 1536, 2500}) {
        expect_same_everywhere<1>(dim, digest);
        expect_same_everywhere<2>(dim, digest);
        expect_same_everywhere<3>(dim, digest);
        expect_same_everywhere<4>(dim, digest);
    }
#if !defined(__FAST_MATH__)
    EXPECT_EQ(digest, 0x574753bf7a993c9du);
#endif
}

TEST(Trellis, FixedAndDynamicAgree) {
    const auto expect_same = [](const auto& fixed, const auto& dynamic) {
        const Eigen::MatrixXf x = inputs(fixed.dim(), 4);
        const tq::Codes codes = fixed.encode(x);
        EXPECT_EQ(bytes_of(codes), bytes_of(dynamic.encode(x)));
        EXPECT_EQ(Eigen::MatrixXf(fixed.decode(codes)), dynamic.decode(codes));
        const Eigen::MatrixXf half = x.cast<Eigen::half>().template cast<float>();
        EXPECT_EQ(bytes_of(fixed.encode(half)), bytes_of(fixed.encode(x.cast<Eigen::half>())));
        EXPECT_EQ(bytes_of(fixed.encode(x, 3)), bytes_of(codes));
    };
    expect_same(TrellisQuantizer<64, 2>(7), TrellisQuantizer<Dynamic, 2>(64, 7));
    expect_same(TrellisQuantizer<128, 3>(7), TrellisQuantizer<Dynamic, 3>(128, 7));
    expect_same(TrellisQuantizer<256, 4>(7), TrellisQuantizer<Dynamic, 4>(256, 7));
    expect_same(TrellisQuantizer<100, 1>(7), TrellisQuantizer<Dynamic, 1>(100, 7));
}

// Every way to score against the decoded vectors.
template <int Bits, class Scale>
void expect_scores(Index dim) {
    const TrellisQuantizer<Dynamic, Bits, (256 >> Bits), tq::Rotation<Dynamic>, Scale> quantizer(
        dim, 7, ScaleRule::unbiased);
    const Eigen::MatrixXf x = gaussian(dim, 37, 2), queries = gaussian(dim, 6, 9);
    const tq::Codes codes = quantizer.encode(x);
    const Eigen::MatrixXf back = quantizer.decode(codes);
    // inner_products rounds queries and is told to add .0105·‖x̂‖‖q‖/√d in root mean square for d >= 48; here six times.
    const float bound = .063f * back.colwise().norm().maxCoeff() * queries.colwise().norm().maxCoeff() /
                        std::sqrt(static_cast<float>(dim));
    const Eigen::MatrixXf products = quantizer.inner_products(codes, queries);
    EXPECT_LT((products - back.transpose() * queries).cwiseAbs().maxCoeff(), bound);
    const std::vector<Index> positions = {36, 0, 5, 5, 17};
    const Eigen::MatrixXf some = quantizer.inner_products(codes, positions, queries);
    for (std::size_t i = 0; i < positions.size(); ++i)
        EXPECT_EQ(some.row(static_cast<Index>(i)), products.row(positions[i]));
    const Eigen::MatrixXf distances = quantizer.squared_distances(codes, queries);
    for (Index i = 0; i < codes.size(); ++i)
        for (Index j = 0; j < queries.cols(); ++j)
            EXPECT_NEAR(distances(i, j) / (back.col(i) - queries.col(j)).squaredNorm(), 1, 1e-4);
    EXPECT_TRUE(quantizer.code_products(codes, codes.range(3, 9))
                    .isApprox(back.transpose() * back.middleCols(3, 9), 1e-4f));
}

TEST(Trellis, ScoresAreThoseOfDecodedVectors) {
    for (Index dim : {48, 64, 72, 100, 128, 130, 1000}) {
        expect_scores<1, float>(dim);
        expect_scores<2, float>(dim);
        expect_scores<3, Eigen::half>(dim);
        expect_scores<4, Eigen::bfloat16>(dim);
    }
}

// Records that end where memory ends: run under AddressSanitizer by .ci/full.
TEST(Trellis, ReadsNothingPastTheEnd) {
    for (Index dim : {1, 5, 8, 40, 64, 100, 128, 200}) {
        const TrellisQuantizer<Dynamic, 3> quantizer(dim, 7, ScaleRule::unbiased);
        const Eigen::MatrixXf x = gaussian(dim, 3, 2);
        const tq::Codes codes = quantizer.encode(x);
        const std::vector<std::uint8_t> exact = bytes_of(codes);
        const tq::CodesView view = quantizer.view(exact.data(), 3);
        EXPECT_EQ(quantizer.decode(view), quantizer.decode(codes));
        EXPECT_EQ(quantizer.inner_products(view, x), quantizer.inner_products(codes, x));
    }
}

TEST(Trellis, ZerosExtremesAndErrors) {
    const TrellisQuantizer<Dynamic, 2> quantizer(100, 7, ScaleRule::unbiased);
    Eigen::MatrixXf x = gaussian(100, 4, 3);
    x.col(1).setZero();
    x.col(2) *= 1e-40f;
    x.col(3) *= 1e30f;
    tq::Codes codes = quantizer.encode(x);
    const Eigen::MatrixXf back = quantizer.decode(codes);
    EXPECT_TRUE(back.col(1).isZero(0));
    EXPECT_NEAR((back.col(3) / 1e30f).dot(x.col(3) / 1e30f) / (x.col(3) / 1e30f).squaredNorm(), 1, 1e-4);
    EXPECT_TRUE(back.col(2).allFinite());
    const auto before = bytes_of(codes);
    x(7, 2) = std::numeric_limits<float>::infinity();
    EXPECT_TRUE(mentions(message_of([&] { quantizer.encode(x, codes); }), {"TrellisQuantizer", "column 2"}));
    EXPECT_EQ(bytes_of(codes), before);
    const tq::MseQuantizer<Dynamic, 2> other(100, 7);
    EXPECT_TRUE(
        mentions(message_of([&] { other.decode(codes); }), {"MseQuantizer", "TrellisQuantizer", "2 bits"}));
    const TrellisQuantizer<Dynamic, 3> more(100, 7);
    EXPECT_TRUE(mentions(message_of([&] { more.decode(codes); }), {"3 bits", "2 bits"}));
    EXPECT_TRUE(
        mentions(message_of([] { TrellisQuantizer<64, 2>(65, 1); }), {"TrellisQuantizer", "64", "65"}));
}

TEST(Trellis, FilesKeepItAndAnyFlippedBitIsSeen) {
    const TrellisQuantizer<64, 3> quantizer(7, ScaleRule::least_squares);
    const tq::Codes codes = quantizer.encode(gaussian(64, 5, 3));
    std::ostringstream os;
    tq::save(os, quantizer, codes);
    const std::string file = os.str();
    std::istringstream is(file);
    const auto loaded = tq::load<TrellisQuantizer<Dynamic, 3>>(is);
    EXPECT_EQ(bytes_of(loaded.codes), bytes_of(codes));
    EXPECT_EQ(loaded.quantizer.scale_rule(), ScaleRule::least_squares);
    EXPECT_EQ(loaded.quantizer.fingerprint(), quantizer.fingerprint());
    for (std::size_t at = 0; at < file.size(); ++at) {
        std::string damaged = file;
        damaged[at] = static_cast<char>(damaged[at] ^ (1 << at % 8));
        std::istringstream stream(damaged);
        EXPECT_THROW((tq::load<TrellisQuantizer<64, 3>>(stream)), std::runtime_error) << "byte " << at;
    }
    std::istringstream wrong(file);
    try {
        tq::load<tq::MseQuantizer<64, 3>>(wrong);
        ADD_FAILURE() << "loaded into another type";
    } catch (const std::runtime_error& error) {
        EXPECT_TRUE(mentions(error.what(), {"TrellisQuantizer", "MseQuantizer"}));
    }
}

TEST(Trellis, FlatIndex) {
    using Quantizer = TrellisQuantizer<96, 3>;
    const Eigen::MatrixXf x = gaussian(96, 1500, 3), queries = gaussian(96, 8, 4);
    tq::FlatIndexOptions options;
    options.seed = 5;
    tq::BasicFlatIndex<Quantizer> index(options);
    index.add(x);
    std::ostringstream os;
    index.save(os);
    std::istringstream is(os.str());
    const auto loaded = tq::BasicFlatIndex<Quantizer>::load(is);
    const auto hits = index.search(queries, 10), again = loaded.search(queries, 10);
    EXPECT_EQ(hits.ids, again.ids);
    EXPECT_EQ(hits.scores, again.scores);
    const Eigen::MatrixXf exact = queries.transpose() * x;
    double error = 0;
    for (Index j = 0; j < queries.cols(); ++j)
        for (Index i = 0; i < 10; ++i) {
            const float difference = hits.scores(i, j) - exact(j, static_cast<Index>(hits.ids(i, j)));
            error += static_cast<double>(difference * difference) * 96 /
                     static_cast<double>(queries.col(j).squaredNorm() * 96);
        }
    // The variance of a product is .021·‖x‖²‖q‖²/d; of the best ten it is pulled up by the choice among 1500.
    EXPECT_LT(error / 80, .06);
}

TEST(Trellis, KvCache) {
    using Quantizer = TrellisQuantizer<64, 3>;
    tq::KvCacheOptions options;
    options.window = 16;
    tq::BasicKvCache<Quantizer, Quantizer> cache(options);
    const Eigen::MatrixXf k = gaussian(64, 300, 3), v = gaussian(64, 300, 4), q = gaussian(64, 4, 5);
    for (Index t = 0; t < 300; t += 50) cache.append(k.middleCols(t, 50), v.middleCols(t, 50));
    Eigen::MatrixXf out(64, 4);
    cache.attend(q, out);
    const Eigen::MatrixXf logits = k.transpose() * q / 8;
    Eigen::MatrixXf weights = (logits.rowwise() - logits.colwise().maxCoeff()).array().exp();
    weights.array().rowwise() /= weights.colwise().sum().array();
    const Eigen::MatrixXf exact = v * weights;
    // Logits of deviation 1 with errors of .14, values with errors of .14: about .2 of the output.
    EXPECT_LT((out - exact).norm() / exact.norm(), .3);
    std::ostringstream os;
    cache.save(os);
    std::istringstream is(os.str());
    const auto loaded = tq::BasicKvCache<Quantizer, Quantizer>::load(is);
    Eigen::MatrixXf again(64, 4);
    loaded.attend(q, again);
    EXPECT_TRUE(again.isApprox(out, 1e-5f));  // blocks may begin elsewhere
}

}  // namespace
