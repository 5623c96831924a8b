// What the attention kernels are told: the running state of a softmax, and one block of tokens.
//
// A column is one query. Its logits are in units of log 2: queries come multiplied by scale·log2(e), so that a weight is
// 2^(logit − maximum).
#pragma once

#include <cstddef>
#include <cstdint>

#include "turboquant/config.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace simd {

// Tokens of a block of codes, and of each pass over exact tokens.
inline constexpr int kBlockTokens = 64;

// The shares of a block's mean that are taken off its keys: what two bits stand for (a whole register of them is loaded), and the
// bytes of a block's. Token t's are bits 2·⌊t/16⌋ and up of byte t mod 16.
inline constexpr float kShares[16] = {0.0f, 1.0f / 3.0f, 2.0f / 3.0f, 1.0f};
inline constexpr std::size_t kShareBytes = kBlockTokens / 4;
inline int share_of(const std::uint8_t* shares, int token) noexcept {
    return shares[token % 16] >> token / 16 * 2 & 3;
}
inline void set_share(std::uint8_t* shares, int token, int share) noexcept {
    std::uint8_t& byte = shares[token % 16];
    const int shift = token / 16 * 2;
    byte = static_cast<std::uint8_t>((byte & ~(3 << shift)) | share << shift);
}

// Sums over the tokens seen so far, all relative to 2^maximum.
struct SoftmaxColumn {
    float maximum;    // the largest logit; −∞ before the first token
    float sum;        // Σ 2^(logit − maximum)
    float coded_sum;  // the part of it that coded tokens have: what the mean of the values is multiplied by
    float energy;     // Σ w², with w = 2^(logit − maximum)·(scale of the value), over coded tokens
    float rounding;   // Σ of the squares of the errors of those w that were rounded to integers
    float skipped;    // Σ w of the values that were left out
};

// For each column Σ weight·value: of values as they are, and of those summed in the rotated domain.
struct SoftmaxState {
    int columns;
    SoftmaxColumn* column;
    float* exact;
    float* rotated;
    std::ptrdiff_t stride;
};

// One block of tokens whose products with the queries are known.
struct SoftmaxBlock {
    int tokens;        // ≤ kBlockTokens
    const int* first;  // each column sees tokens [first, last) of the block
    const int* last;
    const float* key_scales;    // what each token's products are multiplied by; nullptr: 1
    const float* value_scales;  // what each token's weight is multiplied by; nullptr: 1
    const float* bias;          // what is then added to each column's logits; nullptr: 0
    const float* shares;        // and so much of each column's product with the mean of the keys; nullptr: 0
    const float* mean_products;
    float softcap;  // c·tanh(logit/c), in units of log 2; 0: none
    bool coded;
    float tolerance;  // how much `rounding` may be of `energy`
};

// A column's weights of a block as integers of one byte, or of two bytes in planes, lower and upper.
struct RoundedWeights {
    alignas(64) std::uint8_t planes[2][kBlockTokens];
    int count;   // of planes
    float step;  // weight = step·integer
};

}  // namespace simd
TURBOQUANT_NAMESPACE_END
