// Attention on blocks of codes of 1 to 4 bits (scan_layout.hpp, value_layout.hpp): products with int8 queries, and sums of
// centroids with integer weights. All integer sums are exact.

// Sums that the registers hold.
inline constexpr int kSumsAtOnce = kOffset != 0 ? 16 : 4;

// --- Keys -----------------------------------------------------------------------------------------------------------------

// Quads J to the last of one step, for `Blocks` blocks of 16·Rows keys and `Columns` queries.
template <int Bits, int J, int Columns, int Blocks, int Rows, int Chains>
TURBOQUANT_INLINE void key_quads(const CodeLookup<Bits>& lookup,
                                 const Row (&rows)[Blocks][Rows][ScanStep<Bits>::kRows],
                                 const std::int8_t* const (&quads)[Columns],
                                 Sums (&sums)[Columns][Blocks][Rows][Chains]) noexcept {
    Quad query[Columns];
    TURBOQUANT_UNROLL
    for (int c = 0; c < Columns; ++c) query[c] = load_quad(quads[c] + 4 * J);
    TURBOQUANT_UNROLL
    for (int b = 0; b < Blocks; ++b) {
        TURBOQUANT_UNROLL
        for (int g = 0; g < Rows; ++g) {
            const Row centroids = lookup.template get<J>(rows[b][g]);
            TURBOQUANT_UNROLL
            for (int c = 0; c < Columns; ++c)
                sums[c][b][g][J % Chains] = dot(sums[c][b][g][J % Chains], centroids, query[c]);
        }
    }
    if constexpr (J + 1 < ScanStep<Bits>::kQuads)
        key_quads<Bits, J + 1, Columns, Blocks, Rows, Chains>(lookup, rows, quads, sums);
}

// Rows: groups of 16 keys that lie side by side. Whole steps alone where they are not a block's.
template <int Bits, int Columns, int Blocks, int Rows = kRowsPerBlock>
TURBOQUANT_NOINLINE void key_part(const ScanLayout<Bits>& layout, const CodebookTable& codebook,
                                  const std::uint8_t* block, const ScanQuery* queries,
                                  float* logits) noexcept {
    using Step = ScanStep<Bits>;
    constexpr int kChains = Columns == 1 ? 2 : 1;
    const CodeLookup<Bits> lookup(codebook.int8_centroids);
    const std::size_t block_bytes = layout.index_bytes();
    const std::int8_t* quads[Columns];
    Sums sums[Columns][Blocks][Rows][kChains];
    TURBOQUANT_UNROLL
    for (int c = 0; c < Columns; ++c) {
        quads[c] = queries[c].quads;
        TURBOQUANT_UNROLL
        for (int b = 0; b < Blocks; ++b) {
            TURBOQUANT_UNROLL
            for (int g = 0; g < Rows; ++g) {
                TURBOQUANT_UNROLL
                for (int k = 0; k < kChains; ++k) sums[c][b][g][k] = zero_sums();
            }
        }
    }
    Row rows[Blocks][Rows][Step::kRows];
    const std::uint8_t* at = block;
    for (int step = 0; step < layout.steps; ++step, at += Step::kRows * 64 * Rows) {
        TURBOQUANT_UNROLL
        for (int b = 0; b < Blocks; ++b)
            load_step<Bits>(at + static_cast<std::size_t>(b) * block_bytes, rows[b]);
        key_quads<Bits, 0, Columns, Blocks, Rows, kChains>(lookup, rows, quads, sums);
        TURBOQUANT_UNROLL
        for (int c = 0; c < Columns; ++c) quads[c] += 4 * Step::kQuads;
    }
    if constexpr (Rows == kRowsPerBlock) {
        if (layout.has_rest()) {
            TURBOQUANT_UNROLL
            for (int b = 0; b < Blocks; ++b)
                load_rest<Bits>(layout, at + static_cast<std::size_t>(b) * block_bytes, rows[b]);
            key_quads<Bits, 0, Columns, Blocks, Rows, kChains>(lookup, rows, quads, sums);
        }
    }
    TURBOQUANT_UNROLL
    for (int c = 0; c < Columns; ++c) {
        alignas(64) std::int32_t integers[Blocks * 16 * Rows];
        TURBOQUANT_UNROLL
        for (int b = 0; b < Blocks; ++b) {
            TURBOQUANT_UNROLL
            for (int g = 0; g < Rows; ++g) {
                Sums sum = sums[c][b][g][0];
                if constexpr (kChains == 2) sum = add_sums(sum, sums[c][b][g][1]);
                store_sums(integers + 16 * (Rows * b + g), sum);
            }
        }
        const Floats step = broadcast(queries[c].step * codebook.int8_step);
        TURBOQUANT_UNROLL
        for (int i = 0; i < Blocks * 16 * Rows; i += kLanes)
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

// --- Keys of three grades (graded_keys.hpp) -------------------------------------------------------------------------------------

template <int Bits, int Columns>
TURBOQUANT_INLINE void graded_columns(int dim, const GradedCodebooks& codebooks, const std::uint8_t* block,
                                      const KeyGrades& grades, const ScanQuery* queries,
                                      float* logits) noexcept {
    static_assert(kFinerKeys == 16 && kEvenKeys == kScanBlock && kCoarserKeys == 16);
    alignas(64) float products[Columns * kBlockTokens];
    constexpr bool kRecords = Bits + 1 > 4;  // of finer keys: theirs come from elsewhere
    if constexpr (!kRecords)
        key_part<Bits + 1, Columns, 1, 1>(ScanLayout<Bits + 1>(dim), *codebooks.finer, block, queries,
                                          products);
    key_part<Bits, Columns, 1>(ScanLayout<Bits>(dim), *codebooks.even, block + graded_offset(Bits, 1, dim),
                               queries, products + kFinerKeys);
    key_part<Bits - 1, Columns, 1, 1>(ScanLayout<Bits - 1>(dim), *codebooks.coarser,
                                      block + graded_offset(Bits, 2, dim), queries,
                                      products + kFinerKeys + kEvenKeys);
    const float* from = products + (kRecords ? kFinerKeys : 0);
    for (int grade = kRecords ? 1 : 0; grade < 3; ++grade)
        for (std::uint64_t left = grades.tokens(grade); left != 0; left &= left - 1, ++from) {
            const int token = lowest_bit(left);
            TURBOQUANT_UNROLL
            for (int c = 0; c < Columns; ++c) logits[c * kBlockTokens + token] = from[c * kBlockTokens];
        }
}

// code_products_of_block() where the keys have different numbers of bits, `Bits` most of them; without finer keys of 5 bits.
template <int Bits>
void graded_products_of_block(int dim, const GradedCodebooks& codebooks, const std::uint8_t* block,
                              const KeyGrades& grades, const ScanQuery* queries, int columns,
                              float* logits) noexcept {
    int c = 0;
    if constexpr (kSumsAtOnce >= 16)
        for (; c + 4 <= columns; c += 4)
            graded_columns<Bits, 4>(dim, codebooks, block, grades, queries + c, logits + c * kBlockTokens);
    for (; c + 2 <= columns; c += 2)
        graded_columns<Bits, 2>(dim, codebooks, block, grades, queries + c, logits + c * kBlockTokens);
    if (c < columns)
        graded_columns<Bits, 1>(dim, codebooks, block, grades, queries + c, logits + c * kBlockTokens);
}

// --- Weights --------------------------------------------------------------------------------------------------------------

// Rounds a column's weights to one byte where the errors' energy, of all blocks so far, stays within block.tolerance of the
// weights'; else to two bytes, at a relative error below 3e-5 of the block's largest. The values' own errors are independent
// of these, so that the output's relative error grows by at most the root of the tolerance. False where all round to zero.
TURBOQUANT_INLINE bool round_weights(const Floats (&w)[kBlockTokens / kLanes], float tolerance,
                                     SoftmaxColumn& column, RoundedWeights& rounded) noexcept {
    constexpr int kVectors = kBlockTokens / kLanes;
    constexpr float kByte = static_cast<float>((1 << kWeightBits) - 1);
    constexpr float kTwoBytes = static_cast<float>((1 << 2 * kWeightBits) - 1);
    Floats best = w[0];
    TURBOQUANT_UNROLL
    for (int i = 1; i < kVectors; ++i) best = maximum(best, w[i]);
    const float top = largest(best);
    if (!(top > 1e-33f)) return false;           // its reciprocal times kTwoBytes would overflow
    const Floats magic = broadcast(8388608.0f);  // 2^23: the sum's last bits are the nearest integer
    const Floats factor = broadcast(kByte / top);
    Floats shifted[kVectors], error = zero();
    TURBOQUANT_UNROLL
    for (int i = 0; i < kVectors; ++i) {
        const Floats scaled = mul(w[i], factor);
        shifted[i] = add(scaled, magic);
        const Floats difference = sub(scaled, sub(shifted[i], magic));
        error = multiply_add(difference, difference, error);
    }
    const float step = top / kByte;
    const float rounding = column.rounding + lane_sum(error) * (step * step);
    if (rounding <= tolerance * column.energy) {
        column.rounding = rounding;
        rounded.count = 1;
        rounded.step = step;
        TURBOQUANT_UNROLL
        for (int i = 0; i < kVectors; ++i) store_weights<0>(rounded.planes[0] + i * kLanes, shifted[i]);
        return true;
    }
    rounded.count = 2;
    rounded.step = top / kTwoBytes;
    const Floats fine = broadcast(kTwoBytes / top);
    TURBOQUANT_UNROLL
    for (int i = 0; i < kVectors; ++i) {
        const Floats integer = add(mul(w[i], fine), magic);
        store_weights<0>(rounded.planes[0] + i * kLanes, integer);
        store_weights<kWeightBits>(rounded.planes[1] + i * kLanes, integer);
    }
    return true;
}

// soften_column() and round_weights() of a whole block of scaled keys that the column sees all of, without a soft cap: in
// registers.
TURBOQUANT_INLINE bool soften_whole_block(const SoftmaxBlock& block, const SoftmaxState& state, int c,
                                          const float* products, RoundedWeights& rounded) noexcept {
    constexpr int kVectors = kBlockTokens / kLanes;
    SoftmaxColumn& column = state.column[c];
    const Floats bias = broadcast(block.bias != nullptr ? block.bias[c] : 0.0f);
    Floats x[kVectors];
    TURBOQUANT_UNROLL
    for (int i = 0; i < kVectors; ++i)
        x[i] = multiply_add(load(products + i * kLanes), load(block.key_scales + i * kLanes), bias);
    if (block.shares != nullptr) {
        const Floats mean = broadcast(block.mean_products[c]);
        TURBOQUANT_UNROLL
        for (int i = 0; i < kVectors; ++i) x[i] = multiply_add(load(block.shares + i * kLanes), mean, x[i]);
    }
    Floats most = x[0];
    TURBOQUANT_UNROLL
    for (int i = 1; i < kVectors; ++i) most = maximum(most, x[i]);
    const float best = largest(most);
    if (best > column.maximum) raise_maximum(state, c, best);
    const Floats top = broadcast(column.maximum);
    Floats sum = zero(), energy = zero();
    TURBOQUANT_UNROLL
    for (int i = 0; i < kVectors; ++i) {
        const Floats p = exp2_nonpositive(sub(x[i], top));
        sum = add(sum, p);
        x[i] = mul(p, load(block.value_scales + i * kLanes));
        energy = multiply_add(x[i], x[i], energy);
    }
    const float total = lane_sum(sum);
    column.sum += total;
    column.coded_sum += total;
    column.energy += lane_sum(energy);
    if (may_leave_out(column, best)) {
        Floats weight = x[0];
        TURBOQUANT_UNROLL
        for (int i = 1; i < kVectors; ++i) weight = add(weight, x[i]);
        if (leave_out(column, lane_sum(weight))) return false;
    }
    return round_weights(x, block.tolerance, column, rounded);
}

// Every column of a block of codes; bit c of the result is set where column c's values count.
inline std::uint32_t soften_codes(const SoftmaxBlock& block, const SoftmaxState& state, float* logits,
                                  RoundedWeights* rounded) noexcept {
    std::uint32_t counted = 0;
    for (int c = 0; c < state.columns; ++c) {
        float* const row = logits + c * kBlockTokens;
        const bool whole = block.tokens == kBlockTokens && block.first[c] == 0 &&
                           block.last[c] == kBlockTokens && block.key_scales != nullptr &&
                           !(block.softcap > 0.0f);
        bool counts;
        if (whole) {
            counts = soften_whole_block(block, state, c, row, rounded[c]);
        } else {
            counts = soften_column(block, state, c, row);
            if (counts) {
                Floats w[kBlockTokens / kLanes];
                for (int t = 0; t < kBlockTokens; t += kLanes)
                    w[t / kLanes] = t < block.tokens ? load(row + t) : zero();
                counts = round_weights(w, block.tolerance, state.column[c], rounded[c]);
            }
        }
        if (counts) counted |= 1u << c;
    }
    return counted;
}

// --- Values ---------------------------------------------------------------------------------------------------------------

// Lookups that are summed at a time: half of those of 1 and 3 bits.
template <int Bits>
inline constexpr int kLookupsAtOnce = ValueLayout<Bits>::kLookups < 4 ? ValueLayout<Bits>::kLookups : 4;

template <int Bits, int First, int J, int Columns, int Rows, int Planes>
TURBOQUANT_INLINE void value_lookups(const SignedLookup<Bits>& lookup,
                                     const Row (&rows)[Rows][ScanStep<Bits>::kRows],
                                     const WeightQuad (&weights)[Columns][Planes],
                                     Sums (&sums)[Columns][Rows][kLookupsAtOnce<Bits>][Planes]) noexcept {
    TURBOQUANT_UNROLL
    for (int r = 0; r < Rows; ++r) {
        const Row centroids = lookup.template get<First + J>(rows[r]);
        TURBOQUANT_UNROLL
        for (int c = 0; c < Columns; ++c) {
            TURBOQUANT_UNROLL
            for (int p = 0; p < Planes; ++p)
                sums[c][r][J][p] = dot_weights(sums[c][r][J][p], centroids, weights[c][p]);
        }
    }
    if constexpr (J + 1 < kLookupsAtOnce<Bits>)
        value_lookups<Bits, First, J + 1, Columns, Rows, Planes>(lookup, rows, weights, sums);
}

// `Rows` rows of 16 dwords from row `row` on, lookups First … First + kLookupsAtOnce − 1.
template <int Bits, int First, int Columns, int Rows, int Planes>
TURBOQUANT_NOINLINE void value_part(const ValueLayout<Bits>& layout, const CodebookTable& codebook,
                                    const std::uint8_t* block, int row, int quads,
                                    const RoundedWeights* const* weights, float* const* out) noexcept {
    constexpr int kAtOnce = kLookupsAtOnce<Bits>;
    constexpr int kAreas = ValueLayout<Bits>::kAreas;
    const SignedLookup<Bits> lookup(codebook.int8_centroids);
    Sums sums[Columns][Rows][kAtOnce][Planes];
    TURBOQUANT_UNROLL
    for (int c = 0; c < Columns; ++c) {
        TURBOQUANT_UNROLL
        for (int r = 0; r < Rows; ++r) {
            TURBOQUANT_UNROLL
            for (int j = 0; j < kAtOnce; ++j) {
                TURBOQUANT_UNROLL
                for (int p = 0; p < Planes; ++p) sums[c][r][j][p] = zero_sums();
            }
        }
    }
    std::size_t areas[kAreas];
    for (int a = 0; a < kAreas; ++a) areas[a] = layout.area_offset(a);
    const std::size_t quad_bytes = layout.quad_bytes();
    const std::uint8_t* at = block + 64 * row;
    for (int quad = 0; quad < quads; ++quad, at += quad_bytes) {
        WeightQuad weight[Columns][Planes];
        TURBOQUANT_UNROLL
        for (int c = 0; c < Columns; ++c) {
            TURBOQUANT_UNROLL
            for (int p = 0; p < Planes; ++p) weight[c][p] = load_weights(weights[c]->planes[p] + 4 * quad);
        }
        Row rows[Rows][kAreas];
        TURBOQUANT_UNROLL
        for (int r = 0; r < Rows; ++r) {
            TURBOQUANT_UNROLL
            for (int a = 0; a < kAreas; ++a) rows[r][a] = load_row(at + areas[a] + 64 * r);
        }
        value_lookups<Bits, First, 0, Columns, Rows, Planes>(lookup, rows, weight, sums);
    }
    TURBOQUANT_UNROLL
    for (int c = 0; c < Columns; ++c) {
        const Floats step = broadcast(weights[c]->step * codebook.int8_step);
        TURBOQUANT_UNROLL
        for (int r = 0; r < Rows; ++r) {
            TURBOQUANT_UNROLL
            for (int j = 0; j < kAtOnce; ++j) {
                float* to = out[c] + ((row + r) * ValueLayout<Bits>::kLookups + First + j) * 16;
                alignas(64) std::int32_t integers[16];
                Sums sum = sums[c][r][j][0];
                if constexpr (Planes == 2) sum = add_upper_plane(sum, sums[c][r][j][1]);
                store_sums(integers, sum);
                TURBOQUANT_UNROLL
                for (int i = 0; i < 16; i += kLanes)
                    store(to + i, multiply_add(to_floats(integers + i, 0), step, load(to + i)));
            }
        }
    }
}

template <int Bits, int Columns, int Rows, int Planes>
TURBOQUANT_INLINE void value_rows(const ValueLayout<Bits>& layout, const CodebookTable& codebook,
                                  const std::uint8_t* block, int row, int quads,
                                  const RoundedWeights* const* weights, float* const* out) noexcept {
    value_part<Bits, 0, Columns, Rows, Planes>(layout, codebook, block, row, quads, weights, out);
    if constexpr (ValueLayout<Bits>::kLookups > kLookupsAtOnce<Bits>)
        value_part<Bits, kLookupsAtOnce<Bits>, Columns, Rows, Planes>(layout, codebook, block, row, quads,
                                                                      weights, out);
}

// All rows for `Columns` columns, as many at a time as the registers allow.
template <int Bits, int Columns, int Planes>
TURBOQUANT_INLINE void value_columns(const ValueLayout<Bits>& layout, const CodebookTable& codebook,
                                     const std::uint8_t* block, int quads,
                                     const RoundedWeights* const* weights, float* const* out) noexcept {
    constexpr int kFit = kSumsAtOnce / (kLookupsAtOnce<Bits> * Planes * Columns);
    constexpr int kRows = kFit > 4 ? 4 : kFit > 1 ? kFit : 1;
    int row = 0;
    const int rows = layout.rows();
    for (; row + kRows <= rows; row += kRows)
        value_rows<Bits, Columns, kRows, Planes>(layout, codebook, block, row, quads, weights, out);
    if constexpr (kRows > 1)
        for (; row < rows; ++row)
            value_rows<Bits, Columns, 1, Planes>(layout, codebook, block, row, quads, weights, out);
}

// The columns whose weights have `Planes` planes, 4, 2 or 1 at a time.
template <int Bits, int Planes>
TURBOQUANT_INLINE void value_planes(const ValueLayout<Bits>& layout, const CodebookTable& codebook,
                                    const std::uint8_t* block, int quads, const RoundedWeights* rounded,
                                    std::uint32_t counted, float* out, std::ptrdiff_t out_stride) noexcept {
    constexpr int kMost = kSumsAtOnce / (kLookupsAtOnce<Bits> * Planes) >= 4   ? 4
                          : kSumsAtOnce / (kLookupsAtOnce<Bits> * Planes) >= 2 ? 2
                                                                               : 1;
    const RoundedWeights* chosen[kMost];
    float* to[kMost];
    int count = 0;
    for (int c = 0; counted >> c != 0; ++c) {
        if ((counted >> c & 1u) == 0 || rounded[c].count != Planes) continue;
        chosen[count] = rounded + c;
        to[count] = out + c * out_stride;
        if (++count < kMost) continue;
        value_columns<Bits, kMost, Planes>(layout, codebook, block, quads, chosen, to);
        count = 0;
    }
    int c = 0;
    if constexpr (kMost > 2)
        for (; c + 2 <= count; c += 2)
            value_columns<Bits, 2, Planes>(layout, codebook, block, quads, chosen + c, to + c);
    if constexpr (kMost > 1)
        for (; c < count; ++c)
            value_columns<Bits, 1, Planes>(layout, codebook, block, quads, chosen + c, to + c);
}

// out_c += Σ_t weight[c][t]·centroids of token t, for the columns whose bit is set in `counted`; weights come multiplied by
// the scales. The sums stand in the order of ValueLayout::place.
template <int Bits>
void accumulate_codes_of_block(const ValueLayout<Bits>& layout, const CodebookTable& codebook,
                               const std::uint8_t* block, int tokens, const RoundedWeights* rounded,
                               std::uint32_t counted, float* out, std::ptrdiff_t out_stride) noexcept {
    const int quads = (tokens + 3) / 4;
    bool planes[3] = {};
    for (int c = 0; counted >> c != 0; ++c)
        if (counted >> c & 1u) planes[rounded[c].count] = true;
    if (planes[1]) value_planes<Bits, 1>(layout, codebook, block, quads, rounded, counted, out, out_stride);
    if (planes[2]) value_planes<Bits, 2>(layout, codebook, block, quads, rounded, counted, out, out_stride);
}
