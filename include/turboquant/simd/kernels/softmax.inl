// The online softmax (Milakov and Gimelshein, arXiv 1805.02867) over blocks of tokens. Included once per target, at the end of
// its attention.inl.

// --- exp and tanh ---------------------------------------------------------------------------------------------------------

// 2^x for x ≤ 0 with a relative error below 3e-7; 2^-126 for x < −126. x is split into an integer and f in [−½, ½]; 2^f is
// the polynomial through its values at the six Chebyshev nodes (truncation 1.6e-7), with 2^0 exactly 1.
TURBOQUANT_INLINE Floats exp2_nonpositive(Floats x) noexcept {
    x = maximum(x, broadcast(-126.0f));
    const Floats magic = broadcast(12582912.0f);  // 1.5·2^23: the sum's last bits are the integer nearest x
    const Floats t = add(x, magic);
    const Floats f = sub(x, sub(t, magic));
    Floats p = broadcast(1.3390863e-3f);
    p = multiply_add(p, f, broadcast(9.6760318e-3f));
    p = multiply_add(p, f, broadcast(5.5503570e-2f));
    p = multiply_add(p, f, broadcast(2.4022107e-1f));
    p = multiply_add(p, f, broadcast(6.9314718e-1f));
    p = multiply_add(p, f, broadcast(1.0f));
    return two_to_the(p, t);
}

TURBOQUANT_INLINE float exp2_scalar(float x) noexcept {
    float lanes[kLanes];
    store(lanes, exp2_nonpositive(broadcast(x)));
    return lanes[0];
}

// c·tanh(x/c): tanh y = (1 − e)/(1 + e) with e = exp(−2|y|); the absolute error is below 4e-7·c.
TURBOQUANT_INLINE Floats soft_cap(Floats x, Floats cap, Floats factor) noexcept {
    const Floats one = broadcast(1.0f), sign = broadcast(-0.0f);
    const Floats e = exp2_nonpositive(mul(absolute(x), factor));  // factor = −2·log2(e)/c
    const Floats t = mul(quotient(sub(one, e), add(one, e)), cap);
    return flip(t, keep(x, sign));
}

// --- Softmax --------------------------------------------------------------------------------------------------------------

TURBOQUANT_INLINE void scale_row(float* x, std::ptrdiff_t size, float factor) noexcept {
    const Floats f = broadcast(factor);
    for (std::ptrdiff_t i = 0; i < size; i += kLanes) store(x + i, mul(load(x + i), f));
}

// Makes `maximum` the column's: its sums become relative to it.
TURBOQUANT_NOINLINE inline void raise_maximum(const SoftmaxState& state, int c, float maximum) noexcept {
    SoftmaxColumn& column = state.column[c];
    const float factor = exp2_scalar(column.maximum - maximum);
    column.maximum = maximum;
    column.sum *= factor;
    column.coded_sum *= factor;
    column.skipped *= factor;
    column.energy *= factor * factor;
    column.rounding *= factor * factor;
    scale_row(state.exact + c * state.stride, state.stride, factor);
    scale_row(state.rotated + c * state.stride, state.stride, factor);
}

// Products become logits; returns the largest.
TURBOQUANT_INLINE float finish_logits(const SoftmaxBlock& block, int c, float* logits) noexcept {
    const Floats bias = broadcast(block.bias != nullptr ? block.bias[c] : 0.0f);
    const Floats mean = broadcast(block.shares != nullptr ? block.mean_products[c] : 0.0f);
    const bool capped = block.softcap > 0.0f;
    const Floats cap = broadcast(block.softcap);
    const Floats factor = broadcast(capped ? -2.0f * 1.44269504f / block.softcap : 0.0f);
    Floats best = broadcast(-std::numeric_limits<float>::infinity());
    for (int t = 0; t < block.tokens; t += kLanes) {
        Floats x = load(logits + t);
        if (block.key_scales != nullptr) x = mul(x, load(block.key_scales + t));
        x = add(x, bias);
        if (block.shares != nullptr) x = multiply_add(load(block.shares + t), mean, x);
        if (capped) x = soft_cap(x, cap, factor);
        store(logits + t, x);
        best = maximum(best, x);
    }
    return largest(best);
}

// Where the column does not see the whole block, or the last vector is not full: −∞ there, and the largest of the rest.
TURBOQUANT_INLINE float mask_logits(const SoftmaxBlock& block, int c, float* logits) noexcept {
    constexpr float kNothing = -std::numeric_limits<float>::infinity();
    float best = kNothing;
    for (int t = 0; t < block.tokens || t % kLanes != 0; ++t) {
        if (t < block.first[c] || t >= block.last[c]) logits[t] = kNothing;
        best = best > logits[t] ? best : logits[t];
    }
    return best;
}

// All bits in the lanes of tokens t, t + 1, … that the column sees.
TURBOQUANT_INLINE Floats visible_lanes(const SoftmaxBlock& block, int c, int t) noexcept {
    std::uint32_t masks[kLanes];
    for (int k = 0; k < kLanes; ++k) masks[k] = t + k >= block.first[c] && t + k < block.last[c] ? ~0u : 0u;
    float lanes[kLanes];
    std::memcpy(lanes, masks, sizeof lanes);
    return load(lanes);
}

// Whether to leave out a block's values, whose weights come to `values` in all. They are while all that was left out weighs at
// most 2^-24·√(Σ w²), which is at most 2^-24·Σ w: each coordinate of the output then changes by at most 2^-24 of the largest
// |centroid| times Σ w, the rounding error of one addition.
TURBOQUANT_INLINE bool leave_out(SoftmaxColumn& column, float values) noexcept {
    const float skipped = column.skipped + values;
    if (!(skipped * skipped <= 0x1p-48f * column.energy)) return false;
    column.skipped = skipped;
    return true;
}
// Where that is worth asking: 2^-16 of the largest weight.
TURBOQUANT_INLINE bool may_leave_out(const SoftmaxColumn& column, float best) noexcept {
    return best - column.maximum < -16.0f;
}

// One column: logits become the weights of the block's values, zero where it does not see. False where no value counts.
TURBOQUANT_NOINLINE inline bool soften_column(const SoftmaxBlock& block, const SoftmaxState& state, int c,
                                              float* logits) noexcept {
    if (block.last[c] <= block.first[c]) return false;
    SoftmaxColumn& column = state.column[c];
    const bool masked = block.first[c] > 0 || block.last[c] < block.tokens || block.tokens % kLanes != 0;
    float best = finish_logits(block, c, logits);
    if (masked) best = mask_logits(block, c, logits);
    if (best > column.maximum) raise_maximum(state, c, best);
    const Floats top = broadcast(column.maximum);
    Floats sum = zero(), weight = zero(), energy = zero();
    for (int t = 0; t < block.tokens; t += kLanes) {
        Floats p = exp2_nonpositive(sub(load(logits + t), top));
        const Floats visible = masked ? visible_lanes(block, c, t) : zero();
        if (masked) p = keep(p, visible);
        sum = add(sum, p);
        if (block.value_scales != nullptr) {
            p = mul(p, load(block.value_scales + t));
            if (masked) p = keep(p, visible);  // what is not a token may hold anything
        }
        weight = add(weight, p);
        energy = multiply_add(p, p, energy);
        store(logits + t, p);
    }
    const float total = lane_sum(sum);
    column.sum += total;
    if (!block.coded) return true;
    column.coded_sum += total;
    if (block.value_scales == nullptr) return true;
    column.energy += lane_sum(energy);
    return !may_leave_out(column, best) || !leave_out(column, lane_sum(weight));
}
