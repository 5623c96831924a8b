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

// The same for floats where they lie, factor 1. False, and nothing is promised, where ‖out‖² is not ordinary: then x may be
// zero, extreme, or not finite.
template <bool OfItself>
TURBOQUANT_NOINLINE bool centre_floats(const float* x, int dim, const float* mean, float* out,
                                       float* term) noexcept {
    Floats sums[kSums], squares[kSums];
    TURBOQUANT_UNROLL
    for (int k = 0; k < kSums; ++k) sums[k] = squares[k] = zero();
    float rest[32] = {};
    for (int i = 0; i < dim; i += 32) {
        const float* from = x + i;
        if (dim - i < 32) {
            std::memcpy(rest, from, sizeof(float) * static_cast<std::size_t>(dim - i));
            from = rest;
        }
        TURBOQUANT_UNROLL
        for (int k = 0; k < kSums; ++k) {
            const Floats m = load(mean + i + k * kLanes);
            const Floats centred = sub(load(from + k * kLanes), m);
            store(out + i + k * kLanes, centred);
            sums[k] = fused(centred, OfItself ? centred : m, sums[k]);
            if (!OfItself) squares[k] = fused(centred, centred, squares[k]);
        }
    }
    *term = reduce(sums);
    return ordinary_squared_norm(OfItself ? *term : reduce(squares));
}

// Columns first … first + count − 1 of `in`, each to a row of out (stride floats apart): normalised where `normalise`,
// less `mean`. terms[i] = <mean, out_i>, or ‖out_i‖² where `squared`. Norms above `limit` (at least 2^30) are too large. `z`
// is a buffer of padded(dim).
inline CentreResult centre_columns(const InputColumns& in, std::ptrdiff_t first, std::ptrdiff_t count,
                                   int dim, bool normalise, bool squared, double limit, const float* mean,
                                   float* out, std::ptrdiff_t stride, float* terms, float* z) noexcept {
    const bool plain = in.type == InputType::float32 && !normalise;
    for (std::ptrdiff_t i = 0; i < count; ++i) {
        if (plain) {
            const float* x = static_cast<const float*>(in.data) + (first + i) * in.stride;
            if (squared ? centre_floats<true>(x, dim, mean, out + i * stride, terms + i)
                        : centre_floats<false>(x, dim, mean, out + i * stride, terms + i))
                continue;
        }
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
