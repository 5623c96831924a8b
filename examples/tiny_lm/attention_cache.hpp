// What the decoder asks of a key-value cache, and how any type that offers it is plugged in.
//
//   cache.append(k, v)      kHeadDim × n keys and values of the next n tokens
//   cache.attend(q, out)    out_j = Σ_i softmax_i(<q_j, k_i>/√kHeadDim)·v_i for the columns of q, over all tokens so far
//   cache.bytes()           what the keys and values take
//
// turboquant::KvCache is such a type, ExactCache another.
#pragma once

#include <cmath>
#include <cstddef>
#include <functional>
#include <memory>
#include <utility>

#include "model.hpp"

namespace tiny_lm {

// One key and value head of one sequence.
class AttentionCache {
public:
    using Input = Eigen::Ref<const Eigen::MatrixXf, 0, Eigen::OuterStride<>>;
    using Output = Eigen::Ref<Eigen::MatrixXf, 0, Eigen::OuterStride<>>;

    virtual ~AttentionCache() = default;
    virtual void append(const Input& k, const Input& v) = 0;
    virtual void attend(const Input& q, Output out) = 0;
    virtual std::size_t bytes() const = 0;
};

// Makes the cache of one head; `seed` differs from head to head.
using CacheMaker = std::function<std::unique_ptr<AttentionCache>(std::uint64_t seed)>;

template <class Cache>
class AnyCache final : public AttentionCache {
public:
    explicit AnyCache(Cache cache) : cache_(std::move(cache)) {}
    void append(const Input& k, const Input& v) override { cache_.append(k, v); }
    void attend(const Input& q, Output out) override { cache_.attend(q, out); }
    std::size_t bytes() const override { return cache_.bytes(); }

private:
    Cache cache_;
};

template <class Cache>
std::unique_ptr<AttentionCache> any_cache(Cache cache) {
    return std::make_unique<AnyCache<Cache>>(std::move(cache));
}

// Keys and values as they come, in float32: what every other cache is measured against.
class ExactCache {
public:
    void append(const AttentionCache::Input& k, const AttentionCache::Input& v) {
        reserve(size_ + k.cols());
        keys_.middleCols(size_, k.cols()) = k;
        values_.middleCols(size_, v.cols()) = v;
        size_ += k.cols();
    }

    void attend(const AttentionCache::Input& q, AttentionCache::Output out) {
        const float scale = 1.0f / std::sqrt(static_cast<float>(kHeadDim));
        // Column by column: Eigen's matrix-vector products read the cache faster than products with two columns.
        for (Index j = 0; j < q.cols(); ++j) {
            auto weights = weights_.head(size_);
            weights.noalias() = keys_.leftCols(size_).transpose() * (scale * q.col(j));
            weights = (weights.array() - weights.maxCoeff()).exp();
            out.col(j).noalias() = values_.leftCols(size_) * (weights / weights.sum());
        }
    }

    std::size_t bytes() const { return static_cast<std::size_t>(2 * kHeadDim * size_) * sizeof(float); }

private:
    void reserve(Index tokens) {
        if (tokens <= keys_.cols()) return;
        const Index capacity = std::max<Index>(2 * keys_.cols(), tokens);
        keys_.conservativeResize(kHeadDim, capacity);
        values_.conservativeResize(kHeadDim, capacity);
        weights_.resize(capacity);
    }

    Eigen::MatrixXf keys_{kHeadDim, 0}, values_{kHeadDim, 0};  // the first size_ columns
    Eigen::VectorXf weights_;
    Index size_ = 0;
};

inline CacheMaker exact_caches() {
    return [](std::uint64_t) { return any_cache(ExactCache()); };
}

}  // namespace tiny_lm
