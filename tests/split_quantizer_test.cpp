// SplitQuantizer: outlier channels at more bits than the rest, each part with the codebook of its own dimension.
#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kv_vectors.hpp"
#include "saved_files.hpp"
#include "turboquant/turboquant.hpp"

namespace {

namespace tq = turboquant;
using kv_vectors::reference;
using test_vectors::gaussian;
using test_vectors::mentions;
using test_vectors::message_of;
using tq::Dynamic;
using tq::Index;

template <int Bits>
using Mse = tq::MseQuantizer<Dynamic, Bits>;
using Split42 = tq::SplitQuantizer<Mse<4>, Mse<2>>;

// Every third channel but the first ones: outliers lie anywhere.
std::vector<Index> some_channels(Index dim, Index count) {
    std::vector<Index> channels;
    for (Index i = 0; i < count; ++i) channels.push_back((3 * i + 1) % dim);
    return channels;
}
// Gaussian vectors whose outlier channels are `factor` times as large.
Eigen::MatrixXf with_outliers(Index dim, Index n, const std::vector<Index>& channels, float factor,
                              std::uint64_t seed) {
    Eigen::MatrixXf x = gaussian(dim, n, seed);
    for (const Index channel : channels) x.row(channel) *= factor;
    return x;
}

TEST(SplitQuantizer, IsAQuantizer) {
    static_assert(tq::is_quantizer_v<Split42>, "");
    static_assert(tq::is_quantizer_v<tq::SplitQuantizer<tq::TurboQuantizer<32, 4>, tq::MseQuantizer<96, 2>>>,
                  "");
    static_assert(Split42::kDim == Dynamic, "");
    static_assert(tq::SplitQuantizer<tq::MseQuantizer<32, 4>, tq::MseQuantizer<96, 2>>::kDim == 128, "");
}

// The rates that the paper calls 2.5 and 3.5, counted: its 32 channels of 128 at one bit more than the rest make 2.25.
TEST(SplitQuantizer, RatesAreWhatIsStored) {
    const auto channels = some_channels(128, 32);
    const Split42 split(128, 7, channels);
    EXPECT_EQ(split.bytes_per_vector(), 32u * 4 / 8 + 96u * 2 / 8 + 8);  // 2.5 bits and two scales
    EXPECT_DOUBLE_EQ(split.bits_per_coordinate(), 3.0);
    EXPECT_EQ((tq::SplitQuantizer<Mse<3>, Mse<2>>(128, 7, channels).bytes_per_vector()), 36u + 8);  // 2.25
    EXPECT_EQ((tq::SplitQuantizer<Mse<5>, Mse<3>>(128, 7, channels).bytes_per_vector()), 56u + 8);  // 3.5
    using Short = tq::MseQuantizer<Dynamic, 3, tq::Rotation<Dynamic>, Eigen::half>;
    EXPECT_EQ((tq::SplitQuantizer<Short, Mse<1>>(100, 7, some_channels(100, 33)).bytes_per_vector()),
              (33u * 3 + 7) / 8 + 2 + (67u + 7) / 8 + 4);
    const tq::Codes codes = split.encode(gaussian(128, 10, 1));
    EXPECT_EQ(codes.bytes(), 10 * split.bytes_per_vector());
}

// Each part's squared error is the distortion of its own dimension and bits: 3000 vectors have a standard error of
// 2.6·√(1/96000) = .8 % at 4 bits, 2.1·√(1/96000·…) less at 2.
TEST(SplitQuantizer, PartsHaveTheirOwnDistortion) {
    const auto channels = some_channels(128, 32);
    const Split42 split(128, 7, channels);
    const Eigen::MatrixXf x = with_outliers(128, 3000, channels, 10.0f, 1);
    const Eigen::MatrixXf error = x - split.decode(split.encode(x));
    double outlier_error = 0, outlier_energy = 0, energy = x.squaredNorm(), all = error.squaredNorm();
    for (const Index channel : channels) {
        outlier_error += error.row(channel).cast<double>().squaredNorm();
        outlier_energy += x.row(channel).cast<double>().squaredNorm();
    }
    const double first = tq::LloydMaxCodebook<Dynamic, 4>(32).distortion();
    const double second = tq::LloydMaxCodebook<Dynamic, 2>(96).distortion();
    EXPECT_NEAR(outlier_error / outlier_energy, first, .05 * first);
    EXPECT_NEAR((all - outlier_error) / (energy - outlier_energy), second, .05 * second);
    // 2.5 bits with the outliers known beat 3 bits without.
    const Mse<3> plain(128, 7);
    EXPECT_LT(all, .5 * (x - plain.decode(plain.encode(x))).squaredNorm());
}

void goes_to_its_part(Index dim, Index count) {
    const auto channels = some_channels(dim, count);
    const Split42 split(dim, 3, channels, tq::ScaleRule::least_squares);
    const Eigen::MatrixXf x = gaussian(dim, 130, 1), back = split.decode(split.encode(x));
    const std::vector<Index> ascending = split.outlier_channels();
    EXPECT_TRUE(std::is_sorted(ascending.begin(), ascending.end()));
    Eigen::MatrixXf outliers(count, 130), rest(dim - count, 130), outliers_back = outliers, rest_back = rest;
    for (Index i = 0, a = 0, b = 0; i < dim; ++i) {
        const bool is = std::find(channels.begin(), channels.end(), i) != channels.end();
        (is ? outliers.row(a) : rest.row(b)) = x.row(i);
        (is ? outliers_back.row(a++) : rest_back.row(b++)) = back.row(i);
    }
    EXPECT_TRUE(split.outliers().decode(split.outliers().encode(outliers)) == outliers_back) << dim;
    EXPECT_TRUE(split.rest().decode(split.rest().encode(rest)) == rest_back) << dim;
}
TEST(SplitQuantizer, ChannelsGoToTheirParts) {
    goes_to_its_part(2, 1);
    goes_to_its_part(61, 20);
    goes_to_its_part(128, 64);
    // Parts on either side of 256, below which kernels take more work memory.
    goes_to_its_part(256, 32);
    goes_to_its_part(256, 1);
    goes_to_its_part(640, 128);
    goes_to_its_part(1000, 600);
}

template <class Quantizer>
void scores_are_those_of_decoded_vectors(const Quantizer& quantizer, float tolerance) {
    const Index dim = quantizer.dim();
    const Eigen::MatrixXf x = gaussian(dim, 150, 1), q = gaussian(dim, 20, 2);
    const tq::Codes codes = quantizer.encode(x), others = quantizer.encode(gaussian(dim, 70, 3));
    const Eigen::MatrixXf back = quantizer.decode(codes), expected = back.transpose() * q;
    const Eigen::MatrixXf products = quantizer.inner_products(codes, q);
    EXPECT_LE((products - expected).norm(), tolerance * expected.norm());
    const Eigen::MatrixXf distances = quantizer.squared_distances(codes, q);
    for (const Index i : {0, 63, 64, 149})
        for (const Index j : {0, 15, 16, 19})
            EXPECT_NEAR(distances(i, j), (q.col(j) - back.col(i)).squaredNorm(), 1e-4f * distances(i, j));
    const std::vector<Index> positions = {149, 3, 3, 70};
    const Eigen::MatrixXf some = quantizer.inner_products(codes, positions, q);
    const Eigen::MatrixXf some_distances = quantizer.squared_distances(codes, positions, q);
    for (std::size_t i = 0; i < positions.size(); ++i) {
        const auto row = static_cast<Index>(i);
        EXPECT_LE((some.row(row) - products.row(positions[i])).norm(), 1e-5f * products.norm());
        EXPECT_LE((some_distances.row(row) - distances.row(positions[i])).norm(), 1e-5f * distances.norm());
    }
    const Eigen::MatrixXf gram = quantizer.code_products(codes, others);
    const Eigen::MatrixXf exact = back.transpose() * quantizer.decode(others);
    EXPECT_LE((gram - exact).norm(), 1e-4f * exact.norm());
}
TEST(SplitQuantizer, Scores) {
    // int8 queries: .0105 of ‖x‖‖q‖/√d a part.
    scores_are_those_of_decoded_vectors(Split42(128, 7, some_channels(128, 32)), .02f);
    scores_are_those_of_decoded_vectors(tq::SplitQuantizer<Mse<8>, Mse<5>>(77, 7, some_channels(77, 5)),
                                        1e-3f);
    scores_are_those_of_decoded_vectors(
        tq::SplitQuantizer<tq::TurboQuantizer<Dynamic, 4>, tq::ResidualSignQuantizer<Dynamic>>(
            65, 7, some_channels(65, 32)),
        .02f);
}

// E<q, x̂> = <q, x>: the slope over 4000 vectors, whose standard error is √(.133/4000/…) < 1 %.
TEST(SplitQuantizer, UnbiasedScales) {
    const auto channels = some_channels(64, 16);
    const Split42 split(64, 7, channels, tq::ScaleRule::unbiased);
    const Eigen::MatrixXf x = with_outliers(64, 4000, channels, 4.0f, 1),
                          back = split.decode(split.encode(x));
    EXPECT_NEAR(x.cwiseProduct(back).sum() / x.squaredNorm(), 1.0f, 1e-3f);
}

TEST(SplitQuantizer, SameBytesOnEveryTargetAndHoweverCallsAreSplit) {
    const Split42 split(100, 7, some_channels(100, 30));
    const Eigen::MatrixXf x = gaussian(100, 70, 1);
    const tq::Codes codes = split.encode(x);
    for (const tq::Target target : tq::supported_targets()) {
        const test_vectors::ScopedTarget scope(target);
        tq::Codes parts;
        for (Index i = 0; i < 70; i += 7) split.append(x.middleCols(i, 7), parts);
        ASSERT_EQ(parts.bytes(), codes.bytes());
        EXPECT_TRUE(std::equal(codes.data(), codes.data() + codes.bytes(), parts.data()));
    }
    const Eigen::Matrix<Eigen::half, Dynamic, Dynamic> halves = x.cast<Eigen::half>();
    const tq::Codes a = split.encode(halves), b = split.encode(halves.cast<float>());
    EXPECT_TRUE(std::equal(a.data(), a.data() + a.bytes(), b.data()));
    EXPECT_EQ(split.encode(x.leftCols(0)).size(), 0);
    EXPECT_EQ(split.decode(tq::Codes()).cols(), 0);
}

TEST(SplitQuantizer, NothingIsStoredWhenAColumnFails) {
    const Split42 split(40, 7, some_channels(40, 10));
    Eigen::MatrixXf x = gaussian(40, 50, 1);
    tq::Codes codes = split.encode(x);
    const std::vector<std::uint8_t> before(codes.data(), codes.data() + codes.bytes());
    x(11, 33) = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(
        mentions(message_of([&] { split.encode(x, codes); }), {"SplitQuantizer::encode", "33", "NaN"}));
    EXPECT_TRUE(mentions(message_of([&] { split.append(x, codes); }), {"SplitQuantizer::append", "33"}));
    x.col(33).setConstant(3e38f);
    EXPECT_TRUE(mentions(message_of([&] { split.encode(x, codes); }), {"column 33", "norm"}));
    ASSERT_EQ(codes.size(), 50);
    EXPECT_TRUE(std::equal(before.begin(), before.end(), codes.data()));
    x.col(33).setZero();
    split.encode(x, codes);
    EXPECT_TRUE(split.decode(codes).col(33) == Eigen::VectorXf::Zero(40));
}

TEST(SplitQuantizer, BadInput) {
    const auto made = [](Index dim, const std::vector<Index>& channels) {
        return message_of([&] { Split42(dim, 7, channels); });
    };
    EXPECT_TRUE(mentions(made(8, {}), {"1 to 7", "0"}));
    EXPECT_TRUE(mentions(made(2, {0, 1}), {"1 to 1", "2"}));
    EXPECT_TRUE(mentions(made(8, {1, 8}), {"channel 8", "0 to 7"}));
    EXPECT_TRUE(mentions(made(8, {-1}), {"channel -1"}));
    EXPECT_TRUE(mentions(made(8, {1, 2, 1}), {"channel 1", "twice"}));
    EXPECT_TRUE(mentions(made(0, {}), {"dimension", "0"}));
    using Fixed = tq::SplitQuantizer<tq::MseQuantizer<32, 4>, tq::MseQuantizer<96, 2>>;
    EXPECT_TRUE(mentions(message_of([] { Fixed(7, some_channels(128, 31)); }), {"32", "31"}));
    EXPECT_TRUE(mentions(message_of([] { Fixed(127, 7, some_channels(127, 31)); }), {"128", "127"}));
    EXPECT_TRUE(mentions(message_of([] { Split42(Mse<4>(3, 1), Mse<2>(5, 1), {1, 2}); }), {"2", "3"}));

    const Split42 split(8, 7, {1, 2}), other(8, 7, {1, 3});
    EXPECT_NE(split.fingerprint(), other.fingerprint());
    const tq::Codes codes = split.encode(gaussian(8, 3, 1));
    EXPECT_TRUE(mentions(message_of([&] { other.decode(codes); }), {"SplitQuantizer::decode", "made by"}));
    EXPECT_TRUE(mentions(message_of([&] { split.encode(gaussian(9, 3, 1)); }), {"8", "9"}));
    EXPECT_TRUE(mentions(message_of([&] { split.inner_products(codes, gaussian(7, 3, 1)); }), {"8", "7"}));
    EXPECT_TRUE(
        mentions(message_of([&] { split.inner_products(codes, std::vector<Index>{3}, gaussian(8, 1, 1)); }),
                 {"position 3"}));
    Eigen::MatrixXf q = gaussian(8, 40, 1);
    q(0, 37) = std::numeric_limits<float>::infinity();
    EXPECT_TRUE(mentions(message_of([&] { split.inner_products(codes, q); }), {"column 37"}));
    EXPECT_TRUE(mentions(message_of([&] { split.encode(q, 0); }), {"threads"}));
}

TEST(SplitQuantizer, OutlierChannels) {
    Eigen::MatrixXf sample = Eigen::MatrixXf::Constant(6, 4, 1.0f);
    sample.row(4) *= 5.0f;
    sample.row(1) *= -3.0f;
    EXPECT_EQ(tq::outlier_channels(sample, 2), (std::vector<Index>{1, 4}));
    EXPECT_EQ(tq::outlier_channels(sample, 4), (std::vector<Index>{0, 1, 2, 4}));  // of equals the lower
    EXPECT_EQ(tq::outlier_channels(sample.cast<Eigen::half>(), 1), (std::vector<Index>{4}));
    EXPECT_TRUE(tq::outlier_channels(sample, 0).empty());
    EXPECT_TRUE(mentions(message_of([&] { tq::outlier_channels(sample, 7); }), {"7", "6"}));
    EXPECT_TRUE(mentions(message_of([&] { tq::outlier_channels(sample.leftCols(0), 2); }), {"6 × 0"}));
    sample(2, 3) = std::numeric_limits<float>::infinity();
    EXPECT_TRUE(mentions(message_of([&] { tq::outlier_channels(sample, 2); }), {"column 3"}));
}

TEST(SplitQuantizer, Files) {
    const Split42 split(70, 7, some_channels(70, 20), tq::ScaleRule::unbiased);
    const Eigen::MatrixXf x = gaussian(70, 9, 1);
    const tq::Codes codes = split.encode(x);
    std::ostringstream os;
    tq::save(os, split, codes);
    const std::string file = os.str();
    EXPECT_EQ(file.size() % 64, 0u);
    std::istringstream is(file);
    const auto loaded = tq::load<Split42>(is);
    EXPECT_EQ(loaded.quantizer.id(), split.id());
    EXPECT_EQ(loaded.quantizer.outlier_channels(), split.outlier_channels());
    EXPECT_EQ(loaded.quantizer.outliers().scale_rule(), tq::ScaleRule::unbiased);
    EXPECT_TRUE(loaded.quantizer.decode(loaded.codes) == split.decode(codes));
    const auto view = tq::view_of_bytes<Split42>(file.data(), file.size());
    EXPECT_TRUE(view.quantizer.decode(view.codes) == split.decode(codes));
    // Any flipped bit, any truncation.
    for (std::size_t bit = 0; bit < 8 * file.size(); ++bit) {
        std::string damaged = file;
        damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
        EXPECT_TRUE(mentions(saved_files::message_of(
                                 [&] { (void)tq::view_of_bytes<Split42>(damaged.data(), damaged.size()); }),
                             {"turboquant: view_of_bytes"}))
            << bit;
    }
    for (std::size_t size = 0; size < file.size(); size += 17) {
        std::istringstream part(file.substr(0, size));
        EXPECT_TRUE(
            mentions(saved_files::message_of([&] { (void)tq::load<Split42>(part); }), {"turboquant:"}));
    }
    const auto wrong = [&](auto type) {
        std::istringstream again(file);
        return saved_files::message_of([&] { (void)tq::load<decltype(type)>(again); });
    };
    EXPECT_TRUE(mentions(wrong(Mse<4>(70, 7)), {"SplitQuantizer", "MseQuantizer"}));
    EXPECT_TRUE(mentions(wrong(tq::SplitQuantizer<Mse<4>, Mse<3>>(70, 7, some_channels(70, 20))),
                         {"rest", "2 bits", "3 bits"}));
    std::ostringstream none;
    tq::save(none, split, tq::Codes());
    std::istringstream empty(none.str());
    EXPECT_EQ(tq::load<Split42>(empty).codes.size(), 0);
}

TEST(SplitQuantizer, AttentionAndSearch) {
    const auto channels = some_channels(64, 16);
    Eigen::MatrixXf k = with_outliers(64, 400, channels, 6.0f, 1),
                    v = with_outliers(64, 400, channels, 6.0f, 2);
    using Keys = tq::SplitQuantizer<Mse<4>, Mse<3>>;
    tq::BasicKvCache<Keys, Keys> cache(Keys(64, 7, channels, tq::ScaleRule::unbiased),
                                       Keys(64, 8, channels, tq::ScaleRule::least_squares));
    cache.append(k, v);
    const Eigen::MatrixXf q = .2f * gaussian(64, 5, 3);
    const Eigen::MatrixXd expected = reference(cache.keys(), cache.values(), q), exact = reference(k, v, q);
    EXPECT_LE((cache.attend(q).cast<double>() - expected).norm(), 1e-5 * expected.norm());
    EXPECT_LE((expected - exact).norm(), .1 * exact.norm());

    tq::BasicFlatIndex<Keys> index(Keys(64, 7, channels, tq::ScaleRule::unbiased));
    const Eigen::MatrixXf x = with_outliers(64, 2000, channels, 6.0f, 4);
    index.add(x);
    std::stringstream file;
    index.save(file);
    const auto loaded = tq::BasicFlatIndex<Keys>::load(file);
    for (const Index i : {0, 700, 1999}) {
        EXPECT_EQ(index.search(x.col(i), 1).ids(0, 0), i);
        EXPECT_EQ(loaded.search(x.col(i), 1).ids(0, 0), i);
    }
}

}  // namespace
