// The commands of turboquant. Each throws std::exception with a message for the user, and prints its report to stdout.
#pragma once

#include <cstdint>
#include <string>

#include <turboquant/flat_index.hpp>

#include "any_quantizer.hpp"

namespace tools {

struct EncodeOptions {
    std::string input, output;  // vectors; codes
    int bits = 4;
    Estimator estimator = Estimator::norm;
    std::uint64_t seed = 0;
    int threads = 1;
};
void encode(const EncodeOptions& options);

struct DecodeOptions {
    std::string input, output;  // codes; .npy
    std::string original;       // vectors to compare with, if given
    int threads = 1;
};
void decode(const DecodeOptions& options);

void info(const std::string& path);

struct SearchOptions {
    std::string base, queries;  // vectors or a saved index; vectors
    std::string save, ids;      // where the index and the ids found go, if given
    int bits = 4;
    tq::FlatIndexOptions flat;
    Index k = 10;
    Index print = 5;  // queries whose answers are printed
    bool exact = false;
};
void search(const SearchOptions& options);

struct BenchOptions {
    std::string input;
    std::uint64_t seed = 0;
    int threads = 1;
};
void bench(const BenchOptions& options);

}  // namespace tools
