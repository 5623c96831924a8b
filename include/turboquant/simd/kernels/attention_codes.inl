// Attention on blocks of codes of 1 to 4 bits (scan_layout.hpp, value_layout.hpp): products with int8 queries, and sums of
// centroids with integer weights. All integer sums are exact.

// Sums that the registers hold.
inline constexpr int kSumsAtOnce = kOffset != 0 ? 16 : 4;

// --- Keys -----------------------------------------------------------------------------------------------------------------

// Quads J to the last of one step, for `Blocks` blocks of 32 keys and `Columns` queries.
template <int Bits, int J, int Columns, int Blocks, int Chains>
TURBOQUANT_INLINE void key_quads(const CodeLookup<Bits>& lookup,
                                 const Row (&rows)[Blocks][kRowsPerBlock][ScanStep<Bits>::kRows],
                                 const std::int8_t* const (&quads)[Columns],
                                 Sums (&sums)[Columns][Blocks][kRowsPerBlock][Chains]) noexcept {
    Quad query[Columns];
    TURBOQUANT_UNROLL
    for (int c = 0; c < Columns; ++c) query[c] = load_quad(quads[c] + 4 * J);
    TURBOQUANT_UNROLL
    for (int b = 0; b < Blocks; ++b) {
        TURBOQUANT_UNROLL
        for (int g = 0; g < kRowsPerBlock; ++g) {
            const Row centroids = lookup.template get<J>(rows[b][g]);
            TURBOQUANT_UNROLL
            for (int c = 0; c < Columns; ++c)
                sums[c][b][g][J % Chains] = dot(sums[c][b][g][J % Chains], centroids, query[c]);
        }
    }
    if constexpr (J + 1 < ScanStep<Bits>::kQuads)
        key_quads<Bits, J + 1, Columns, Blocks, Chains>(lookup, rows, quads, sums);
}

template <int Bits, int Columns, int Blocks>
TURBOQUANT_NOINLINE void key_part(const ScanLayout<Bits>& layout, const CodebookTable& codebook,
                                  const std::uint8_t* block, const ScanQuery* queries,
                                  float* logits) noexcept {
    using Step = ScanStep<Bits>;
    constexpr int kChains = Columns == 1 ? 2 : 1;
    const CodeLookup<Bits> lookup(codebook.int8_centroids);
    const std::size_t block_bytes = layout.index_bytes();
    const std::int8_t* quads[Columns];
    Sums sums[Columns][Blocks][kRowsPerBlock][kChains];
    TURBOQUANT_UNROLL
    for (int c = 0; c < Columns; ++c) {
        quads[c] = queries[c].quads;
        TURBOQUANT_UNROLL
        for (int b = 0; b < Blocks; ++b) {
            TURBOQUANT_UNROLL
            for (int g = 0; g < kRowsPerBlock; ++g) {
                TURBOQUANT_UNROLL
                for (int k = 0; k < kChains; ++k) sums[c][b][g][k] = zero_sums();
            }
        }
    }
    Row rows[Blocks][kRowsPerBlock][Step::kRows];
    const std::uint8_t* at = block;
    for (int step = 0; step < layout.steps; ++step, at += Step::kRows * 4 * kScanBlock) {
        TURBOQUANT_UNROLL
        for (int b = 0; b < Blocks; ++b)
            load_step<Bits>(at + static_cast<std::size_t>(b) * block_bytes, rows[b]);
        key_quads<Bits, 0, Columns, Blocks, kChains>(lookup, rows, quads, sums);
        TURBOQUANT_UNROLL
        for (int c = 0; c < Columns; ++c) quads[c] += 4 * Step::kQuads;
    }
    if (layout.has_rest()) {
        TURBOQUANT_UNROLL
        for (int b = 0; b < Blocks; ++b)
            load_rest<Bits>(layout, at + static_cast<std::size_t>(b) * block_bytes, rows[b]);
        key_quads<Bits, 0, Columns, Blocks, kChains>(lookup, rows, quads, sums);
    }
    TURBOQUANT_UNROLL
    for (int c = 0; c < Columns; ++c) {
        alignas(64) std::int32_t integers[Blocks * kScanBlock];
        TURBOQUANT_UNROLL
        for (int b = 0; b < Blocks; ++b) {
            TURBOQUANT_UNROLL
            for (int g = 0; g < kRowsPerBlock; ++g) {
                Sums sum = sums[c][b][g][0];
                if constexpr (kChains == 2) sum = add_sums(sum, sums[c][b][g][1]);
                store_sums(integers + kScanBlock * b + 16 * g, sum);
            }
        }
        const Floats step = broadcast(queries[c].step * codebook.int8_step);
        TURBOQUANT_UNROLL
        for (int i = 0; i < Blocks * kScanBlock; i += kLanes)
            store(logits + c * kBlockTokens + i,
                  mul(to_floats(integers + i, kOffset * queries[c].sum), step));
    }
}

template <int Bits, int Columns>
TURBOQUANT_INLINE void key_columns(const ScanLayout<Bits>& layout, const CodebookTable& codebook,
                                   const std::uint8_t* block, const ScanQuery* queries,
                                   float* logits) noexcept {
    if constexpr (Columns * 2 * kRowsPerBlock <= kSumsAtOnce) {
        key_part<Bits, Columns, 2>(layout, codebook, block, queries, logits);
    } else {
        key_part<Bits, Columns, 1>(layout, codebook, block, queries, logits);
        key_part<Bits, Columns, 1>(layout, codebook, block + layout.index_bytes(), queries,
                                   logits + kScanBlock);
    }
}

// Products of the queries with the 64 keys of a block, before the keys' scales.
template <int Bits>
void code_products_of_block(const ScanLayout<Bits>& layout, const CodebookTable& codebook,
                            const std::uint8_t* block, const ScanQuery* queries, int columns,
                            float* logits) noexcept {
    int c = 0;
    if constexpr (kSumsAtOnce >= 16)
        for (; c + 4 <= columns; c += 4)
            key_columns<Bits, 4>(layout, codebook, block, queries + c, logits + c * kBlockTokens);
    for (; c + 2 <= columns; c += 2)
        key_columns<Bits, 2>(layout, codebook, block, queries + c, logits + c * kBlockTokens);
    if (c < columns) key_columns<Bits, 1>(layout, codebook, block, queries + c, logits + c * kBlockTokens);
}

// --- Weights --------------------------------------------------------------------------------------------------------------

// Weights of a block as integers of 7 bits or of 14, the latter in two planes: upper·128 + lower. Rounding to 14 bits
// changes a weight by at most 3e-5 of the block's largest; to 7 bits by .4 %, enough beside values of 1 and 2 bits.
struct RoundedWeights {
    alignas(64) std::int8_t planes[2][kBlockTokens];
    std::int32_t sum;
    float step;
};

template <int Bits>
inline constexpr int kWeightPlanes = Bits <= 2 ? 1 : 2;

// The sum of the lanes, exactly where they hold integers below 2^20.
TURBOQUANT_INLINE std::int32_t sum_of_integers(Floats a) noexcept {
    float lanes[kLanes], sum = 0.0f;
    store(lanes, a);
    for (int i = 0; i < kLanes; ++i) sum += lanes[i];
    return static_cast<std::int32_t>(sum);
}

// False where all round to zero.
template <int Planes>
TURBOQUANT_INLINE bool round_weights(const float* weights, RoundedWeights& rounded) noexcept {
    constexpr float kTop = Planes == 1 ? 127.0f : 16383.0f;
    Floats best = load(weights);
    TURBOQUANT_UNROLL
    for (int t = kLanes; t < kBlockTokens; t += kLanes) best = maximum(best, load(weights + t));
    const float top = largest(best);
    if (!(top > 1e-33f)) return false;  // its reciprocal times kTop would overflow
    rounded.step = top / kTop;
    const Floats factor = broadcast(kTop / top), magic = broadcast(8388608.0f);  // 2^23
    Floats sum = zero();
    TURBOQUANT_UNROLL
    for (int t = 0; t < kBlockTokens; t += kLanes) {
        const Floats shifted = add(mul(load(weights + t), factor), magic);
        sum = add(sum, sub(shifted, magic));
        store_seven_bits<0>(rounded.planes[0] + t, shifted);
        if (Planes == 2) store_seven_bits<7>(rounded.planes[1] + t, shifted);
    }
    rounded.sum = sum_of_integers(sum);
    return true;
}

// --- Values ---------------------------------------------------------------------------------------------------------------

// Lookups that are summed at a time: half of those of 1 and 3 bits.
template <int Bits>
inline constexpr int kLookupsAtOnce = ValueLayout<Bits>::kLookups < 4 ? ValueLayout<Bits>::kLookups : 4;

template <int Bits, int First, int J, int Columns, int Rows>
TURBOQUANT_INLINE void value_lookups(
    const CodeLookup<Bits>& lookup, const Row (&rows)[Rows][ScanStep<Bits>::kRows],
    const Quad (&weights)[Columns][kWeightPlanes<Bits>],
    Sums (&sums)[Columns][Rows][kLookupsAtOnce<Bits>][kWeightPlanes<Bits>]) noexcept {
    TURBOQUANT_UNROLL
    for (int r = 0; r < Rows; ++r) {
        const Row centroids = lookup.template get<First + J>(rows[r]);
        TURBOQUANT_UNROLL
        for (int c = 0; c < Columns; ++c) {
            TURBOQUANT_UNROLL
            for (int p = 0; p < kWeightPlanes<Bits>; ++p)
                sums[c][r][J][p] = dot(sums[c][r][J][p], centroids, weights[c][p]);
        }
    }
    if constexpr (J + 1 < kLookupsAtOnce<Bits>)
        value_lookups<Bits, First, J + 1, Columns, Rows>(lookup, rows, weights, sums);
}

// `Rows` rows of 16 dwords from row `row` on, lookups First … First + kLookupsAtOnce − 1.
template <int Bits, int First, int Columns, int Rows>
TURBOQUANT_NOINLINE void value_part(const ValueLayout<Bits>& layout, const CodebookTable& codebook,
                                    const std::uint8_t* block, int row, int quads,
                                    const RoundedWeights* const* weights, float* const* out) noexcept {
    constexpr int kPlanes = kWeightPlanes<Bits>, kAtOnce = kLookupsAtOnce<Bits>;
    constexpr int kAreas = ValueLayout<Bits>::kAreas;
    const CodeLookup<Bits> lookup(codebook.int8_centroids);
    Sums sums[Columns][Rows][kAtOnce][kPlanes];
    TURBOQUANT_UNROLL
    for (int c = 0; c < Columns; ++c) {
        TURBOQUANT_UNROLL
        for (int r = 0; r < Rows; ++r) {
            TURBOQUANT_UNROLL
            for (int j = 0; j < kAtOnce; ++j) {
                TURBOQUANT_UNROLL
                for (int p = 0; p < kPlanes; ++p) sums[c][r][j][p] = zero_sums();
            }
        }
    }
    std::size_t areas[kAreas];
    for (int a = 0; a < kAreas; ++a) areas[a] = layout.area_offset(a);
    const std::size_t quad_bytes = layout.quad_bytes();
    const std::uint8_t* at = block + 64 * row;
    for (int quad = 0; quad < quads; ++quad, at += quad_bytes) {
        Quad weight[Columns][kPlanes];
        TURBOQUANT_UNROLL
        for (int c = 0; c < Columns; ++c) {
            TURBOQUANT_UNROLL
            for (int p = 0; p < kPlanes; ++p) weight[c][p] = load_quad(weights[c]->planes[p] + 4 * quad);
        }
        Row rows[Rows][kAreas];
        TURBOQUANT_UNROLL
        for (int r = 0; r < Rows; ++r) {
            TURBOQUANT_UNROLL
            for (int a = 0; a < kAreas; ++a) rows[r][a] = load_row(at + areas[a] + 64 * r);
        }
        value_lookups<Bits, First, 0, Columns, Rows>(lookup, rows, weight, sums);
    }
    TURBOQUANT_UNROLL
    for (int c = 0; c < Columns; ++c) {
        const Floats step = broadcast(weights[c]->step * codebook.int8_step);
        const std::int32_t offset = kOffset * weights[c]->sum;
        TURBOQUANT_UNROLL
        for (int r = 0; r < Rows; ++r) {
            TURBOQUANT_UNROLL
            for (int j = 0; j < kAtOnce; ++j) {
                float* to = out[c] + ((row + r) * ValueLayout<Bits>::kLookups + First + j) * 16;
                alignas(64) std::int32_t integers[16];
                Sums sum = sums[c][r][j][0];
                if constexpr (kPlanes == 2) sum = add_upper_plane(sum, sums[c][r][j][1]);
                store_sums(integers, sum);
                TURBOQUANT_UNROLL
                for (int i = 0; i < 16; i += kLanes)
                    store(to + i, multiply_add(to_floats(integers + i, offset), step, load(to + i)));
            }
        }
    }
}

template <int Bits, int Columns, int Rows>
TURBOQUANT_INLINE void value_rows(const ValueLayout<Bits>& layout, const CodebookTable& codebook,
                                  const std::uint8_t* block, int row, int quads,
                                  const RoundedWeights* const* weights, float* const* out) noexcept {
    value_part<Bits, 0, Columns, Rows>(layout, codebook, block, row, quads, weights, out);
    if constexpr (ValueLayout<Bits>::kLookups > kLookupsAtOnce<Bits>)
        value_part<Bits, kLookupsAtOnce<Bits>, Columns, Rows>(layout, codebook, block, row, quads, weights,
                                                              out);
}

template <int Bits, int Columns, int Rows>
TURBOQUANT_INLINE void value_columns(const ValueLayout<Bits>& layout, const CodebookTable& codebook,
                                     const std::uint8_t* block, int quads,
                                     const RoundedWeights* const* weights, float* const* out) noexcept {
    int row = 0;
    const int rows = layout.rows();
    for (; row + Rows <= rows; row += Rows)
        value_rows<Bits, Columns, Rows>(layout, codebook, block, row, quads, weights, out);
    if constexpr (Rows > 1)
        for (; row < rows; ++row)
            value_rows<Bits, Columns, 1>(layout, codebook, block, row, quads, weights, out);
}

// out_c += Σ_t weight[c][t]·centroids of token t, for the columns whose bit is set in `counted`; weights come multiplied by
// the scales. The sums stand in the order of ValueLayout::place.
template <int Bits>
void accumulate_codes_of_block(const ValueLayout<Bits>& layout, const CodebookTable& codebook,
                               const std::uint8_t* block, int tokens, const float* weights,
                               std::uint32_t counted, float* out, std::ptrdiff_t out_stride) noexcept {
    constexpr int kTogether = kSumsAtOnce / (kLookupsAtOnce<Bits> * kWeightPlanes<Bits>);
    const int quads = (tokens + 3) / 4;
    RoundedWeights rounded[4];
    const RoundedWeights* chosen[4];
    float* to[4];
    int count = 0;
    const auto flush = [&]() noexcept {
        if constexpr (kTogether >= 4) {
            if (count == 4) return value_columns<Bits, 4, 1>(layout, codebook, block, quads, chosen, to);
        }
        int c = 0;
        if constexpr (kTogether >= 2)
            for (; c + 2 <= count; c += 2)
                value_columns<Bits, 2, kTogether / 2>(layout, codebook, block, quads, chosen + c, to + c);
        for (; c < count; ++c)
            value_columns<Bits, 1, (kTogether > 1 ? kTogether : 1)>(layout, codebook, block, quads,
                                                                    chosen + c, to + c);
    };
    for (int c = 0; counted >> c != 0; ++c) {
        if ((counted >> c & 1u) == 0) continue;
        if (!round_weights<kWeightPlanes<Bits>>(weights + c * kBlockTokens, rounded[count])) continue;
        chosen[count] = &rounded[count];
        to[count] = out + c * out_stride;
        if (++count == 4) {
            flush();
            count = 0;
        }
    }
    flush();
}
