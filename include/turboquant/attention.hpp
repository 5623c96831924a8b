// What attention on compressed tokens is asked for (AttendOptions), and its running state (AttendState): the online softmax
//
//   out_j = Σ_t p_tj·v_t / Σ_t p_tj,   p_tj = exp(l_tj),   l_tj = scale·<q_j, k_t>   (soft cap: c·tanh(l_tj/c))
//
// kept as maximum, Σ p and Σ p·v relative to the maximum, so that any split of the tokens can be merged.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "turboquant/columns.hpp"
#include "turboquant/config.hpp"
#include "turboquant/simd/attention_plan.hpp"
#include "turboquant/simd/plan.hpp"

TURBOQUANT_NAMESPACE_BEGIN

struct AttendOptions {
    float scale = 0;  // of the products; 0 means 1/sqrt(HeadDim)
    // Column j is a head of token size() − m/heads_per_token + j/heads_per_token (the last tokens, in order, the heads of
    // each side by side) and sees the tokens up to that one. Not causal: every column sees all.
    bool causal = false;
    Index heads_per_token = 1;
    // Only tokens first … last − 1 (a sliding window, a part of a split context); last = −1 means size().
    Index first = 0, last = -1;
    float softcap = 0;     // c in c·tanh(l/c); 0: none
    float* lse = nullptr;  // m natural logarithms of Σ exp(l), −∞ where a column sees nothing
};

namespace detail {

inline constexpr int kMaxColumns = 16;  // that take part in one pass over the tokens
inline constexpr float kLog2E = 1.44269504f;
inline constexpr float kLn2 = 0.693147181f;

// The tokens that a column sees: [first, last), of `size` tokens.
struct Visible {
    Index first, last;
};

// AttendOptions checked against the number of tokens and of columns.
class VisibleTokens {
public:
    VisibleTokens(const char* where, const AttendOptions& options, Index size, Index columns)
        : first_(options.first),
          last_(options.last == -1 ? size : options.last),
          causal_(options.causal),
          heads_(options.heads_per_token) {
        if (first_ < 0 || last_ < first_ || last_ > size)
            throw_invalid_argument(std::string(where) + ": tokens " + std::to_string(options.first) + " to " +
                                   std::to_string(options.last) + " were asked for, but there are " +
                                   std::to_string(size));
        if (heads_ < 1)
            throw_invalid_argument(std::string(where) + ": heads_per_token must be at least 1, but is " +
                                   std::to_string(heads_));
        if (!(std::isfinite(options.scale) && std::isfinite(options.softcap) && options.softcap >= 0.0f))
            throw_invalid_argument(
                std::string(where) +
                ": scale must be finite and softcap finite and not negative, but they are " +
                number_text(options.scale) + " and " + number_text(options.softcap));
        if (!causal_) return;
        if (columns % heads_ != 0 || columns / heads_ > size)
            throw_invalid_argument(std::string(where) + ": causal attention of " + std::to_string(columns) +
                                   " columns with " + std::to_string(heads_) +
                                   " heads per token: expected a whole number of tokens, at most " +
                                   std::to_string(size));
        position_ = size - columns / heads_;
    }

    Visible operator()(Index column) const noexcept {
        const Index last = causal_ ? std::min(last_, position_ + column / heads_ + 1) : last_;
        return {first_, std::max(first_, last)};
    }

private:
    Index first_, last_;
    bool causal_;
    Index heads_, position_ = 0;
};

inline std::ptrdiff_t state_floats(std::ptrdiff_t stride, Index columns) noexcept {
    return (2 * stride + static_cast<std::ptrdiff_t>(sizeof(simd::SoftmaxColumn) / sizeof(float))) * columns +
           16;
}

// A state of `columns` columns in state_floats() floats, and the same as before any token.
inline simd::SoftmaxState state_in(float* memory, std::ptrdiff_t stride, Index columns) noexcept {
    simd::SoftmaxState state;
    state.columns = static_cast<int>(columns);
    state.stride = stride;
    state.exact = memory;
    state.rotated = memory + stride * columns;
    state.column = reinterpret_cast<simd::SoftmaxColumn*>(memory + 2 * stride * columns);
    return state;
}
inline void clear_state(const simd::SoftmaxState& state) noexcept {
    std::fill(state.exact, state.exact + 2 * state.stride * state.columns, 0.0f);
    std::fill(state.column, state.column + state.columns,
              simd::SoftmaxColumn{-std::numeric_limits<float>::infinity(), 0, 0, 0, 0, 0});
}
// Columns first, first + 1, …
inline simd::SoftmaxState columns_of(simd::SoftmaxState state, Index first, Index count) noexcept {
    state.columns = static_cast<int>(count);
    state.column += first;
    state.exact += first * state.stride;
    state.rotated += first * state.stride;
    return state;
}

}  // namespace detail

// The softmax of m queries over the tokens attended to so far. It belongs to no codec until the first attend, which sizes it;
// reset() with the same sizes allocates nothing.
class AttendState {
public:
    AttendState() = default;
    AttendState(Index value_dim, Index columns) { reset(value_dim, columns); }

    // As before any token, for `columns` queries.
    void reset(Index value_dim, Index columns) {
        if (value_dim < 1 || columns < 0)
            detail::throw_invalid_argument(
                "AttendState::reset: expected a dimension of at least 1 and columns of at least 0, but they "
                "are " +
                std::to_string(value_dim) + " and " + std::to_string(columns));
        value_dim_ = value_dim;
        columns_ = columns;
        memory_.resize(static_cast<std::size_t>(detail::state_floats(simd::padded(value_dim), columns)));
        detail::clear_state(view());
    }
    void clear() { value_dim_ = columns_ = 0; }

    Index columns() const noexcept { return columns_; }
    Index value_dim() const noexcept { return value_dim_; }

    // For codecs.
    simd::SoftmaxState view() const noexcept {
        return detail::state_in(const_cast<float*>(memory_.data()), simd::padded(value_dim_), columns_);
    }

private:
    std::vector<float> memory_;
    Index value_dim_ = 0, columns_ = 0;
};

// Attention over two disjoint parts of a context, from each part's output and log-sum-exps (AttendOptions::lse): `out` and
// `lse` become those of both together.
inline void merge_attention(Eigen::Ref<Eigen::MatrixXf> out, float* lse,
                            const Eigen::Ref<const Eigen::MatrixXf>& other, const float* other_lse) {
    if (other.rows() != out.rows() || other.cols() != out.cols())
        detail::throw_wrong_output("merge_attention", out.rows(), out.cols(), other.rows(), other.cols());
    for (Index j = 0; j < out.cols(); ++j) {
        const float top = std::max(lse[j], other_lse[j]);
        if (top == -std::numeric_limits<float>::infinity()) continue;
        const float a = std::exp(lse[j] - top), b = std::exp(other_lse[j] - top);
        out.col(j) = (a / (a + b)) * out.col(j) + (b / (a + b)) * other.col(j);
        lse[j] = top + std::log(a + b);
    }
}

TURBOQUANT_NAMESPACE_END
