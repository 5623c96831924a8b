// Attention on uncompressed keys and values, written once over a thin vector vocabulary (Vec, kWidth, load of float and half,
// sum_lanes, exp2_of): included once per instruction set by attention_baseline.cpp.
//
// Blocks of 64 tokens, online softmax, all heads of a block together; every key and value is loaded and converted once for
// all of them. Products go to kWidth sums at a time, which one tree of shuffles reduces.

constexpr int kChunks = kDim / kWidth;

template <class T, int H>
BASELINE_TARGET inline void products(const T* keys, const float* q, float* logits) {
    constexpr int kTokens = kWidth / H;  // at a time
    for (int t = 0; t < kBlock; t += kTokens) {
        Vec sums[kWidth];
        BASELINE_UNROLL
        for (int i = 0; i < kWidth; ++i) sums[i] = zero();
        BASELINE_UNROLL
        for (int k = 0; k < kTokens; ++k) BASELINE_UNROLL
        for (int c = 0; c < kChunks; ++c) {
            const Vec key = load(keys + static_cast<std::ptrdiff_t>(t + k) * kDim + c * kWidth);
            BASELINE_UNROLL
            for (int h = 0; h < H; ++h)
                sums[k * H + h] = fma(key, load(q + h * kDim + c * kWidth), sums[k * H + h]);
        }
        float reduced[kWidth];
        sum_lanes(sums, reduced);
        for (int k = 0; k < kTokens; ++k)
            for (int h = 0; h < H; ++h) logits[h * kBlock + t + k] = reduced[k * H + h];
    }
}

template <class T, int H>
BASELINE_TARGET inline void accumulate(const T* values, const float* weights, float* out) {
    constexpr int kChunksAtOnce = H == 1 ? kChunks : H == 2 ? 4 : H == 4 ? 4 : 2;
    constexpr int kUsed = kWidth == 16 ? kChunksAtOnce : (kChunksAtOnce + 1) / 2;  // half as many registers
    for (int c = 0; c < kChunks; c += kUsed) {
        Vec sums[H][kUsed];
        BASELINE_UNROLL
        for (int h = 0; h < H; ++h) {
            BASELINE_UNROLL
            for (int i = 0; i < kUsed; ++i) sums[h][i] = load(out + h * kDim + (c + i) * kWidth);
        }
        for (int t = 0; t < kBlock; ++t) {
            Vec value[kUsed];
            BASELINE_UNROLL
            for (int i = 0; i < kUsed; ++i)
                value[i] = load(values + static_cast<std::ptrdiff_t>(t) * kDim + (c + i) * kWidth);
            BASELINE_UNROLL
            for (int h = 0; h < H; ++h) {
                const Vec weight = broadcast(weights[h * kBlock + t]);
                BASELINE_UNROLL
                for (int i = 0; i < kUsed; ++i) sums[h][i] = fma(weight, value[i], sums[h][i]);
            }
        }
        BASELINE_UNROLL
        for (int h = 0; h < H; ++h) {
            BASELINE_UNROLL
            for (int i = 0; i < kUsed; ++i) store(out + h * kDim + (c + i) * kWidth, sums[h][i]);
        }
    }
}

// One head's logits become weights; its sums become relative to the new maximum.
BASELINE_TARGET inline void soften(float* logits, float& maximum, float& sum, float* out) {
    Vec most = load(logits);
    for (int t = kWidth; t < kBlock; t += kWidth) most = larger(most, load(logits + t));
    const float best = largest(most);
    if (best > maximum) {
        const float factor = std::exp2(maximum - best);
        maximum = best;
        sum *= factor;
        for (int i = 0; i < kDim; i += kWidth) store(out + i, mul(load(out + i), broadcast(factor)));
    }
    Vec total = zero();
    for (int t = 0; t < kBlock; t += kWidth) {
        const Vec p = exp2_of(sub(load(logits + t), broadcast(maximum)));
        total = add(total, p);
        store(logits + t, p);
    }
    sum += total_of(total);
}

// Tokens a multiple of 64; queries multiplied by scale·log2(e); out: H × kDim.
template <class T, int H>
BASELINE_TARGET void attend(const T* keys, const T* values, std::ptrdiff_t tokens, const float* q,
                            float* out) {
    float maximum[H], sum[H];
    for (int h = 0; h < H; ++h) {
        maximum[h] = -1e30f;
        sum[h] = 0.0f;
    }
    std::memset(out, 0, sizeof(float) * H * kDim);
    alignas(64) float logits[H * kBlock];
    for (std::ptrdiff_t t = 0; t < tokens; t += kBlock) {
        products<T, H>(keys + t * kDim, q, logits);
        for (int h = 0; h < H; ++h) soften(logits + h * kBlock, maximum[h], sum[h], out + h * kDim);
        accumulate<T, H>(values + t * kDim, logits, out);
    }
    for (int h = 0; h < H; ++h)
        for (int i = 0; i < kDim; ++i) out[h * kDim + i] /= sum[h];
}
