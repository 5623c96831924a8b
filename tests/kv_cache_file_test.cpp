// Saved caches: round trips, and damage of every kind.
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kv_vectors.hpp"
#include "saved_files.hpp"
#include "turboquant/turboquant.hpp"

namespace {

namespace tq = turboquant;
using kv_vectors::tokens;
using saved_files::expect_contains;
using saved_files::message_of;
using saved_files::saved;
using tq::Dynamic;
using tq::Index;

using Small = tq::KvCache<Dynamic, 3, 2>;

template <class Cache>
Cache loaded(const std::string& file) {
    std::istringstream is(file);
    return Cache::load(is);
}
template <class Cache>
Cache loaded_from_pipe(const std::string& file) {
    saved_files::Pipe pipe(file);
    std::istream is(&pipe);
    return Cache::load(is);
}

Small cache_of(Index n, Index window = 8, tq::CentringChoice centring = true) {
    tq::KvCacheOptions options;
    options.seed = 5;
    options.window = window;
    options.sinks = 2;
    options.centring = centring;
    Small cache(12, options);
    cache.append(tokens(12, n, 1), tokens(12, n, 2));
    return cache;
}

TEST(KvCacheFile, RoundTrips) {
    for (const Index n : {0, 1, 2, 3, 10, 73, 74, 75, 138, 300})
        for (const tq::Centring centring :
             {tq::Centring::none, tq::Centring::values, tq::Centring::all, tq::Centring::blocks}) {
            const Small cache = cache_of(n, 8, centring);
            const std::string file = saved(cache);
            EXPECT_EQ(file.size() % 64, 0u);
            for (Small again : {loaded<Small>(file), loaded_from_pipe<Small>(file)}) {
                EXPECT_EQ(again.size(), n);
                EXPECT_EQ(again.quantized(), cache.quantized());
                EXPECT_EQ(again.options().window, 8);
                EXPECT_EQ(again.options().seed, 5u);
                EXPECT_EQ(again.options().centring.which(), centring);
                EXPECT_TRUE(again.keys() == cache.keys());
                EXPECT_TRUE(saved(again) == file);
                // It goes on as the first would have.
                Small longer = cache;
                longer.append(tokens(12, 100, 3), tokens(12, 100, 4));
                again.append(tokens(12, 100, 3), tokens(12, 100, 4));
                EXPECT_TRUE(saved(again) == saved(longer)) << n;
            }
        }
}

// What truncate left behind is not in the file: the same tokens give the same bytes.
TEST(KvCacheFile, TruncatedCachesSaveWhatTheyHold) {
    Small cache = cache_of(300);
    cache.truncate(100);
    ASSERT_EQ(cache.quantized(), 98);
    const Small again = loaded<Small>(saved(cache));
    EXPECT_TRUE(again.values() == cache.values());
    Small other = cache_of(300);
    other.truncate(150);
    other.truncate(100);
    EXPECT_TRUE(saved(other) == saved(cache));
}

TEST(KvCacheFile, StreamsHoldSeveral) {
    const std::string both = saved(cache_of(100)) + saved(cache_of(3));
    std::istringstream is(both);
    EXPECT_EQ(Small::load(is).size(), 100);
    EXPECT_EQ(Small::load(is).size(), 3);
}

TEST(KvCacheFile, Paths) {
    const saved_files::Directory directory;
    const std::string path = (directory / "cache.tqk").string();
    const Small cache = cache_of(200);
    cache.save(path);
    EXPECT_TRUE(saved(Small::load(path)) == saved(cache));
    EXPECT_EQ(directory.entries(), 1);
    expect_contains(message_of([&] { Small::load((directory / "none").string()); }), "cannot open");
    std::ofstream(path, std::ios::binary | std::ios::app) << "x";
    expect_contains(message_of([&] { Small::load(path); }), "trailing bytes");
}

// Every single flipped bit of a small file, in stream and pipe.
TEST(KvCacheFile, EveryFlippedBitIsFound) {
    std::string file = saved(cache_of(80));
    for (std::size_t bit = 0; bit < 8 * file.size(); ++bit) {
        file[bit / 8] = static_cast<char>(file[bit / 8] ^ (1 << bit % 8));
        const std::string message = message_of([&] { loaded<Small>(file); });
        ASSERT_EQ(message.rfind("turboquant: KvCache::load", 0), 0u) << "bit " << bit << ": " << message;
        if (bit % 13 == 0) {
            ASSERT_EQ(message_of([&] { loaded_from_pipe<Small>(file); }).rfind("turboquant: ", 0), 0u) << bit;
        }
        file[bit / 8] = static_cast<char>(file[bit / 8] ^ (1 << bit % 8));
    }
}

TEST(KvCacheFile, EveryTruncationIsFound) {
    const std::string file = saved(cache_of(80));
    for (std::size_t size = 0; size < file.size(); ++size) {
        const std::string part = file.substr(0, size);
        ASSERT_EQ(message_of([&] { loaded<Small>(part); }).rfind("turboquant: ", 0), 0u) << size;
        ASSERT_EQ(message_of([&] { loaded_from_pipe<Small>(part); }).rfind("turboquant: ", 0), 0u) << size;
    }
}

// Numbers that lie, under checksums that fit: refused, without a crash and without memory for what is not there.
TEST(KvCacheFile, ForgedNumbersAreRefused) {
    const std::string good = saved(cache_of(80));
    const std::size_t payload = 128;
    for (const std::size_t at :
         {0u, 4u, 8u, 12u, 16u, 20u, 24u, 28u, 48u, 56u, 64u, 72u, 80u, 88u, 96u, 104u, 112u, 120u})
        for (const std::uint64_t value :
             {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{77}, std::uint64_t{1} << 31,
              std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
            std::string file = good;
            const int width = at < 32 ? 4 : 8;
            if (saved_files::get(file, payload + at, width) == (width == 4 ? value & 0xffffffffu : value))
                continue;
            saved_files::put(file, payload + at, width, value);
            saved_files::repair_payload(file);
            const std::string message = message_of([&] { loaded<Small>(file); });
            // Another scale rule, window or number of sinks may fit the rest; everything else contradicts it.
            if ((at == 12 || at == 48 || at == 56) && message == "nothing was thrown") continue;
            ASSERT_EQ(message.rfind("turboquant: KvCache::load", 0), 0u)
                << "offset " << at << ", value " << value << ": " << message;
        }
}

// --- Split quantizers: their channels come with the file ------------------------------------------------------------------

using Keys = tq::SplitQuantizer<tq::MseQuantizer<Dynamic, 4>, tq::MseQuantizer<Dynamic, 2>>;
using Values = tq::SplitQuantizer<tq::TurboQuantizer<Dynamic, 3>, tq::MseQuantizer<Dynamic, 2>>;

template <class Cache, class... Quantizers>
Cache split_cache(Index n, Quantizers... quantizers) {
    tq::KvCacheOptions options;
    options.window = 8;
    options.sinks = 2;
    Cache cache(quantizers..., options);
    cache.append(tokens(cache.dim(), n, 1), tokens(cache.value_dim(), n, 2));
    return cache;
}
const std::vector<Index> kChannels = {1, 5, 6, 11, 17};

template <class Cache>
void expect_round_trip(const Cache& cache) {
    const std::string file = saved(cache);
    for (Cache again : {loaded<Cache>(file), loaded_from_pipe<Cache>(file)}) {
        EXPECT_EQ(again.codec().key_quantizer().id(), cache.codec().key_quantizer().id());
        EXPECT_EQ(again.codec().value_quantizer().id(), cache.codec().value_quantizer().id());
        EXPECT_TRUE(saved(again) == file);
        EXPECT_TRUE(again.keys() == cache.keys());
        EXPECT_TRUE(again.values() == cache.values());
        // Exact tokens may lie in other runs, which are summed one after another: equal to rounding.
        const Eigen::MatrixXf q = tokens(cache.dim(), 3, 9), out = cache.attend(q);
        EXPECT_LE((again.attend(q) - out).norm(), 1e-5f * out.norm());
        Cache longer = cache;
        longer.append(tokens(cache.dim(), 70, 3), tokens(cache.value_dim(), 70, 4));
        again.append(tokens(cache.dim(), 70, 3), tokens(cache.value_dim(), 70, 4));
        EXPECT_TRUE(saved(again) == saved(longer));
    }
}

TEST(KvCacheFile, SplitQuantizersComeBack) {
    const Keys keys(20, 7, kChannels, tq::ScaleRule::unbiased);
    const Values values(24, 8, {0, 23, 9});
    for (const Index n : {0, 3, 80, 150}) {
        expect_round_trip(split_cache<tq::BasicKvCache<Keys, Values>>(n, keys, values));
        expect_round_trip(split_cache<tq::BasicKvCache<Keys, tq::MseQuantizer<Dynamic, 3>>>(
            n, keys, tq::MseQuantizer<Dynamic, 3>(16, 5)));
        expect_round_trip(split_cache<tq::BasicKvCache<tq::MseQuantizer<12, 4>, Values>>(
            n, tq::MseQuantizer<12, 4>(5), values));
    }
}

TEST(KvCacheFile, SplitQuantizersDamaged) {
    using Cache = tq::BasicKvCache<Keys, Values>;
    std::string file = saved(split_cache<Cache>(80, Keys(20, 7, kChannels), Values(24, 8, {0, 23, 9})));
    for (std::size_t bit = 0; bit < 8 * file.size(); bit += bit < 8 * 700 ? 1 : 11) {
        file[bit / 8] = static_cast<char>(file[bit / 8] ^ (1 << bit % 8));
        ASSERT_EQ(message_of([&] { loaded<Cache>(file); }).rfind("turboquant: KvCache::load", 0), 0u) << bit;
        file[bit / 8] = static_cast<char>(file[bit / 8] ^ (1 << bit % 8));
    }
    for (std::size_t size = 0; size < file.size(); size += 7)
        ASSERT_EQ(message_of([&] { loaded<Cache>(file.substr(0, size)); }).rfind("turboquant: ", 0), 0u);
    using Other =
        tq::BasicKvCache<Keys,
                         tq::SplitQuantizer<tq::TurboQuantizer<Dynamic, 3>, tq::MseQuantizer<Dynamic, 3>>>;
    expect_contains(message_of([&] { loaded<Other>(file); }), "values: rest: the file holds codes of a ");
    expect_contains(message_of([&] { loaded<Small>(file); }),
                    "keys: the file holds codes of a SplitQuantizer");
    // A channel more, and another channel, under checksums that fit; numbers that only other quantizers leave zero.
    const auto forged = [&](std::size_t at, int bytes, std::uint64_t value) {
        std::string other = file;
        saved_files::put(other, at, bytes, value);
        saved_files::repair_header(other);
        const std::size_t size = saved_files::get(other, 56, 8), table = 128 + size;
        saved_files::put(other, table, 8, tq::detail::crc64(other.data() + 128, size));
        saved_files::put(other, table + 8, 8,
                         tq::detail::crc64(other.data() + table, 8, saved_files::get(other, 120, 8)));
        return message_of([&] { loaded<Cache>(other); });
    };
    const std::size_t channels =
        128 + 128 + 80;  // header, prefix, and what stands before the bits of the keys
    const std::uint64_t bits = saved_files::get(file, channels, 1);
    expect_contains(forged(channels, 1, bits | 1),
                    "parts of dimensions 5 and 15 contradict 6 outlier channels of 20");
    expect_contains(forged(channels, 1, (bits ^ 2) | 1), "but the quantizer built from it is SplitQuantizer");
    expect_contains(forged(88, 8, 64), "bytes of a preamble outside of the payload: expected 0, but got 64");
    expect_contains(forged(128 + 96, 8, 77), "values: the file holds codes of a SplitQuantizer");
    expect_contains(forged(128 + 104, 8, 1), "contradict one another");
}

TEST(KvCacheFile, OtherTypesAreNamed) {
    const std::string file = saved(cache_of(80));
    expect_contains(message_of([&] { loaded<tq::KvCache<Dynamic, 4, 2>>(file); }), "3 bits");
    expect_contains(message_of([&] { loaded<tq::KvCache<Dynamic, 3, 4>>(file); }), "values");
    expect_contains(message_of([&] { loaded<tq::KvCache<16, 3, 2>>(file); }), "dimension 12");
    EXPECT_EQ((loaded<tq::KvCache<12, 3, 2>>(file)).size(), 80);
    const tq::MseQuantizer<Dynamic, 3> quantizer(12, 1);
    const std::string codes = saved_files::saved(quantizer, saved_files::arbitrary_codes(quantizer, 3));
    expect_contains(message_of([&] { loaded<Small>(codes); }), "holds codes");
    expect_contains(message_of([&] { loaded<Small>("hello, world: this is no cache at all"); }),
                    "not a saved KvCache");
}

}  // namespace
