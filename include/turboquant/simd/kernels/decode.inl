// Reading records: decoding, scores against queries, and products of codes.

// The centroids of a record's indices, zeros from dim to the end of its block of 64. Memory may be read up to `end`.
template <int Bits>
TURBOQUANT_NOINLINE void load_centroids(const CodecPlan& plan, const std::uint8_t* record,
                                        const std::uint8_t* end, float* c) noexcept {
    if constexpr (kIsTrellis<Bits>) {
        load_trellis<Bits - kTrellis>(plan, record, end, c);
    } else {
        const Unpack<Bits> unpack;
        const Centroids<Bits> centroids(plan.codebook->centroids);
        const int dim = plan.dim;
        for (int i = 0; i < dim; i += 16) {
            std::uint8_t rest[16] = {};
            const std::uint8_t* group = record + static_cast<std::ptrdiff_t>(i) / 8 * Bits;
            if (end - group < 16) {  // unpack reads 16 bytes: never past the end of all records
                std::memcpy(rest, group, static_cast<std::size_t>(end - group));
                group = rest;
            }
            Ints codes[kGroup];
            unpack(group, codes);
            TURBOQUANT_UNROLL
            for (int k = 0; k < kGroup; ++k) store(c + i + k * kLanes, centroids(codes[k]));
        }
        clear_tail(c, dim);
    }
}

inline constexpr std::uint32_t kLaneBits = (1u << kLanes) - 1u;

// ±1 from a record's signs, zeros after.
TURBOQUANT_NOINLINE inline void load_signs(const CodecPlan& plan, const std::uint8_t* record,
                                           float* s) noexcept {
    const std::uint8_t* signs = record + plan.index_bytes();
    const int dim = plan.dim, bytes = static_cast<int>(plan.sign_bytes());
    const Floats one = broadcast(1.0f);
    for (int i = 0; i < dim; i += 16) {
        std::uint32_t bits = signs[i / 8];
        if (i / 8 + 1 < bytes) bits |= std::uint32_t{signs[i / 8 + 1]} << 8;
        TURBOQUANT_UNROLL
        for (int k = 0; k < kGroup; ++k)
            store(s + i + k * kLanes, flip(one, sign_masks(bits >> (k * kLanes) & kLaneBits)));
    }
    clear_tail(s, dim);
}

// What growth·Sᵀ(±1) is multiplied by to stand beside the centroids: the sketch's scale relative to theirs (so that no
// scale overflows the transform that follows), or 1 where there are none.
template <int Bits>
TURBOQUANT_INLINE float sketch_ratio(const CodecPlan& plan, const RecordScales& scales) noexcept {
    const double normalised = 1.0 / plan.sketch->growth;
    if (Bits == 0) return static_cast<float>(normalised);
    if (!(scales.scale != 0.0f)) return 0.0f;
    return static_cast<float>(static_cast<double>(scales.sketch_scale) / static_cast<double>(scales.scale) *
                              normalised);
}

// `count` records (1, or up to vectors_together()) in the rotated domain: the decoded vectors are scales[v]·Πᵀu. The vectors
// of each of the buffers u, a and b lie padded(dim) apart.
template <int Bits, bool Sketch, int Dim>
TURBOQUANT_NOINLINE void reconstruct(const CodecPlan& plan, const std::uint8_t* const* records, int count,
                                     const std::uint8_t* end, float* u, float* a, float* b,
                                     float* scales) noexcept {
    const int dim = plan.dim;
    const std::ptrdiff_t stride = padded(dim);
    RecordScales stored[kTogether];
    for (int v = 0; v < count; ++v) {
        stored[v] = load_scales(plan, records[v]);
        scales[v] = Bits > 0 ? stored[v].scale : stored[v].sketch_scale;
        if constexpr (Bits > 0) load_centroids<Bits>(plan, records[v], end, u + v * stride);
        if constexpr (Sketch) load_signs(plan, records[v], a + v * stride);
    }
    if constexpr (Sketch) {
        const float* w = rotate_all<true, Dim>(*plan.sketch, a, b, count, stride);
        for (int v = 0; v < count; ++v, w += stride, u += stride) {
            const Floats factor = broadcast(sketch_ratio<Bits>(plan, stored[v]));
            for (int i = 0; i < dim; i += kLanes)
                store(u + i, Bits > 0 ? fused(load(w + i), factor, load(u + i)) : mul(load(w + i), factor));
            clear_tail(u, dim);
        }
    }
}
// Of one record; returns its scale.
template <int Bits, bool Sketch>
TURBOQUANT_INLINE float reconstruct(const CodecPlan& plan, const std::uint8_t* record,
                                    const std::uint8_t* end, float* u, float* a, float* b) noexcept {
    float scale;
    reconstruct<Bits, Sketch, Dynamic>(plan, &record, 1, end, u, a, b, &scale);
    return scale;
}

// --- Vectors that fit the registers ---------------------------------------------------------------------------------------

// reconstruct() for records whose indices may be read 16 bytes past their end; their scales go to `scales`.
template <int Bits, bool Sketch, int Vectors, int Registers>
TURBOQUANT_INLINE void reconstruct_registers(const CodecPlan& plan,
                                             const std::uint8_t* const (&records)[Vectors],
                                             Floats (&u)[Vectors][Registers],
                                             float (&scales)[Vectors]) noexcept {
    RecordScales stored[Vectors];
    TURBOQUANT_UNROLL
    for (int v = 0; v < Vectors; ++v) {
        stored[v] = load_scales(plan, records[v]);
        scales[v] = Bits > 0 ? stored[v].scale : stored[v].sketch_scale;
        if constexpr (Bits > 0) {
            const Unpack<Bits> unpack;
            const Centroids<Bits> centroids(plan.codebook->centroids);
            TURBOQUANT_UNROLL
            for (int i = 0; i < Registers; i += kGroup) {
                Ints codes[kGroup];
                unpack(records[v] + kLanes * i / 8 * Bits, codes);
                TURBOQUANT_UNROLL
                for (int k = 0; k < kGroup; ++k) u[v][i + k] = centroids(codes[k]);
            }
        }
    }
    if constexpr (Sketch) {
        Floats w[Vectors][Registers];
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            TURBOQUANT_UNROLL
            for (int i = 0; i < Registers; i += kSums) {
                std::uint32_t bits;
                std::memcpy(&bits, records[v] + plan.index_bytes() + kLanes * i / 8, 4);
                TURBOQUANT_UNROLL
                for (int k = 0; k < kSums; ++k)
                    w[v][i + k] = flip(broadcast(1.0f), sign_masks(bits >> (k * kLanes) & kLaneBits));
            }
        }
        rotate_transpose_registers(*plan.sketch, w);
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            const Floats factor = broadcast(sketch_ratio<Bits>(plan, stored[v]));
            TURBOQUANT_UNROLL
            for (int i = 0; i < Registers; ++i)
                u[v][i] = Bits > 0 ? fused(w[v][i], factor, u[v][i]) : mul(w[v][i], factor);
        }
    }
}

template <int Bits, bool Sketch, int Vectors, int Registers>
TURBOQUANT_NOINLINE void decode_fused(const CodecPlan& plan, const RecordRange& records, float* out,
                                      std::ptrdiff_t out_stride) noexcept {
    constexpr int kDim = kLanes * Registers;
    const Floats normalised = broadcast(static_cast<float>(1.0 / plan.growth));
    for (std::ptrdiff_t i = 0; i < records.count; i += Vectors) {
        const std::uint8_t* at[Vectors];
        float* to[Vectors];
        std::uint8_t copies[Vectors][kDim + 64];  // each at least a record and 16 bytes
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            const std::ptrdiff_t row = i + v < records.count ? i + v : i;  // the last one twice, if need be
            at[v] = records[row];
            to[v] = out + row * out_stride;
            if (records.end - at[v] < kDim / 8 * Bits + 16) {
                std::memcpy(copies[v], at[v], plan.record_bytes());
                at[v] = copies[v];
            }
        }
        Floats r[Vectors][Registers];
        float scales[Vectors];
        reconstruct_registers<Bits, Sketch>(plan, at, r, scales);
        if constexpr (Bits > 0) rotate_transpose_registers(*plan.rotation, r);
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            const Floats factor = broadcast(scales[v]);
            TURBOQUANT_UNROLL
            for (int k = 0; k < Registers; ++k)
                store(to[v] + kLanes * k, mul(mul(r[v][k], normalised), factor));
        }
    }
}

// --- Batches --------------------------------------------------------------------------------------------------------------

// Decoded vectors, one column each. Dim: the dimension where it is fixed and the rotation not dense, so that only its path
// is compiled. scratch: work_floats(3, d).
template <int Bits, bool Sketch, int Dim>
void decode(const CodecPlan& plan, const RecordRange& records, float* out, std::ptrdiff_t out_stride,
            float* scratch) noexcept {
    const int dim = plan.dim;
    constexpr int kVectors = kLanes == 16 ? 2 : 1;
    if constexpr (may_be_fused<Dim>(4) && kLanes == 16)
        if (Dim != Dynamic || (plan.fused && dim == 4 * kLanes))
            return decode_fused<Bits, Sketch, kVectors, 4>(plan, records, out, out_stride);
    if constexpr (may_be_fused<Dim>(8))
        if (Dim != Dynamic || (plan.fused && dim == 8 * kLanes))
            return decode_fused<Bits, Sketch, kVectors, 8>(plan, records, out, out_stride);
    if constexpr (may_be_fused<Dim>(16))
        if (Dim != Dynamic || (plan.fused && dim == 16 * kLanes))
            return decode_fused<Bits, Sketch, 1, 16>(plan, records, out, out_stride);
    if constexpr (!always_fused<Dim>()) {
        const int together = vectors_together<Dim>(plan);
        const std::ptrdiff_t stride = padded(dim);
        float* const u = scratch;
        float* const a = u + together * stride;
        float* const b = a + together * stride;
        const float normalised = static_cast<float>(1.0 / plan.growth);
        int count;
        for (std::ptrdiff_t i = 0; i < records.count; i += count) {
            count = records.count - i < together ? static_cast<int>(records.count - i) : together;
            const std::uint8_t* at[kTogether];
            float scales[kTogether];
            for (int v = 0; v < count; ++v) {
                at[v] = records[i + v];
                const float* const to = out + (i + v) * out_stride;
                for (int j = 0; j < dim; j += 16) __builtin_prefetch(to + j, 1);
            }
            reconstruct<Bits, Sketch, Dim>(plan, at, count, records.end, u, a, b, scales);
            const Destination end{out + i * out_stride, out_stride, normalised, scales};
            if constexpr (Bits > 0)
                rotate_back<Dim>(*plan.rotation, u, a, stride, end, count);
            else
                for (int v = 0; v < count; ++v)
                    store_scaled(u + v * stride, dim,
                                 {end.to + v * out_stride, out_stride, normalised, scales + v});
        }
    }
}

inline constexpr int kQueryBlock = 4;

// ⟨u, q_k⟩ for `Count` queries.
template <int Count>
TURBOQUANT_INLINE void dot_products(const float* u, const float* queries, std::ptrdiff_t stride, int dim,
                                    float* out) noexcept {
    Floats sums[Count][kSums];
    TURBOQUANT_UNROLL
    for (int q = 0; q < Count; ++q) {
        TURBOQUANT_UNROLL
        for (int k = 0; k < kSums; ++k) sums[q][k] = zero();
    }
    for (int i = 0; i < dim; i += 32) {
        TURBOQUANT_UNROLL
        for (int k = 0; k < kSums; ++k) {
            const Floats value = load(u + i + k * kLanes);
            TURBOQUANT_UNROLL
            for (int q = 0; q < Count; ++q)
                sums[q][k] = multiply_add(value, load(queries + q * stride + i + k * kLanes), sums[q][k]);
        }
    }
    TURBOQUANT_UNROLL
    for (int q = 0; q < Count; ++q) out[q] = reduce(sums[q]);
}

// The same for 1 to kQueryBlock queries.
TURBOQUANT_NOINLINE inline void dot_products(const float* u, const float* queries, std::ptrdiff_t stride,
                                             int count, int dim, float* out) noexcept {
    if (count == kQueryBlock) {
        dot_products<kQueryBlock>(u, queries, stride, dim, out);
    } else {
        for (int q = 0; q < count; ++q) dot_products<1>(u, queries + q * stride, stride, dim, out + q);
    }
}

// Estimates of ⟨x_i, q_j⟩. Each query row holds Πq where there are indices, then SΠq (or Sq) where there are signs, each
// part padded(dim) floats long.
template <int Bits, bool Sketch>
void inner_products(const CodecPlan& plan, const RecordRange& records, const float* queries,
                    std::ptrdiff_t stride, std::ptrdiff_t count, float* out, std::ptrdiff_t out_stride,
                    float* scratch) noexcept {
    const int dim = plan.dim;
    float* const u = scratch;
    float* const s = scratch + padded(dim);
    const std::ptrdiff_t second = Bits > 0 ? padded(dim) : 0;
    for (std::ptrdiff_t i = 0; i < records.count; ++i) {
        const std::uint8_t* record = records[i];
        const RecordScales scales = load_scales(plan, record);
        if constexpr (Bits > 0) load_centroids<Bits>(plan, record, records.end, u);
        if constexpr (Sketch) load_signs(plan, record, s);
        for (std::ptrdiff_t q = 0; q < count; q += kQueryBlock) {
            const int block = count - q < kQueryBlock ? static_cast<int>(count - q) : kQueryBlock;
            float dots[kQueryBlock] = {}, sketched[kQueryBlock] = {};
            if constexpr (Bits > 0) dot_products(u, queries + q * stride, stride, block, dim, dots);
            if constexpr (Sketch)
                dot_products(s, queries + q * stride + second, stride, block, dim, sketched);
            for (int k = 0; k < block; ++k)
                out[i + (q + k) * out_stride] = scales.scale * dots[k] + scales.sketch_scale * sketched[k];
        }
    }
}

// ‖q_j − x̂_i‖², summed in the rotated domain, where it has no cancellation. Query rows hold Πq (or q) alone.
template <int Bits, bool Sketch>
void squared_distances(const CodecPlan& plan, const RecordRange& records, const float* queries,
                       std::ptrdiff_t stride, std::ptrdiff_t count, float* out, std::ptrdiff_t out_stride,
                       float* scratch) noexcept {
    const int dim = plan.dim;
    float* const u = scratch;
    float* const a = u + padded(dim);
    float* const b = a + padded(dim);
    for (std::ptrdiff_t i = 0; i < records.count; ++i) {
        const Floats factor = broadcast(reconstruct<Bits, Sketch>(plan, records[i], records.end, u, a, b));
        for (std::ptrdiff_t q = 0; q < count; ++q) {
            const float* query = queries + q * stride;
            Floats sums[kSums];
            TURBOQUANT_UNROLL
            for (int k = 0; k < kSums; ++k) sums[k] = zero();
            for (int j = 0; j < dim; j += 32) {
                TURBOQUANT_UNROLL
                for (int k = 0; k < kSums; ++k) {
                    const Floats difference =
                        sub(load(query + j + k * kLanes), mul(load(u + j + k * kLanes), factor));
                    sums[k] = multiply_add(difference, difference, sums[k]);
                }
            }
            out[i + q * out_stride] = reduce(sums);
        }
    }
}

// ⟨x̂_i, x̂_j⟩ of two ranges of records, in the rotated domain: a rotation preserves products.
template <int Bits, bool Sketch>
void code_products(const CodecPlan& plan, const RecordRange& left, const RecordRange& right, float* out,
                   std::ptrdiff_t out_stride, float* scratch) noexcept {
    const int dim = plan.dim;
    const std::ptrdiff_t stride = padded(dim);
    float* const u = scratch;
    float* const a = u + stride;
    float* const b = a + stride;
    float* const block_rows = b + stride;
    for (std::ptrdiff_t j = 0; j < right.count; j += kQueryBlock) {
        const int block = right.count - j < kQueryBlock ? static_cast<int>(right.count - j) : kQueryBlock;
        float scales[kQueryBlock] = {};
        for (int k = 0; k < block; ++k)
            scales[k] =
                reconstruct<Bits, Sketch>(plan, right[j + k], right.end, block_rows + k * stride, a, b);
        for (std::ptrdiff_t i = 0; i < left.count; ++i) {
            const float scale = reconstruct<Bits, Sketch>(plan, left[i], left.end, u, a, b);
            float dots[kQueryBlock];
            dot_products(u, block_rows, stride, block, dim, dots);
            for (int k = 0; k < block; ++k) out[i + (j + k) * out_stride] = scale * (scales[k] * dots[k]);
        }
    }
}
