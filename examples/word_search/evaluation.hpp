// What a quantizer costs and how far it is from float32, on a search task whose exact answer is known.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <vector>

#include <turboquant/turboquant.hpp>

namespace word_search {

using turboquant::Index;

// Positions of the k largest scores, best first; of equal scores the first.
inline std::vector<Index> best_positions(const Eigen::Ref<const Eigen::VectorXf>& scores, Index k) {
    std::vector<Index> positions(static_cast<std::size_t>(scores.size()));
    std::iota(positions.begin(), positions.end(), Index{0});
    const auto end = positions.begin() + std::min(k, scores.size());
    std::partial_sort(positions.begin(), end, positions.end(), [&](Index a, Index b) {
        return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
    });
    positions.erase(end, positions.end());
    return positions;
}

// Find for each query the columns of `base` of largest inner product. All columns have norm 1.
struct Task {
    Eigen::MatrixXf base;                     // d × n
    Eigen::MatrixXf queries;                  // d × m
    Eigen::MatrixXf products;                 // n × m, exact
    std::vector<std::vector<Index>> nearest;  // per query, the kDepth best, exact

    static constexpr Index kDepth = 10;
};

// Every `step`-th column becomes a query, the others are searched.
inline Task make_task(const Eigen::MatrixXf& unit_vectors, Index step) {
    const Index total = unit_vectors.cols(), m = (total + step - 1) / step;
    Task task;
    task.queries.resize(unit_vectors.rows(), m);
    task.base.resize(unit_vectors.rows(), total - m);
    for (Index i = 0; i < total; ++i) {
        if (i % step == 0)
            task.queries.col(i / step) = unit_vectors.col(i);
        else
            task.base.col(i - i / step - 1) = unit_vectors.col(i);
    }
    task.products.noalias() = task.base.transpose() * task.queries;
    for (Index j = 0; j < m; ++j) task.nearest.push_back(best_positions(task.products.col(j), Task::kDepth));
    return task;
}

struct Evaluation {
    std::size_t bytes_per_vector = 0;
    double distortion = 0;  // mean ‖x − x̂‖²/‖x‖²
    double slope = 0;       // Σ estimate·exact / Σ exact²: 1 where estimates are unbiased
    double error = 0;       // root mean square of estimate − exact, in units of ‖q‖‖x‖/√d
    double recall_1 = 0;    // how often the exact best is ranked first
    double recall_10 = 0;   // how many of the exact ten best are among the ten ranked first
    double encode_ns = 0;   // per vector
};

// Median over batches, several times each, encoded into the same codes, so that only the first allocates. A batch takes
// much less than a time slice of the operating system: other programs spoil few of them, and the median none.
template <class Quantizer>
double encode_ns_per_vector(const Quantizer& quantizer, const Eigen::MatrixXf& x) {
    using Clock = std::chrono::steady_clock;
    constexpr int kRounds = 5;
    const Index batch = std::min<Index>(x.cols(), 250);
    turboquant::Codes codes = quantizer.encode(x.leftCols(batch));
    std::vector<double> ns;
    for (int round = 0; round < kRounds; ++round) {
        for (Index first = 0; first + batch <= x.cols(); first += batch) {
            const auto start = Clock::now();
            quantizer.encode(x.middleCols(first, batch), codes);
            ns.push_back(std::chrono::duration<double, std::nano>(Clock::now() - start).count());
        }
    }
    const auto median = ns.begin() + static_cast<std::ptrdiff_t>(ns.size() / 2);
    std::nth_element(ns.begin(), median, ns.end());
    return *median / static_cast<double>(batch);
}

inline void compare_products(const Task& task, const Eigen::MatrixXf& estimates, Evaluation& result) {
    const auto exact = task.products.array(), estimate = estimates.array();
    const double squares = exact.square().cast<double>().sum();
    const double squared_errors = (estimate - exact).square().cast<double>().sum();
    const double unit = 1.0 / std::sqrt(static_cast<double>(task.base.rows()));
    result.slope = (estimate * exact).cast<double>().sum() / squares;
    result.error = std::sqrt(squared_errors / static_cast<double>(exact.size())) / unit;
}

inline void compare_rankings(const Task& task, const Eigen::MatrixXf& estimates, Evaluation& result) {
    std::size_t first = 0, found = 0, wanted = 0;
    for (std::size_t j = 0; j < task.nearest.size(); ++j) {
        const std::vector<Index>& exact = task.nearest[j];
        const auto ranked = best_positions(estimates.col(static_cast<Index>(j)), Task::kDepth);
        first += ranked.front() == exact.front();
        wanted += exact.size();
        for (const Index position : exact)
            found += static_cast<std::size_t>(std::count(ranked.begin(), ranked.end(), position));
    }
    result.recall_1 = static_cast<double>(first) / static_cast<double>(task.nearest.size());
    result.recall_10 = static_cast<double>(found) / static_cast<double>(wanted);
}

template <class Quantizer>
Evaluation evaluate(const Quantizer& quantizer, const Task& task) {
    Evaluation result;
    result.bytes_per_vector = quantizer.bytes_per_vector();
    result.encode_ns = encode_ns_per_vector(quantizer, task.base);
    const turboquant::Codes codes = quantizer.encode(task.base);
    const Eigen::MatrixXf decoded = quantizer.decode(codes);
    result.distortion = (task.base - decoded).colwise().squaredNorm().cast<double>().mean();
    const Eigen::MatrixXf estimates = quantizer.inner_products(codes, task.queries);
    compare_products(task, estimates, result);
    compare_rankings(task, estimates, result);
    return result;
}

}  // namespace word_search
