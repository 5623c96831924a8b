// Attention over blocks of tokens: products of queries with rows of floats, the online softmax (Milakov and Gimelshein,
// arXiv 1805.02867), weighted sums of rows. The blocks of codes are in attention_codes.inl.

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

// --- Rows of floats -------------------------------------------------------------------------------------------------------

// Products of the queries with `tokens` rows: logits[column·kBlockTokens + token]. Up to 31 floats past the end of a row
// are read, where the queries are zero.
inline void row_products(const float* rows, std::ptrdiff_t stride, int tokens, int dim, const float* queries,
                         std::ptrdiff_t query_stride, int columns, float* logits) noexcept {
    for (int t = 0; t < tokens; ++t) {
        for (int c = 0; c < columns; c += kQueryBlock) {
            const int block = columns - c < kQueryBlock ? columns - c : kQueryBlock;
            float dots[kQueryBlock];
            dot_products(rows + t * stride, queries + c * query_stride, query_stride, block, dim, dots);
            for (int k = 0; k < block; ++k) logits[(c + k) * kBlockTokens + t] = dots[k];
        }
    }
}

// out_c += Σ_t weight[c][t]·row_t, for `Columns` columns and `Registers` vectors of coordinates.
template <int Columns, int Registers>
TURBOQUANT_INLINE void accumulate_part(const float* rows, std::ptrdiff_t stride, int tokens,
                                       const float* weights, float* out, std::ptrdiff_t out_stride) noexcept {
    Floats sums[Columns][Registers];
    TURBOQUANT_UNROLL
    for (int c = 0; c < Columns; ++c) {
        TURBOQUANT_UNROLL
        for (int r = 0; r < Registers; ++r) sums[c][r] = load(out + c * out_stride + r * kLanes);
    }
    for (int t = 0; t < tokens; ++t) {
        Floats value[Registers];
        TURBOQUANT_UNROLL
        for (int r = 0; r < Registers; ++r) value[r] = load(rows + t * stride + r * kLanes);
        TURBOQUANT_UNROLL
        for (int c = 0; c < Columns; ++c) {
            const Floats weight = broadcast(weights[c * kBlockTokens + t]);
            TURBOQUANT_UNROLL
            for (int r = 0; r < Registers; ++r) sums[c][r] = multiply_add(weight, value[r], sums[c][r]);
        }
    }
    TURBOQUANT_UNROLL
    for (int c = 0; c < Columns; ++c) {
        TURBOQUANT_UNROLL
        for (int r = 0; r < Registers; ++r) store(out + c * out_stride + r * kLanes, sums[c][r]);
    }
}

template <int Columns>
TURBOQUANT_NOINLINE void accumulate_columns(const float* rows, std::ptrdiff_t stride, int tokens, int dim,
                                            const float* weights, float* out,
                                            std::ptrdiff_t out_stride) noexcept {
    constexpr int kRegisters = Columns == 1 ? 8 : Columns == 2 ? 4 : 2;
    int i = 0;
    for (; i + kRegisters * kLanes <= dim; i += kRegisters * kLanes)
        accumulate_part<Columns, kRegisters>(rows + i, stride, tokens, weights, out + i, out_stride);
    for (; i < dim; i += kLanes)
        accumulate_part<Columns, 1>(rows + i, stride, tokens, weights, out + i, out_stride);
}

// out_c += Σ_t weight[c][t]·row_t, rows of dim floats; as many as fill the last vector are read and written past them.
inline void accumulate_rows(const float* rows, std::ptrdiff_t stride, int tokens, int dim,
                            const float* weights, int columns, float* out,
                            std::ptrdiff_t out_stride) noexcept {
    int c = 0;
    for (; c + 4 <= columns; c += 4)
        accumulate_columns<4>(rows, stride, tokens, dim, weights + c * kBlockTokens, out + c * out_stride,
                              out_stride);
    if (columns - c >= 2) {
        accumulate_columns<2>(rows, stride, tokens, dim, weights + c * kBlockTokens, out + c * out_stride,
                              out_stride);
        c += 2;
    }
    if (columns - c == 1)
        accumulate_columns<1>(rows, stride, tokens, dim, weights + c * kBlockTokens, out + c * out_stride,
                              out_stride);
}

// Centroids of `count` records as rows of floats (zeros up to the next multiple of 64), and their scales.
template <int Bits>
void load_rows(const CodecPlan& plan, const std::uint8_t* records, int count, const std::uint8_t* end,
               float* rows, std::ptrdiff_t stride, float* scales) noexcept {
    const std::size_t record_bytes = plan.record_bytes();
    for (int i = 0; i < count; ++i, records += record_bytes) {
        load_centroids<Bits>(plan, records, end, rows + i * stride);
        scales[i] = load_scale(records + plan.scale_offset(), plan.scale_type);
    }
}

inline void load_scales_of_records(const CodecPlan& plan, const std::uint8_t* records, int count,
                                   float* scales) noexcept {
    const std::size_t record_bytes = plan.record_bytes();
    for (int i = 0; i < count; ++i, records += record_bytes)
        scales[i] = load_scale(records + plan.scale_offset(), plan.scale_type);
}

// The first column that is not finite, or whose norm exceeds `limit`.
inline EncodeResult check_columns(int dim, const InputColumns& in, double limit, float* scratch) noexcept {
    const double square = limit * limit;
    const float squared_limit = square < 0x1p60 ? static_cast<float>(square) : 0x1p60f;
    std::ptrdiff_t i = 0;
    for (; (i = find_extreme_column(in, i, dim, squared_limit, scratch)) < in.count; ++i) {
        const LoadedVector vector = load_column(in, i, dim, scratch);
        if (!vector.finite) return {i, EncodeError::not_finite, 0.0};
        const double norm = std::ldexp(std::sqrt(static_cast<double>(vector.squared_norm)), vector.exponent);
        if (norm > limit) return {i, EncodeError::scale_overflow, norm};
    }
    return {in.count, EncodeError::none, 0.0};
}

// A column of 16-bit floats as `dim` floats.
inline void widen_column(const InputColumns& in, std::ptrdiff_t column, int dim, float* out) noexcept {
    const std::uint16_t* from = static_cast<const std::uint16_t*>(in.data) + column * in.stride;
    for (int i = 0; i < dim; i += kLanes) {
        std::uint16_t halves[kLanes] = {};
        const int count = dim - i < kLanes ? dim - i : kLanes;
        std::memcpy(halves, from + i, 2 * static_cast<std::size_t>(count));
        float values[kLanes];
        store(values, in.type == InputType::float16 ? load_float16(halves) : load_bfloat16(halves));
        std::memcpy(out + i, values, sizeof(float) * static_cast<std::size_t>(count));
    }
}

// `count` 16-bit scales, a multiple of 16, as floats.
inline void widen_scales(const std::uint8_t* scales, ScaleType type, int count, float* out) noexcept {
    for (int i = 0; i < count; i += kLanes) {
        std::uint16_t halves[kLanes];
        std::memcpy(halves, scales + 2 * i, sizeof halves);
        store(out + i, type == ScaleType::float16 ? load_float16(halves) : load_bfloat16(halves));
    }
}

// out = rows − mean (padded(dim) floats); whole vectors are read and written.
inline void centre_rows(const float* rows, std::ptrdiff_t stride, int count, int dim, const float* mean,
                        float* out, std::ptrdiff_t out_stride) noexcept {
    for (int r = 0; r < count; ++r)
        for (int i = 0; i < dim; i += kLanes)
            store(out + r * out_stride + i, sub(load(rows + r * stride + i), load(mean + i)));
}

// x·factor, `dim` floats and up to the end of the last vector.
inline void scale_rows(float* rows, std::ptrdiff_t stride, std::ptrdiff_t count, int dim,
                       float factor) noexcept {
    const Floats f = broadcast(factor);
    for (std::ptrdiff_t r = 0; r < count; ++r)
        for (int i = 0; i < dim; i += kLanes)
            store(rows + r * stride + i, mul(load(rows + r * stride + i), f));
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
    column.weight *= factor;
    column.skipped *= factor;
    scale_row(state.exact + c * state.stride, state.stride, factor);
    scale_row(state.rotated + c * state.stride, state.stride, factor);
}

// Products become logits; returns the largest.
TURBOQUANT_INLINE float finish_logits(const SoftmaxBlock& block, int c, float* logits) noexcept {
    const Floats bias = broadcast(block.bias != nullptr ? block.bias[c] : 0.0f);
    const bool capped = block.softcap > 0.0f;
    const Floats cap = broadcast(block.softcap);
    const Floats factor = broadcast(capped ? -2.0f * 1.44269504f / block.softcap : 0.0f);
    Floats best = broadcast(-std::numeric_limits<float>::infinity());
    for (int t = 0; t < block.tokens; t += kLanes) {
        Floats x = load(logits + t);
        if (block.key_scales != nullptr) x = mul(x, load(block.key_scales + t));
        x = add(x, bias);
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

TURBOQUANT_INLINE float horizontal_sum(Floats a) noexcept {
    Floats sums[kSums];
    TURBOQUANT_UNROLL
    for (int k = 0; k < kSums; ++k) sums[k] = zero();
    sums[0] = a;
    return reduce(sums);
}

// All bits in the lanes of tokens t, t + 1, … that the column sees.
TURBOQUANT_INLINE Floats visible_lanes(const SoftmaxBlock& block, int c, int t) noexcept {
    return flip(first_lanes(block.last[c] - t), first_lanes(block.first[c] - t));
}

// One column: logits become the weights of the block's values. False where no value counts: the column sees nothing here,
// or less than can matter.
//
// Values are left out while all that was left out weighs at most 2^-24 of everything so far: each coordinate of the
// output then changes by at most 2^-24 of the largest |centroid| times Σ weight, the rounding error of one addition.
TURBOQUANT_NOINLINE inline bool soften_column(const SoftmaxBlock& block, const SoftmaxState& state, int c,
                                              float* logits) noexcept {
    if (block.last[c] <= block.first[c]) return false;
    SoftmaxColumn& column = state.column[c];
    const bool masked = block.first[c] > 0 || block.last[c] < block.tokens || block.tokens % kLanes != 0;
    float best = finish_logits(block, c, logits);
    if (masked) best = mask_logits(block, c, logits);
    if (best > column.maximum) raise_maximum(state, c, best);
    const Floats top = broadcast(column.maximum);
    Floats sum = zero(), weight = zero();
    for (int t = 0; t < block.tokens; t += kLanes) {
        Floats p = exp2_nonpositive(sub(load(logits + t), top));
        if (masked) p = keep(p, visible_lanes(block, c, t));
        sum = add(sum, p);
        if (block.value_scales != nullptr) {
            p = mul(p, load(block.value_scales + t));
            if (masked) p = keep(p, visible_lanes(block, c, t));  // what is not a token may hold anything
        }
        weight = add(weight, p);
        store(logits + t, p);
    }
    const float total = horizontal_sum(sum);
    column.sum += total;
    if (!block.coded) return true;
    column.coded_sum += total;
    if (block.value_scales == nullptr) return true;
    const float values = horizontal_sum(weight);
    column.weight += values;
    if (best - column.maximum > -16.0f || column.skipped + values > 0x1p-24f * column.weight) return true;
    column.skipped += values;
    return false;
}

// Every column of the block; bit c of the result is set where column c's values count. Weights of the others are zero.
inline std::uint32_t soften(const SoftmaxBlock& block, const SoftmaxState& state, float* logits) noexcept {
    std::uint32_t counted = 0;
    for (int c = 0; c < state.columns; ++c) {
        float* const row = logits + c * kBlockTokens;
        if (soften_column(block, state, c, row))
            counted |= 1u << c;
        else
            for (int t = 0; t < kBlockTokens; t += kLanes) store(row + t, zero());
    }
    return counted;
}

// `state` over its own tokens and those of `other`.
inline void merge_states(const SoftmaxState& state, const SoftmaxState& other) noexcept {
    for (int c = 0; c < state.columns; ++c) {
        const SoftmaxColumn& from = other.column[c];
        if (!(from.sum > 0.0f)) continue;
        if (from.maximum > state.column[c].maximum) raise_maximum(state, c, from.maximum);
        SoftmaxColumn& to = state.column[c];
        const float factor = exp2_scalar(from.maximum - to.maximum);
        to.sum += from.sum * factor;
        to.coded_sum += from.coded_sum * factor;
        to.weight += from.weight * factor;
        to.skipped += from.skipped * factor;
        const Floats f = broadcast(factor);
        const std::ptrdiff_t at = c * state.stride;
        for (std::ptrdiff_t i = at; i < at + state.stride; i += kLanes) {
            store(state.exact + i, multiply_add(load(other.exact + i), f, load(state.exact + i)));
            store(state.rotated + i, multiply_add(load(other.rotated + i), f, load(state.rotated + i)));
        }
    }
}
