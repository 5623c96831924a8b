// Search from end to end: vectors from a file, an index built, saved, loaded and searched, and, when asked, compared with
// the exact answer.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

#include "../common/progress.hpp"
#include "../common/search_answers.hpp"
#include "../common/timer.hpp"
#include "../common/vectors.hpp"
#include "options.hpp"

#include <turboquant/turboquant.hpp>

namespace search_example {
namespace {

namespace tq = turboquant;
using examples::read_vectors;
using examples::Timer;
using tq::Index;
using tq::Metric;

struct Data {
    Eigen::MatrixXf base, queries;  // a vector a column
};

Data read_data(const Options& options) {
    constexpr Index kStep = 20;
    Data data;
    if (!options.queries.empty()) data.queries = read_vectors(options.queries);
    if (options.loads_only()) return data;
    data.base = read_vectors(options.base.empty() ? TURBOQUANT_EXAMPLES_DATA_DIR "/glove_100d_top10k.npy"
                                                  : options.base);
    if (!options.queries.empty()) return data;
    const Index total = data.base.cols(), m = (total + kStep - 1) / kStep;
    Eigen::MatrixXf rest(data.base.rows(), total - m);
    data.queries.resize(data.base.rows(), m);
    for (Index i = 0; i < total; ++i) {
        if (i % kStep == 0)
            data.queries.col(i / kStep) = data.base.col(i);
        else
            rest.col(i - i / kStep - 1) = data.base.col(i);
    }
    data.base = std::move(rest);
    return data;
}

// A file that exists only as long as the program needs it, unless the user named it.
struct IndexFile {
    std::string path;
    bool keep;
    explicit IndexFile(const std::string& given)
        : path(given.empty() ? "search_example.tqi" : given), keep(!given.empty()) {}
    ~IndexFile() {
        if (!keep) std::remove(path.c_str());
    }
    IndexFile(const IndexFile&) = delete;
    IndexFile& operator=(const IndexFile&) = delete;
};

template <int Bits>
void run(const Options& options) {
    using FlatIndex = tq::FlatIndex<Eigen::Dynamic, Bits>;
    examples::Progress progress(3 + (options.loads_only() ? 0 : 2) + (options.exact ? 1 : 0));
    progress.step("reading vectors");
    const Data data = read_data(options);
    const IndexFile file(options.index);

    double add_seconds = 0, save_seconds = 0;
    if (!options.loads_only()) {
        progress.step("adding " + std::to_string(data.base.cols()) + " vectors");
        Timer timer;
        FlatIndex built(data.base.rows(), options.flat);
        built.reserve(data.base.cols());
        built.add(data.base);
        add_seconds = timer.seconds();
        progress.step("saving to " + file.path);
        timer = Timer();
        built.save(file.path);
        save_seconds = timer.seconds();
    }
    progress.step("loading " + file.path);
    Timer timer;
    FlatIndex index = FlatIndex::load(file.path);
    index.set_threads(options.flat.threads);
    const double load_seconds = timer.seconds();

    progress.step("searching for " + std::to_string(data.queries.cols()) + " queries");
    const Metric metric = index.options().metric;
    timer = Timer();
    tq::SearchResult hits;
    if (options.rerank > 0)
        hits = index.search(data.queries, options.k, options.rerank, [&](std::int64_t id, const auto& query) {
            return examples::exact_scores(data.base.col(static_cast<Index>(id)), query, metric)[0];
        });
    else
        index.search(data.queries, options.k, hits);
    const double search_seconds = timer.seconds();
    double found = 0;
    if (options.exact) {
        progress.step("searching in float32");
        found = examples::recall(data.base, data.queries, hits, metric, [] {});
    }
    progress.clear();

    examples::print_hits(hits, options.print);
    const auto n = static_cast<double>(index.size()), m = static_cast<double>(data.queries.cols());
    const auto bytes = static_cast<double>(index.bytes());
    std::printf("%td vectors of dimension %td at %d bits, %s, target %s\n", index.size(), index.dim(), Bits,
                index.options().centring ? "centred" : "not centred", tq::target_name(tq::active_target()));
    std::printf("memory   %.2f MB, %.1f bytes a vector; float32 takes %.1f times as much\n", bytes * 1e-6,
                bytes / n, 4.0 * n * static_cast<double>(index.dim()) / bytes);
    if (!options.loads_only())
        std::printf("add      %.2f s, %.2f us a vector; save %.3f s\n", add_seconds, add_seconds / n * 1e6,
                    save_seconds);
    std::printf("load     %.3f s\n", load_seconds);
    std::printf("search   %.2f s, %.1f us a query (%.0f queries, k = %td)\n", search_seconds,
                search_seconds / m * 1e6, m, options.k);
    if (options.exact) std::printf("recall   %.4f of the exact %td best were found\n", found, options.k);
}

void run(const Options& options) {
    switch (options.bits) {
        case 1:
            return run<1>(options);
        case 2:
            return run<2>(options);
        case 3:
            return run<3>(options);
        case 4:
            return run<4>(options);
        case 8:
            return run<8>(options);
        default:
            throw UsageError("--bits must be 1, 2, 3, 4 or 8, but is " + std::to_string(options.bits));
    }
}

}  // namespace
}  // namespace search_example

int main(int argc, char** argv) {
    try {
        const search_example::Options options = search_example::parse_options(argc, argv);
        if (options.help)
            std::fputs(search_example::kUsage, stdout);
        else
            search_example::run(options);
        return 0;
    } catch (const search_example::UsageError& error) {
        std::fprintf(stderr, "search: %s\n\n%s", error.what(), search_example::kUsage);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "search: %s\n", error.what());
    }
    return 1;
}
