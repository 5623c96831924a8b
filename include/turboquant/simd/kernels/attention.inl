// Attention over blocks of tokens as rows of floats: products with queries, weighted sums. The softmax is in softmax.inl, the
// blocks of codes in attention_codes.inl.

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
    if (plan.scale_type == ScaleType::float32) {
        records += plan.scale_offset();
        for (int i = 0; i < count; ++i, records += record_bytes)
            std::memcpy(scales + i, records, sizeof *scales);
        return;
    }
    for (int i = 0; i < count; ++i, records += record_bytes)
        scales[i] = load_scale(records + plan.scale_offset(), plan.scale_type);
}

// Among ordinary norms.
TURBOQUANT_INLINE float squared_limit(double limit) noexcept {
    const double square = limit * limit;
    return square < 0x1p60 ? static_cast<float>(square) : 0x1p60f;
}

// The first column that is not finite, or whose norm exceeds `limit`.
inline EncodeResult check_columns(int dim, const InputColumns& in, double limit, float* scratch) noexcept {
    std::ptrdiff_t i = 0;
    for (; (i = find_extreme_column(in, i, dim, squared_limit(limit), scratch)) < in.count; ++i) {
        const LoadedVector vector = load_column(in, i, dim, scratch);
        if (!vector.finite) return {i, EncodeError::not_finite, 0.0};
        if (const double norm = vector.norm(); norm > limit) return {i, EncodeError::scale_overflow, norm};
    }
    return {in.count, EncodeError::none, 0.0};
}

// Columns first … first + count − 1 as rows of `dim` floats without a gap. Returns the first whose norm is not ordinary or
// which exceeds `limit` (check_columns() tells what is the matter, if anything is), or first + count.
inline std::ptrdiff_t copy_rows(int dim, const InputColumns& in, std::ptrdiff_t first, std::ptrdiff_t count,
                                double limit, float* out) noexcept {
    const float most = squared_limit(limit);
    std::ptrdiff_t extreme = first + count;
    for (std::ptrdiff_t column = first; column < first + count; ++column, out += dim) {
        const bool floats = in.type == InputType::float32;
        const auto* x = static_cast<const float*>(in.data) + (floats ? column * in.stride : 0);
        const auto* halves = static_cast<const std::uint16_t*>(in.data) + column * in.stride;
        Floats sums[kSums];
        TURBOQUANT_UNROLL
        for (int k = 0; k < kSums; ++k) sums[k] = zero();
        int i = 0;
        for (; i + 32 <= dim; i += 32) {
            TURBOQUANT_UNROLL
            for (int k = 0; k < kSums; ++k) {
                const int at = i + kLanes * k;
                const Floats value = floats ? load(x + at) : load_halves(in.type, halves + at);
                store(out + at, value);
                sums[k] = fused(value, value, sums[k]);
            }
        }
        float rest[32] = {};
        if (i < dim) {
            const auto left = static_cast<std::size_t>(dim - i);
            if (floats) {
                std::memcpy(rest, x + i, left * sizeof(float));
            } else {
                std::uint16_t narrow[32] = {};
                std::memcpy(narrow, halves + i, left * sizeof(std::uint16_t));
                for (int k = 0; k < 32; k += kLanes) store(rest + k, load_halves(in.type, narrow + k));
            }
            std::memcpy(out + i, rest, left * sizeof(float));
            for (int k = 0; k < kSums; ++k) {
                const Floats value = load(rest + kLanes * k);
                sums[k] = fused(value, value, sums[k]);
            }
        }
        const float squared_norm = reduce(sums);
        if ((!ordinary_squared_norm(squared_norm) || squared_norm > most) && column < extreme)
            extreme = column;
    }
    return extreme;
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
        to.skipped += from.skipped * factor;
        to.energy += from.energy * factor * factor;
        to.rounding += from.rounding * factor * factor;
        const Floats f = broadcast(factor);
        const std::ptrdiff_t at = c * state.stride;
        for (std::ptrdiff_t i = at; i < at + state.stride; i += kLanes) {
            store(state.exact + i, multiply_add(load(other.exact + i), f, load(state.exact + i)));
            store(state.rotated + i, multiply_add(load(other.rotated + i), f, load(state.rotated + i)));
        }
    }
}
