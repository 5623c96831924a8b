// The caches that tiny_lm compares.
#pragma once

#include <string>
#include <vector>

#include "attention_cache.hpp"

#include <turboquant/kv_cache.hpp>

namespace tiny_lm {

enum class KeyQuantizer { none, mse, turbo, trellis };  // none: ExactCache

struct CacheChoice {
    KeyQuantizer keys = KeyQuantizer::none;
    int key_bits = 32, value_bits = 32;
    Index window = 0, sinks = 0;  // newest and first tokens that stay exact
    turboquant::Centring centring = turboquant::Centring::none;
    CacheMaker make;

    std::string bits() const;  // "4/3"
};

// Rows of the table, in its order: groups differ in one thing each. The first is exact.
std::vector<std::vector<CacheChoice>> full_comparison();
std::vector<std::vector<CacheChoice>> quick_comparison();

// The cache that generates text beside the exact one.
CacheChoice demonstration_cache();

}  // namespace tiny_lm
