// A language model that keeps its keys and values in 2 to 8 bits: what that costs in bits per byte and in needles found,
// against an exact float32 cache, and what it writes.
//
// The weights are stored by this library too: see store_model.cpp. They are decoded once, when the model is loaded.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "../common/progress.hpp"
#include "caches.hpp"
#include "evaluation.hpp"
#include "generation.hpp"
#include "model_file.hpp"
#include "options.hpp"
#include "text_file.hpp"

#include <turboquant/turboquant.hpp>

namespace tiny_lm {
namespace {

constexpr std::uint64_t kSeed = 7;

constexpr const char* kUsage =
    "usage: tiny_lm [OPTION...]\n"
    "\n"
    "Measures a language model with quantized key-value caches against an exact one, then lets it write.\n"
    "\n"
    "  --quick          a few caches and short documents: less than a minute on one core\n"
    "  --documents N    documents of plain text, for bits per byte (4 if not given, quick 2)\n"
    "  --length N       bytes of each document, up to the model's context (4096 if not given, quick 1024)\n"
    "  --questions N    needles to find, 20 (quick: 5) to a document of their own (100 if not given, quick "
    "5)\n"
    "  --generate N     bytes to write with the exact and with the quantized cache (300 if not given, quick "
    "160)\n"
    "  --threads N      caches measured at the same time (as many as there are cores if not given)\n"
    "  --model FILE     a stored model (of store_model) or the original\n"
    "  --text FILE      text that the model was not trained on\n"
    "  --help           this text\n";

struct Options {
    TaskSizes sizes;
    bool quick = false, help = false;
    Index generate = 300;
    Index threads = std::max(1U, std::thread::hardware_concurrency());
    std::string model = TURBOQUANT_EXAMPLES_DATA_DIR "/tiny_lm.tq";
    std::string text = TURBOQUANT_EXAMPLES_DATA_DIR "/tiny_lm_text.txt";
};

Options parse_options(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; ++i) options.quick |= std::string(argv[i]) == "--quick";
    if (options.quick) {  // before the others, which may change it
        options.sizes = {/*documents=*/2, /*length=*/1024, /*questions=*/5, /*questions_per_document=*/5};
        options.generate = 160;
    }
    OptionParser parser;
    parser.flag("--quick", [] {});
    parser.flag("--help", [&] { options.help = true; });
    parser.value("--documents", options.sizes.documents, 1, 10000);
    parser.value("--length", options.sizes.length, 2, 1 << 20);
    parser.value("--questions", options.sizes.questions, 0, 100000);
    parser.value("--generate", options.generate, 0, 1 << 20);
    parser.value("--threads", options.threads, 1, 1024);
    parser.value("--model", options.model);
    parser.value("--text", options.text);
    parser.parse(argc, argv);
    return options;
}

// --- The table -------------------------------------------------------------------------------------------------------

const char* quantizer_name(KeyQuantizer keys) {
    return keys == KeyQuantizer::mse     ? "MseQuantizer"
           : keys == KeyQuantizer::turbo ? "TurboQuantizer"
                                         : "TrellisQuantizer";
}

struct Row {
    CacheChoice cache;
    Predictions predictions;
    bool first_of_group;
    bool measured;
};

std::string describe(const CacheChoice& cache) {
    if (cache.keys == KeyQuantizer::none) return "exact, float32";
    return std::string(quantizer_name(cache.keys)) + " keys, " + cache.bits() + " bits, window " +
           std::to_string(cache.window);
}

void print_header() {
    std::printf("  %-16s %3s %6s %5s %8s %11s %9s %9s %6s %9s\n", "keys", "K/V", "window", "sinks",
                "centring", "bytes/value", "bits/byte", "change", "", "needles");
}

constexpr const char* kCentred[] = {"no", "values", "all", "blocks"};

void print_row(const Row& row, const Row& exact, const ModelShape& shape, const Task& task) {
    const CacheChoice& cache = row.cache;
    const auto values = static_cast<double>(task.documents.size() * (task.length() - 1)) *
                        static_cast<double>(2 * shape.layers * shape.kv_dim());
    const double bits = bits_per_byte(row.predictions, task);
    if (row.first_of_group) std::printf("\n");
    if (cache.keys == KeyQuantizer::none)
        std::printf("  %-16s %3s %6s %5s %8s", "exact", "f32", "", "", "");
    else
        std::printf("  %-16s %3s %6td %5td %8s", quantizer_name(cache.keys), cache.bits().c_str(),
                    cache.window, cache.sinks, kCentred[static_cast<int>(cache.centring)]);
    std::printf(" %11.3f %9.4f", static_cast<double>(row.predictions.cache_bytes) / values, bits);
    if (cache.keys == KeyQuantizer::none)
        std::printf(" %9s %6s", "", "");
    else
        std::printf(" %+8.2f%% ±%5.2f", 100 * (bits / bits_per_byte(exact.predictions, task) - 1),
                    100 * standard_error(row.predictions, exact.predictions, task));
    std::printf(" %6zu/%zu\n", recalled(row.predictions, task), task.questions.size());
    std::fflush(stdout);
}

// Measures every cache on the same task and prints its row once all rows before it are there. Caches are independent of
// each other: threads take one after another.
class Table {
public:
    Table(const Model& model, const Task& task, const std::vector<std::vector<CacheChoice>>& groups,
          examples::Progress& progress)
        : model_(model), task_(task), progress_(progress) {
        for (const auto& group : groups)
            for (const CacheChoice& cache : group)
                rows_.push_back({cache, {}, &cache == &group.front(), false});
    }

    void measure(Index threads) {
        std::vector<std::thread> workers;
        for (Index i = 1; i < threads; ++i) workers.emplace_back([this] { work(); });
        work();
        for (std::thread& worker : workers) worker.join();
        if (failure_) std::rethrow_exception(failure_);
    }

private:
    void work() {
        try {
            while (Row* row = next()) {
                row->predictions = predict(model_, row->cache.make, task_);
                finish(*row);
            }
        } catch (...) {
            const std::lock_guard<std::mutex> lock(mutex_);
            failure_ = std::current_exception();
        }
    }

    // The next row to measure; null when none is left, or when one has failed.
    Row* next() {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (failure_ || begun_ == rows_.size()) return nullptr;
        progress_.step(describe(rows_[begun_].cache));
        return &rows_[begun_++];
    }

    void finish(Row& row) {
        const std::lock_guard<std::mutex> lock(mutex_);
        row.measured = true;
        if (rows_[printed_].measured) progress_.clear();
        for (; printed_ < rows_.size() && rows_[printed_].measured; ++printed_)
            print_row(rows_[printed_], rows_.front(), model_.shape, task_);
    }

    const Model& model_;
    const Task& task_;
    examples::Progress& progress_;
    std::vector<Row> rows_;
    std::size_t begun_ = 0, printed_ = 0;
    std::mutex mutex_;
    std::exception_ptr failure_;
};

// --- Writing ---------------------------------------------------------------------------------------------------------

// On one line of a terminal each: white space becomes single spaces, the line is broken at spaces.
void print_wrapped(const std::string& label, const std::string& text) {
    constexpr std::size_t kWidth = 96;
    std::string line, word, first = label;
    const auto flush_line = [&] {
        std::printf("  %-8s %s\n", first.c_str(), line.c_str());
        first.clear();
        line.clear();
    };
    for (const char c : text + " ") {
        const bool printable = c > ' ' && c <= '~';
        if (printable) word += c;
        if (c != ' ' && c != '\n') continue;
        if (!word.empty() && line.size() + 1 + word.size() > kWidth) flush_line();
        if (!word.empty()) line += (line.empty() ? "" : " ") + word;
        word.clear();
    }
    if (!line.empty() || !first.empty()) flush_line();
}

void write(const Model& model, const std::string& text, const Options& options,
           examples::Progress& progress) {
    constexpr std::size_t kPrompt = 600;  // bytes: most of them have left the window
    constexpr float kTemperature = 0.6f;  // lower repeats itself, higher misspells: a choice of taste
    const CacheChoice cache = demonstration_cache();
    const std::string start = text.substr(0, text.find(' ', std::min(kPrompt, text.size())));
    const std::string fact = needle_fact("violet raven", "407316");
    const std::string question = fact + start + needle_question("violet raven");
    progress.step("writing");
    const auto count = static_cast<std::size_t>(options.generate);
    const Continuation exact = generate(model, exact_caches(), start, count, kTemperature, kSeed);
    const Continuation quantized = generate(model, cache.make, start, count, kTemperature, kSeed);
    const Continuation exact_answer = generate(model, exact_caches(), question, kDigits, 0, kSeed);
    const Continuation quantized_answer = generate(model, cache.make, question, kDigits, 0, kSeed);
    progress.clear();

    std::printf("\nThe model goes on from %zu bytes of text, with the same random numbers.\n", start.size());
    std::printf("Caches: exact %.2f MB, %s bits %.2f MB.\n", static_cast<double>(exact.cache_bytes) * 1e-6,
                cache.bits().c_str(), static_cast<double>(quantized.cache_bytes) * 1e-6);
    constexpr std::size_t kShown = 180;  // bytes of the prompt
    const std::size_t shown = start.size() - std::min(start.size(), kShown);
    print_wrapped("prompt", "... " + start.substr(start.find(' ', shown) + 1));
    print_wrapped("exact", exact.text);
    print_wrapped(cache.bits(), quantized.text);
    std::printf("\nTold \"%s\" before that text, and asked after it:\n",
                fact.substr(1, fact.size() - 2).c_str());
    print_wrapped("exact", exact_answer.text);
    print_wrapped(cache.bits(), quantized_answer.text);
}

void run(const Options& options) {
    const Model model = read_model(options.model);
    if (options.sizes.length > model.shape.context)
        throw UsageError("--length " + std::to_string(options.sizes.length) +
                         " is above the model's context, " + std::to_string(model.shape.context));
    const std::string text = read_text(options.text);
    const Task task = make_task(text, options.sizes, kSeed);
    const auto groups = options.quick ? quick_comparison() : full_comparison();
    std::size_t steps = 1;
    for (const auto& group : groups) steps += group.size();
    examples::Progress progress(static_cast<int>(steps));
    std::printf(
        "%.1f million weights, %td layers, %td query and %td key-value heads of %td, bytes as tokens.\n",
        static_cast<double>(model.parameters()) * 1e-6, model.shape.layers, model.shape.q_heads,
        model.shape.kv_heads, kHeadDim);
    std::printf("%td documents of %td bytes of text; %td questions in %zu more. Target %s.\n\n",
                options.sizes.documents, options.sizes.length, options.sizes.questions,
                task.documents.size() - task.texts, turboquant::target_name(turboquant::active_target()));
    print_header();
    Table(model, task, groups, progress).measure(options.threads);
    if (options.generate > 0) write(model, text, options, progress);
}

}  // namespace
}  // namespace tiny_lm

int main(int argc, char** argv) {
    try {
        const tiny_lm::Options options = tiny_lm::parse_options(argc, argv);
        if (options.help)
            std::fputs(tiny_lm::kUsage, stdout);
        else
            tiny_lm::run(options);
        return 0;
    } catch (const tiny_lm::UsageError& error) {
        std::fprintf(stderr, "tiny_lm: %s\n\n%s", error.what(), tiny_lm::kUsage);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "tiny_lm: %s\n", error.what());
    }
    return 1;
}
