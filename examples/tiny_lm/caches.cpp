#include "caches.hpp"

#include <turboquant/kv_cache.hpp>
#include <turboquant/turboquant.hpp>

namespace tiny_lm {
namespace {

namespace tq = turboquant;

using Group = std::vector<CacheChoice>;

// Where a group stands: what all of its rows have in common.
struct Setting {
    KeyQuantizer keys;
    Index window, sinks;
    tq::Centring centring;
};
// The library's defaults; every token quantized but the first four and what waits for its block; what each part is worth.
constexpr Setting kDefaults{KeyQuantizer::mse, 64, 4, tq::Centring::blocks};
constexpr Setting kNoWindow{KeyQuantizer::mse, 0, 4, tq::Centring::blocks};
constexpr Setting kCentred{KeyQuantizer::mse, 0, 4, tq::Centring::all};
constexpr Setting kValuesCentred{KeyQuantizer::mse, 0, 4, tq::Centring::values};
constexpr Setting kUncentred{KeyQuantizer::mse, 0, 4, tq::Centring::none};
constexpr Setting kTurboKeys{KeyQuantizer::turbo, 0, 4, tq::Centring::blocks};
constexpr Setting kTrellis{KeyQuantizer::trellis, 64, 4, tq::Centring::blocks};
constexpr Setting kTrellisNoWindow{KeyQuantizer::trellis, 0, 4, tq::Centring::blocks};

template <class Cache>
CacheMaker maker(const Setting& setting) {
    return [setting](std::uint64_t seed) {
        tq::KvCacheOptions options;
        options.seed = seed;
        options.window = setting.window;
        options.sinks = setting.sinks;
        options.centring = setting.centring;
        return any_cache(Cache(options));
    };
}

constexpr int kDim = static_cast<int>(kHeadDim);

template <int KeyBits, int ValueBits>
CacheChoice mse(const Setting& setting) {
    return {setting.keys,
            KeyBits,
            ValueBits,
            setting.window,
            setting.sinks,
            setting.centring,
            maker<tq::KvCache<kDim, KeyBits, ValueBits>>(setting)};
}

// Keys by Algorithm 2, one of its bits a sketch of the residual.
template <int KeyBits, int ValueBits>
CacheChoice turbo(const Setting& setting) {
    using Cache = tq::BasicKvCache<tq::TurboQuantizer<kDim, KeyBits>, tq::MseQuantizer<kDim, ValueBits>>;
    return {setting.keys,         KeyBits, ValueBits, setting.window, setting.sinks, setting.centring,
            maker<Cache>(setting)};
}

// Keys and values by trellis-coded quantization.
template <int KeyBits, int ValueBits>
CacheChoice trellis(const Setting& setting) {
    using Cache =
        tq::BasicKvCache<tq::TrellisQuantizer<kDim, KeyBits>, tq::TrellisQuantizer<kDim, ValueBits>>;
    return {setting.keys,         KeyBits, ValueBits, setting.window, setting.sinks, setting.centring,
            maker<Cache>(setting)};
}

CacheChoice exact() {
    CacheChoice choice;
    choice.make = exact_caches();
    return choice;
}

}  // namespace

std::string CacheChoice::bits() const { return std::to_string(key_bits) + "/" + std::to_string(value_bits); }

std::vector<Group> full_comparison() {
    const Setting &d = kDefaults, &w = kNoWindow, &c = kCentred, &v = kValuesCentred, &u = kUncentred,
                  &t = kTurboKeys, &x = kTrellis, &y = kTrellisNoWindow;
    return {{exact()},
            {mse<8, 8>(d), mse<4, 4>(d), mse<4, 3>(d), mse<3, 3>(d), mse<2, 2>(d)},
            {mse<8, 8>(w), mse<6, 6>(w), mse<5, 5>(w), mse<4, 4>(w), mse<4, 3>(w), mse<3, 4>(w), mse<3, 3>(w),
             mse<2, 2>(w)},
            {mse<4, 4>(v), mse<3, 3>(v), mse<2, 2>(v)},
            {mse<4, 4>(c), mse<3, 3>(c), mse<2, 2>(c)},
            {mse<4, 4>(u), mse<3, 3>(u), mse<2, 2>(u)},
            {turbo<4, 4>(t), turbo<3, 3>(t), turbo<2, 2>(t)},
            {trellis<4, 4>(x), trellis<3, 3>(x), trellis<2, 2>(x)},
            {trellis<4, 4>(y), trellis<3, 3>(y), trellis<2, 2>(y)}};
}

std::vector<Group> quick_comparison() {
    return {{exact()},
            {mse<4, 4>(kDefaults), mse<2, 2>(kDefaults)},
            {mse<4, 4>(kNoWindow), mse<2, 2>(kNoWindow)}};
}

CacheChoice demonstration_cache() { return mse<4, 3>(kDefaults); }

}  // namespace tiny_lm
