// The k best of many scores, without a sort of all: a heap in the caller's memory, the worst of the k at its root.
#pragma once

#include <cstdint>
#include <limits>
#include <utility>

#include "turboquant/config.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace detail {

// Larger scores are better; of equal ones the smaller id.
class TopK {
public:
    TopK(float* scores, std::int64_t* ids, Index k) noexcept : scores_(scores), ids_(ids), k_(k) {}

    Index size() const noexcept { return size_; }
    Index capacity() const noexcept { return k_; }

    // A score below this is not among the best.
    float threshold() const noexcept {
        if (k_ == 0) return std::numeric_limits<float>::infinity();
        return size_ < k_ ? -std::numeric_limits<float>::infinity() : scores_[0];
    }
    bool wants(float score, std::int64_t id) const noexcept {
        return size_ < k_ || (k_ > 0 && better(score, id, scores_[0], ids_[0]));
    }

    void push(float score, std::int64_t id) noexcept {
        if (!wants(score, id)) return;
        if (size_ < k_) {
            Index i = size_++;
            for (; i > 0 && better(scores_[(i - 1) / 2], ids_[(i - 1) / 2], score, id); i = (i - 1) / 2)
                copy((i - 1) / 2, i);
            scores_[i] = score;
            ids_[i] = id;
        } else {
            sift_down(score, id, size_);
        }
    }

    void merge(const TopK& other) noexcept {
        for (Index i = 0; i < other.size_; ++i) push(other.scores_[i], other.ids_[i]);
    }

    // Puts them in order, best first. Nothing may be pushed afterwards.
    void sort() noexcept {
        for (Index end = size_ - 1; end > 0; --end) {
            const float score = scores_[end];
            const std::int64_t id = ids_[end];
            copy(0, end);
            sift_down(score, id, end);
        }
    }

private:
    static bool better(float a, std::int64_t a_id, float b, std::int64_t b_id) noexcept {
        return a > b || (!(a < b) && a_id < b_id);
    }
    void copy(Index from, Index to) noexcept {
        scores_[to] = scores_[from];
        ids_[to] = ids_[from];
    }
    // An entry for the root of the first `size` entries.
    void sift_down(float score, std::int64_t id, Index size) noexcept {
        Index i = 0;
        for (Index child = 1; child < size; child = 2 * i + 1) {
            if (child + 1 < size && better(scores_[child], ids_[child], scores_[child + 1], ids_[child + 1]))
                ++child;
            if (!better(score, id, scores_[child], ids_[child])) break;
            copy(child, i);
            i = child;
        }
        scores_[i] = score;
        ids_[i] = id;
    }

    float* scores_;
    std::int64_t* ids_;
    Index k_;
    Index size_ = 0;
};

}  // namespace detail
TURBOQUANT_NAMESPACE_END
