// search: an index from vectors or from a file, queries from a file.
#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <utility>

#include <turboquant/turboquant.hpp>

#include "../common/npy.hpp"
#include "../common/search_answers.hpp"
#include "../common/vectors.hpp"
#include "commands.hpp"
#include "report.hpp"

namespace tools {
namespace {

bool holds_vectors(const std::string& path) {
    for (const char* ending : {".npy", ".fvecs", ".bvecs"})
        if (examples::has_ending(path, ending)) return true;
    return false;
}

template <int Bits>
using FlatIndex = tq::FlatIndex<Eigen::Dynamic, Bits>;

template <int Bits>
FlatIndex<Bits> build(const Eigen::MatrixXf& base, const tq::FlatIndexOptions& options) {
    FlatIndex<Bits> index(base.rows(), options);
    index.reserve(base.cols());
    const Timer timer;
    in_chunks("adding", base.cols(),
              [&](Index first, Index count) { index.add(base.middleCols(first, count)); });
    std::printf("add         %.3f s, %.0f ns a vector\n", timer.seconds(),
                timer.seconds() / static_cast<double>(base.cols()) * 1e9);
    return index;
}

template <int Bits>
void search_at(const SearchOptions& options, const Eigen::MatrixXf& base) {
    const Eigen::MatrixXf queries = examples::read_vectors(options.queries);
    FlatIndex<Bits> index =
        base.size() > 0 ? build<Bits>(base, options.flat) : FlatIndex<Bits>::map(options.base);
    index.set_threads(options.flat.threads);
    if (!options.save.empty()) index.save(options.save);

    tq::SearchResult hits;
    const Timer timer;
    // Chunks of queries, so that there is progress to see.
    hits.ids.resize(options.k, queries.cols());
    hits.scores.resize(options.k, queries.cols());
    in_chunks("searching", queries.cols(), [&](Index first, Index count) {
        const tq::SearchResult some = index.search(queries.middleCols(first, count), options.k);
        hits.ids.middleCols(first, count) = some.ids;
        hits.scores.middleCols(first, count) = some.scores;
    });
    const double seconds = timer.seconds();
    std::printf("index       %td vectors of dimension %td at %d bits", index.size(), index.dim(), Bits);
    if (base.size() > 0) {  // else its memory is the file's
        const auto bytes = static_cast<double>(index.bytes());
        std::printf(", %s, %.1f bytes a vector", megabytes(bytes).c_str(),
                    bytes / static_cast<double>(base.cols()));
    }
    std::puts("");
    std::printf("search      %.3f s, %.1f us a query (%td queries, k = %td)\n", seconds,
                seconds / static_cast<double>(queries.cols()) * 1e6, queries.cols(), options.k);
    if (options.exact) {
        examples::ProgressBar bar("searching in float32", queries.cols());
        const double found =
            examples::recall(base, queries, hits, index.options().metric, [&] { bar.advance(); });
        std::printf("recall      %.4f of the exact %td best were found\n", found,
                    std::min(options.k, base.cols()));
    }
    if (!options.ids.empty()) examples::write_npy(options.ids, hits.ids);
    examples::print_hits(hits, options.print);
}

}  // namespace

void search(const SearchOptions& options) {
    Eigen::MatrixXf base;
    int bits = options.bits;
    if (holds_vectors(options.base)) {
        base = examples::read_vectors(options.base);
    } else {
        const tq::FileDescription file = tq::describe_file(options.base);
        if (file.kind != tq::FileKind::index || file.id.kind != tq::QuantizerKind::mse)
            throw std::runtime_error(options.base +
                                     ": the file holds no search index of an MseQuantizer, but " +
                                     file.id.description());
        if (options.exact)
            throw std::runtime_error("--exact needs vectors, but " + options.base + " is an index");
        bits = file.id.bits;
    }
    switch (bits) {
        case 1:
            return search_at<1>(options, base);
        case 2:
            return search_at<2>(options, base);
        case 3:
            return search_at<3>(options, base);
        case 4:
            return search_at<4>(options, base);
        case 8:
            return search_at<8>(options, base);
        default:
            throw std::runtime_error("an index has 1, 2, 3, 4 or 8 bits here, but " + std::to_string(bits) +
                                     " were asked for");
    }
}

}  // namespace tools
