// The forward pass: several sequences in lockstep, token by token into caches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "attention_cache.hpp"
#include "model.hpp"

namespace tiny_lm {

using Bytes = Eigen::Matrix<std::uint8_t, Eigen::Dynamic, Eigen::Dynamic>;

// Every layer, key and value head and sequence has a cache of its own. The model must outlive the decoder.
class Decoder {
public:
    Decoder(const Model& model, const CacheMaker& make_cache, Index sequences);

    // Takes the next tokens of all sequences (steps × sequences) and returns the logits of what follows each of them:
    // vocab × steps·sequences, the column of step t of sequence s is s·steps + t. They stay until the next call.
    //
    // Steps that come together share the products with the weights. In the caches nothing changes: a token is appended
    // and attends before the next one is, exactly as in steps of one. Throws std::invalid_argument when the context is
    // exceeded.
    const Eigen::MatrixXf& forward(const Bytes& tokens);

    Index position() const { return position_; }  // tokens so far, of each sequence
    std::size_t cache_bytes() const;              // all caches together

private:
    AttentionCache& cache(std::size_t layer, Index head, Index sequence);
    void normalize();
    void rotate(Eigen::MatrixXf& heads, Index steps) const;
    void attend(std::size_t layer, Index steps, Index sequences);
    void attention(std::size_t layer, Index steps, Index sequences);
    void feed_forward(const Block& block);

    const Model& model_;
    const Index sequences_;
    Index position_ = 0;
    std::vector<std::unique_ptr<AttentionCache>>
        caches_;                       // layer by layer, head by head, sequence by sequence
    Eigen::MatrixXf cosines_, sines_;  // kHeadDim/2 × context
    // Activations, one column per step and sequence.
    Eigen::MatrixXf x_, h_, q_, k_, v_, mixed_, gate_, up_, logits_;
};

}  // namespace tiny_lm
