// Text from the model, byte by byte.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

#include "attention_cache.hpp"
#include "decoder.hpp"
#include "model.hpp"

namespace tiny_lm {

struct Continuation {
    std::string text;
    std::size_t cache_bytes = 0;
};

// A byte drawn from softmax(logits/temperature) by a number from [0, 1); the most probable one at temperature 0.
inline std::uint8_t choose(const Eigen::Ref<const Eigen::VectorXf>& logits, float temperature,
                           double number) {
    Index best = 0;
    const float largest = logits.maxCoeff(&best);
    if (temperature <= 0) return static_cast<std::uint8_t>(best);
    const Eigen::VectorXd weights = ((logits.array() - largest) / temperature).exp().cast<double>();
    double left = number * weights.sum();
    for (Index byte = 0; byte < weights.size(); ++byte) {
        left -= weights[byte];
        if (left < 0) return static_cast<std::uint8_t>(byte);
    }
    return static_cast<std::uint8_t>(best);  // rounding left a little
}

// `count` bytes that follow the prompt. The same random numbers for the same seed, whatever the cache.
inline Continuation generate(const Model& model, const CacheMaker& make_cache, const std::string& prompt,
                             std::size_t count, float temperature, std::uint64_t seed) {
    constexpr std::size_t kSteps = 128;  // of the prompt at a time: products with the weights are shared
    Decoder decoder(model, make_cache, 1);
    Eigen::VectorXf logits;
    const auto read = [&](const std::string& bytes) {
        const Bytes tokens = Eigen::Map<const Bytes>(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                                     static_cast<Index>(bytes.size()), 1);
        logits = decoder.forward(tokens).rightCols<1>();
    };
    for (std::size_t at = 0; at < prompt.size(); at += kSteps) read(prompt.substr(at, kSteps));
    std::mt19937_64 random(seed);
    Continuation continuation;
    while (continuation.text.size() < count) {
        const double number = static_cast<double>(random() >> 11) * 0x1p-53;
        continuation.text += static_cast<char>(choose(logits, temperature, number));
        read(continuation.text.substr(continuation.text.size() - 1));
    }
    continuation.cache_bytes = decoder.cache_bytes();
    return continuation;
}

}  // namespace tiny_lm
