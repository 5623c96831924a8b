// Answers of a search: printed, and compared with those in float32.
#pragma once

#include <algorithm>
#include <cstdio>

#include <turboquant/flat_index.hpp>

namespace examples {

// Ids and scores of the first queries, a line each.
inline void print_hits(const turboquant::SearchResult& hits, Eigen::Index queries) {
    for (Eigen::Index j = 0; j < std::min(queries, hits.ids.cols()); ++j) {
        std::printf("query %td:", j);
        for (Eigen::Index i = 0; i < hits.ids.rows() && hits.ids(i, j) >= 0; ++i)
            std::printf(" %lld (%.4f)", static_cast<long long>(hits.ids(i, j)),
                        static_cast<double>(hits.scores(i, j)));
        std::puts("");
    }
}

// Scores of vectors (columns of base) for one query; of l2, the squared distances.
inline Eigen::VectorXf exact_scores(const Eigen::MatrixXf& base, const Eigen::VectorXf& query,
                                    turboquant::Metric metric) {
    if (metric == turboquant::Metric::l2) return (base.colwise() - query).colwise().squaredNorm();
    Eigen::VectorXf scores = base.transpose() * query;
    if (metric == turboquant::Metric::cosine)
        scores.array() /= base.colwise().norm().transpose().array().max(1e-30f) * query.norm();
    return scores;
}

// How many of the exact k best the ids name, of query after query; ids are positions in base. A score equal to the k-th best
// counts: it is as good an answer. `after` is called when a query has been done.
template <class After>
double recall(const Eigen::MatrixXf& base, const Eigen::MatrixXf& queries,
              const turboquant::SearchResult& hits, turboquant::Metric metric, After after) {
    const Eigen::Index wanted = std::min(hits.ids.rows(), base.cols());
    Eigen::Index found = 0;
    for (Eigen::Index j = 0; j < queries.cols(); ++j) {
        Eigen::VectorXf scores = exact_scores(base, queries.col(j), metric);
        if (metric == turboquant::Metric::l2) scores = -scores;
        Eigen::VectorXf sorted = scores;
        std::nth_element(sorted.data(), sorted.data() + wanted - 1, sorted.data() + sorted.size(),
                         [](float a, float b) { return a > b; });
        for (Eigen::Index i = 0; i < wanted; ++i)
            found += scores[static_cast<Eigen::Index>(hits.ids(i, j))] >= sorted[wanted - 1] ? 1 : 0;
        after();
    }
    return static_cast<double>(found) / static_cast<double>(wanted * queries.cols());
}

}  // namespace examples
