// TrellisQuantizer with fewer states: distortion, the same bytes however vectors are encoded, and files that name the states.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "saved_files.hpp"
#include "test_vectors.hpp"
#include "turboquant/turboquant.hpp"

namespace {

namespace tq = turboquant;
using saved_files::saved;
using test_vectors::bytes_of;
using test_vectors::gaussian;
using test_vectors::mentions;
using test_vectors::message_of;
using tq::Dynamic;
using tq::Index;
using tq::ScaleRule;

// By the bits of a window.
template <int Bits, int Window, int Dim = Dynamic>
using Trellis = tq::TrellisQuantizer<Dim, Bits, (1 << (Window - Bits))>;

static_assert(std::is_same_v<tq::TrellisQuantizer<128, 2>, tq::TrellisQuantizer<128, 2, 64>>);
static_assert(tq::is_quantizer_v<tq::TrellisQuantizer<128, 2, 16>> &&
              tq::TrellisQuantizer<128, 2, 16>::kStates == 16);

double distortion(const Eigen::MatrixXf& x, const Eigen::MatrixXf& back) {
    return static_cast<double>(
        ((back - x).colwise().squaredNorm().array() / x.colwise().squaredNorm().array()).mean());
}

// What the class states, on Gaussian vectors. 2000 vectors: standard error below .2 %. With 6 bits well below
// Refinement::scale_search's.
TEST(TrellisStates, DistortionIsWhatIsStated) {
    const Eigen::MatrixXf x = gaussian(128, 2000, 4);
    const auto of = [&](const auto& quantizer) {
        return distortion(x, quantizer.decode(quantizer.encode(x)));
    };
    EXPECT_NEAR(of(Trellis<1, 7, 128>(3)), .287, .003);
    EXPECT_NEAR(of(Trellis<2, 7, 128>(3)), .0783, .0008);
    EXPECT_NEAR(of(Trellis<3, 7, 128>(3)), .0217, .0002);
    EXPECT_NEAR(of(Trellis<4, 7, 128>(3)), .0060, .0001);
    EXPECT_NEAR(of(Trellis<1, 6, 128>(3)), .290, .003);
    EXPECT_NEAR(of(Trellis<2, 6, 128>(3)), .0803, .0008);
    EXPECT_NEAR(of(Trellis<3, 6, 128>(3)), .0231, .0003);
    EXPECT_NEAR(of(Trellis<4, 6, 128>(3)), .0066, .0001);
    const auto refined = [&](auto quantizer) { return distortion(x, quantizer.decode(quantizer.encode(x))); };
    constexpr ScaleRule kRule = ScaleRule::least_squares;
    constexpr tq::Refinement kSearch = tq::Refinement::scale_search;
    EXPECT_LT(of(Trellis<2, 6, 128>(3, kRule)), .75 * refined(tq::MseQuantizer<128, 2>(3, kRule, kSearch)));
    EXPECT_LT(of(Trellis<3, 6, 128>(3, kRule)), .80 * refined(tq::MseQuantizer<128, 3>(3, kRule, kSearch)));
    EXPECT_LT(of(Trellis<4, 6, 128>(3, kRule)), .90 * refined(tq::MseQuantizer<128, 4>(3, kRule, kSearch)));
}

// Spikes and constants are no worse: the mean of 200 rotations, with a standard error below 1 %.
TEST(TrellisStates, DistortionOfEveryInput) {
    const auto expect = [](const auto& make, Index dim, double bar) {
        for (int input = 0; input < 3; ++input) {
            Eigen::MatrixXf x = Eigen::MatrixXf::Zero(dim, 1);
            x(dim / 3, 0) = 1;
            if (input == 1) x(dim / 2, 0) = -1;
            if (input == 2) x.setOnes();
            double sum = 0;
            for (std::uint64_t seed = 0; seed < 200; ++seed) {
                const auto quantizer = make(dim, seed);
                sum += distortion(x, quantizer.decode(quantizer.encode(x)));
            }
            EXPECT_LT(sum / 200, bar) << "dimension " << dim << ", input " << input;
        }
    };
    for (Index dim : {64, 100, 200}) {
        expect([](Index d, std::uint64_t seed) { return Trellis<2, 6>(d, seed); }, dim, .088);
        expect([](Index d, std::uint64_t seed) { return Trellis<3, 7>(d, seed); }, dim, .0245);
        expect([](Index d, std::uint64_t seed) { return Trellis<4, 6>(d, seed); }, dim, .0076);
    }
}

// The slope of estimates over exact products, 200 seeds of 40 pairs: standard error below .4 %.
TEST(TrellisStates, InnerProductsAreUnbiased) {
    const auto slope = [](const auto& make) {
        const Eigen::MatrixXf x = gaussian(128, 40, 21), q = .5f * x + gaussian(128, 40, 22);
        double product = 0, square = 0;
        for (std::uint64_t seed = 0; seed < 200; ++seed) {
            const auto quantizer = make(seed);
            const Eigen::MatrixXf back = quantizer.decode(quantizer.encode(x));
            for (Index i = 0; i < 40; ++i) {
                const double exact = static_cast<double>(q.col(i).dot(x.col(i)));
                product += exact * static_cast<double>(q.col(i).dot(back.col(i)));
                square += exact * exact;
            }
        }
        return product / square;
    };
    constexpr ScaleRule kRule = ScaleRule::unbiased;
    EXPECT_NEAR(slope([](std::uint64_t seed) { return Trellis<2, 6>(128, seed, kRule); }), 1, .012);
    EXPECT_NEAR(slope([](std::uint64_t seed) { return Trellis<3, 7>(128, seed, kRule); }), 1, .012);
    EXPECT_NEAR(slope([](std::uint64_t seed) { return Trellis<4, 6>(128, seed, kRule); }), 1, .012);
}

// Decoding asks the last `Window` bits up to a coordinate's alone.
template <int Bits, int Window>
void expect_window(Index dim) {
    const Trellis<Bits, Window> quantizer(dim, 5);
    const tq::Codes codes = quantizer.encode(gaussian(dim, 1, 8));
    const auto& table = tq::detail::trellis_table<Window>(static_cast<int>(dim), Bits);
    const auto& codebook = tq::detail::kTrellisCodebooks<Window>[Bits - 1];
    const auto bit = [&](Index i) { return codes.data()[i / 8] >> (7 - i % 8) & 1; };
    float scale;
    std::memcpy(&scale, codes.data() + (Bits * dim + 7) / 8, sizeof scale);
    Eigen::VectorXf rotated(dim);
    for (Index j = 0; j < dim; ++j) {
        int window = 0;
        for (Index i = Bits * (j + 1) - Window; i < Bits * (j + 1); ++i)
            window = 2 * window + (i >= 0 ? bit(i) : bit(i + Bits * dim));
        const int other = (1 << Window) - 1 - window;
        const int value = window < other ? codebook.values[window] : -codebook.values[other];
        rotated(j) = scale * (table.unit * static_cast<float>(value));
    }
    EXPECT_TRUE(quantizer.decode(codes).col(0).isApprox(quantizer.rotation().apply_transpose(rotated), 1e-5f))
        << Bits << " bits, windows of " << Window << ", dimension " << dim;
}

TEST(TrellisStates, ValuesAreOfTheWindow) {
    for (Index dim : {8, 9, 31, 64, 100, 200}) {
        expect_window<1, 6>(dim);
        expect_window<2, 6>(dim);
        expect_window<3, 6>(dim);
        expect_window<4, 6>(dim);
        expect_window<1, 7>(dim);
        expect_window<2, 7>(dim);
        expect_window<3, 7>(dim);
        expect_window<4, 7>(dim);
    }
}

// The search against a plain one of double precision over all starts.
template <int Bits, int Window>
void expect_nearly_the_best() {
    constexpr int kStates = 1 << (Window - Bits), kDim = 40;
    const Trellis<Bits, Window, kDim> quantizer(3);
    const auto& table = tq::detail::trellis_table<Window>(kDim, Bits);
    const Eigen::MatrixXf x = gaussian(kDim, 50, 6);
    const Eigen::MatrixXf y = quantizer.rotation().apply(x), back = quantizer.decode(quantizer.encode(x));
    double found = 0, least = 0;
    for (Index v = 0; v < x.cols(); ++v) {
        const double norm = static_cast<double>(x.col(v).norm());
        double best = std::numeric_limits<double>::infinity();
        for (std::size_t start = 0; start < kStates; ++start) {
            std::vector<double> cost(kStates, std::numeric_limits<double>::infinity());
            cost[start] = 0;
            for (Index j = 0; j < kDim; ++j) {
                std::vector<double> next(kStates, std::numeric_limits<double>::infinity());
                for (int w = 0; w < 1 << Window; ++w) {
                    const double error = static_cast<double>(y(j, v)) / norm -
                                         static_cast<double>(table.unit * table.values[w]);
                    double& to = next[static_cast<std::size_t>(w % kStates)];
                    to = std::min(to, cost[static_cast<std::size_t>(w >> Bits)] + error * error);
                }
                cost = next;
            }
            best = std::min(best, cost[start]);
        }
        const double error = static_cast<double>((x.col(v) - back.col(v)).squaredNorm()) / (norm * norm);
        EXPECT_GE(error, best - 1e-5);
        found += error;
        least += best;
    }
    // The state that joins the ends is found from 8 to 32 coordinates on each side.
    EXPECT_LE(found, 1.05 * least) << Bits << " bits, windows of " << Window;
}

TEST(TrellisStates, PathsAreNearlyTheBest) {
    expect_nearly_the_best<1, 6>();
    expect_nearly_the_best<2, 6>();
    expect_nearly_the_best<3, 6>();
    expect_nearly_the_best<4, 6>();
    expect_nearly_the_best<2, 7>();
    expect_nearly_the_best<4, 7>();
}

// Any number of vectors at once gives the bytes of one after another, on every target.
template <int Bits, int Window>
void expect_same_in_groups(Index dim) {
    SCOPED_TRACE(std::to_string(Bits) + " bits, windows of " + std::to_string(Window) + ", dimension " +
                 std::to_string(dim));
    const Trellis<Bits, Window> quantizer(dim, 7, ScaleRule::unbiased);
    Eigen::MatrixXf x = gaussian(dim, 37, 2);
    x.col(1).setZero();
    x.col(2).setOnes();
    x.col(5) *= 1e-30f;
    x.col(6) *= 1e30f;
    tq::Codes codes;
    {
        const test_vectors::ScopedTarget scoped(tq::Target::scalar);
        for (Index i = 0; i < x.cols(); ++i) quantizer.append(x.col(i), codes);
    }
    const std::vector<std::uint8_t> expected = bytes_of(codes);
    const std::size_t bytes = quantizer.bytes_per_vector();
    for (const tq::Target target : tq::supported_targets()) {
        SCOPED_TRACE(tq::target_name(target));
        const test_vectors::ScopedTarget scoped(target);
        for (const Index n : {1, 2, 3, 4, 5, 6, 8, 9, 16, 17, 24, 37}) {
            const Index first = n % 3;  // misaligned too
            if (first + n > 37) continue;
            const std::vector<std::uint8_t> found = bytes_of(quantizer.encode(x.middleCols(first, n)));
            const auto from = expected.begin() + static_cast<std::ptrdiff_t>(bytes) * first;
            EXPECT_TRUE(std::equal(found.begin(), found.end(), from)) << n << " vectors";
        }
    }
}
template <int Bits>
void expect_same_in_groups_of(Index dim) {
    expect_same_in_groups<Bits, 6>(dim);
    expect_same_in_groups<Bits, 7>(dim);
    expect_same_in_groups<Bits, 8>(dim);
}

TEST(TrellisStates, GroupsOfAnySizeGiveTheSameBytes) {
    // Shorter vectors than a junction, than a window; more than are decided at once; more than wait for others.
    for (Index dim : {1, 3, 7, 8, 9, 16, 33, 64, 100, 128, 192, 193, 256, 300, 1000, 1537}) {
        expect_same_in_groups_of<1>(dim);
        expect_same_in_groups_of<2>(dim);
        expect_same_in_groups_of<3>(dim);
        expect_same_in_groups_of<4>(dim);
    }
}

// A column that cannot be encoded, with others waiting before it and after it.
TEST(TrellisStates, ErrorsNameTheColumn) {
    using Quantizer = tq::TrellisQuantizer<Dynamic, 2, 16, tq::Rotation<Dynamic>, Eigen::half>;
    for (const tq::Target target : tq::supported_targets()) {
        SCOPED_TRACE(tq::target_name(target));
        const test_vectors::ScopedTarget scoped(target);
        const Quantizer quantizer(100, 7, ScaleRule::unbiased);
        const Eigen::MatrixXf x = gaussian(100, 40, 3);
        tq::Codes codes = quantizer.encode(x);
        const auto before = bytes_of(codes);
        for (const Index bad : {0, 3, 15, 16, 33, 39}) {
            const std::string column = "column " + std::to_string(bad) + " ";
            Eigen::MatrixXf wrong = x;
            wrong(5, bad) = 3e6f;  // the scale is half precision
            wrong(5, std::min<Index>(bad + 2, 39)) = wrong(5, bad);
            EXPECT_TRUE(mentions(message_of([&] { quantizer.append(wrong, codes); }), {column, "too large"}));
            EXPECT_TRUE(mentions(message_of([&] { quantizer.encode(wrong, codes); }), {column, "too large"}));
            tq::Codes fresh;
            EXPECT_TRUE(mentions(message_of([&] { quantizer.encode(wrong, fresh); }), {column, "norm 3"}));
            wrong = x;
            wrong(7, bad) = std::numeric_limits<float>::quiet_NaN();
            EXPECT_TRUE(mentions(message_of([&] { quantizer.append(wrong, codes); }), {column, "NaN"}));
            if (bad == 0) continue;
            wrong(5, bad - 1) = 3e6f;  // before the NaN
            EXPECT_TRUE(mentions(message_of([&] { quantizer.append(wrong, codes); }),
                                 {"column " + std::to_string(bad - 1) + " ", "too large"}));
        }
        EXPECT_EQ(bytes_of(codes), before);
    }
}

TEST(TrellisStates, CodesOfOtherStatesAreRefused) {
    const tq::TrellisQuantizer<64, 3> all(7);
    const tq::TrellisQuantizer<64, 3, 8> few(7);
    EXPECT_NE(all.fingerprint(), few.fingerprint());
    EXPECT_EQ(all.bytes_per_vector(), few.bytes_per_vector());
    const tq::Codes codes = few.encode(gaussian(64, 5, 3));
    EXPECT_TRUE(mentions(message_of([&] { all.decode(codes); }), {"8 states", "32 states"}));
    EXPECT_TRUE(mentions(few.id().description(), {"TrellisQuantizer of dimension 64, 3 bits, 8 states"}));
}

TEST(TrellisStates, FilesNameThem) {
    const tq::TrellisQuantizer<64, 3, 8> quantizer(7, ScaleRule::least_squares);
    const tq::Codes codes = quantizer.encode(gaussian(64, 5, 3));
    const std::string file = saved(quantizer, codes);
    std::istringstream is(file);
    const auto loaded = tq::load<tq::TrellisQuantizer<Dynamic, 3, 8>>(is);
    EXPECT_EQ(bytes_of(loaded.codes), bytes_of(codes));
    EXPECT_EQ(loaded.quantizer.fingerprint(), quantizer.fingerprint());
    EXPECT_EQ(loaded.quantizer.decode(loaded.codes), quantizer.decode(codes));
    std::istringstream wrong(file);
    EXPECT_TRUE(mentions(saved_files::message_of([&] { tq::load<tq::TrellisQuantizer<64, 3>>(wrong); }),
                         {"TrellisQuantizer of dimension 64, 3 bits, 8 states", "32 states"}));
    const std::string ordinary =
        saved(tq::TrellisQuantizer<64, 3>(7), tq::TrellisQuantizer<64, 3>(7).encode(gaussian(64, 5, 3)));
    std::istringstream other(ordinary);
    EXPECT_TRUE(mentions(saved_files::message_of([&] { tq::load<tq::TrellisQuantizer<64, 3, 16>>(other); }),
                         {"32 states", "16 states"}));
    // Byte 40: what the bits of a window are less than 8, zero in files before there was a choice.
    EXPECT_EQ(file[40], 2);
    EXPECT_EQ(ordinary[40], 0);
    for (std::size_t at = 0; at < file.size(); ++at) {
        std::string damaged = file;
        damaged[at] = static_cast<char>(damaged[at] ^ (1 << at % 8));
        std::istringstream stream(damaged);
        EXPECT_THROW((tq::load<tq::TrellisQuantizer<64, 3, 8>>(stream)), std::runtime_error) << "byte " << at;
    }
}

TEST(TrellisStates, Containers) {
    using Few = tq::TrellisQuantizer<Dynamic, 3, 8>;
    const Eigen::MatrixXf x = gaussian(64, 300, 3), v = gaussian(64, 300, 4), q = gaussian(64, 4, 5);

    tq::BasicFlatIndex<Few> index(64);
    index.add(x);
    std::istringstream index_file(saved(index));
    const auto hits = index.search(q, 5);
    EXPECT_EQ(tq::BasicFlatIndex<Few>::load(index_file).search(q, 5).ids, hits.ids);
    std::istringstream wrong_index(saved(index));
    EXPECT_TRUE(mentions(saved_files::message_of([&] {
                             tq::BasicFlatIndex<tq::TrellisQuantizer<Dynamic, 3>>::load(wrong_index);
                         }),
                         {"8 states", "32 states"}));

    tq::BasicKvCache<Few, tq::TrellisQuantizer<Dynamic, 2, 32>> cache(64);
    cache.append(x, v);
    std::istringstream cache_file(saved(cache));
    const auto loaded = decltype(cache)::load(cache_file);
    EXPECT_EQ(loaded.keys(), cache.keys());
    EXPECT_EQ(loaded.values(), cache.values());
    std::istringstream wrong_cache(saved(cache));
    EXPECT_TRUE(mentions(saved_files::message_of([&] { tq::BasicKvCache<Few, Few>::load(wrong_cache); }),
                         {"2 bits, 32 states", "3 bits, 8 states"}));

    const tq::SplitQuantizer<tq::TrellisQuantizer<Dynamic, 4, 4>, Few> split(64, 7,
                                                                             {1, 5, 20, 21, 40, 50, 60, 61});
    const tq::Codes codes = split.encode(x);
    std::istringstream split_file(saved(split, codes));
    const auto parts = tq::load<std::decay_t<decltype(split)>>(split_file);
    EXPECT_EQ(parts.quantizer.decode(parts.codes), split.decode(codes));
    std::istringstream wrong_split(saved(split, codes));
    using Other = tq::SplitQuantizer<tq::TrellisQuantizer<Dynamic, 4>, Few>;
    EXPECT_TRUE(
        mentions(saved_files::message_of([&] { tq::load<Other>(wrong_split); }), {"4 states", "16 states"}));
}

}  // namespace
