// Codes of 2 and 3 bits on embeddings: distortion, the slope of inner products, and recall.
//
//   trellis_recall <base.npy> <queries.npy> [vectors]      the first so many, 20000 unless told
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <numeric>
#include <type_traits>
#include <vector>

#include <turboquant/flat_index.hpp>
#include <turboquant/trellis_quantizer.hpp>

#include "../../examples/common/npy.hpp"

namespace {

namespace tq = turboquant;
using tq::Index;

constexpr Index kNearest = 10;
constexpr int kSeeds = 3;

struct Set {
    Eigen::MatrixXf base, queries;
    std::vector<std::vector<Index>> nearest;  // by inner product, best first
};

void find_nearest(Set& set) {
    for (Index j = 0; j < set.queries.cols(); ++j) {
        const Eigen::VectorXf products = set.base.transpose() * set.queries.col(j);
        std::vector<Index> order(static_cast<std::size_t>(set.base.cols()));
        std::iota(order.begin(), order.end(), 0);
        std::partial_sort(order.begin(), order.begin() + kNearest, order.end(),
                          [&](Index a, Index b) { return products[a] > products[b]; });
        order.resize(kNearest);
        set.nearest.push_back(order);
    }
}

template <class Quantizer, class... Options>
void print_row(const char* name, const Set& set, Options... options) {
    double distortion = 0, product = 0, square = 0, first = 0, found = 0;
    std::size_t bytes = 0;
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
        const Quantizer quantizer(set.base.rows(), seed, tq::ScaleRule::unbiased, options...);
        const Quantizer least(set.base.rows(), seed, tq::ScaleRule::least_squares, options...);
        const Eigen::MatrixXf some = set.base.leftCols(std::min<Index>(2000, set.base.cols()));
        const Eigen::MatrixXf error = least.decode(least.encode(some)) - some;
        distortion += static_cast<double>(
            (error.colwise().squaredNorm().array() / some.colwise().squaredNorm().array()).mean());
        const Eigen::MatrixXf exact = some.transpose() * set.queries;
        const Eigen::MatrixXf estimates = quantizer.inner_products(quantizer.encode(some), set.queries);
        product += static_cast<double>((estimates.array() * exact.array()).sum());
        square += static_cast<double>(exact.squaredNorm());

        tq::FlatIndexOptions index_options;
        index_options.seed = seed;
        tq::BasicFlatIndex<Quantizer> index(quantizer, index_options);
        index.add(set.base);
        bytes = index.bytes() / static_cast<std::size_t>(index.size());
        const tq::SearchResult hits = index.search(set.queries, kNearest);
        for (Index j = 0; j < set.queries.cols(); ++j) {
            const std::vector<Index>& nearest = set.nearest[static_cast<std::size_t>(j)];
            first += hits.ids(0, j) == nearest[0];
            for (Index i = 0; i < kNearest; ++i)
                found += static_cast<double>(
                    std::count(nearest.begin(), nearest.end(), static_cast<Index>(hits.ids(i, j))));
        }
    }
    const double queries = static_cast<double>(kSeeds * set.queries.cols());
    std::printf("| %s | %zu | %.5f | %.4f | %.3f | %.3f |\n", name, bytes, distortion / kSeeds,
                product / square, first / queries, found / (queries * kNearest));
    std::fflush(stdout);
}

template <int Bits>
void print_rows(const Set& set) {
    std::printf("| %d bits | | | | | |\n", Bits);
    print_row<tq::MseQuantizer<tq::Dynamic, Bits>>("MseQuantizer", set);
    print_row<tq::MseQuantizer<tq::Dynamic, Bits>>("Refinement::scale_search", set,
                                                   tq::Refinement::scale_search);
    print_row<tq::TrellisQuantizer<tq::Dynamic, Bits>>("TrellisQuantizer", set);
}

int run(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: trellis_recall <base.npy> <queries.npy> [vectors]\n");
        return 2;
    }
    Set set;
    const Index vectors = argc > 3 ? std::atol(argv[3]) : 20000;
    const examples::NpyArray base = examples::read_npy(argv[1]), queries = examples::read_npy(argv[2]);
    set.base = base.columns().leftCols(std::min(vectors, base.columns().cols()));
    set.queries = queries.columns().leftCols(std::min<Index>(500, queries.columns().cols()));
    find_nearest(set);
    std::printf("| | bytes | distortion | slope | nearest first | recall@10 |\n|---|---|---|---|---|---|\n");
    print_rows<2>(set);
    print_rows<3>(set);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "trellis_recall: %s\n", error.what());
        return 1;
    }
}
