// The mean of a block of keys. Of each key none, a third, two thirds or all of it is taken off, whichever leaves least: its
// share, in two bits.

// --- Encoding -------------------------------------------------------------------------------------------------------------

template <int Registers>
TURBOQUANT_INLINE void add_part(const float* rows, std::ptrdiff_t stride, int count, float* sums) noexcept {
    Floats sum[Registers];
    TURBOQUANT_UNROLL
    for (int k = 0; k < Registers; ++k) sum[k] = load(sums + k * kLanes);
    for (int r = 0; r < count; ++r) {
        TURBOQUANT_UNROLL
        for (int k = 0; k < Registers; ++k) sum[k] = add(sum[k], load(rows + r * stride + k * kLanes));
    }
    TURBOQUANT_UNROLL
    for (int k = 0; k < Registers; ++k) store(sums + k * kLanes, sum[k]);
}

// sums += Σ rows, in order. Whole vectors are read and written.
inline void add_rows(const float* rows, std::ptrdiff_t stride, int count, int dim, float* sums) noexcept {
    int i = 0;
    for (; i + 8 * kLanes <= dim; i += 8 * kLanes) add_part<8>(rows + i, stride, count, sums + i);
    for (; i < dim; i += kLanes) add_part<1>(rows + i, stride, count, sums + i);
}

// out = row + factor·mean. Whole vectors are read and written.
inline void add_mean(const float* row, int dim, const float* mean, float factor, float* out) noexcept {
    const Floats f = broadcast(factor);
    for (int i = 0; i < dim; i += kLanes) store(out + i, fused(f, load(mean + i), load(row + i)));
}

// The folded sums of <row, mean> and, where Squares, of ‖row‖²; what stands behind a row does not count.
template <bool Squares>
TURBOQUANT_INLINE void multiply_by_mean(const float* row, const float* mean, int dim, Floats& product,
                                        Floats& square) noexcept {
    Floats products[kSums], squares[kSums];
    clear(products);
    clear(squares);
    int i = 0;
    for (; i + 32 <= dim; i += 32) {
        TURBOQUANT_UNROLL
        for (int k = 0; k < kSums; ++k) {
            const Floats x = load(row + i + k * kLanes);
            products[k] = fused(x, load(mean + i + k * kLanes), products[k]);
            if (Squares) squares[k] = fused(x, x, squares[k]);
        }
    }
    for (int k = 0; k < kSums && i < dim; ++k) {
        const Floats x = load_first(row + i + k * kLanes, dim - i - k * kLanes);
        products[k] = fused(x, load(mean + i + k * kLanes), products[k]);
        if (Squares) squares[k] = fused(x, x, squares[k]);
    }
    product = fold(products);
    if (Squares) square = fold(squares);
}

template <bool Squares>
TURBOQUANT_INLINE void multiply_all_by_mean(const float* rows, std::ptrdiff_t stride, int count, int dim,
                                            const float* mean, float* products, float* squares) noexcept {
    for (int block = 0; block < count; block += kDoubles) {
        const int some = count - block < kDoubles ? count - block : kDoubles;
        Floats with_mean[kDoubles] = {}, with_itself[kDoubles] = {};
        for (int v = 0; v < some; ++v)
            multiply_by_mean<Squares>(rows + (block + v) * stride, mean, dim, with_mean[v], with_itself[v]);
        store_floats(products + block, reduce_block(with_mean, some));
        if (Squares) store_floats(squares + block, reduce_block(with_itself, some));
    }
}

// <row, mean> of each row, and ‖row‖² where squares are wanted (not null). Up to 8 floats behind the last of each are written.
inline void multiply_rows_by_mean(const float* rows, std::ptrdiff_t stride, int count, int dim,
                                  const float* mean, float* products, float* squares) noexcept {
    if (squares != nullptr)
        multiply_all_by_mean<true>(rows, stride, count, dim, mean, products, squares);
    else
        multiply_all_by_mean<false>(rows, stride, count, dim, mean, products, nullptr);
}

// The shares of tokens first, first + 1, … from their products.
inline void choose_shares(const float* products, int count, float mean_square, std::uint8_t* shares,
                          int first) noexcept {
    const float least = mean_square * (1.0f / 6.0f), half = mean_square * 0.5f,
                most = mean_square * (5.0f / 6.0f);
    for (int t = 0; t < count; ++t)
        set_share(shares, first + t, (products[t] > least) + (products[t] > half) + (products[t] > most));
}

// Rows less their shares of the mean (padded(dim) floats); out may be the rows.
inline void take_shares(const float* rows, std::ptrdiff_t stride, int count, int dim, const float* mean,
                        const std::uint8_t* shares, int first, float* out,
                        std::ptrdiff_t out_stride) noexcept {
    for (int r = 0; r < count; ++r)
        add_mean(rows + r * stride, dim, mean, -kShares[share_of(shares, first + r)], out + r * out_stride);
}

// How the keys of a block are graded: by what their shares leave of their energy, where the squared error that a bit more saves,
// `gain` of the energy, outweighs the `loss` of a bit less.
inline KeyGrades grade_keys(const float* products, const float* squares, float mean_square, float gain,
                            float loss) noexcept {
    alignas(64) float energies[kBlockTokens];
    for (int t = 0; t < kBlockTokens; t += kLanes) {
        const Floats product = load(products + t), square = load(squares + t), twice = add(product, product);
        Floats least = square;
        for (int share = 1; share < 4; ++share) {
            const Floats s = broadcast(kShares[share]);
            least = minimum(least, fused(s, fused_sub(s, broadcast(mean_square), twice), square));
        }
        store(energies + t, least);
    }
    // Each with its token's number in its last bits: all are different, and their differences normal.
    for (int t = 0; t < kBlockTokens; ++t) {
        const float energy = energies[t] > 1e-30f ? energies[t] < 1e37f ? energies[t] : 1e37f : 1e-30f;
        std::uint32_t bits;
        std::memcpy(&bits, &energy, sizeof bits);
        bits = (bits & ~std::uint32_t{kBlockTokens - 1}) | static_cast<std::uint32_t>(t);
        std::memcpy(energies + t, &bits, sizeof bits);
    }
    KeyGrades grades;
    float sums[2] = {};
    for (int t = 0; t < kBlockTokens; ++t) {
        std::uint64_t above = 0;
        for (int half = 0; half < 2; ++half) {
            Floats differences[kSums];
            TURBOQUANT_UNROLL
            for (int k = 0; k < kSums; ++k)
                differences[k] = sub(broadcast(energies[t]), load(energies + 32 * half + k * kLanes));
            above |= std::uint64_t{sign_bits(differences)} << (32 * half);
        }
        const int rank = count_bits(above);
        if (rank < kFinerKeys) {
            grades.finer |= std::uint64_t{1} << t;
            sums[0] += energies[t];
        } else if (rank >= kFinerKeys + kEvenKeys) {
            grades.coarser |= std::uint64_t{1} << t;
            sums[1] += energies[t];
        }
    }
    return sums[0] * gain > sums[1] * loss && grades.possible() ? grades : KeyGrades{};
}

// --- Attention ------------------------------------------------------------------------------------------------------------

// The shares of all tokens of a block.
inline void load_shares(const std::uint8_t* shares, float* out) noexcept {
    const Centroids<2> values(kShares);
    Halves bits;
    std::memcpy(&bits, shares, sizeof bits);
    for (int t = 0; t < kBlockTokens; t += 16) {
        std::uint8_t codes[16];
        const Halves some = bits & std::uint64_t{0x0303030303030303};
        std::memcpy(codes, &some, sizeof codes);
        bits >>= 2;
        TURBOQUANT_UNROLL
        for (int k = 0; k < kGroup; ++k) store(out + t + k * kLanes, values(load_codes(codes + k * kLanes)));
    }
}

template <int Bits, int Columns>
TURBOQUANT_NOINLINE void record_columns(const CodecPlan& plan, const std::uint8_t* records,
                                        std::uint64_t tokens, const float* queries, std::ptrdiff_t stride,
                                        float scale, float* out, std::ptrdiff_t out_stride) noexcept {
    const Unpack<Bits> unpack;
    const Centroids<Bits> centroids(plan.codebook->centroids);
    const std::size_t bytes = plan.index_bytes();
    for (; tokens != 0; tokens &= tokens - 1, records += bytes) {
        Floats sums[Columns][kSums];
        TURBOQUANT_UNROLL
        for (int c = 0; c < Columns; ++c) clear(sums[c]);
        const std::uint8_t* record = records;
        const float* query = queries;
        for (int i = 0; i < plan.dim; i += 32, record += 4 * Bits, query += 32) {
            TURBOQUANT_UNROLL
            for (int half = 0; half < 2; ++half) {
                if (i + 16 * half >= plan.dim) break;
                Ints codes[kGroup];
                unpack(record + 2 * Bits * half, codes);
                TURBOQUANT_UNROLL
                for (int k = 0; k < kGroup; ++k) {
                    const Floats x = centroids(codes[k]);
                    TURBOQUANT_UNROLL
                    for (int c = 0; c < Columns; ++c) {
                        Floats& sum = sums[c][half * kGroup + k];
                        sum = multiply_add(x, load(query + c * stride + 16 * half + k * kLanes), sum);
                    }
                }
            }
        }
        float* const to = out + lowest_bit(tokens);
        TURBOQUANT_UNROLL
        for (int c = 0; c < Columns; ++c) to[c * out_stride] = lane_sum(fold(sums[c])) * scale;
    }
}

// scale·(the products of the queries, in the rotated domain with zeros from the dimension on, with indices that lie one after
// another): of column c to out[c·out_stride + t], where t are the bits that are set in `tokens`, in turn. Less than 16 bytes behind
// the indices are read.
template <int Bits>
TURBOQUANT_INLINE void record_products_of(const CodecPlan& plan, const std::uint8_t* records,
                                          std::uint64_t tokens, const float* queries, std::ptrdiff_t stride,
                                          int columns, float scale, float* out,
                                          std::ptrdiff_t out_stride) noexcept {
    int c = 0;
    for (; c + 4 <= columns; c += 4)
        record_columns<Bits, 4>(plan, records, tokens, queries + c * stride, stride, scale,
                                out + c * out_stride, out_stride);
    for (; c < columns; ++c)
        record_columns<Bits, 1>(plan, records, tokens, queries + c * stride, stride, scale,
                                out + c * out_stride, out_stride);
}

// The product of each query with the mean that a record stands for.
template <int Bits>
void mean_products(const CodecPlan& plan, const std::uint8_t* record, const float* queries,
                   std::ptrdiff_t stride, int columns, float* products) noexcept {
    record_products_of<Bits>(plan, record, 1, queries, stride, columns,
                             load_scale(record + plan.scale_offset(), plan.scale_type), products, 1);
}

// Those of the finer keys of a block where they lie as records of indices, before the keys' scales:
// logits[column·kBlockTokens + token].
template <int Bits>
void finer_key_products(const CodecPlan& plan, const std::uint8_t* records, std::uint64_t tokens,
                        const float* queries, std::ptrdiff_t stride, int columns, float* logits) noexcept {
    record_products_of<Bits>(plan, records, tokens, queries, stride, columns, 1.0f, logits, kBlockTokens);
}
