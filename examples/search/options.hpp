// The command line of search.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include <turboquant/turboquant.hpp>

namespace search_example {

inline constexpr const char* kUsage =
    "usage: search [--base FILE] [--queries FILE] [--index FILE] [options]\n"
    "\n"
    "Builds an index of vectors, saves it, loads it again, and searches it. With --index and --queries but "
    "no --base, an\n"
    "index that was saved before is loaded and searched.\n"
    "\n"
    "  --base FILE       vectors to index: .npy (float16 or float32, one per row) or .fvecs; 10 000 GloVe "
    "vectors if not given\n"
    "  --queries FILE    vectors to search for; if not given, every 20th of the base, which is then not "
    "indexed\n"
    "  --index FILE      where the index is saved; a file that is removed again, if not given\n"
    "  --bits B          bits per coordinate: 1, 2, 3, 4 (the default) or 8\n"
    "  --metric NAME     inner_product, cosine (the default) or l2\n"
    "  --no-centring     encode vectors as they are, not less their mean\n"
    "  --seed S          of the rotation, 7 if not given\n"
    "  --threads N       for the search, where the program is built with OpenMP\n"
    "  -k K              how many to find for each query, 10 if not given\n"
    "  --exact           search in float32 too, and tell how many of its answers were found\n"
    "  --rerank R        score the best R again in float32, and take the k best of those\n"
    "  --print N         print what was found for the first N queries\n"
    "  --help            this text\n";

struct Options {
    std::string base, queries, index;  // empty: not given
    int bits = 4;
    turboquant::FlatIndexOptions flat;
    turboquant::Index k = 10, rerank = 0, print = 0;
    bool exact = false, help = false;
    bool loads_only() const { return base.empty() && !index.empty() && !queries.empty(); }
};

// The command line does not make sense; the usage helps.
struct UsageError : std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};

inline long parse_number(const std::string& option, const std::string& text, long least) {
    std::size_t used = 0;
    long value = 0;
    try {
        value = std::stol(text, &used);
    } catch (const std::exception&) {
        used = 0;
    }
    if (used == 0 || used != text.size() || value < least)
        throw UsageError(option + " must be followed by a number of at least " + std::to_string(least) +
                         ", but is '" + text + "'");
    return value;
}

inline turboquant::Metric parse_metric(const std::string& text) {
    if (text == "inner_product") return turboquant::Metric::inner_product;
    if (text == "cosine") return turboquant::Metric::cosine;
    if (text == "l2") return turboquant::Metric::l2;
    throw UsageError("unknown metric " + text);
}

inline Options parse_options(int argc, char** argv) {
    Options options;
    options.flat.metric = turboquant::Metric::cosine;
    options.flat.seed = 7;
    for (int i = 1; i < argc; ++i) {
        const std::string option = argv[i];
        if (option == "--help" || option == "-h") {
            options.help = true;
        } else if (option == "--no-centring") {
            options.flat.centring = false;
        } else if (option == "--exact") {
            options.exact = true;
        } else {
            const bool known = option == "--base" || option == "--queries" || option == "--index" ||
                               option == "--bits" || option == "--metric" || option == "--seed" ||
                               option == "--threads" || option == "-k" || option == "--rerank" ||
                               option == "--print";
            if (!known) throw UsageError("unknown option " + option);
            if (i + 1 == argc) throw UsageError(option + " must be followed by a value");
            const std::string value = argv[++i];
            if (option == "--base") options.base = value;
            if (option == "--queries") options.queries = value;
            if (option == "--index") options.index = value;
            if (option == "--bits") options.bits = static_cast<int>(parse_number(option, value, 1));
            if (option == "--metric") options.flat.metric = parse_metric(value);
            if (option == "--seed")
                options.flat.seed = static_cast<std::uint64_t>(parse_number(option, value, 0));
            if (option == "--threads")
                options.flat.threads = static_cast<int>(parse_number(option, value, 1));
            if (option == "-k") options.k = parse_number(option, value, 1);
            if (option == "--rerank") options.rerank = parse_number(option, value, 1);
            if (option == "--print") options.print = parse_number(option, value, 0);
        }
    }
    if (options.rerank > 0 && options.rerank < options.k) throw UsageError("--rerank must be at least k");
    if (options.loads_only() && (options.exact || options.rerank > 0))
        throw UsageError("--exact and --rerank need the vectors: give --base");
    return options;
}

}  // namespace search_example
