// The command line of word_search.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace word_search {

inline constexpr const char* kUsage =
    "usage: word_search [--vectors FILE.npy --words FILE.txt] [WORD...]\n"
    "\n"
    "Measures the quantizers on word vectors, then finds the nearest words of each WORD from 4-bit codes.\n"
    "\n"
    "  --vectors FILE.npy   float16 or float32, one vector per row (10 000 GloVe vectors if not given)\n"
    "  --words FILE.txt     the words, one a line, in the order of the rows\n"
    "  --help               this text\n";

struct Options {
    std::string vectors = TURBOQUANT_EXAMPLES_DATA_DIR "/glove_100d_top10k.npy";
    std::string words = TURBOQUANT_EXAMPLES_DATA_DIR "/glove_100d_top10k.words.txt";
    std::vector<std::string> lookups;  // none: the program's choice
    bool help = false;
};

// The command line does not make sense; the usage helps.
struct UsageError : std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};

// Throws UsageError on an option that is unknown, incomplete or alone.
inline Options parse_options(int argc, char** argv) {
    Options options;
    bool vectors_given = false, words_given = false;
    for (int i = 1; i < argc; ++i) {
        const std::string argument = argv[i];
        if (argument == "--help" || argument == "-h") {
            options.help = true;
        } else if (argument == "--vectors" || argument == "--words") {
            if (i + 1 == argc) throw UsageError(argument + " must be followed by a file name");
            const bool vectors = argument == "--vectors";
            (vectors ? options.vectors : options.words) = argv[++i];
            (vectors ? vectors_given : words_given) = true;
        } else if (argument.size() > 2 && argument.compare(0, 2, "--") == 0) {
            throw UsageError("unknown option " + argument);
        } else {
            options.lookups.push_back(argument);
        }
    }
    if (vectors_given != words_given)
        throw UsageError("--vectors and --words belong together: the words name the vectors");
    return options;
}

}  // namespace word_search
