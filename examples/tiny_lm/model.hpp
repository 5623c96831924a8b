// The weights of a small Llama-style decoder over bytes, as matrices that are ready to use.
//
// One block, with x of `dim` entries:
//
//   h = norm(x);  q, k, v = wq·h, wk·h, wv·h;  rope(q), rope(k);  x += wo·attention(q, cache of k and v)
//   h = norm(x);  x += w2·(silu(w1·h) ⊙ (w3·h))
//
// norm(x) = x/√(mean(x²) + ε). RMSNorm's own weights n are folded into the matrices that follow, W·(n ⊙ x) =
// (W·diag(n))·x: they need no place in memory, and the rows that are quantized are those that meet a plain unit-scale x.
#pragma once

#include <string>
#include <vector>

#include <Eigen/Core>

namespace tiny_lm {

using Eigen::Index;

// out × in, row-major: the rows of a matrix are the columns, contiguous vectors, of an in × out map.
using Weights = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Size of one attention head. Fixed, so that caches are compiled for it; a model file with another one is refused.
inline constexpr Index kHeadDim = 128;

struct ModelShape {
    Index dim = 0, layers = 0, q_heads = 0, kv_heads = 0, ffn = 0, vocab = 0, context = 0;
    float rope_base = 0, norm_eps = 0;

    Index q_dim() const { return q_heads * kHeadDim; }
    Index kv_dim() const { return kv_heads * kHeadDim; }
    Index group() const { return q_heads / kv_heads; }  // query heads that share one key and value head
};

struct Block {
    Weights wq, wk, wv, wo;  // attention
    Weights w1, w3, w2;      // feed-forward
};

struct Model {
    ModelShape shape;
    Weights embedding;  // vocab × dim
    std::vector<Block> blocks;
    Weights head;  // vocab × dim

    Index parameters() const;
};

// Where a matrix belongs and how large it must be.
struct MatrixInfo {
    std::string name;  // "blocks.3.wq.weight", as in model files
    Index rows, cols;  // out × in
};

// Calls visit(info, matrix) for every matrix of the model, in the order of model files.
template <class AnyModel, class Visit>
void for_each_matrix(AnyModel& model, Visit&& visit) {
    const ModelShape& s = model.shape;
    visit(MatrixInfo{"emb.weight", s.vocab, s.dim}, model.embedding);
    for (std::size_t i = 0; i < model.blocks.size(); ++i) {
        const std::string prefix = "blocks." + std::to_string(i) + ".";
        auto& block = model.blocks[i];
        visit(MatrixInfo{prefix + "wq.weight", s.q_dim(), s.dim}, block.wq);
        visit(MatrixInfo{prefix + "wk.weight", s.kv_dim(), s.dim}, block.wk);
        visit(MatrixInfo{prefix + "wv.weight", s.kv_dim(), s.dim}, block.wv);
        visit(MatrixInfo{prefix + "wo.weight", s.dim, s.q_dim()}, block.wo);
        visit(MatrixInfo{prefix + "w1.weight", s.ffn, s.dim}, block.w1);
        visit(MatrixInfo{prefix + "w3.weight", s.ffn, s.dim}, block.w3);
        visit(MatrixInfo{prefix + "w2.weight", s.dim, s.ffn}, block.w2);
    }
    visit(MatrixInfo{"head.weight", s.vocab, s.dim}, model.head);
}

inline Index Model::parameters() const {
    Index count = 0;
    for_each_matrix(*this, [&](const MatrixInfo&, const Weights& matrix) { count += matrix.size(); });
    return count;
}

}  // namespace tiny_lm
