// Inner products of packed records of 5 to 8 bits with queries of 15 bits, where byte lookups in tables of 256 are to be had:
// at 8 bits, d = 128 five times as fast as with floats (other targets have no such lookup, and use floats).
//
// A centroid is c = 256·h + l (h and l bytes, offset by 32768), a coordinate of the query 128·p + r with |r| <= 64. Of
//   Σ c·q = 32768·Σ h·p + 128·Σ (h·2r + l·p) + Σ l·r
// the last sum, 2^-15 of a product, is replaced by its mean, 128·Σ r: an error of 1.3e-4·‖x‖‖q‖/√d, a fiftieth of the
// quantization's own at 8 bits.

// A query row in place, as round_row() does it: p starts 64 bytes into the row, 2r after it.
struct WideRow {
    float step;
    std::int32_t sum_p, sum_2r;
};

TURBOQUANT_NOINLINE inline void round_wide_row(int dim, float* row, std::int8_t* scratch) noexcept {
    Floats largest = zero();
    for (int i = 0; i < dim; i += kLanes) largest = maximum(largest, absolute(load(row + i)));
    float lanes[kLanes], top = 0.0f;
    store(lanes, largest);
    for (float value : lanes) top = value > top ? value : top;
    constexpr float kTop = 127.0f * 128.0f;
    const QueryScale scale(top, kTop);
    const Floats lift = broadcast(scale.lift), inverse = broadcast(scale.inverse);
    const int end = (dim + 63) / 64 * 64;
    WideRow header{top / kTop, 0, 0};
    std::int8_t* const second = scratch + end;
    for (int i = 0; i < end; i += kLanes)
        split_rounded(scratch + i, second + i, mul(mul(load(row + i), lift), inverse));
    for (int i = 0; i < end; ++i) {
        header.sum_p += scratch[i];
        header.sum_2r += second[i];
    }
    std::memcpy(row, &header, sizeof header);
    std::memcpy(reinterpret_cast<std::uint8_t*>(row) + kRoundedRowBytes, scratch,
                2 * static_cast<std::size_t>(end));
}

inline void round_wide_rows(int dim, float* rows, std::ptrdiff_t stride, std::ptrdiff_t count,
                            float* scratch) noexcept {
    for (std::ptrdiff_t q = 0; q < count; ++q)
        round_wide_row(dim, rows + q * stride, reinterpret_cast<std::int8_t*>(scratch));
}

template <int Bits, int Queries>
TURBOQUANT_NOINLINE void score_wide_records(const CodecPlan& plan, const RecordRange& records,
                                            const float* queries, std::ptrdiff_t stride, float* out,
                                            std::ptrdiff_t out_stride) noexcept {
    constexpr int kPairs = kSumGroup / 2, kRecords = kPairs / Queries, kBytes = 8 * Bits;
    const WideLookup<Bits> lookup(plan.codebook->int16_low, plan.codebook->int16_high);
    const int dim = plan.dim, end = (dim + 63) / 64 * 64;
    const std::uint8_t* rows[Queries];
    float steps[Queries], constants[Queries];
    Sums starts[2][Queries];
    TURBOQUANT_UNROLL
    for (int q = 0; q < Queries; ++q) {
        WideRow header;
        std::memcpy(&header, queries + q * stride, sizeof header);
        rows[q] = reinterpret_cast<const std::uint8_t*>(queries + q * stride) + kRoundedRowBytes;
        steps[q] = header.step;  // not times the codebook's: a tiny query's would underflow
        constants[q] = 64.0f * static_cast<float>(header.sum_2r);
        const std::int32_t first[16] = {-128 * header.sum_p}, second[16] = {-128 * header.sum_2r};
        starts[0][q] = load_sums(first);
        starts[1][q] = load_sums(second);
    }
    const std::size_t scale_offset = plan.scale_offset();
    const float unit = plan.codebook->int16_step;
    for (std::ptrdiff_t first = 0; first < records.count; first += kRecords) {
        const int some =
            records.count - first < kRecords ? static_cast<int>(records.count - first) : kRecords;
        const std::uint8_t* at[kRecords];
        for (int r = 0; r < kRecords; ++r) at[r] = records[first + (r < some ? r : 0)];
        Sums sums[kSumGroup];
        TURBOQUANT_UNROLL
        for (int i = 0; i < kPairs; ++i) {
            sums[i] = starts[0][i % Queries];
            sums[kPairs + i] = starts[1][i % Queries];
        }
        for (int i = 0; i < dim; i += 64) {
            const std::ptrdiff_t byte = static_cast<std::ptrdiff_t>(i) / 8 * Bits;
            const int bytes = dim - i < 64 ? (Bits * (dim - i) + 7) / 8 : kBytes;
            TURBOQUANT_UNROLL
            for (int r = 0; r < kRecords; ++r) {
                Row low, high;
                lookup(load_first(at[r] + byte, bytes), low, high);
                TURBOQUANT_UNROLL
                for (int q = 0; q < Queries; ++q) {
                    const Row p = load_row(rows[q] + i), r2 = load_row(rows[q] + end + i);
                    Sums &upper = sums[r * Queries + q], &lower = sums[kPairs + r * Queries + q];
                    upper = dot(upper, high, p);
                    lower = dot(dot(lower, high, r2), low, p);
                }
            }
        }
        alignas(64) std::int32_t totals[kSumGroup];
        store_totals(sums, totals);
        for (int r = 0; r < some; ++r) {
            const float scale = load_scale(at[r] + scale_offset, plan.scale_type);
            for (int q = 0; q < Queries; ++q) {
                const int pair = r * Queries + q;
                const float product = 32768.0f * static_cast<float>(totals[pair]) +
                                      (128.0f * static_cast<float>(totals[kPairs + pair]) + constants[q]);
                out[first + r + q * out_stride] = product * unit * steps[q] * scale;
            }
        }
    }
}

// Estimates of ⟨x_i, q_j⟩: of rows that round_wide_rows() has made.
template <int Bits>
void wide_record_products(const CodecPlan& plan, const RecordRange& records, const float* queries,
                          std::ptrdiff_t stride, std::ptrdiff_t count, float* out, std::ptrdiff_t out_stride,
                          float*) noexcept {
    std::ptrdiff_t q = 0;
    for (; q + 4 <= count; q += 4)
        score_wide_records<Bits, 4>(plan, records, queries + q * stride, stride, out + q * out_stride,
                                    out_stride);
    for (; q < count; ++q)
        score_wide_records<Bits, 1>(plan, records, queries + q * stride, stride, out + q * out_stride,
                                    out_stride);
}
