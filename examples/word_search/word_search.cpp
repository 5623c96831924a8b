// Word vectors in 1 to 4 bits per coordinate: what that costs, and the nearest words found from the codes alone.
//
// One table compares the quantizers with float32 and with theory. Then the vocabulary is searched for a few words, in
// float32 and in 4-bit codes.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "../common/npy.hpp"
#include "../common/progress.hpp"
#include "evaluation.hpp"
#include "options.hpp"

#include <turboquant/turboquant.hpp>

namespace word_search {
namespace {

namespace tq = turboquant;
using examples::Progress;
using tq::ScaleRule;

// The dimension is given at run time, so that any file will do. Where it is known when the program is written,
// tq::MseQuantizer<100, 4> makes the same codes at the same speed.
template <int Bits>
using MseQuantizer = tq::MseQuantizer<Eigen::Dynamic, Bits>;
template <int Bits>
using TurboQuantizer = tq::TurboQuantizer<Eigen::Dynamic, Bits>;
using AllBits = std::integer_sequence<int, 1, 2, 3, 4>;

constexpr std::uint64_t kSeed = 7;
constexpr Index kQueryStep = 20;

// --- Data ------------------------------------------------------------------------------------------------------------

struct Vocabulary {
    std::vector<std::string> words;
    Eigen::MatrixXf vectors;  // one column per word, norm 1: inner products are cosines

    const std::string& word(Index position) const { return words[static_cast<std::size_t>(position)]; }
};

std::vector<std::string> read_lines(const std::string& path) {
    std::ifstream in(path);
    if (!in) throw std::runtime_error(path + ": cannot be opened");
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

Vocabulary load_vocabulary(const Options& options) {
    Vocabulary vocabulary{read_lines(options.words), examples::read_npy(options.vectors).columns()};
    const Index words = static_cast<Index>(vocabulary.words.size()), vectors = vocabulary.vectors.cols();
    if (words != vectors)
        throw std::runtime_error(options.words + " has " + std::to_string(words) + " words, but " +
                                 options.vectors + " has " + std::to_string(vectors) + " vectors");
    if (vectors <= kQueryStep)
        throw std::runtime_error(options.vectors + ": " + std::to_string(vectors) +
                                 " vectors are too few, more than " + std::to_string(kQueryStep) +
                                 " are needed");
    if (!vocabulary.vectors.allFinite())
        throw std::runtime_error(options.vectors + ": holds a NaN or an infinity");
    vocabulary.vectors.colwise().normalize();
    return vocabulary;
}

// Positions of the words to look up. Those asked for must exist; of our own choice, those that do are taken.
std::vector<Index> positions_to_look_up(const Vocabulary& vocabulary, const Options& options) {
    const std::vector<std::string> choice = {"king", "paris", "music", "seven", "monday"};
    const bool asked = !options.lookups.empty();
    std::vector<Index> positions;
    for (const std::string& word : asked ? options.lookups : choice) {
        const auto found = std::find(vocabulary.words.begin(), vocabulary.words.end(), word);
        if (found != vocabulary.words.end())
            positions.push_back(found - vocabulary.words.begin());
        else if (asked)
            throw std::runtime_error("'" + word + "' is not among the words of " + options.words);
    }
    return positions;
}

// --- The table -------------------------------------------------------------------------------------------------------

struct Row {
    std::string quantizer;
    int bits;
    double expected_distortion;
    Evaluation measured;
};

// D(b): expected ‖x − x̂‖² of a unit vector that the Lloyd-Max codebook of b bits stands for, scaled by ‖x‖.
template <int Bits>
double codebook_distortion(Index dim) {
    if constexpr (Bits == 0)
        return 1.0;  // nothing is stored, all is left
    else
        return tq::LloydMaxCodebook<Eigen::Dynamic, Bits>(dim).distortion();
}

// The unbiased scale is longer by 1/(1 − D), up to terms of order 1/d: ‖x − x̂‖² becomes D/(1 − D).
double unbiased_distortion(double distortion) { return distortion / (1 - distortion); }

template <int Bits>
Row mse_row(ScaleRule rule, const Task& task, Progress& progress) {
    const Index dim = task.base.rows();
    const bool unbiased = rule == ScaleRule::unbiased;
    const std::string name = unbiased ? "MseQuantizer, unbiased" : "MseQuantizer, norm";
    progress.step(name + ", " + std::to_string(Bits) + (Bits == 1 ? " bit" : " bits"));
    const double d = codebook_distortion<Bits>(dim);
    return {name, Bits, unbiased ? unbiased_distortion(d) : d,
            evaluate(MseQuantizer<Bits>(dim, kSeed, rule), task)};
}

// The sketch is an unbiased 1-bit quantizer of the residual, whose squared norm is D(b − 1) on average: what is left is
// D(b − 1)·D(1)/(1 − D(1)), near D(b − 1)·(π/2 − 1), since D(1) tends to 1 − 2/π for large d.
template <int Bits>
Row turbo_row(const Task& task, Progress& progress) {
    const Index dim = task.base.rows();
    progress.step("TurboQuantizer, " + std::to_string(Bits) + (Bits == 1 ? " bit" : " bits"));
    const double expected =
        codebook_distortion<Bits - 1>(dim) * unbiased_distortion(codebook_distortion<1>(dim));
    return {"TurboQuantizer", Bits, expected, evaluate(TurboQuantizer<Bits>(dim, kSeed), task)};
}

template <int... Bits>
std::vector<Row> evaluate_all(std::integer_sequence<int, Bits...>, const Task& task, Progress& progress) {
    return {mse_row<Bits>(ScaleRule::norm, task, progress)...,
            mse_row<Bits>(ScaleRule::unbiased, task, progress)..., turbo_row<Bits>(task, progress)...};
}

void print_row(const Row& row, double float_bytes) {
    const Evaluation& m = row.measured;
    const double bytes = static_cast<double>(m.bytes_per_vector);
    std::printf("%-22s %5d %7.0f %7.1fx %9.4f %7.4f %6.4f %6.3f %6.3f %7.3f %6.3f %8.0f ns\n",
                row.quantizer.c_str(), row.bits, bytes, float_bytes / bytes, m.distortion,
                row.expected_distortion, std::pow(4.0, -row.bits), m.slope, m.error, m.recall_1, m.recall_10,
                m.encode_ns);
}

void print_table(const std::vector<Row>& rows, Index dim) {
    const double float_bytes = 4.0 * static_cast<double>(dim);
    std::puts(
        "                              bytes/          ------ distortion ----- inner product  --- recall --- "
        " encode/\n"
        "quantizer               bits  vector smaller   measured  theory   4^-b  slope  error      @1    @10 "
        "  vector");
    std::printf(
        "float32                   32 %7.0f     1.0x         -       -      -  1.000  0.000   1.000  1.000   "
        "     -\n",
        float_bytes);
    for (const Row& row : rows) print_row(row, float_bytes);
    std::puts(
        "\n"
        "distortion     mean ‖x − x̂‖²/‖x‖² of decoded vectors. Theory: with D(b) that of the Lloyd-Max "
        "codebook, D(b),\n"
        "               D(b)/(1 − D(b)) with the unbiased scale, D(b−1)·D(1)/(1 − D(1)) for TurboQuantizer.\n"
        "               4^-b: no quantizer of b bits has less on every input.\n"
        "inner product  slope of the estimates against the exact values (1: unbiased), and the root mean "
        "square of\n"
        "               their difference, in units of ‖q‖‖x‖/√d.\n"
        "recall         the exact best is ranked first; share of the exact ten best among the first ten.");
}

// --- Nearest words ---------------------------------------------------------------------------------------------------

// The words of largest score, without the word at `self`.
std::string nearest_words(const Vocabulary& vocabulary, Eigen::VectorXf scores, Index self) {
    constexpr Index kShown = 7;
    scores[self] = -2;  // below every cosine
    std::string words;
    for (const Index position : best_positions(scores, kShown)) words += " " + vocabulary.word(position);
    return words;
}

void print_neighbours(const Vocabulary& vocabulary, const std::vector<Index>& positions) {
    const MseQuantizer<4> quantizer(vocabulary.vectors.rows(), kSeed, ScaleRule::unbiased);
    const tq::Codes codes = quantizer.encode(vocabulary.vectors);
    std::printf(
        "\nNearest words by cosine, in float32 (%.2f MB) and in 4-bit codes of MseQuantizer (%.2f MB):\n",
        static_cast<double>(vocabulary.vectors.size()) * 4e-6, static_cast<double>(codes.bytes()) * 1e-6);
    for (const Index position : positions) {
        const auto query = vocabulary.vectors.col(position);
        const Eigen::VectorXf exact = vocabulary.vectors.transpose() * query;
        const Eigen::VectorXf estimates = quantizer.inner_products(codes, query);
        std::printf("  %-10s float32 %s\n", vocabulary.word(position).c_str(),
                    nearest_words(vocabulary, exact, position).c_str());
        std::printf("  %-10s 4 bits  %s\n", "", nearest_words(vocabulary, estimates, position).c_str());
    }
}

void run(const Options& options) {
    const Vocabulary vocabulary = load_vocabulary(options);
    const std::vector<Index> positions = positions_to_look_up(vocabulary, options);
    Progress progress(1 + 3 * static_cast<int>(AllBits::size()));
    progress.step("exact search in float32");
    const Task task = make_task(vocabulary.vectors, kQueryStep);
    const std::vector<Row> rows = evaluate_all(AllBits(), task, progress);
    progress.clear();

    std::printf(
        "%td word vectors of dimension %td: every %tdth is a query (%td), the others are encoded (%td).\n",
        vocabulary.vectors.cols(), vocabulary.vectors.rows(), kQueryStep, task.queries.cols(),
        task.base.cols());
    std::printf("Target %s, one thread, seed %d.\n\n", tq::target_name(tq::active_target()),
                static_cast<int>(kSeed));
    print_table(rows, task.base.rows());
    print_neighbours(vocabulary, positions);
}

}  // namespace
}  // namespace word_search

int main(int argc, char** argv) {
    try {
        const word_search::Options options = word_search::parse_options(argc, argv);
        if (options.help)
            std::fputs(word_search::kUsage, stdout);
        else
            word_search::run(options);
        return 0;
    } catch (const word_search::UsageError& error) {
        std::fprintf(stderr, "word_search: %s\n\n%s", error.what(), word_search::kUsage);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "word_search: %s\n", error.what());
    }
    return 1;
}
