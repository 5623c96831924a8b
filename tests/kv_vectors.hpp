// What the tests of KvCache share: attention in double as the reference, and tokens that look like those of real heads.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "test_vectors.hpp"

namespace kv_vectors {

using test_vectors::gaussian;
using turboquant::AttendOptions;
using turboquant::Index;

// Softmax attention in double. Column j sees tokens [first, last_of(j)).
template <class LastOf>
Eigen::MatrixXd reference(const Eigen::MatrixXf& k, const Eigen::MatrixXf& v, const Eigen::MatrixXf& q,
                          double scale, double softcap, Index first, LastOf&& last_of,
                          std::vector<double>* lse = nullptr) {
    Eigen::MatrixXd out = Eigen::MatrixXd::Zero(v.rows(), q.cols());
    if (lse != nullptr)
        lse->assign(static_cast<std::size_t>(q.cols()), -std::numeric_limits<double>::infinity());
    for (Index j = 0; j < q.cols(); ++j) {
        const Index count = last_of(j) - first;
        if (count <= 0) continue;
        const Eigen::MatrixXd some = k.middleCols(first, count).cast<double>();
        Eigen::VectorXd logits = scale * (some.transpose() * q.col(j).cast<double>());
        if (softcap > 0) logits = softcap * (logits.array() / softcap).tanh();
        const double top = logits.maxCoeff();
        const Eigen::VectorXd p = (logits.array() - top).exp();
        out.col(j) = v.middleCols(first, count).cast<double>() * p / p.sum();
        if (lse != nullptr) (*lse)[static_cast<std::size_t>(j)] = top + std::log(p.sum());
    }
    return out;
}

inline Eigen::MatrixXd reference(const Eigen::MatrixXf& k, const Eigen::MatrixXf& v,
                                 const Eigen::MatrixXf& q) {
    return reference(k, v, q, 1.0 / std::sqrt(static_cast<double>(k.rows())), 0.0, 0,
                     [&](Index) { return k.cols(); });
}

// Tokens around a mean, as keys and values of real heads are.
inline Eigen::MatrixXf tokens(Index dim, Index count, std::uint64_t seed) {
    Eigen::MatrixXf x = gaussian(dim, count, seed);
    x.colwise() += gaussian(dim, 1, seed + 1000).col(0);
    return x;
}

inline double norm_of(const Eigen::MatrixXd& x) { return x.norm(); }

}  // namespace kv_vectors
