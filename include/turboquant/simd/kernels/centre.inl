// From the user's vectors to what an index encodes: normalised where the metric wants it, less the mean, with the term
// that centring or the Euclidean metric adds to a score.

// out = factor·x − mean (both padded(dim) floats, zeros at the end); returns Σ out·other with other = mean, or out itself.
template <bool OfItself>
TURBOQUANT_NOINLINE float centre(const float* x, int dim, float factor, const float* mean,
                                 float* out) noexcept {
    const Floats f = broadcast(factor);
    Floats sums[kSums];
    TURBOQUANT_UNROLL
    for (int k = 0; k < kSums; ++k) sums[k] = zero();
    for (int i = 0; i < dim; i += 32) {
        TURBOQUANT_UNROLL
        for (int k = 0; k < kSums; ++k) {
            const Floats m = load(mean + i + k * kLanes);
            const Floats centred = sub(mul(load(x + i + k * kLanes), f), m);
            store(out + i + k * kLanes, centred);
            sums[k] = fused(centred, OfItself ? centred : m, sums[k]);
        }
    }
    return reduce(sums);
}

// The same for floats where they lie, factor 1: the folded sums of out·other, and of out² where that is another.
template <bool OfItself>
TURBOQUANT_INLINE Floats centre_floats(const float* x, int dim, const float* mean, float* out,
                                       Floats& squares) noexcept {
    Floats sums[kSums], own[kSums];
    clear(sums);
    clear(own);
    const auto take = [&](int i, int k, Floats value) {
        const Floats m = load(mean + i), centred = sub(value, m);
        store(out + i, centred);
        sums[k] = fused(centred, OfItself ? centred : m, sums[k]);
        if (!OfItself) own[k] = fused(centred, centred, own[k]);
    };
    int i = 0;
    for (; i + 32 <= dim; i += 32) {
        TURBOQUANT_UNROLL
        for (int k = 0; k < kSums; ++k) take(i + k * kLanes, k, load(x + i + k * kLanes));
    }
    if (i < dim) {
        TURBOQUANT_UNROLL
        for (int k = 0; k < kSums; ++k)
            take(i + k * kLanes, k, load_first(x + i + k * kLanes, dim - i - k * kLanes));
    }
    squares = fold(OfItself ? sums : own);
    return fold(sums);
}

// Of 1 to kDoubles vectors, to terms and squared_norms.
template <bool OfItself>
TURBOQUANT_NOINLINE void centre_block(const float* x, std::ptrdiff_t x_stride, int count, int dim,
                                      const float* mean, float* out, std::ptrdiff_t stride, float* terms,
                                      float* squared_norms) noexcept {
    Floats sums[kDoubles], squares[kDoubles];
    int v = 0;
    do {
        sums[v] = centre_floats<OfItself>(x + v * x_stride, dim, mean, out + v * stride, squares[v]);
    } while (++v < count);
    store_floats(squared_norms, reduce_block(squares, count));
    store_floats(terms, reduce_block(sums, count));
}

// load_block() of columns less their mean, in x. Empty where one is not ordinary.
TURBOQUANT_NOINLINE inline Block load_centred_block(const InputColumns& in, std::ptrdiff_t column, int count,
                                                    int dim, float* x, std::ptrdiff_t stride) noexcept {
    Block block = block_of_floats(in, column, count, dim, x, stride);
    float terms[kDoubles];
    const auto centre = in.squared ? centre_block<true> : centre_block<false>;
    centre(block.vectors, block.stride, count, dim, in.mean, x, stride, terms, block.squared_norms);
    block.vectors = x;
    block.stride = stride;
    block.extreme = false;
    for (int v = 0; v < count; ++v) {
        in.terms[column + v] = terms[v];
        if (!ordinary_squared_norm(block.squared_norms[v])) block.count = 0;
    }
    return block;
}

// Columns first … first + count − 1 of `in`, each to a row of out (stride floats apart): normalised where `normalise`,
// less `mean`. terms[i] = <mean, out_i>, or ‖out_i‖² where `squared`. Norms above `limit` (at least 2^30) are too large. `z`
// is a buffer of padded(dim).
inline CentreResult centre_columns(const InputColumns& in, std::ptrdiff_t first, std::ptrdiff_t count,
                                   int dim, bool normalise, bool squared, double limit, const float* mean,
                                   float* out, std::ptrdiff_t stride, float* terms, float* z) noexcept {
    for (std::ptrdiff_t i = 0; i < count; ++i) {
        const LoadedVector vector = load_column(in, first + i, dim, z);
        if (!vector.finite) return {i, ColumnError::not_finite};
        clear_tail(z, dim);
        float factor = 1.0f;
        if (normalise) {  // what scaled an extreme vector goes with it
            if (vector.squared_norm > 0.0f)
                factor = static_cast<float>(1.0 / std::sqrt(static_cast<double>(vector.squared_norm)));
        } else if (vector.exponent != 0) {
            const double norm = std::sqrt(static_cast<double>(vector.squared_norm));
            if (std::ldexp(norm, vector.exponent) > limit) return {i, ColumnError::too_large};
            for (int j = 0; j < dim; ++j) z[j] = std::ldexp(z[j], vector.exponent);
        }
        terms[i] = squared ? centre<true>(z, dim, factor, mean, out + i * stride)
                           : centre<false>(z, dim, factor, mean, out + i * stride);
    }
    return {count, ColumnError::none};
}

// Σ (q − x)² where `squared`, else <q, x>, of `count` vectors with one query: padded to a multiple of 32 by zeros.
template <bool Squared>
TURBOQUANT_NOINLINE void exact_scores(const float* vectors, std::ptrdiff_t stride, std::ptrdiff_t count,
                                      int dim, const float* query, float* out) noexcept {
    for (std::ptrdiff_t i = 0; i < count; ++i, vectors += stride) {
        Floats sums[kSums];
        TURBOQUANT_UNROLL
        for (int k = 0; k < kSums; ++k) sums[k] = zero();
        for (int j = 0; j < dim; j += 32) {
            TURBOQUANT_UNROLL
            for (int k = 0; k < kSums; ++k) {
                const Floats x = load(vectors + j + k * kLanes), q = load(query + j + k * kLanes);
                const Floats difference = Squared ? sub(q, x) : q;
                sums[k] = fused(difference, Squared ? difference : x, sums[k]);
            }
        }
        out[i] = reduce(sums);
    }
}
