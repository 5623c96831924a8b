// Decoding trellis codes. The other float kernels of decode.inl read them through load_centroids().

template <int Bits, int Vectors, int Registers>
TURBOQUANT_NOINLINE void decode_trellis_registers(const CodecPlan& plan, const RecordRange& records,
                                                  float* out, std::ptrdiff_t out_stride,
                                                  float* scratch) noexcept {
    constexpr int kDim = kLanes * Registers;
    const Floats normalised = broadcast(static_cast<float>(1.0 / plan.growth));
    for (std::ptrdiff_t i = 0; i < records.count; i += Vectors) {
        Floats r[Vectors][Registers];
        float scales[Vectors];
        float* to[Vectors];
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            const std::ptrdiff_t row = i + v < records.count ? i + v : i;  // the last one twice, if need be
            to[v] = out + row * out_stride;
            scales[v] = load_scale(records[row] + plan.scale_offset(), plan.scale_type);
            load_trellis<Bits>(plan, records[row], records.end, scratch + v * kDim);
            TURBOQUANT_UNROLL
            for (int k = 0; k < Registers; ++k) r[v][k] = load(scratch + v * kDim + k * kLanes);
        }
        rotate_transpose_registers(*plan.rotation, r);
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            const Floats factor = broadcast(scales[v]);
            TURBOQUANT_UNROLL
            for (int k = 0; k < Registers; ++k)
                store(to[v] + kLanes * k, mul(mul(r[v][k], normalised), factor));
        }
    }
}

// Decoded vectors, one column each, as decode() gives them. scratch: work_floats(3, d).
template <int Bits, int Dim>
void decode_trellis(const CodecPlan& plan, const RecordRange& records, float* out, std::ptrdiff_t out_stride,
                    float* scratch) noexcept {
    constexpr int kVectors = kLanes == 16 ? 2 : 1;
    if constexpr (may_be_fused<Dim>(8))
        if (Dim != Dynamic || (plan.fused && plan.dim == 8 * kLanes))
            return decode_trellis_registers<Bits, kVectors, 8>(plan, records, out, out_stride, scratch);
    if constexpr (may_be_fused<Dim>(16))
        if (Dim != Dynamic || (plan.fused && plan.dim == 16 * kLanes))
            return decode_trellis_registers<Bits, 1, 16>(plan, records, out, out_stride, scratch);
    if constexpr (!(kRegisterPaths && (Dim == 8 * kLanes || Dim == 16 * kLanes))) {
        const int together = vectors_together<Dynamic>(plan);
        const std::ptrdiff_t stride = padded(plan.dim);
        float* const u = scratch;
        float* const other = scratch + together * stride;
        const float normalised = static_cast<float>(1.0 / plan.growth);
        int count;
        for (std::ptrdiff_t i = 0; i < records.count; i += count) {
            count = records.count - i < together ? static_cast<int>(records.count - i) : together;
            float scales[kTogether];
            for (int v = 0; v < count; ++v) {
                scales[v] = load_scale(records[i + v] + plan.scale_offset(), plan.scale_type);
                load_trellis<Bits>(plan, records[i + v], records.end, u + v * stride);
            }
            rotate_back<Dynamic>(*plan.rotation, u, other, stride,
                                 {out + i * out_stride, out_stride, normalised, scales}, count);
        }
    }
}
