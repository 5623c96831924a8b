// Keys of 2 to 4 bits in blocks where some have much more energy than others: a bit more for these, one less for those that have
// least.
#include <algorithm>
#include <cstring>
#include <limits>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "kv_vectors.hpp"
#include "saved_files.hpp"
#include "turboquant/turboquant.hpp"

namespace {

namespace tq = turboquant;
using kv_vectors::reference;
using kv_vectors::tokens;
using saved_files::message_of;
using saved_files::saved;
using test_vectors::gaussian;
using test_vectors::mentions;
using tq::Dynamic;
using tq::Index;

template <int Bits>
using Quantizer = tq::MseQuantizer<Dynamic, Bits>;
template <int Bits>
using Codec = tq::KvBlockCodec<Quantizer<Bits>, Quantizer<4>>;

// Keys around a mean of which every fifth, 13 of 64, is five times as far from it.
Eigen::MatrixXf uneven_keys(Index dim, Index count, std::uint64_t seed) {
    Eigen::MatrixXf x = gaussian(dim, count, seed);
    for (Index t = 3; t < count; t += 5) x.col(t) *= 5.0f;
    x.colwise() += gaussian(dim, 1, seed + 1000).col(0);
    return x;
}

template <int Bits>
Codec<Bits> codec_of(Index dim) {
    return Codec<Bits>(Quantizer<Bits>(dim, 3, tq::ScaleRule::unbiased),
                       Quantizer<4>(dim, 3, tq::ScaleRule::least_squares));
}

// A block and what the codec says of it.
template <int Bits>
struct Block {
    Codec<Bits> codec;
    std::vector<std::uint8_t> keys, values, mean;
    Block(Index dim, const Eigen::MatrixXf& k, const Eigen::MatrixXf& v, Index step = 64)
        : codec(codec_of<Bits>(dim)),
          keys(codec.key_block_bytes(), 0xff),
          values(codec.value_block_bytes(), 0xff),
          mean(codec.key_mean_bytes(), 0xff) {
        codec.encode_mean(k, mean.data());
        for (Index t = 0; t < 64; t += step) {
            const Index n = std::min<Index>(step, 64 - t);
            codec.encode(k.middleCols(t, n), v.middleCols(t, n), t, n, keys.data(), values.data(),
                         mean.data());
        }
    }
    Eigen::VectorXf key(Index t) const {
        Eigen::VectorXf x(codec.dim());
        codec.decode(keys.data(), values.data(), t, x.data(), nullptr, mean.data());
        return x;
    }
    Eigen::MatrixXf all_keys() const {
        Eigen::MatrixXf x(codec.dim(), 64);
        for (Index t = 0; t < 64; ++t) x.col(t) = key(t);
        return x;
    }
    std::uint64_t set(std::size_t which) const {
        std::uint64_t bits;
        std::memcpy(&bits, mean.data() + mean.size() - 16 + 8 * which, 8);
        return bits;
    }
    tq::KvPage page() const { return {keys.data(), values.data(), 64, mean.data()}; }
};

// What a quantizer of another width makes of a key, less its share of the mean.
template <int Bits>
Eigen::VectorXf coded_alone(const Eigen::VectorXf& key) {
    const Quantizer<Bits> quantizer(key.rows(), 3, tq::ScaleRule::unbiased);
    return quantizer.decode(quantizer.encode(key));
}

template <int Bits>
void keys_are_those_of_other_widths(Index dim) {
    SCOPED_TRACE(std::to_string(dim) + " dimensions, " + std::to_string(Bits) + " bits");
    const Eigen::MatrixXf k = uneven_keys(dim, 64, 1), v = tokens(dim, 64, 2);
    const Block<Bits> block(dim, k, v);
    const Codec<Bits>& codec = block.codec;
    ASSERT_EQ(block.mean.size(), codec.key_quantizer().bytes_per_vector() + 32);
    const Eigen::VectorXf mean =
        codec.key_quantizer().decode(codec.key_quantizer().view(block.mean.data(), 1));
    int finer = 0, coarser = 0;
    for (Index t = 0; t < 64; ++t) {
        const int share = tq::simd::share_of(block.mean.data() + block.mean.size() - 32, static_cast<int>(t));
        const Eigen::VectorXf taken = tq::simd::kShares[share] * mean, left = k.col(t) - taken;
        const bool more = (block.set(0) >> t & 1) != 0, fewer = (block.set(1) >> t & 1) != 0;
        const Eigen::VectorXf expected = (more    ? coded_alone<Bits + 1>(left)
                                          : fewer ? coded_alone<Bits - 1>(left)
                                                  : coded_alone<Bits>(left)) +
                                         taken;
        EXPECT_LE((block.key(t) - expected).norm(), 1e-5f * k.col(t).norm()) << t;
        EXPECT_FALSE(more && fewer);
        EXPECT_TRUE(more || t % 5 != 3) << t;
        finer += more;
        coarser += fewer;
    }
    EXPECT_EQ(finer, 16);
    EXPECT_EQ(coarser, 16);
    for (const Index step : {1, 7, 30}) {
        const Block<Bits> other(dim, k, v, step);
        EXPECT_TRUE(other.keys == block.keys && other.values == block.values && other.mean == block.mean);
    }
}

TEST(GradedKeys, AreThoseOfOtherWidths) {
    for (const Index dim : {32, 64, 96, 128, 224, 512}) {
        keys_are_those_of_other_widths<2>(dim);
        keys_are_those_of_other_widths<3>(dim);
        keys_are_those_of_other_widths<4>(dim);
    }
}

template <int Bits>
void blocks_have_no_more_error(Index dim) {
    const Eigen::MatrixXf v = tokens(dim, 64, 2);
    // Keys alike: as without grades.
    const Eigen::MatrixXf alike = tokens(dim, 64, 4);
    const Block<Bits> even(dim, alike, v);
    EXPECT_EQ(even.set(0) | even.set(1), 0u);
    // A mean of fewer keys says nothing of the block's.
    const Eigen::MatrixXf k = uneven_keys(dim, 64, 1);
    Block<Bits> block(dim, k, v);
    EXPECT_NE(block.set(0), 0u);
    const float graded = (block.all_keys() - k).norm();
    block.codec.encode_mean(k.leftCols(63), block.mean.data());
    EXPECT_EQ(block.set(0) | block.set(1), 0u);
    block.codec.encode(k, v, 0, 64, block.keys.data(), block.values.data(), block.mean.data());
    EXPECT_LT(graded, 0.75f * (block.all_keys() - k).norm());
}

TEST(GradedKeys, OnlyWhereTheyHelp) {
    for (const Index dim : {64, 128}) {
        blocks_have_no_more_error<2>(dim);
        blocks_have_no_more_error<3>(dim);
        blocks_have_no_more_error<4>(dim);
    }
    // Elsewhere there are none: other widths, and dimensions that are no multiples of 32.
    const auto beside_the_mean = [](const auto& codec) {
        return codec.key_mean_bytes() - codec.key_quantizer().bytes_per_vector();
    };
    EXPECT_EQ(beside_the_mean(codec_of<1>(64)), 16u);
    EXPECT_EQ(beside_the_mean(codec_of<5>(64)), 16u);
    EXPECT_EQ(beside_the_mean(codec_of<3>(80)), 16u);
}

// The same bytes everywhere, and attention over them as over the decoded keys: it adds less than a tenth to their error.
template <int Bits>
void on_every_target(Index dim) {
    const Eigen::MatrixXf k = uneven_keys(dim, 64, 1), v = tokens(dim, 64, 2), q = gaussian(dim, 24, 3);
    const Block<Bits> first(dim, k, v);
    Eigen::MatrixXf values(dim, 64);
    for (Index t = 0; t < 64; ++t)
        first.codec.decode(first.keys.data(), first.values.data(), t, nullptr, values.col(t).data());
    const Eigen::MatrixXd exact = reference(k, v, q), expected = reference(first.all_keys(), values, q);
    for (const tq::Target target : tq::supported_targets()) {
        const test_vectors::ScopedTarget scope(target);
        SCOPED_TRACE(std::string(tq::target_name(target)) + ", " + std::to_string(dim) + " dimensions, " +
                     std::to_string(Bits) + " bits");
        const Block<Bits> block(dim, k, v);
        EXPECT_TRUE(block.keys == first.keys && block.mean == first.mean && block.values == first.values);
        for (const Index m : {1, 2, 3, 4, 7, 11}) {  // columns at a time
            Eigen::MatrixXf out(dim, q.cols());
            for (Index i = 0; i < q.cols(); i += m) {
                const Index n = std::min(m, q.cols() - i);
                tq::AttendState state;
                block.codec.attend(std::vector<tq::KvPage>{block.page()}, q.middleCols(i, n), state);
                block.codec.finish(state, out.middleCols(i, n));
            }
            EXPECT_LE((out.cast<double>() - expected).norm(), 0.1 * (expected - exact).norm()) << m;
        }
    }
}

TEST(GradedKeys, EveryTarget) {
    for (const Index dim : {32, 64, 96, 128, 576}) {
        on_every_target<2>(dim);
        on_every_target<3>(dim);
        on_every_target<4>(dim);
    }
}

TEST(GradedKeys, ErasedAndWrittenAgain) {
    const Eigen::MatrixXf k = uneven_keys(64, 64, 1), v = tokens(64, 64, 2);
    Block<3> block(64, k, v);
    const Block<3> whole = block;
    block.codec.erase(block.keys.data(), block.values.data(), 20, block.mean.data());
    for (Index t = 0; t < 64; ++t) {
        if (t < 20)
            EXPECT_TRUE(block.key(t) == whole.key(t)) << t;
        else
            EXPECT_EQ(block.key(t).norm(), 0.0f) << t;
    }
    block.codec.encode(k.rightCols(44), v.rightCols(44), 20, 44, block.keys.data(), block.values.data(),
                       block.mean.data());
    EXPECT_TRUE(block.keys == whole.keys && block.mean == whole.mean && block.values == whole.values);
    // A key that cannot be encoded leaves everything as it was.
    Eigen::MatrixXf bad = -k;
    bad(5, 63) = std::numeric_limits<float>::quiet_NaN();
    const std::string message = message_of([&] {
        block.codec.encode(bad, v, 0, 64, block.keys.data(), block.values.data(), block.mean.data());
    });
    EXPECT_TRUE(mentions(message, {"column 63", "keys"})) << message;
    EXPECT_TRUE(block.keys == whole.keys && block.mean == whole.mean && block.values == whole.values);
}

TEST(GradedKeys, KeepTheirOrderWhateverTheEnergy) {
    // Of equal keys, and of keys that are nothing, none is worth more than another.
    const Eigen::MatrixXf v = tokens(64, 64, 2);
    for (const float factor : {0.0f, 1e-30f, 1.0f, 1e15f}) {
        const Block<3> block(64, gaussian(64, 1, 1).replicate(1, 64) * factor, v);
        EXPECT_EQ(block.set(0) | block.set(1), 0u) << factor;
        EXPECT_TRUE(block.all_keys().allFinite());
    }
    // One key among zeros.
    Eigen::MatrixXf k = Eigen::MatrixXf::Zero(64, 64);
    k.col(17) = gaussian(64, 1, 1);
    const Block<3> block(64, k, v);
    EXPECT_EQ(block.set(0) >> 17 & 1, 1u);
    EXPECT_LT((block.key(17) - k.col(17)).norm(), 0.15f * k.col(17).norm());
}

// --- KvCache --------------------------------------------------------------------------------------------------------------

using Cache = tq::KvCache<Dynamic, 3, 2>;

Cache cache_of(Index n, Index dim = 64) {
    tq::KvCacheOptions options;
    options.seed = 5;
    options.window = 8;
    options.sinks = 2;
    Cache cache(dim, options);
    cache.append(uneven_keys(dim, n, 1), tokens(dim, n, 2));
    return cache;
}

TEST(GradedKeys, CachesUseThem) {
    const Eigen::MatrixXf k = uneven_keys(64, 600, 1), v = tokens(64, 600, 2), q = gaussian(64, 5, 3);
    const Cache cache = cache_of(600);
    tq::KvCacheOptions options = cache.options();
    options.centring = tq::Centring::values;
    Cache plain(64, options);
    plain.append(k, v);
    const float error = (cache.keys() - k).norm();
    EXPECT_LT(error, 0.75f * (plain.keys() - k).norm());
    const Eigen::MatrixXd expected = reference(cache.keys(), cache.values(), q);
    EXPECT_LE((cache.attend(q).cast<double>() - expected).norm(),
              0.1 * (expected - reference(k, v, q)).norm());
    const Eigen::MatrixXf scores = cache.scores(q), products = cache.keys().transpose() * q;
    EXPECT_LE((scores - products).norm(), 0.01f * products.norm());
    // Token by token or all at once.
    Cache slow(64, cache.options());
    for (Index t = 0; t < 600; ++t) slow.append(k.col(t), v.col(t));
    EXPECT_TRUE(saved(slow) == saved(cache));
    // A block that was cut keeps the grades of its tokens.
    for (const Index n : {599, 300, 131}) {
        Cache shorter = cache;
        shorter.truncate(n);
        EXPECT_TRUE(shorter.keys() == cache.keys().leftCols(n));
        shorter.append(k.middleCols(n, 600 - n), v.middleCols(n, 600 - n));
        EXPECT_TRUE(shorter.keys() == cache.keys()) << n;
    }
}

TEST(GradedKeys, SavedAndLoaded) {
    for (const Index n : {74, 139, 600}) {
        const Cache cache = cache_of(n);
        const std::string file = saved(cache);
        std::istringstream is(file);
        const Cache again = Cache::load(is);
        EXPECT_TRUE(saved(again) == file);
        EXPECT_TRUE(again.keys() == cache.keys());
    }
}

// A file of one block with its payload, and with another: under checksums that fit.
std::string payload_of(const std::string& file) { return file.substr(128, saved_files::get(file, 56, 8)); }
std::string with_payload(const std::string& file, const std::string& payload) {
    std::string other = file.substr(0, 128) + payload + std::string(16, '\0');
    other.resize((other.size() + 63) / 64 * 64);
    saved_files::put(other, 56, 8, payload.size());
    saved_files::put(other, 80, 8, other.size());
    saved_files::repair_header(other);
    saved_files::repair_payload(other);
    return other;
}
// One block and a window of 8 exact tokens, before which the block's grades stand.
constexpr Index kOneBlock = 2 + 64 + 8;
std::size_t place_of_grades(const std::string& payload) { return payload.size() - 8 * 2 * 64 * 4 - 16; }

TEST(GradedKeys, ForgedGradesAreRefused) {
    const std::string good = saved(cache_of(kOneBlock)), payload = payload_of(good);
    const std::size_t at = place_of_grades(payload);
    const std::uint64_t finer = saved_files::get(payload, at, 8),
                        coarser = saved_files::get(payload, at + 8, 8);
    ASSERT_NE(finer, 0u);
    ASSERT_EQ(finer & coarser, 0u);
    ASSERT_TRUE(with_payload(good, payload) == good);
    const auto loaded = [&](std::uint64_t first, std::uint64_t second) {
        std::string other = payload;
        saved_files::put(other, at, 8, first);
        saved_files::put(other, at + 8, 8, second);
        std::istringstream is(with_payload(good, other));
        return message_of([&] { Cache::load(is); });
    };
    EXPECT_EQ(loaded(finer, coarser), "nothing was thrown");
    EXPECT_EQ(loaded(0, 0), "nothing was thrown");
    const std::uint64_t all = ~std::uint64_t{0};
    for (const auto& [first, second] : std::vector<std::pair<std::uint64_t, std::uint64_t>>{
             {finer, finer}, {finer, 0}, {0, coarser}, {all, 0}, {all, all}, {finer, ~finer}})
        EXPECT_TRUE(mentions(loaded(first, second), {"KvCache::load", "block 0", "grades"}))
            << first << " " << second;
}

// Before there were grades, caches were saved without.
TEST(GradedKeys, FilesWithoutGradesLoad) {
    Cache cache(64, cache_of(0).options());
    cache.append(tokens(64, kOneBlock, 1), tokens(64, kOneBlock, 2));  // all alike
    const std::string file = saved(cache);
    std::string payload = payload_of(file);
    const std::size_t at = place_of_grades(payload);
    EXPECT_EQ(saved_files::get(payload, at, 8) | saved_files::get(payload, at + 8, 8), 0u);
    payload.erase(at, 16);
    saved_files::put(payload, 104, 8, saved_files::get(payload, 104, 8) - 16);
    std::istringstream is(with_payload(file, payload));
    const Cache old = Cache::load(is);
    EXPECT_TRUE(old.keys() == cache.keys());
    EXPECT_TRUE(saved(old) == file);
}

}  // namespace
