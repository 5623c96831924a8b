// KvCache as its users see it: what append, attend, scores, truncate, copies and bytes promise.
#include <cmath>
#include <limits>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "kv_vectors.hpp"
#include "saved_files.hpp"
#include "turboquant/turboquant.hpp"

namespace {

namespace tq = turboquant;
using kv_vectors::reference;
using kv_vectors::tokens;
using saved_files::saved;
using test_vectors::gaussian;
using test_vectors::mentions;
using test_vectors::message_of;
using tq::Dynamic;
using tq::Index;

using Cache = tq::KvCache<Dynamic, 4>;

tq::KvCacheOptions options_of(Index window, Index sinks, tq::CentringChoice centring = true) {
    tq::KvCacheOptions options;
    options.seed = 7;
    options.window = window;
    options.sinks = sinks;
    options.centring = centring;
    return options;
}

TEST(KvCache, ConstructionByTheNormativeSignatures) {
    const tq::KvCacheOptions options = options_of(64, 4);
    const tq::KvCache<128, 4, 3> fixed(options);
    EXPECT_EQ(fixed.dim(), 128);
    EXPECT_EQ(fixed.value_dim(), 128);
    const tq::KvCache<128, 4> defaults;
    EXPECT_EQ(defaults.size(), 0);
    const tq::KvCache<Dynamic, 4> dynamic(80, options);
    EXPECT_EQ(dynamic.dim(), 80);
    const tq::KvCache<Dynamic, 4> two(192, 128, options);
    EXPECT_EQ(two.dim(), 192);
    EXPECT_EQ(two.value_dim(), 128);
    using Quantizer = tq::MseQuantizer<Dynamic, 4>;
    const tq::BasicKvCache<Quantizer, Quantizer> given(Quantizer(64, 1, tq::ScaleRule::norm),
                                                       Quantizer(64, 2, tq::ScaleRule::norm), options);
    EXPECT_EQ(given.codec().value_quantizer().seed(), 2u);
    EXPECT_EQ(fixed.codec().key_quantizer().scale_rule(), tq::ScaleRule::unbiased);
    EXPECT_EQ(fixed.codec().value_quantizer().scale_rule(), tq::ScaleRule::least_squares);
    EXPECT_TRUE(mentions(message_of([&] { tq::KvCache<128, 4> wrong(64, options); }), {"128", "64"}));
    EXPECT_TRUE(mentions(message_of([&] { Cache wrong(64, options_of(-1, 4)); }), {"window", "-1"}));
    EXPECT_TRUE(mentions(message_of([&] { Cache wrong(64, options_of(4, -2)); }), {"sinks", "-2"}));
}

// Everything inside the window and the sinks: exact attention, to float rounding.
TEST(KvCache, InsideTheWindowAttentionIsExact) {
    for (const Index dim : {32, 64, 80, 128}) {
        for (const Index n : {1, 3, 4, 5, 63, 64, 68}) {
            Cache cache(dim, options_of(64, 4));
            const Eigen::MatrixXf k = tokens(dim, n, 1), v = tokens(dim, n, 2), q = gaussian(dim, 3, 3);
            cache.append(k, v);
            const Eigen::MatrixXd expected = reference(k, v, q);
            const Eigen::MatrixXd got = cache.attend(q).cast<double>();
            EXPECT_LE((got - expected).norm(), 1e-5 * expected.norm()) << dim << " " << n;
            EXPECT_LE((cache.scores(q) - k.transpose() * q).norm(), 1e-5f * (k.transpose() * q).norm());
            EXPECT_TRUE(cache.keys() == k);
            EXPECT_TRUE(cache.values() == v);
        }
    }
}

// The newest min(size, window) tokens and the first `sinks` are exact; fewer than a block of others wait.
TEST(KvCache, NewestTokensAndSinksStayExact) {
    for (const Index window : {0, 1, 10, 64, 100}) {
        for (const Index sinks : {0, 1, 4}) {
            Cache cache(32, options_of(window, sinks));
            const Eigen::MatrixXf k = tokens(32, 300, 1), v = tokens(32, 300, 2);
            for (Index n = 1; n <= 300; ++n) {
                cache.append(k.col(n - 1), v.col(n - 1));
                const Index exact_from = sinks + cache.quantized();
                ASSERT_LE(exact_from, std::max(sinks, n - std::min(n, window)));
                ASSERT_LT(n - exact_from, window + 64);
                ASSERT_EQ(cache.quantized() % 64, 0);
                if (n % 37 != 0) continue;
                const Eigen::MatrixXf keys = cache.keys(), values = cache.values();
                const Index first = std::min(n, sinks), last = n - std::min(n, exact_from);
                ASSERT_TRUE(keys.leftCols(first) == k.leftCols(first));
                ASSERT_TRUE(keys.rightCols(last) == k.middleCols(n - last, last));
                ASSERT_TRUE(values.rightCols(last) == v.middleCols(n - last, last));
            }
            EXPECT_GT(cache.quantized(), 0);
        }
    }
}

// The same bytes whether tokens come one by one, all at once, or in between, and from 16-bit floats.
TEST(KvCache, BytesDependOnTheTokensAlone) {
    const Eigen::MatrixXf k = tokens(64, 500, 1).cast<Eigen::half>().cast<float>();
    const Eigen::MatrixXf v = tokens(64, 500, 2).cast<Eigen::half>().cast<float>();
    Cache at_once(64, options_of(70, 4));
    at_once.append(k, v);
    const std::string expected = saved(at_once);
    for (const Index step : {1, 7, 64, 129}) {
        Cache cache(64, options_of(70, 4));
        for (Index i = 0; i < 500; i += step) {
            const Index n = std::min<Index>(step, 500 - i);
            cache.append(k.middleCols(i, n), v.middleCols(i, n));
        }
        EXPECT_TRUE(saved(cache) == expected) << step;
    }
    Cache half(64, options_of(70, 4));
    half.append(k.cast<Eigen::half>(), v.cast<Eigen::half>());
    EXPECT_TRUE(saved(half) == expected);
    for (const tq::Target target : tq::supported_targets()) {
        const test_vectors::ScopedTarget scope(target);
        Cache cache(64, options_of(70, 4));
        cache.append(k, v);
        EXPECT_TRUE(saved(cache) == expected) << tq::target_name(target);
    }
}

TEST(KvCache, DecodedTokensAreTheQuantizersOwn) {
    using Quantizer = tq::MseQuantizer<Dynamic, 4>;
    const Eigen::MatrixXf k = tokens(64, 128, 1), v = tokens(64, 128, 2);
    Cache cache(64, options_of(0, 0, /*centring=*/false));
    cache.append(k, v);
    ASSERT_EQ(cache.quantized(), 128);
    const auto& keys = cache.codec().key_quantizer();
    const auto& values = cache.codec().value_quantizer();
    EXPECT_LE((cache.keys() - keys.decode(keys.encode(k))).cwiseAbs().maxCoeff(), 1e-6f);
    EXPECT_LE((cache.values() - values.decode(values.encode(v))).cwiseAbs().maxCoeff(), 1e-6f);
    // The mean of the first 64 comes off and is put back.
    Cache centred(64, options_of(0, 0, tq::Centring::all));
    centred.append(k, v);
    const Eigen::VectorXf mean = k.leftCols(64).rowwise().mean();
    const Eigen::MatrixXf moved = k.colwise() - mean;
    const Eigen::MatrixXf back = keys.decode(keys.encode(moved)).colwise() + mean;
    EXPECT_LE((centred.keys() - back).norm(), 1e-3f * back.norm());
    EXPECT_LT((centred.keys() - k).norm(), (cache.keys() - k).norm());
    Cache with_values(64, options_of(0, 0, tq::Centring::values));
    with_values.append(k, v);
    EXPECT_TRUE(with_values.keys() == cache.keys());
    EXPECT_TRUE(with_values.values() == centred.values());
    // Unless told, off values; and off keys, block by block.
    EXPECT_EQ(tq::KvCacheOptions().centring.which(), tq::Centring::blocks);
    Cache blocks(64, options_of(0, 0));
    blocks.append(k, v);
    EXPECT_TRUE(blocks.values() == centred.values());
    EXPECT_LT((blocks.keys() - k).norm(), 0.8f * (cache.keys() - k).norm());
    Eigen::VectorXf block_mean = k.rightCols(64).rowwise().mean();
    const Quantizer means(64, 7, tq::ScaleRule::least_squares);
    block_mean = means.decode(means.encode(block_mean));
    for (Index t = 64; t < 128; ++t) {
        // The share that leaves least.
        float least = k.col(t).norm();
        Eigen::VectorXf best = Eigen::VectorXf::Zero(64);
        for (const float share : {1.0f / 3.0f, 2.0f / 3.0f, 1.0f})
            if (const float left = (k.col(t) - share * block_mean).norm(); left < least)
                least = left, best = share * block_mean;
        const Eigen::VectorXf expected = keys.decode(keys.encode(k.col(t) - best)) + best;
        EXPECT_LE((blocks.keys().col(t) - expected).norm(), 1e-5f * expected.norm()) << t;
    }
}

// Keys around a mean that turns as rotary embeddings turn it: the mean of each block comes off, that of the first does not help.
TEST(KvCache, BlocksFollowAMeanThatTurns) {
    const Eigen::MatrixXf base = gaussian(64, 2, 5), noise = gaussian(64, 1000, 6);
    Eigen::MatrixXf k(64, 1000);
    for (Index t = 0; t < 1000; ++t) {
        const float angle = 0.01f * static_cast<float>(t);
        k.col(t) = 2.0f * (std::cos(angle) * base.col(0) + std::sin(angle) * base.col(1)) + noise.col(t);
    }
    const auto error = [&](tq::Centring centring) {
        Cache cache(64, options_of(0, 0, centring));
        cache.append(k, k);
        return (cache.keys() - k).leftCols(cache.quantized()).norm();
    };
    const float none = error(tq::Centring::none);
    EXPECT_GT(error(tq::Centring::all), 0.9f * none);
    EXPECT_LT(error(tq::Centring::blocks), 0.6f * none);
}

TEST(KvCache, TruncateAndAppendAgain) {
    const Eigen::MatrixXf k = tokens(32, 600, 1), v = tokens(32, 600, 2), q = gaussian(32, 2, 3);
    Cache cache(32, options_of(64, 4));
    cache.append(k.leftCols(400), v.leftCols(400));
    const Eigen::MatrixXf before = cache.keys();
    for (const Index n : {399, 350, 300, 200, 70, 5, 3, 0}) {
        Cache shorter = cache;
        shorter.truncate(n);
        ASSERT_EQ(shorter.size(), n);
        EXPECT_TRUE(shorter.keys() == before.leftCols(n)) << n;
        shorter.append(k.rightCols(200), v.rightCols(200));
        ASSERT_EQ(shorter.size(), n + 200);
        const Eigen::MatrixXf keys = shorter.keys(), values = shorter.values();
        const Index kept = std::min(n, 4 + cache.quantized());  // the rest was exact, and is quantized now
        EXPECT_TRUE(keys.leftCols(kept) == before.leftCols(kept)) << n;
        EXPECT_TRUE(keys.rightCols(64) == k.rightCols(64)) << n;
        EXPECT_LT((keys.rightCols(200) - k.rightCols(200)).norm(), 0.15f * k.rightCols(200).norm());
        const Eigen::MatrixXd expected = reference(keys, values, q);
        EXPECT_LE((shorter.attend(q).cast<double>() - expected).norm(), 0.01 * expected.norm()) << n;
    }
    EXPECT_TRUE(cache.keys() == before);
    EXPECT_TRUE(mentions(message_of([&] { cache.truncate(401); }), {"401", "400"}));
    EXPECT_TRUE(mentions(message_of([&] { cache.truncate(-1); }), {"-1", "400"}));
    // An emptied cache is like a new one.
    Cache emptied = cache, fresh(32, options_of(64, 4));
    emptied.clear();
    emptied.append(k.rightCols(300), v.rightCols(300));
    fresh.append(k.rightCols(300), v.rightCols(300));
    EXPECT_TRUE(saved(emptied) == saved(fresh));
}

TEST(KvCache, BranchesShareAndPart) {
    const Eigen::MatrixXf k = tokens(64, 5000, 1), v = tokens(64, 5000, 2);
    Cache trunk(64, options_of(64, 4));
    trunk.append(k, v);
    const std::string before = saved(trunk);
    Cache branch = trunk;
    EXPECT_TRUE(saved(branch) == before);
    branch.append(k.leftCols(200), v.leftCols(200));
    EXPECT_TRUE(saved(trunk) == before);
    Cache other = trunk;
    other.truncate(1000);
    other.append(k.rightCols(200), v.rightCols(200));
    EXPECT_TRUE(saved(trunk) == before);
    EXPECT_TRUE(branch.keys().leftCols(5000 - 128) == trunk.keys().leftCols(5000 - 128));
    // Branches in threads of their own.
    std::vector<std::string> results(4);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < results.size(); ++i)
        threads.emplace_back([&, i] {
            Cache mine = trunk;
            mine.truncate(4000);
            mine.append(k.leftCols(300), v.leftCols(300));
            results[i] = saved(mine);
        });
    for (std::thread& thread : threads) thread.join();
    for (const std::string& result : results) EXPECT_TRUE(result == results[0]);
    EXPECT_TRUE(saved(trunk) == before);
    Cache moved = std::move(branch);
    EXPECT_EQ(moved.size(), 5200);
    EXPECT_EQ(branch.size(), 0);  // NOLINT: what was moved from is empty
    branch.append(k.leftCols(3), v.leftCols(3));
    EXPECT_EQ(branch.size(), 3);
}

// Memory within 3 % of what the tokens' codes take and the exact tokens, all capacity included.
template <int Bits>
void expect_honest_bytes(Index dim) {
    for (const Index n : {1, 100, 1000, 10000}) {
        tq::KvCache<Dynamic, Bits> cache(dim, options_of(64, 4));
        const Eigen::MatrixXf k = tokens(dim, n, 1), v = tokens(dim, n, 2);
        for (Index i = 0; i < n; i += 100) {
            const Index count = std::min<Index>(100, n - i);
            cache.append(k.middleCols(i, count), v.middleCols(i, count));
        }
        const double per_token = 2.0 * static_cast<double>(cache.codec().key_quantizer().bytes_per_vector());
        const double allowed =
            static_cast<double>(n) * per_token + (64 + 4 + 64) * 4.0 * static_cast<double>(2 * dim);
        EXPECT_LE(static_cast<double>(cache.bytes()), 1.03 * allowed + 1024)
            << n << " tokens, dimension " << dim << ", bits " << Bits;
    }
}
TEST(KvCache, BytesAreHonest) {
    for (const Index dim : {64, 80, 128, 256}) {
        expect_honest_bytes<2>(dim);
        expect_honest_bytes<3>(dim);
        expect_honest_bytes<4>(dim);
        expect_honest_bytes<8>(dim);
    }
}

TEST(KvCache, LeavesNothingBehindWhenItThrows) {
    const Eigen::MatrixXf k = tokens(32, 300, 1), v = tokens(32, 300, 2);
    Cache cache(32, options_of(64, 4));
    cache.append(k, v);
    const std::string before = saved(cache);
    Eigen::MatrixXf bad = k;
    bad(3, 217) = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(mentions(message_of([&] { cache.append(bad, v); }), {"column 217", "keys", "NaN"}));
    EXPECT_TRUE(mentions(message_of([&] { cache.append(k, bad); }), {"column 217", "values"}));
    bad(3, 217) = std::numeric_limits<float>::infinity();
    EXPECT_TRUE(mentions(message_of([&] { cache.append(bad, v); }), {"column 217"}));
    bad(3, 217) = 1e38f;
    EXPECT_TRUE(mentions(message_of([&] { cache.append(bad, v); }), {"column 217", "norm 1e+38", "1e+18"}));
    EXPECT_TRUE(mentions(message_of([&] { cache.append(k.leftCols(3), v.leftCols(2)); }), {"3 keys", "2"}));
    EXPECT_TRUE(mentions(message_of([&] { cache.append(k.topRows(31), v); }), {"32", "31"}));
    EXPECT_TRUE(mentions(message_of([&] { cache.append(k, v.topRows(16)); }), {"32", "16"}));
    EXPECT_TRUE(saved(cache) == before);
    cache.append(k.leftCols(0), v.leftCols(0));
    EXPECT_TRUE(saved(cache) == before);
}

TEST(KvCache, BadQueriesAndOptions) {
    Cache cache(32, options_of(64, 4));
    cache.append(tokens(32, 200, 1), tokens(32, 200, 2));
    Eigen::MatrixXf q = gaussian(32, 20, 3), out(32, 20);
    const auto attend = [&](const tq::AttendOptions& options) {
        return message_of([&] { cache.attend(q, out, options); });
    };
    EXPECT_TRUE(mentions(message_of([&] { cache.attend(q.topRows(31), out); }), {"32", "31"}));
    EXPECT_TRUE(mentions(message_of([&] { cache.attend(q.leftCols(19), out); }), {"32 × 19", "32 × 20"}));
    EXPECT_TRUE(mentions(message_of([&] { (void)cache.scores(q.topRows(3)); }), {"32", "3"}));
    tq::AttendOptions options;
    options.first = 5, options.last = 3;
    EXPECT_TRUE(mentions(attend(options), {"5", "3"}));
    options.first = 0, options.last = 201;
    EXPECT_TRUE(mentions(attend(options), {"201", "200"}));
    options = {};
    options.softcap = -1;
    EXPECT_TRUE(mentions(attend(options), {"softcap"}));
    options = {};
    options.scale = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(mentions(attend(options), {"scale"}));
    options = {};
    options.causal = true, options.heads_per_token = 3;
    EXPECT_TRUE(mentions(attend(options), {"20 columns", "3 heads"}));
    options.heads_per_token = 0;
    EXPECT_TRUE(mentions(attend(options), {"heads_per_token"}));
    q(1, 18) = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(mentions(attend({}), {"column 18", "queries"}));
    EXPECT_TRUE(mentions(message_of([&] { (void)cache.scores(q); }), {"column 18", "queries"}));
    q(1, 18) = 2e18f;
    EXPECT_TRUE(mentions(attend({}), {"column 18", "queries", "norm", "1e18"}));
    EXPECT_TRUE(mentions(message_of([&] { (void)cache.scores(q); }), {"column 18", "queries", "norm"}));
}

// The largest keys and queries that are taken: no product overflows.
TEST(KvCache, EndOfTheRange) {
    Cache cache(32, options_of(64, 4));
    const Eigen::MatrixXf k = gaussian(32, 200, 1).colwise().normalized() * 0.99e18f;
    const Eigen::MatrixXf q = gaussian(32, 3, 3).colwise().normalized() * 0.99e18f;
    cache.append(k, gaussian(32, 200, 2).colwise().normalized() * 0.99e18f);
    const Eigen::MatrixXf scores = cache.scores(q), out = cache.attend(q);
    EXPECT_TRUE(scores.allFinite());
    EXPECT_TRUE(out.allFinite());
    // Where logits differ by so much, each output is the value of the largest, to a tenth of the error of 4 bits.
    const Eigen::MatrixXf values = cache.values();
    for (Index j = 0; j < 3; ++j) {
        Index best = 0;
        scores.col(j).maxCoeff(&best);
        EXPECT_LE((out.col(j) - values.col(best)).norm(), 0.01f * values.col(best).norm());
    }
}

TEST(KvCache, EmptyCacheAndNoQueries) {
    Cache cache(32, options_of(64, 4));
    Eigen::MatrixXf out = Eigen::MatrixXf::Ones(32, 2), nothing(32, 0);
    float lse[2] = {0, 0};
    tq::AttendOptions options;
    options.lse = lse;
    cache.attend(gaussian(32, 2, 1), out, options);
    EXPECT_TRUE(out == Eigen::MatrixXf::Zero(32, 2));
    EXPECT_EQ(lse[0], -std::numeric_limits<float>::infinity());
    EXPECT_EQ(lse[1], -std::numeric_limits<float>::infinity());
    cache.attend(gaussian(32, 2, 1).leftCols(0), nothing);
    EXPECT_EQ(cache.scores(gaussian(32, 2, 1)).rows(), 0);
    cache.append(tokens(32, 200, 1), tokens(32, 200, 2));
    cache.attend(gaussian(32, 2, 1).leftCols(0), nothing);
    options.first = options.last = 100;
    out.setOnes();
    cache.attend(gaussian(32, 2, 1), out, options);
    EXPECT_TRUE(out == Eigen::MatrixXf::Zero(32, 2));
    EXPECT_EQ(lse[1], -std::numeric_limits<float>::infinity());
}

}  // namespace
