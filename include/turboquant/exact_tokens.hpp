// The tokens of a KvCache that are kept in full precision.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "turboquant/config.hpp"
#include "turboquant/shared_bytes.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace detail {

// Exact tokens in a ring: token i at slot i mod capacity, a row of floats for its key and one for its value. The capacity
// grows to at most `limit`. Copies share the memory until one of them writes.
class ExactTokens {
public:
    ExactTokens(Index key_dim, Index value_dim, Index limit) noexcept
        : key_dim_(key_dim), value_dim_(value_dim), limit_(limit) {}

    // A run of tokens that lie side by side.
    struct Run {
        const float *keys, *values;
        Index count;
    };
    Run run(Index first, Index last) const noexcept {
        if (first >= last) return {nullptr, nullptr, 0};
        const Index slot = first % capacity_;
        return {floats(keys_) + slot * key_dim_, floats(values_) + slot * value_dim_,
                std::min(last - first, capacity_ - slot)};
    }
    template <class Body>
    void for_runs(Index first, Index last, Body&& body) const {
        while (first < last) {
            const Run part = run(first, last);
            body(part, first);
            first += part.count;
        }
    }

    // Room for tokens first … last − 1, of which those before `live` are there; memory of its own.
    void make_room(Index first, Index live, Index last) {
        const Index wanted = std::max<Index>(last - first, 1);
        if (wanted <= capacity_) {
            keys_.make_unique();
            values_.make_unique();
            return;
        }
        ExactTokens larger(key_dim_, value_dim_, limit_);
        larger.capacity_ = std::min(limit_, std::max(wanted, std::min(2 * capacity_, limit_)));
        // Kernels read up to 31 floats past the end of a row.
        larger.keys_ =
            SharedBytes(static_cast<std::size_t>(larger.capacity_ * key_dim_ + 32) * sizeof(float));
        larger.values_ =
            SharedBytes(static_cast<std::size_t>(larger.capacity_ * value_dim_ + 32) * sizeof(float));
        for (Index i = first; i < live; ++i) {
            const Run token = run(i, i + 1);
            const Room to = larger.room(i, i + 1);
            std::memcpy(to.keys, token.keys, static_cast<std::size_t>(key_dim_) * sizeof(float));
            std::memcpy(to.values, token.values, static_cast<std::size_t>(value_dim_) * sizeof(float));
        }
        *this = std::move(larger);
    }
    // Where tokens first … last − 1 go that make_room() made room for: as many of them as lie side by side.
    struct Room {
        float *keys, *values;
        Index count;
    };
    Room room(Index first, Index last) noexcept {
        const Index slot = first % capacity_;
        return {floats(keys_) + slot * key_dim_, floats(values_) + slot * value_dim_,
                std::min(last - first, capacity_ - slot)};
    }
    std::size_t bytes() const noexcept { return keys_.bytes() + values_.bytes(); }

private:
    static const float* floats(const SharedBytes& bytes) noexcept {
        return reinterpret_cast<const float*>(bytes.data());
    }
    static float* floats(SharedBytes& bytes) noexcept { return reinterpret_cast<float*>(bytes.data()); }
    Index key_dim_, value_dim_, limit_, capacity_ = 0;
    SharedBytes keys_, values_;
};

}  // namespace detail
TURBOQUANT_NAMESPACE_END
