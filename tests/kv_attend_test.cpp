// Attention on codes against attention on what the codes stand for: what attend adds is at most a tenth of the error that the
// quantization made, or 1e-5 of the output's norm, at every width, length, number of queries and head size.
#include <cmath>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "kv_vectors.hpp"
#include "turboquant/turboquant.hpp"

namespace {

namespace tq = turboquant;
using kv_vectors::reference;
using kv_vectors::tokens;
using test_vectors::gaussian;
using tq::Dynamic;
using tq::Index;

struct Shape {
    Index dim, value_dim, n, m;
    float deviation = 1;  // of the logits
};

// The error that attend adds beside the quantization's own, both over all columns.
template <class Cache>
void expect_little_added(Cache cache, const Shape& shape, const std::string& trace) {
    const Eigen::MatrixXf k = tokens(shape.dim, shape.n, 1), v = tokens(shape.value_dim, shape.n, 2);
    const Eigen::MatrixXf q = shape.deviation * gaussian(shape.dim, shape.m, 3);
    cache.append(k, v);
    const Eigen::MatrixXd exact = reference(k, v, q), decoded = reference(cache.keys(), cache.values(), q);
    const Eigen::MatrixXd got = cache.attend(q).template cast<double>();
    const double own = (decoded - exact).norm(), added = (got - decoded).norm();
    EXPECT_LE(added, std::max(0.1 * own, 1e-5 * exact.norm()))
        << trace << ": d " << shape.dim << "/" << shape.value_dim << ", " << shape.n << " tokens, " << shape.m
        << " queries, deviation " << shape.deviation << ", " << tq::target_name(tq::active_target());
}

template <int KeyBits, int ValueBits>
void sweep() {
    using Cache = tq::KvCache<Dynamic, KeyBits, ValueBits>;
    const std::string trace = std::to_string(KeyBits) + "/" + std::to_string(ValueBits) + " bits";
    tq::KvCacheOptions options;
    options.seed = 11;
    const auto check = [&](const Shape& shape) {
        expect_little_added(Cache(shape.dim, shape.value_dim, options), shape, trace);
    };
    for (const Index n : {1, 4, 5, 64, 65, 68, 69, 131, 132, 133, 195, 196, 197, 1000}) check({64, 64, n, 2});
    for (const Index m : {1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 17, 33}) check({128, 128, 700, m});
    for (const Index dim : {32, 33, 47, 64, 80, 96, 100, 112, 128, 192, 256}) check({dim, dim, 400, 4});
    check({192, 128, 400, 3});
    check({576, 512, 300, 3});
    check({128, 128, 2000, 4, 4.0f});
    options.window = options.sinks = 0;
    for (const Index n : {64, 65, 127, 128, 129}) check({128, 128, n, 4});
    options.window = 1;
    for (const Index n : {1, 2, 65, 66}) check({128, 128, n, 1});
    for (const tq::Centring centring : {tq::Centring::none, tq::Centring::values, tq::Centring::all}) {
        options.centring = centring;
        check({128, 128, 500, 4});
    }
}

TEST(KvAttend, AddsLittleAt1Bit) { sweep<1, 1>(); }
TEST(KvAttend, AddsLittleAt2Bits) { sweep<2, 2>(); }
TEST(KvAttend, AddsLittleAt3Bits) { sweep<3, 3>(); }
TEST(KvAttend, AddsLittleAt4Bits) { sweep<4, 4>(); }
TEST(KvAttend, AddsLittleAt5And6Bits) { sweep<5, 6>(); }
TEST(KvAttend, AddsLittleAt8And7Bits) { sweep<8, 7>(); }

// The kernels of every target, on all widths that have kernels of their own.
template <int Bits>
void on_every_target() {
    for (const tq::Target target : tq::supported_targets()) {
        const test_vectors::ScopedTarget scope(target);
        for (const Index m : {1, 2, 3, 4, 7})
            for (const Index dim : {64, 100, 128})
                expect_little_added(tq::KvCache<Dynamic, Bits>(dim), {dim, dim, 333, m},
                                    std::to_string(Bits) + " bits");
    }
}
TEST(KvAttend, EveryTarget) {
    on_every_target<1>();
    on_every_target<2>();
    on_every_target<3>();
    on_every_target<4>();
    on_every_target<5>();
    on_every_target<6>();
    on_every_target<7>();
    on_every_target<8>();
}

// 4 bits: integer queries and centroids move a logit by .7 % of the logits' deviation. 8 bits: where queries, weights and
// centroids are integers of 15 and 16 bits by .015 %, else by float rounding.
template <class Bits>
class Options : public testing::Test {
protected:
    static constexpr Index kDim = 64, kSize = 500, kColumns = 24;
    static constexpr double kMoved = Bits::value == 4 ? 0.007 : 1.5e-4;
    using Cache = tq::KvCache<Dynamic, Bits::value>;
    Options() : cache_(kDim, centred()), q_(2.0f * gaussian(kDim, kColumns, 3)) {
        cache_.append(tokens(kDim, kSize, 1), tokens(kDim, kSize, 2));
        keys_ = cache_.keys();
        values_ = cache_.values();
    }
    // The tolerances are for keys whose mean is off.
    static tq::KvCacheOptions centred() {
        tq::KvCacheOptions options;
        options.centring = true;
        return options;
    }
    // Deviation of the logits: scale·‖q‖, with ‖q‖ = 2·√64. Outputs move by at most as much, and by .6 % for the values'
    // integer centroids; 5e-6 for float sums. Log-sum-exps by at most the largest movement of a logit, 4.5 deviations.
    void expect_close(const Eigen::MatrixXf& got, const Eigen::MatrixXd& expected, double scale = 0.125) {
        const double tolerance = kMoved * (1.0 + 16.0 * scale) + 5e-6;
        EXPECT_LE((got.cast<double>() - expected).norm(), tolerance * expected.norm());
    }
    void expect_close(const std::vector<float>& lse, const std::vector<double>& expected, double scale) {
        for (std::size_t j = 0; j < lse.size(); ++j)
            EXPECT_NEAR(static_cast<double>(lse[j]), expected[j], 4.5 * kMoved * 16.0 * scale + 1e-5);
    }
    Cache cache_;
    Eigen::MatrixXf q_, keys_, values_;
};
using Widths = testing::Types<std::integral_constant<int, 4>, std::integral_constant<int, 8>>;
TYPED_TEST_SUITE(Options, Widths, );

TYPED_TEST(Options, ScaleSoftcapRangeAndLogSumExp) {
    const std::pair<Index, Index> ranges[] = {{0, -1}, {0, 1}, {2, 70}, {67, 69}, {100, 499}, {450, 500}};
    for (const float scale : {0.0f, 0.05f, 0.3f})
        for (const float softcap : {0.0f, 1.0f, 30.0f})
            for (const auto& range : ranges) {
                tq::AttendOptions options;
                options.scale = scale;
                options.softcap = softcap;
                options.first = range.first;
                options.last = range.second;
                std::vector<float> lse(24);
                options.lse = lse.data();
                const Index last = range.second < 0 ? this->kSize : range.second;
                const double factor = scale == 0.0f ? 0.125 : static_cast<double>(scale);
                std::vector<double> expected_lse;
                const Eigen::MatrixXd expected = reference(
                    this->keys_, this->values_, this->q_, factor, static_cast<double>(softcap), range.first,
                    [&](Index) { return last; }, &expected_lse);
                this->expect_close(this->cache_.attend(this->q_, options), expected, factor);
                this->expect_close(lse, expected_lse, factor);
            }
}

// A prompt in chunks: each column sees the tokens up to its own.
TYPED_TEST(Options, Causal) {
    for (const Index heads : {1, 2, 4, 12, 24}) {
        tq::AttendOptions options;
        options.causal = true;
        options.heads_per_token = heads;
        const auto last_of = [&](Index j) { return 500 - 24 / heads + j / heads + 1; };
        this->expect_close(this->cache_.attend(this->q_, options),
                           reference(this->keys_, this->values_, this->q_, 0.125, 0, 0, last_of));
        options.first = 300;
        options.last = 490;
        this->expect_close(this->cache_.attend(this->q_, options),
                           reference(this->keys_, this->values_, this->q_, 0.125, 0, 300,
                                     [&](Index j) { return std::min<Index>(490, last_of(j)); }));
    }
    // A whole prompt from its first token on.
    typename TestFixture::Cache prompt(64);
    prompt.append(this->keys_.leftCols(200), this->values_.leftCols(200));
    tq::AttendOptions options;
    options.causal = true;
    const Eigen::MatrixXf q = gaussian(64, 200, 5);
    this->expect_close(prompt.attend(q, options), reference(prompt.keys(), prompt.values(), q, 0.125, 0, 0,
                                                            [](Index j) { return j + 1; }));
}

// Parts of a context merge to the whole, by their log-sum-exps.
TYPED_TEST(Options, SplitContextsMerge) {
    const Eigen::MatrixXf whole = this->cache_.attend(this->q_);
    for (const Index cut : {0, 1, 100, 250, 499, 500}) {
        std::vector<float> lse(24), other_lse(24);
        tq::AttendOptions options;
        options.last = cut;
        options.lse = lse.data();
        Eigen::MatrixXf out = this->cache_.attend(this->q_, options);
        options.first = cut;
        options.last = -1;
        options.lse = other_lse.data();
        tq::merge_attention(out, lse.data(), this->cache_.attend(this->q_, options), other_lse.data());
        // Weights may be rounded differently, each time by .6 % of their energy (4 bits). 8 bits: by float rounding, or where
        // products are integers by the part that is left out, 1e-4 (attention_wide.inl).
        EXPECT_LE((out - whole).norm(), (TypeParam::value == 4 ? 0.01f : 1e-4f) * whole.norm()) << cut;
    }
}

TYPED_TEST(Options, SixteenBitQueriesAndStridedOutputs) {
    const Eigen::MatrixXf q = this->q_.template cast<Eigen::half>().template cast<float>();
    const Eigen::MatrixXf expected = this->cache_.attend(q);
    EXPECT_TRUE(this->cache_.attend(this->q_.template cast<Eigen::half>()) == expected);
    Eigen::MatrixXf wide = Eigen::MatrixXf::Constant(67, 24, 5.0f);
    this->cache_.attend(q, wide.topRows(64));
    EXPECT_TRUE(wide.topRows(64) == expected);
    EXPECT_TRUE(wide.bottomRows(3) == Eigen::MatrixXf::Constant(3, 24, 5.0f));
    Eigen::VectorXf one(64);
    this->cache_.attend(q.col(5), one);
    EXPECT_LE((one - expected.col(5)).norm(), 1e-5f * one.norm());
}

// Algorithm 2, and any other quantizer, goes through decode.
TEST(KvAttend, OtherQuantizers) {
    using Keys = tq::TurboQuantizer<Dynamic, 4>;
    using Values = tq::MseQuantizer<Dynamic, 3>;
    expect_little_added(tq::BasicKvCache<Keys, Values>(100, 64), {100, 64, 400, 5}, "turbo keys");
    expect_little_added(tq::BasicKvCache<Values, Keys>(64, 100), {64, 100, 400, 5}, "turbo values");
    using Half = tq::MseQuantizer<64, 4, tq::Rotation<64>, Eigen::half>;
    expect_little_added(tq::BasicKvCache<Half, Half>(), {64, 64, 400, 5}, "half scales");
    using Haar = tq::MseQuantizer<64, 2, tq::Rotation<64, tq::RotationKind::haar>>;
    expect_little_added(tq::BasicKvCache<Haar, Haar>(), {64, 64, 400, 5}, "haar");
}

// Values that hardly count are left out of the sum: no output changes by more than float rounding.
TEST(KvAttend, SkippedValuesCannotMatter) {
    tq::KvCacheOptions options;
    options.window = options.sinks = 0;
    options.centring = false;
    tq::KvCache<Dynamic, 4> cache(64, options);
    Eigen::MatrixXf k = tokens(64, 640, 1), v = tokens(64, 640, 2);
    const Eigen::MatrixXf q = gaussian(64, 1, 3);
    for (Index block = 0; block < 10; ++block)  // logits fall by 6 from block to block, or rise
        for (Index t = 0; t < 64; ++t)
            k.col(64 * block + t) = q * (8.0f * static_cast<float>(10 - block) * 6.0f / q.squaredNorm()) +
                                    0.1f * gaussian(64, 1, static_cast<std::uint64_t>(1000 + block * 64 + t));
    cache.append(k, v);
    const Eigen::MatrixXd expected = reference(cache.keys(), cache.values(), q);
    const Eigen::MatrixXd got = cache.attend(q).cast<double>();
    EXPECT_LE((got - expected).norm(), 0.03 * expected.norm());
    // Alone, without the blocks that are skipped, the output is the same.
    tq::AttendOptions some;
    some.last = 256;
    EXPECT_LE((cache.attend(q, some).cast<double>() - got).norm(), 1e-6 * got.norm());
}

}  // namespace
