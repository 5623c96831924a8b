// Attention on records of 5 to 8 bits in integers of two bytes, where byte lookups in tables of 256 are to be had: at 8 bits,
// d = 128 four times as fast as with floats (other targets have no such lookup, and use floats).

// --- Keys -----------------------------------------------------------------------------------------------------------------

// As in rows_wide.inl, whose rows the queries are: Σ c·q = 32768·Σ h·p + 128·Σ (h·2r + l·p) + 128·Σ r. Sums are taken lane by
// lane, 16 records together: logits[column·kBlockTokens + token], before the keys' scales.
template <int Bits, int Columns>
TURBOQUANT_NOINLINE void wide_key_columns(const CodecPlan& plan, const std::uint8_t* records, int tokens,
                                          const float* queries, std::ptrdiff_t stride,
                                          float* logits) noexcept {
    constexpr int kRecords = 16;
    const WideLookup<Bits> lookup(plan.codebook->int16_low, plan.codebook->int16_high);
    const int dim = plan.dim, end = (dim + 63) / 64 * 64;
    const std::size_t record_bytes = plan.record_bytes();
    const std::uint8_t* rows[Columns];
    float steps[Columns], constants[Columns];
    Sums starts[2][Columns];
    TURBOQUANT_UNROLL
    for (int c = 0; c < Columns; ++c) {
        WideRow header;
        std::memcpy(&header, queries + c * stride, sizeof header);
        rows[c] = reinterpret_cast<const std::uint8_t*>(queries + c * stride) + kRoundedRowBytes;
        steps[c] = 128.0f * (header.step * plan.codebook->int16_step);
        constants[c] = 0.5f * static_cast<float>(header.sum_2r);
        const std::int32_t first[16] = {-128 * header.sum_p}, second[16] = {-128 * header.sum_2r};
        starts[0][c] = load_sums(first);
        starts[1][c] = load_sums(second);
    }
    for (int first = 0; first < tokens; first += kRecords) {
        const int some = tokens - first < kRecords ? tokens - first : kRecords;
        alignas(64) float lanes[Columns][kRecords][16];
        if (some < kRecords) std::memset(lanes, 0, sizeof lanes);
        for (int r = 0; r < some; ++r, records += record_bytes) {
            Sums upper[Columns], lower[Columns];
            TURBOQUANT_UNROLL
            for (int c = 0; c < Columns; ++c) {
                upper[c] = starts[0][c];
                lower[c] = starts[1][c];
            }
            for (int i = 0; i < dim; i += 64) {
                const int bytes = dim - i < 64 ? (Bits * (dim - i) + 7) / 8 : 8 * Bits;
                Row low, high;
                lookup(load_first(records + static_cast<std::ptrdiff_t>(i) / 8 * Bits, bytes), low, high);
                TURBOQUANT_UNROLL
                for (int c = 0; c < Columns; ++c) {
                    const Row p = load_row(rows[c] + i), r2 = load_row(rows[c] + end + i);
                    upper[c] = dot(upper[c], high, p);
                    lower[c] = dot(dot(lower[c], high, r2), low, p);
                }
            }
            TURBOQUANT_UNROLL
            for (int c = 0; c < Columns; ++c)
                store(lanes[c][r],
                      multiply_add(float_sums(upper[c]), broadcast(256.0f), float_sums(lower[c])));
        }
        TURBOQUANT_UNROLL
        for (int c = 0; c < Columns; ++c) {
            const Floats sums = add(lane_sums(lanes[c]), broadcast(constants[c]));
            store(logits + c * kBlockTokens + first, mul(sums, broadcast(steps[c])));
        }
    }
}

// Of rows that round_wide_rows() has made.
template <int Bits>
void wide_products_of_records(const CodecPlan& plan, const std::uint8_t* records, int tokens,
                              const float* queries, std::ptrdiff_t stride, int columns,
                              float* logits) noexcept {
    int c = 0;
    for (; c + 4 <= columns; c += 4)
        wide_key_columns<Bits, 4>(plan, records, tokens, queries + c * stride, stride,
                                  logits + c * kBlockTokens);
    for (; c + 2 <= columns; c += 2)
        wide_key_columns<Bits, 2>(plan, records, tokens, queries + c * stride, stride,
                                  logits + c * kBlockTokens);
    if (c < columns)
        wide_key_columns<Bits, 1>(plan, records, tokens, queries + c * stride, stride,
                                  logits + c * kBlockTokens);
}

// --- Values ---------------------------------------------------------------------------------------------------------------

// A centroid is c = 256·h + l (signed bytes), a weight one byte w or two, 256·u + w. Of
//   Σ c·(256·u + w) = 65536·Σ h·u + 256·Σ (l·u + h·w) + Σ l·w
// the last sum is left out where there are two bytes: l and w have deviations of 74, c of 8000 and the largest weight is
// 65535, so that 1e-5 of its product is lost, and 1e-4 of a weight a tenth as large; the quantization's own error at 8 bits
// is 6e-3. All other sums are exact: those of 64 tokens stay below 2^30.

// Coordinates i … i + 63, of which those of quarters First to First + Count − 1 of each 16, for `Columns` columns.
template <int Bits, int Columns, int Planes, int First, int Count>
TURBOQUANT_NOINLINE void wide_value_part(const SignedWideLookup<Bits>& lookup, const std::uint8_t* records,
                                         std::size_t record_bytes, int bytes, int quads,
                                         const RoundedWeights* const* weights,
                                         std::int32_t (&totals)[Columns][64]) noexcept {
    Sums upper[Columns][Count], lower[Columns][Count];
    TURBOQUANT_UNROLL
    for (int c = 0; c < Columns; ++c) {
        TURBOQUANT_UNROLL
        for (int k = 0; k < Count; ++k) upper[c][k] = lower[c][k] = zero_sums();
    }
    for (int quad = 0; quad < quads; ++quad, records += 4 * record_bytes) {
        Row tokens[4], codes[Count];
        TURBOQUANT_UNROLL
        for (int t = 0; t < 4; ++t)
            tokens[t] =
                lookup.unpack(load_first(records + static_cast<std::size_t>(t) * record_bytes, bytes));
        interleave_tokens<First>(tokens, codes);
        WeightQuad weight[Columns][Planes];
        TURBOQUANT_UNROLL
        for (int c = 0; c < Columns; ++c) {
            TURBOQUANT_UNROLL
            for (int p = 0; p < Planes; ++p) weight[c][p] = load_weights(weights[c]->planes[p] + 4 * quad);
        }
        TURBOQUANT_UNROLL
        for (int k = 0; k < Count; ++k) {
            Row low, high;
            lookup.find(codes[k], low, high);
            TURBOQUANT_UNROLL
            for (int c = 0; c < Columns; ++c) {
                upper[c][k] = dot_weights(upper[c][k], high, weight[c][Planes - 1]);
                lower[c][k] = dot_weights(lower[c][k], low, weight[c][Planes - 1]);
                if constexpr (Planes == 2) lower[c][k] = dot_weights(lower[c][k], high, weight[c][0]);
            }
        }
    }
    TURBOQUANT_UNROLL
    for (int c = 0; c < Columns; ++c) {
        TURBOQUANT_UNROLL
        for (int k = 0; k < Count; ++k) {
            alignas(64) std::int32_t sums[16];
            store_sums(sums, add_upper_plane(lower[c][k], upper[c][k]));
            TURBOQUANT_UNROLL
            for (int i = 0; i < 4; ++i)
                std::memcpy(totals[c] + 16 * i + 4 * (First + k), sums + 4 * i, 4 * sizeof(std::int32_t));
        }
    }
}

template <int Bits, int Columns, int Planes>
TURBOQUANT_INLINE void wide_value_columns(const CodecPlan& plan, const SignedWideLookup<Bits>& lookup,
                                          const std::uint8_t* records, int quads,
                                          const RoundedWeights* const* weights, float* const* out) noexcept {
    const std::size_t record_bytes = plan.record_bytes();
    for (int i = 0; i < plan.dim; i += 64) {
        const std::uint8_t* at = records + static_cast<std::ptrdiff_t>(i) / 8 * Bits;
        const int left = plan.dim - i;
        const int bytes = left < 64 ? (Bits * left + 7) / 8 : 8 * Bits;
        alignas(64) std::int32_t totals[Columns][64];
        if constexpr (Columns <= 2) {
            wide_value_part<Bits, Columns, Planes, 0, 4>(lookup, at, record_bytes, bytes, quads, weights,
                                                         totals);
        } else {
            wide_value_part<Bits, Columns, Planes, 0, 2>(lookup, at, record_bytes, bytes, quads, weights,
                                                         totals);
            wide_value_part<Bits, Columns, Planes, 2, 2>(lookup, at, record_bytes, bytes, quads, weights,
                                                         totals);
        }
        TURBOQUANT_UNROLL
        for (int c = 0; c < Columns; ++c) {
            const float unit = Planes == 2 ? 256.0f : 1.0f;
            const Floats step = broadcast(weights[c]->step * plan.codebook->int16_step * unit);
            for (int k = 0; k < 64 && k < left; k += kLanes)
                store(out[c] + i + k, multiply_add(to_floats(totals[c] + k, 0), step, load(out[c] + i + k)));
        }
    }
}

// The columns whose weights have `Planes` planes, 4, 2 or 1 at a time.
template <int Bits, int Planes>
TURBOQUANT_INLINE void wide_value_planes(const CodecPlan& plan, const SignedWideLookup<Bits>& lookup,
                                         const std::uint8_t* records, int quads,
                                         const RoundedWeights* rounded, std::uint32_t counted, float* out,
                                         std::ptrdiff_t out_stride) noexcept {
    const RoundedWeights* chosen[4];
    float* to[4];
    int count = 0;
    for (int c = 0; counted >> c != 0; ++c) {
        if ((counted >> c & 1u) == 0 || rounded[c].count != Planes) continue;
        chosen[count] = rounded + c;
        to[count] = out + c * out_stride;
        if (++count < 4) continue;
        wide_value_columns<Bits, 4, Planes>(plan, lookup, records, quads, chosen, to);
        count = 0;
    }
    int c = 0;
    for (; c + 2 <= count; c += 2)
        wide_value_columns<Bits, 2, Planes>(plan, lookup, records, quads, chosen + c, to + c);
    if (c < count) wide_value_columns<Bits, 1, Planes>(plan, lookup, records, quads, chosen + c, to + c);
}

// out_c += Σ_t weight[c][t]·centroids of record t, for the columns whose bit is set in `counted`; weights come multiplied by
// the scales, zero for what is left of the last four tokens. Whole vectors are read and written.
template <int Bits>
void accumulate_wide_records(const CodecPlan& plan, const std::uint8_t* records, int tokens,
                             const RoundedWeights* rounded, std::uint32_t counted, float* out,
                             std::ptrdiff_t out_stride) noexcept {
    const SignedWideLookup<Bits> lookup(plan.codebook->int16_low, plan.codebook->int16_high);
    const int quads = (tokens + 3) / 4;
    wide_value_planes<Bits, 1>(plan, lookup, records, quads, rounded, counted, out, out_stride);
    wide_value_planes<Bits, 2>(plan, lookup, records, quads, rounded, counted, out, out_stride);
}
