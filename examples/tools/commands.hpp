// The commands of turboquant. Each throws std::exception with a message for the user, and prints its report to stdout.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "codec.hpp"

namespace tools {

struct EncodeOptions {
    std::string input, output;  // vectors; codes
    Codec codec;
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
    int bits = 4;               // of a new index
    std::uint64_t seed = 0;
    int metric = 1;        // of a new index, as in Metric
    bool centring = true;  // likewise
    int threads = 1;
    std::ptrdiff_t k = 10;
    std::ptrdiff_t print = 5;  // queries whose answers are printed
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
