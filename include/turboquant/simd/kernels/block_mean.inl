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

// The folded sums of <row, mean>; what stands behind a row does not count.
TURBOQUANT_INLINE Floats multiply_by_mean(const float* row, const float* mean, int dim) noexcept {
    Floats sums[kSums];
    clear(sums);
    int i = 0;
    for (; i + 32 <= dim; i += 32) {
        TURBOQUANT_UNROLL
        for (int k = 0; k < kSums; ++k)
            sums[k] = fused(load(row + i + k * kLanes), load(mean + i + k * kLanes), sums[k]);
    }
    for (int k = 0; k < kSums && i < dim; ++k)
        sums[k] = fused(load_first(row + i + k * kLanes, dim - i - k * kLanes), load(mean + i + k * kLanes),
                        sums[k]);
    return fold(sums);
}

// Rows less their shares of the mean (padded(dim) floats), the shares to tokens first, first + 1, … of a block; out may be the
// rows.
inline void take_shares(const float* rows, std::ptrdiff_t stride, int count, int dim, const float* mean,
                        std::uint8_t* shares, int first, float* out, std::ptrdiff_t out_stride) noexcept {
    const float whole = reduce_lanes(multiply_by_mean(mean, mean, dim));
    const float least = whole * (1.0f / 6.0f), half = whole * 0.5f, most = whole * (5.0f / 6.0f);
    for (int block = 0; block < count; block += kDoubles) {
        const int some = count - block < kDoubles ? count - block : kDoubles;
        Floats sums[kDoubles];
        float products[kDoubles];
        for (int v = 0; v < some; ++v) sums[v] = multiply_by_mean(rows + (block + v) * stride, mean, dim);
        store_floats(products, reduce_block(sums, some));
        for (int v = 0; v < some; ++v) {
            const int share = (products[v] > least) + (products[v] > half) + (products[v] > most);
            const int r = block + v;
            set_share(shares, first + r, share);
            add_mean(rows + r * stride, dim, mean, -kShares[share], out + r * out_stride);
        }
    }
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
TURBOQUANT_NOINLINE void mean_columns(const CodecPlan& plan, const std::uint8_t* record, const float* queries,
                                      std::ptrdiff_t stride, float scale, float* products) noexcept {
    const Unpack<Bits> unpack;
    const Centroids<Bits> centroids(plan.codebook->centroids);
    Floats sums[Columns][kSums];
    TURBOQUANT_UNROLL
    for (int c = 0; c < Columns; ++c) clear(sums[c]);
    for (int i = 0; i < plan.dim; i += 32, record += 4 * Bits, queries += 32) {
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
                    sum = multiply_add(x, load(queries + c * stride + 16 * half + k * kLanes), sum);
                }
            }
        }
    }
    TURBOQUANT_UNROLL
    for (int c = 0; c < Columns; ++c) products[c] = lane_sum(fold(sums[c])) * scale;
}

// The product of each query (in the rotated domain, zeros from the dimension on) with the mean that a record stands for. Less
// than 16 bytes behind the record are read.
template <int Bits>
void mean_products(const CodecPlan& plan, const std::uint8_t* record, const float* queries,
                   std::ptrdiff_t stride, int columns, float* products) noexcept {
    const float scale = load_scale(record + plan.scale_offset(), plan.scale_type);
    int c = 0;
    for (; c + 4 <= columns; c += 4)
        mean_columns<Bits, 4>(plan, record, queries + c * stride, stride, scale, products + c);
    for (; c < columns; ++c)
        mean_columns<Bits, 1>(plan, record, queries + c * stride, stride, scale, products + c);
}
