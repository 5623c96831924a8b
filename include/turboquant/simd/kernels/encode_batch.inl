// Encoding of many vectors: in registers, several at a time, where d is 8 or 16 vectors' lanes (or 64); else one by one
// through encode_column(). Both take the same steps in the same order: the bytes are the same.

// Codes of one vector to `out`, and as bytes to `codes` where Keep.
template <int Bits, bool Keep, int Registers>
TURBOQUANT_INLINE void quantize_registers(const Nearest<Bits>& nearest, const Floats (&r)[Registers],
                                          float steps, std::uint8_t* out, std::uint8_t* codes) noexcept {
    const Floats factor = broadcast(steps);
    TURBOQUANT_UNROLL
    for (int i = 0; i < Registers; i += 4) {
        Floats y[4];
        TURBOQUANT_UNROLL
        for (int k = 0; k < 4; ++k) y[k] = mul(r[i + k], factor);
        const Bytes block = nearest(y);
        if (Keep) store_bytes(codes + kLanes * i, block);
        store_packed<Bits>(out + kLanes * i / 8 * Bits, block);
    }
}

// The sums and residual of centroid_sums() and residual(), in registers.
template <int Bits, int Registers>
TURBOQUANT_INLINE CentroidSums centroid_sums_registers(const CodebookTable& codebook,
                                                       const Floats (&r)[Registers],
                                                       const std::uint8_t* codes, int rule) noexcept {
    const Centroids<Bits> centroids(codebook.centroids);
    Floats dots[kSums], squares[kSums];
    TURBOQUANT_UNROLL
    for (int k = 0; k < kSums; ++k) dots[k] = squares[k] = zero();
    if (rule == 1) {
        TURBOQUANT_UNROLL
        for (int i = 0; i < Registers; ++i)
            dots[i % kSums] = fused(r[i], centroids(load_codes(codes + kLanes * i)), dots[i % kSums]);
        return {reduce(dots), 0.0f};
    }
    TURBOQUANT_UNROLL
    for (int i = 0; i < Registers; ++i) {
        const Floats c = centroids(load_codes(codes + kLanes * i));
        dots[i % kSums] = fused(r[i], c, dots[i % kSums]);
        squares[i % kSums] = fused(c, c, squares[i % kSums]);
    }
    return {reduce(dots), reduce(squares)};
}

template <int Bits, int Registers>
TURBOQUANT_INLINE float residual_registers(const CodebookTable& codebook, Floats (&r)[Registers], float unit,
                                           const std::uint8_t* codes) noexcept {
    const Centroids<Bits> centroids(codebook.centroids);
    const Floats factor = broadcast(unit);
    Floats sums[kSums];
    TURBOQUANT_UNROLL
    for (int k = 0; k < kSums; ++k) sums[k] = zero();
    TURBOQUANT_UNROLL
    for (int i = 0; i < Registers; ++i) {
        r[i] = fused_sub(r[i], factor, centroids(load_codes(codes + kLanes * i)));
        sums[i % kSums] = fused(r[i], r[i], sums[i % kSums]);
    }
    return reduce(sums);
}

template <int Registers>
TURBOQUANT_INLINE float pack_signs_registers(const Floats (&r)[Registers], std::uint8_t* out) noexcept {
    Floats sums[kSums];
    TURBOQUANT_UNROLL
    for (int k = 0; k < kSums; ++k) sums[k] = zero();
    TURBOQUANT_UNROLL
    for (int i = 0; i < Registers; i += kSums) {
        std::uint32_t bits = 0;
        TURBOQUANT_UNROLL
        for (int k = 0; k < kSums; ++k) {
            bits |= sign_bits(r[i + k]) << (k * kLanes);
            sums[k] = add(sums[k], absolute(r[i + k]));
        }
        std::memcpy(out + kLanes * i / 8, &bits, 4);
    }
    return reduce(sums);
}

// Records of `Vectors` vectors at x[v] to out[v]. False, and nothing useful written, where a norm is not ordinary or a
// scale overflows: encode_column() knows what to do.
template <int Bits, bool Sketch, int Vectors, int Registers>
TURBOQUANT_INLINE bool encode_registers(const CodecPlan& plan, const float* const (&x)[Vectors],
                                        std::uint8_t* const (&out)[Vectors]) noexcept {
    constexpr int kDim = kLanes * Registers;
    Floats r[Vectors][Registers];
    float squared_norms[Vectors];
    TURBOQUANT_UNROLL
    for (int v = 0; v < Vectors; ++v) {
        squared_norms[v] = load_registers(x[v], r[v]);
        if (!ordinary_squared_norm(squared_norms[v])) return false;
    }
    if constexpr (Bits > 0) rotate_registers(*plan.rotation, r);

    bool stored = true;
    float absolute_sums[Vectors];
    double squared[Vectors], lengths[Vectors];
    TURBOQUANT_UNROLL
    for (int v = 0; v < Vectors; ++v) {
        const VectorScales scales(plan, squared_norms[v], 0);
        squared[v] = scales.squared_norm;
        lengths[v] = 1.0;
        if constexpr (Bits > 0) {
            alignas(64) std::uint8_t codes[kDim];
            const Nearest<Bits> nearest(*plan.codebook);
            CentroidSums sums{0.0f, 0.0f};
            if (!Sketch && plan.scale_rule == 0) {
                quantize_registers<Bits, false>(nearest, r[v], scales.steps, out[v], codes);
            } else {
                quantize_registers<Bits, true>(nearest, r[v], scales.steps, out[v], codes);
                if (!Sketch)
                    sums = centroid_sums_registers<Bits>(*plan.codebook, r[v], codes, plan.scale_rule);
            }
            stored &= store_scale(out[v] + plan.scale_offset(), plan.scale_type,
                                  scales.index_scale(plan.scale_rule, sums));
            if constexpr (Sketch) {
                squared[v] = static_cast<double>(
                    residual_registers<Bits>(*plan.codebook, r[v], static_cast<float>(scales.unit), codes));
                lengths[v] = scales.norm;
            }
        }
    }
    if constexpr (Sketch) {
        rotate_registers(*plan.sketch, r);
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            absolute_sums[v] = pack_signs_registers(r[v], out[v] + plan.index_bytes());
            stored &= store_scale(out[v] + plan.sketch_scale_offset(), ScaleType::float32,
                                  sketch_scale(plan, squared[v], absolute_sums[v], lengths[v]));
        }
    }
    return stored;
}

// The column as floats: where it lies, or converted to `buffer`.
TURBOQUANT_INLINE const float* column_floats(const InputColumns& in, std::ptrdiff_t column, int dim,
                                             float* buffer) noexcept {
    const std::ptrdiff_t at = column * in.stride;
    if (in.type == InputType::float32) return static_cast<const float*>(in.data) + at;
    const std::uint16_t* halves = static_cast<const std::uint16_t*>(in.data) + at;
    for (int i = 0; i < dim; i += kLanes)
        store(buffer + i,
              in.type == InputType::float16 ? load_float16(halves + i) : load_bfloat16(halves + i));
    return buffer;
}

template <int Bits, bool Sketch, int Vectors, int Registers>
TURBOQUANT_NOINLINE EncodeResult encode_fused(const CodecPlan& plan, const InputColumns& in,
                                              std::uint8_t* out, float* scratch) noexcept {
    constexpr int kDim = kLanes * Registers;
    const std::size_t record_bytes = plan.record_bytes();
    for (std::ptrdiff_t column = 0; column < in.count; column += Vectors, out += Vectors * record_bytes) {
        const float* x[Vectors];
        std::uint8_t* records[Vectors];
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            // At the end of the batch a vector is encoded twice, the second time to nowhere.
            const bool there = column + v < in.count;
            x[v] = column_floats(in, there ? column + v : column, kDim, scratch + kDim * v);
            records[v] = there ? out + static_cast<std::size_t>(v) * record_bytes
                               : reinterpret_cast<std::uint8_t*>(scratch + kDim * Vectors);
        }
        if (encode_registers<Bits, Sketch, Vectors, Registers>(plan, x, records)) continue;
        for (int v = 0; v < Vectors && column + v < in.count; ++v) {
            const EncodeResult result =
                encode_column<Bits, Sketch>(plan, in, column + v, records[v], scratch);
            if (result.error != EncodeError::none) return result;
        }
    }
    return {in.count, EncodeError::none, 0.0};
}

// --- Batches --------------------------------------------------------------------------------------------------------------

// Records of the columns, one after another, until one cannot be stored. Dim: the dimension where it is fixed, so that
// only its path is compiled.
template <int Bits, bool Sketch, int Dim>
EncodeResult encode(const CodecPlan& plan, const InputColumns& in, std::uint8_t* out,
                    float* scratch) noexcept {
    if constexpr (kRegisterPaths) {
        // Vectors in flight: two where there are registers for them.
        constexpr int kVectors = kLanes == 16 ? 2 : 1;
        if constexpr (kLanes == 16 && may_be<Dim>(64))
            if (plan.fused && plan.dim == 64)
                return encode_fused<Bits, Sketch, kVectors, 4>(plan, in, out, scratch);
        if constexpr (may_be<Dim>(8 * kLanes))
            if (plan.fused && plan.dim == 8 * kLanes)
                return encode_fused<Bits, Sketch, kVectors, 8>(plan, in, out, scratch);
        if constexpr (may_be<Dim>(16 * kLanes))
            if (plan.fused && plan.dim == 16 * kLanes)
                return encode_fused<Bits, Sketch, 1, 16>(plan, in, out, scratch);
    }
    const std::size_t record_bytes = plan.record_bytes();
    for (std::ptrdiff_t column = 0; column < in.count; ++column, out += record_bytes) {
        const EncodeResult result = encode_column<Bits, Sketch>(plan, in, column, out, scratch);
        if (result.error != EncodeError::none) return result;
    }
    return {in.count, EncodeError::none, 0.0};
}

// Whether every column encodes, without keeping the records: those whose norm is extreme are encoded for trial. For
// callers that must not overwrite records unless all of the new ones can be had.
template <int Bits, bool Sketch>
EncodeResult try_encode(const CodecPlan& plan, const InputColumns& in, std::uint8_t* record,
                        float* scratch) noexcept {
    // The unbiased scale is largest for a single spike after the rotation: less than √d times the norm.
    const float limit = plan.scale_type == ScaleType::float16 ? 1e9f / static_cast<float>(plan.dim) : 0x1p60f;
    for (std::ptrdiff_t i = 0; (i = find_extreme_column(in, i, plan.dim, limit, scratch)) < in.count; ++i) {
        const EncodeResult result = encode_column<Bits, Sketch>(plan, in, i, record, scratch);
        if (result.error != EncodeError::none) return result;
    }
    return {in.count, EncodeError::none, 0.0};
}
