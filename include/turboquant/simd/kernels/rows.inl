// Inner products of packed records of up to 4 bits with int8 queries: no block layout, records in any order.

// A query row in place: rotated floats (zeros up to the padded dimension) become an int8 vector, largest magnitude 127, that
// starts 64 bytes into the row, after its step and the sum of its bytes. `scratch` holds padded(dim) bytes.
struct RoundedRow {
    float step;
    std::int32_t sum;
};
inline constexpr std::ptrdiff_t kRoundedRowBytes = 64;

TURBOQUANT_NOINLINE inline void round_row(int dim, float* row, std::int8_t* scratch) noexcept {
    Floats largest = zero();
    for (int i = 0; i < dim; i += kLanes) largest = maximum(largest, absolute(load(row + i)));
    float lanes[kLanes], top = 0.0f;
    store(lanes, largest);
    for (float value : lanes) top = value > top ? value : top;
    const QueryScale scale(top, 127.0f);
    const Floats lift = broadcast(scale.lift), inverse = broadcast(scale.inverse);
    const int end = (dim + 63) / 64 * 64;
    for (int i = 0; i < end; i += kLanes) store_rounded(scratch + i, mul(mul(load(row + i), lift), inverse));
    Sums sums[kSumGroup];
    TURBOQUANT_UNROLL
    for (int i = 0; i < kSumGroup; ++i) sums[i] = zero_sums();
    const std::uint8_t ones[64] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                   1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                   1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const Row one = load_row(ones);
    auto* const bytes = reinterpret_cast<std::uint8_t*>(row) + kRoundedRowBytes;
    for (int i = 0; i < end; i += 64) {
        const Row part = load_row(reinterpret_cast<const std::uint8_t*>(scratch) + i);
        sums[0] = dot(sums[0], one, part);
        store_row(bytes + i, part);
    }
    std::int32_t totals[kSumGroup];
    store_totals(sums, totals);
    const RoundedRow header{top / 127.0f, totals[0]};
    std::memcpy(row, &header, sizeof header);
}

inline void round_rows(int dim, float* rows, std::ptrdiff_t stride, std::ptrdiff_t count,
                       float* scratch) noexcept {
    for (std::ptrdiff_t q = 0; q < count; ++q)
        round_row(dim, rows + q * stride, reinterpret_cast<std::int8_t*>(scratch));
}

// The integer products of `Queries` queries, added to what `starts` holds, with as many records as make kSumGroup of them:
// totals[r·Queries + q]. What lies after a record meets zeros of the query; memory is read up to `end`.
template <int Bits, int Queries>
TURBOQUANT_INLINE void multiply_records(const RowLookup<Bits>& lookup, int dim,
                                        const std::uint8_t* const (&records)[kSumGroup / Queries],
                                        const std::uint8_t* const (&queries)[Queries],
                                        const Sums (&starts)[Queries], const std::uint8_t* end,
                                        std::int32_t* totals) noexcept {
    constexpr int kRecords = kSumGroup / Queries, kBytes = 8 * Bits;
    Sums sums[kSumGroup];
    TURBOQUANT_UNROLL
    for (int i = 0; i < kSumGroup; ++i) sums[i] = starts[i % Queries];
    int i = 0;
    std::ptrdiff_t at = 0;
    for (; i + 64 <= dim; i += 64, at += kBytes) {
        Row query[Queries];
        TURBOQUANT_UNROLL
        for (int q = 0; q < Queries; ++q) query[q] = load_row(queries[q] + i);
        TURBOQUANT_UNROLL
        for (int r = 0; r < kRecords; ++r) {
            const Row centroids = lookup(load_bytes<kBytes>(records[r] + at));
            TURBOQUANT_UNROLL
            for (int q = 0; q < Queries; ++q)
                sums[r * Queries + q] = dot(sums[r * Queries + q], centroids, query[q]);
        }
    }
    if (i < dim) {
        const int bytes = (Bits * (dim - i) + 7) / 8;
        TURBOQUANT_UNROLL
        for (int r = 0; r < kRecords; ++r) {
            const Row centroids =
                lookup(end - records[r] - at >= kBytes ? load_bytes<kBytes>(records[r] + at)
                                                       : load_first(records[r] + at, bytes));
            TURBOQUANT_UNROLL
            for (int q = 0; q < Queries; ++q)
                sums[r * Queries + q] = dot(sums[r * Queries + q], centroids, load_row(queries[q] + i));
        }
    }
    store_totals(sums, totals);
}

// Rows that round_rows() has made, `Queries` of them, and what totals are multiplied by: the queries' steps times `unit`.
template <int Queries>
struct RoundedQueries {
    static constexpr int kFloats = kSumGroup > kLanes ? kSumGroup : kLanes;
    const std::uint8_t* rows[Queries];
    Sums starts[Queries];
    alignas(64) float steps[kFloats];
    TURBOQUANT_INLINE RoundedQueries(const float* queries, std::ptrdiff_t stride, float unit) noexcept
        : steps() {
        TURBOQUANT_UNROLL
        for (int q = 0; q < Queries; ++q) {
            RoundedRow header;
            std::memcpy(&header, queries + q * stride, sizeof header);
            rows[q] = reinterpret_cast<const std::uint8_t*>(queries + q * stride) + kRoundedRowBytes;
            for (int r = 0; r < kSumGroup / Queries; ++r)
                steps[r * Queries + q] = turboquant::detail::rounded(header.step * unit);
            const std::int32_t start[16] = {-kOffset * header.sum};
            starts[q] = load_sums(start);
        }
    }
};

// Signs as codes of one bit: a set bit is −1.
inline constexpr std::int8_t kSignCentroids[16] = {1, -1};

template <int Bits, bool Sketch, int Queries>
TURBOQUANT_NOINLINE void score_records(const CodecPlan& plan, const RecordRange& records,
                                       const float* queries, std::ptrdiff_t stride, float* out,
                                       std::ptrdiff_t out_stride) noexcept {
    constexpr int kRecords = kSumGroup / Queries;
    constexpr int kFloats = RoundedQueries<Queries>::kFloats;
    constexpr int kCodeBits = Bits > 0 ? Bits : 1;  // without indices: of a lookup that is not used
    const RowLookup<kCodeBits> lookup(Bits > 0 ? plan.codebook->int8_centroids : kSignCentroids);
    const RowLookup<1> signs(kSignCentroids);
    const RoundedQueries<Queries> rotated(queries, stride, Bits > 0 ? plan.codebook->int8_step : 1.0f);
    // Where there are indices and signs, a row's second half is its query's sketch.
    const RoundedQueries<Queries> sketched(queries + (Bits > 0 && Sketch ? padded(plan.dim) : 0), stride,
                                           1.0f);
    alignas(64) float scales[kFloats] = {}, sketch_scales[kFloats] = {};
    alignas(64) std::int32_t totals[kFloats] = {}, sketch_totals[kFloats] = {};
    const std::size_t scale_offset = plan.scale_offset();
    const bool float_scales = plan.scale_type == ScaleType::float32;
    for (std::ptrdiff_t first = 0; first < records.count; first += kRecords) {
        const int some =
            records.count - first < kRecords ? static_cast<int>(records.count - first) : kRecords;
        const std::uint8_t *at[kRecords], *signs_at[kRecords];
        alignas(64) float products[kFloats];
        for (int r = 0; r < kRecords; ++r) {
            at[r] = records[first + (r < some ? r : 0)];
            signs_at[r] = at[r] + plan.index_bytes();
            RecordScales stored{};
            if constexpr (Sketch)
                stored = load_scales(plan, at[r]);
            else if (float_scales)
                std::memcpy(&stored.scale, at[r] + scale_offset, sizeof stored.scale);
            else
                stored.scale = load_scale(at[r] + scale_offset, plan.scale_type);
            for (int q = 0; q < Queries; ++q) {
                scales[r * Queries + q] = stored.scale;
                if constexpr (Sketch) sketch_scales[r * Queries + q] = stored.sketch_scale;
            }
        }
        if constexpr (Bits > 0)
            multiply_records<Bits, Queries>(lookup, plan.dim, at, rotated.rows, rotated.starts, records.end,
                                            totals);
        if constexpr (Sketch)
            multiply_records<1, Queries>(signs, plan.dim, signs_at, sketched.rows, sketched.starts,
                                         records.end, sketch_totals);
        TURBOQUANT_UNROLL
        for (int i = 0; i < kSumGroup; i += kLanes) {
            Floats product = zero();
            if constexpr (Bits > 0)
                product = mul(mul(to_floats(totals + i, 0), load(rotated.steps + i)), load(scales + i));
            if constexpr (Sketch) {
                const Floats of_signs = mul(mul(to_floats(sketch_totals + i, 0), load(sketched.steps + i)),
                                            load(sketch_scales + i));
                product = Bits > 0 ? add(product, of_signs) : of_signs;
            }
            store(products + i, product);
        }
        if (Queries == 1 && some == kRecords) {
            std::memcpy(out + first, products, sizeof(float) * kRecords);
            continue;
        }
        for (int r = 0; r < some; ++r)
            for (int q = 0; q < Queries; ++q) out[first + r + q * out_stride] = products[r * Queries + q];
    }
}

// Estimates of ⟨x_i, q_j⟩: of rows that round_rows() has made.
template <int Bits, bool Sketch>
void record_products(const CodecPlan& plan, const RecordRange& records, const float* queries,
                     std::ptrdiff_t stride, std::ptrdiff_t count, float* out, std::ptrdiff_t out_stride,
                     float*) noexcept {
    std::ptrdiff_t q = 0;
    for (; q + 4 <= count; q += 4)
        score_records<Bits, Sketch, 4>(plan, records, queries + q * stride, stride, out + q * out_stride,
                                       out_stride);
    for (; q < count; ++q)
        score_records<Bits, Sketch, 1>(plan, records, queries + q * stride, stride, out + q * out_stride,
                                       out_stride);
}
