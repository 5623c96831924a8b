#include "decoder.hpp"

#include <cmath>
#include <stdexcept>
#include <string>

namespace tiny_lm {

Decoder::Decoder(const Model& model, const CacheMaker& make_cache, Index sequences)
    : model_(model), sequences_(sequences) {
    const ModelShape& shape = model.shape;
    const Index heads = shape.layers * shape.kv_heads;
    for (Index head = 0; head < heads; ++head)
        for (Index s = 0; s < sequences; ++s) caches_.push_back(make_cache(static_cast<std::uint64_t>(head)));

    // Position p turns the pair (x[i], x[i + kHeadDim/2]) by the angle p·base^(−2i/kHeadDim). In double: a float angle of
    // some thousand radians would be off by 1e-4.
    cosines_.resize(kHeadDim / 2, shape.context);
    sines_.resize(kHeadDim / 2, shape.context);
    for (Index i = 0; i < kHeadDim / 2; ++i) {
        const double speed = std::pow(static_cast<double>(shape.rope_base),
                                      -2.0 * static_cast<double>(i) / static_cast<double>(kHeadDim));
        for (Index p = 0; p < shape.context; ++p) {
            cosines_(i, p) = static_cast<float>(std::cos(static_cast<double>(p) * speed));
            sines_(i, p) = static_cast<float>(std::sin(static_cast<double>(p) * speed));
        }
    }
}

std::size_t Decoder::cache_bytes() const {
    std::size_t bytes = 0;
    for (const auto& cache : caches_) bytes += cache->bytes();
    return bytes;
}

AttentionCache& Decoder::cache(std::size_t layer, Index head, Index sequence) {
    const auto heads = static_cast<std::size_t>(model_.shape.kv_heads);
    const auto sequences = static_cast<std::size_t>(sequences_);
    return *caches_[(layer * heads + static_cast<std::size_t>(head)) * sequences +
                    static_cast<std::size_t>(sequence)];
}

// h = x/√(mean(x²) + ε), column by column.
void Decoder::normalize() {
    const Eigen::RowVectorXf mean_squares = x_.colwise().squaredNorm() / static_cast<float>(model_.shape.dim);
    const Eigen::RowVectorXf factors = (mean_squares.array() + model_.shape.norm_eps).rsqrt();
    h_ = x_ * factors.asDiagonal();
}

// Rotary positions, for all heads of all columns.
void Decoder::rotate(Eigen::MatrixXf& heads, Index steps) const {
    constexpr Index kHalf = kHeadDim / 2;
    Eigen::Array<float, kHalf, 1> low;
    for (Index column = 0; column < heads.cols(); ++column) {
        const auto cosine = cosines_.col(position_ + column % steps).array();
        const auto sine = sines_.col(position_ + column % steps).array();
        for (Index row = 0; row < heads.rows(); row += kHeadDim) {
            auto a = heads.col(column).segment<kHalf>(row).array();
            auto b = heads.col(column).segment<kHalf>(row + kHalf).array();
            low = a;
            a = low * cosine - b * sine;
            b = b * cosine + low * sine;
        }
    }
}

// mixed = what the query heads of every column read from their caches. A group of query heads is contiguous in a column
// of q: the matrix of one column per head.
void Decoder::attend(std::size_t layer, Index steps, Index sequences) {
    using Heads = Eigen::Map<Eigen::MatrixXf>;
    const Index group = model_.shape.group();
    mixed_.resizeLike(q_);
    for (Index s = 0; s < sequences; ++s)
        for (Index head = 0; head < model_.shape.kv_heads; ++head) {
            AttentionCache& cache_of_head = cache(layer, head, s);
            for (Index column = s * steps; column < (s + 1) * steps; ++column) {
                cache_of_head.append(k_.col(column).segment<kHeadDim>(head * kHeadDim),
                                     v_.col(column).segment<kHeadDim>(head * kHeadDim));
                const Index first = head * group * kHeadDim;
                cache_of_head.attend(Heads(&q_(first, column), kHeadDim, group),
                                     Heads(&mixed_(first, column), kHeadDim, group));
            }
        }
}

void Decoder::attention(std::size_t layer, Index steps, Index sequences) {
    const Block& block = model_.blocks[layer];
    normalize();
    q_.noalias() = block.wq * h_;
    k_.noalias() = block.wk * h_;
    v_.noalias() = block.wv * h_;
    rotate(q_, steps);
    rotate(k_, steps);
    attend(layer, steps, sequences);
    x_.noalias() += block.wo * mixed_;
}

// silu(z) = z/(1 + e^−z)
void Decoder::feed_forward(const Block& block) {
    normalize();
    gate_.noalias() = block.w1 * h_;
    up_.noalias() = block.w3 * h_;
    gate_.array() *= up_.array() / (1.0f + (-gate_.array()).exp());
    x_.noalias() += block.w2 * gate_;
}

const Eigen::MatrixXf& Decoder::forward(const Bytes& tokens) {
    const Index steps = tokens.rows(), sequences = tokens.cols();
    if (sequences != sequences_)
        throw std::invalid_argument("Decoder::forward: tokens of " + std::to_string(sequences) +
                                    " sequences, but there are " + std::to_string(sequences_));
    if (position_ + steps > model_.shape.context)
        throw std::invalid_argument("Decoder::forward: " + std::to_string(position_ + steps) +
                                    " tokens, but the model's context is " +
                                    std::to_string(model_.shape.context));
    x_.resize(model_.shape.dim, steps * sequences);
    for (Index i = 0; i < tokens.size(); ++i) x_.col(i) = model_.embedding.row(tokens.data()[i]).transpose();
    for (std::size_t layer = 0; layer < model_.blocks.size(); ++layer) {
        attention(layer, steps, sequences);
        feed_forward(model_.blocks[layer]);
    }
    normalize();
    logits_.noalias() = model_.head * h_;
    position_ += steps;
    return logits_;
}

}  // namespace tiny_lm
