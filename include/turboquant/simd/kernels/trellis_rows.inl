// Inner products of records of trellis codes with int8 queries, as rows.inl has them for other indices.

// totals[r·Queries + q] as of multiply_records(). What lies after a record meets zeros of the query.
template <int Bits, int Queries>
TURBOQUANT_INLINE void multiply_trellis(const TrellisLookup<Bits>& lookup, int dim,
                                        const std::uint8_t* const (&records)[kSumGroup / Queries],
                                        const std::uint8_t* const (&queries)[Queries],
                                        const Sums (&starts)[Queries], const std::uint8_t* end,
                                        std::int32_t* totals) noexcept {
    constexpr int kRecords = kSumGroup / Queries, kBytes = 8 * Bits;
    constexpr int kTogether = kTrellisTogether < kRecords ? kTrellisTogether : kRecords;
    Sums sums[kSumGroup];
    TURBOQUANT_UNROLL
    for (int i = 0; i < kSumGroup; ++i) sums[i] = starts[i % Queries];
    std::uint8_t before[kRecords];
    TURBOQUANT_UNROLL
    for (int r = 0; r < kRecords; ++r) before[r] = byte_before(records[r], Bits, dim);
    std::ptrdiff_t at = 0;
    for (int i = 0; i < dim; i += 64, at += kBytes) {
        // For a single record queries would leave no registers to its lookup.
        Row query[Queries];
        if constexpr (kRecords > 1) {
            TURBOQUANT_UNROLL
            for (int q = 0; q < Queries; ++q) query[q] = load_row(queries[q] + i);
        }
        TURBOQUANT_UNROLL
        for (int first = 0; first < kRecords; first += kTogether) {
            typename TrellisLookup<Bits>::Windows windows[kTogether];
            TURBOQUANT_UNROLL
            for (int k = 0; k < kTogether; ++k) {
                std::uint8_t copy[TrellisLookup<Bits>::kReads];
                const std::uint8_t* const packed = readable(records[first + k] + at, end, copy);
                windows[k] = lookup.windows(packed, before[first + k]);
                before[first + k] = packed[kBytes - 1];
            }
            TURBOQUANT_UNROLL
            for (int k = 0; k < kTogether; ++k) {
                const Row centroids = lookup.find(windows[k]);
                TURBOQUANT_UNROLL
                for (int q = 0; q < Queries; ++q) {
                    if constexpr (kRecords == 1) query[q] = load_row(queries[q] + i);
                    Sums& sum = sums[(first + k) * Queries + q];
                    sum = dot(sum, centroids, query[q]);
                }
            }
        }
    }
    store_totals(sums, totals);
}

template <int Bits, int Queries>
TURBOQUANT_NOINLINE void score_trellis(const CodecPlan& plan, const RecordRange& records,
                                       const float* queries, std::ptrdiff_t stride, float* out,
                                       std::ptrdiff_t out_stride) noexcept {
    constexpr int kRecords = kSumGroup / Queries;
    const TrellisLookup<Bits> lookup(*plan.trellis);
    const RoundedQueries<Queries> rotated(queries, stride, plan.trellis->unit);
    constexpr int kFloats = RoundedQueries<Queries>::kFloats;
    alignas(64) float scales[kFloats] = {}, products[kFloats];
    alignas(64) std::int32_t totals[kFloats] = {};
    const std::size_t scale_offset = plan.scale_offset();
    const bool float_scales = plan.scale_type == ScaleType::float32;
    for (std::ptrdiff_t first = 0; first < records.count; first += kRecords) {
        const int some =
            records.count - first < kRecords ? static_cast<int>(records.count - first) : kRecords;
        const std::uint8_t* at[kRecords];
        for (int r = 0; r < kRecords; ++r) {
            at[r] = records[first + (r < some ? r : 0)];
            float scale;
            if (float_scales)
                std::memcpy(&scale, at[r] + scale_offset, sizeof scale);
            else
                scale = load_scale(at[r] + scale_offset, plan.scale_type);
            for (int q = 0; q < Queries; ++q) scales[r * Queries + q] = scale;
        }
        multiply_trellis<Bits, Queries>(lookup, plan.dim, at, rotated.rows, rotated.starts, records.end,
                                        totals);
        TURBOQUANT_UNROLL
        for (int i = 0; i < kSumGroup; i += kLanes)
            store(products + i,
                  mul(mul(to_floats(totals + i, 0), load(rotated.steps + i)), load(scales + i)));
        for (int r = 0; r < some; ++r)
            for (int q = 0; q < Queries; ++q) out[first + r + q * out_stride] = products[r * Queries + q];
    }
}

// Estimates of ⟨x_i, q_j⟩: of rows that round_rows() has made.
template <int Bits>
void trellis_products(const CodecPlan& plan, const RecordRange& records, const float* queries,
                      std::ptrdiff_t stride, std::ptrdiff_t count, float* out, std::ptrdiff_t out_stride,
                      float*) noexcept {
    std::ptrdiff_t q = 0;
    for (; q + 4 <= count; q += 4)
        score_trellis<Bits, 4>(plan, records, queries + q * stride, stride, out + q * out_stride, out_stride);
    for (; q < count; ++q)
        score_trellis<Bits, 1>(plan, records, queries + q * stride, stride, out + q * out_stride, out_stride);
}
