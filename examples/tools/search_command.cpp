// search: an index from vectors or from a file, queries from a file.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <stdexcept>

#include <turboquant/file_description.hpp>

#include "../common/npy.hpp"
#include "../common/search_answers.hpp"
#include "../common/vectors.hpp"
#include "any_index.hpp"
#include "commands.hpp"
#include "report.hpp"

namespace tools {
namespace {

bool holds_vectors(const std::string& path) {
    for (const char* ending : {".npy", ".fvecs", ".bvecs"})
        if (examples::has_ending(path, ending)) return true;
    return false;
}

// An index of vectors, or (base empty) the saved one.
std::unique_ptr<AnyIndex> open_index(const SearchOptions& options, const Eigen::MatrixXf& base) {
    if (base.size() == 0) {
        const tq::FileDescription file = tq::describe_file(options.base);
        if (file.kind != tq::FileKind::index || file.id.kind != tq::QuantizerKind::mse)
            throw std::runtime_error(options.base +
                                     ": the file holds no search index of an MseQuantizer, but " +
                                     file.id.description());
        if (options.exact)
            throw std::runtime_error("--exact needs vectors, but " + options.base + " is an index");
        return make_index(file.id.bits, {options.base, 0, {}});
    }
    tq::FlatIndexOptions flat;
    flat.seed = options.seed;
    flat.metric = static_cast<tq::Metric>(options.metric);
    flat.centring = options.centring;
    auto index = make_index(options.bits, {"", base.rows(), flat});
    index->reserve(base.cols());
    const Timer timer;
    in_chunks("adding", base.cols(), [&](Index first, Index count) { index->add(base, first, count); });
    std::printf("add         %.3f s, %.0f ns a vector\n", timer.seconds(),
                timer.seconds() / static_cast<double>(base.cols()) * 1e9);
    return index;
}

}  // namespace

void search(const SearchOptions& options) {
    Eigen::MatrixXf base;
    if (holds_vectors(options.base)) base = examples::read_vectors(options.base);
    const Eigen::MatrixXf queries = examples::read_vectors(options.queries);
    const auto index = open_index(options, base);
    index->set_threads(options.threads);
    if (!options.save.empty()) index->save(options.save);

    tq::SearchResult hits;
    const Timer timer;
    // Chunks of queries, so that there is progress to see.
    hits.ids.resize(options.k, queries.cols());
    hits.scores.resize(options.k, queries.cols());
    in_chunks("searching", queries.cols(), [&](Index first, Index count) {
        const tq::SearchResult some = index->search(queries, first, count, options.k);
        hits.ids.middleCols(first, count) = some.ids;
        hits.scores.middleCols(first, count) = some.scores;
    });
    const double seconds = timer.seconds();
    std::printf("index       %td vectors of dimension %td at %d bits", index->size(), index->dim(),
                index->bits());
    if (base.size() > 0) {  // else its memory is the file's
        const auto bytes = static_cast<double>(index->bytes());
        std::printf(", %s, %.1f bytes a vector", megabytes(bytes).c_str(),
                    bytes / static_cast<double>(base.cols()));
    }
    std::puts("");
    std::printf("search      %.3f s, %.1f us a query (%td queries, k = %td)\n", seconds,
                seconds / static_cast<double>(queries.cols()) * 1e6, queries.cols(), options.k);
    if (options.exact) {
        examples::ProgressBar bar("searching in float32", queries.cols());
        const double found = examples::recall(base, queries, hits, index->metric(), [&] { bar.advance(); });
        std::printf("recall      %.4f of the exact %td best were found\n", found,
                    std::min(options.k, base.cols()));
    }
    if (!options.ids.empty()) examples::write_npy(options.ids, hits.ids);
    examples::print_hits(hits, options.print);
}

}  // namespace tools
