// Encoding of many vectors: in registers, several at a time, where d is 8 or 16 vectors' lanes (or 64); else through
// encode_columns(). Both take the same steps in the same order: the bytes are the same.

// Registers first … first + Count − 1.
template <int Count, int Registers>
TURBOQUANT_INLINE void get_part(const Floats (&r)[Registers], int first, Floats (&part)[Count]) noexcept {
    TURBOQUANT_UNROLL
    for (int k = 0; k < Count; ++k) part[k] = r[first + k];
}

// And their codes, out of blocks of four registers.
template <int Blocks>
TURBOQUANT_INLINE void get_part(const Bytes (&codes)[Blocks], int first, Ints (&part)[kSums]) noexcept {
    TURBOQUANT_UNROLL
    for (int k = 0; k < kSums; ++k) part[k] = codes_of(codes[(first + k) / 4], (first + k) % 4);
}

// quantize(), centroid_sums(), residual() and pack_signs() of vectors in registers.
template <int Bits, int Registers>
TURBOQUANT_INLINE void quantize_registers(const CodebookTable& codebook, const Floats (&r)[Registers],
                                          float steps, std::uint8_t* out,
                                          Bytes (&codes)[Registers / 4]) noexcept {
    const Nearest<Bits> nearest(codebook);
    const Floats factor = broadcast(steps);
    TURBOQUANT_UNROLL
    for (int i = 0; i < Registers; i += 4) {
        Floats part[4];
        get_part(r, i, part);
        codes[i / 4] = quantize_step<Bits>(nearest, part, factor, out + kLanes * i / 8 * Bits);
    }
}

template <int Bits, int Registers>
TURBOQUANT_INLINE CentroidSums centroid_sums_registers(const CodebookTable& codebook,
                                                       const Floats (&r)[Registers],
                                                       const Bytes (&codes)[Registers / 4],
                                                       bool wants_squares) noexcept {
    const Centroids<Bits> centroids(codebook.centroids);
    Floats dots[kSums], squares[kSums];
    clear(dots);
    clear(squares);
    TURBOQUANT_UNROLL
    for (int i = 0; i < Registers; i += kSums) {
        Floats part[kSums];
        Ints c[kSums];
        get_part(r, i, part);
        get_part(codes, i, c);
        centroid_step(centroids, c, part, 32, wants_squares, dots, squares);
    }
    return {reduce(dots), reduce(squares)};
}

template <int Bits, int Registers>
TURBOQUANT_INLINE float residual_registers(const CodebookTable& codebook, Floats (&r)[Registers], float unit,
                                           const Bytes (&codes)[Registers / 4]) noexcept {
    const Centroids<Bits> centroids(codebook.centroids);
    Floats squares[kSums];
    clear(squares);
    TURBOQUANT_UNROLL
    for (int i = 0; i < Registers; i += kSums) {
        Floats part[kSums];
        Ints c[kSums];
        get_part(r, i, part);
        get_part(codes, i, c);
        residual_step(centroids, c, broadcast(unit), 32, part, squares);
        TURBOQUANT_UNROLL
        for (int k = 0; k < kSums; ++k) r[i + k] = part[k];
    }
    return reduce(squares);
}

template <int Registers>
TURBOQUANT_INLINE float pack_signs_registers(const Floats (&r)[Registers], std::uint8_t* out) noexcept {
    Floats magnitudes[kSums];
    clear(magnitudes);
    TURBOQUANT_UNROLL
    for (int i = 0; i < Registers; i += kSums) {
        Floats part[kSums];
        get_part(r, i, part);
        const std::uint32_t bits = sign_step(part, magnitudes);
        std::memcpy(out + kLanes * i / 8, &bits, 4);
    }
    return reduce(magnitudes);
}

enum class Fused { stored, extreme_norm, overflow };

// Records of `Vectors` vectors at x[v], times 2^exponents[v], to out[v]. Nothing useful is written where a norm is not
// ordinary.
template <int Bits, bool Sketch, int Vectors, int Registers>
TURBOQUANT_NOINLINE Fused encode_registers(const CodecPlan& plan, const float* const (&x)[Vectors],
                                           const int (&exponents)[Vectors],
                                           std::uint8_t* const (&out)[Vectors]) noexcept {
    Floats r[Vectors][Registers];
    float squared_norms[Vectors];
    TURBOQUANT_UNROLL
    for (int v = 0; v < Vectors; ++v) {
        squared_norms[v] = load_registers(x[v], r[v]);
        if (!ordinary_squared_norm(squared_norms[v])) return Fused::extreme_norm;
    }
    if constexpr (Bits > 0) rotate_registers(*plan.rotation, r);

    bool stored = true;
    double squared[Vectors], lengths[Vectors];
    TURBOQUANT_UNROLL
    for (int v = 0; v < Vectors; ++v) {
        const VectorScales scales(plan, squared_norms[v], exponents[v]);
        squared[v] = scales.squared_norm;
        lengths[v] = Bits > 0 ? scales.norm * scales.power : scales.power;
        if constexpr (Bits > 0) {
            Bytes codes[Registers / 4];
            CentroidSums sums{0.0f, 0.0f};
            quantize_registers<Bits>(*plan.codebook, r[v], scales.steps, out[v], codes);
            if (!Sketch && plan.scale_rule != 0)
                sums = centroid_sums_registers<Bits>(*plan.codebook, r[v], codes, plan.scale_rule == 2);
            stored &= store_scale(out[v] + plan.scale_offset(), plan.scale_type,
                                  scales.index_scale(plan.scale_rule, sums));
            if constexpr (Sketch)
                squared[v] = static_cast<double>(
                    residual_registers<Bits>(*plan.codebook, r[v], static_cast<float>(scales.unit), codes));
        }
    }
    if constexpr (Sketch) {
        rotate_registers(*plan.sketch, r);
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            const float absolute_sum = pack_signs_registers(r[v], out[v] + plan.index_bytes());
            stored &= store_scale(out[v] + plan.sketch_scale_offset(), ScaleType::float32,
                                  sketch_scale(plan, squared[v], absolute_sum, lengths[v]));
        }
    }
    return stored ? Fused::stored : Fused::overflow;
}

// The record of one column whose norm may be anything. x: the column; scratch: room for it and a record.
template <int Bits, bool Sketch, int Vectors, int Registers>
TURBOQUANT_NOINLINE EncodeResult encode_extreme(const CodecPlan& plan, const float* x, std::uint8_t* out,
                                                float* scratch) noexcept {
    LoadedVector vector{load_vector(x, plan.dim, scratch), 0, true};
    if (!ordinary_squared_norm(vector.squared_norm)) vector = scale_extreme_vector(scratch, plan.dim);
    if (!vector.finite) return {0, EncodeError::not_finite, 0.0};
    if (!(vector.squared_norm > 0.0f)) {
        std::memset(out, 0, plan.record_bytes());
        return {1, EncodeError::none, 0.0};
    }
    const float* columns[Vectors];
    int exponents[Vectors];
    std::uint8_t* records[Vectors];
    for (int v = 0; v < Vectors; ++v) {
        columns[v] = scratch;
        exponents[v] = vector.exponent;
        records[v] = v == 0 ? out : reinterpret_cast<std::uint8_t*>(scratch + kLanes * Registers);
    }
    if (encode_registers<Bits, Sketch, Vectors, Registers>(plan, columns, exponents, records) ==
        Fused::stored)
        return {1, EncodeError::none, 0.0};
    const double norm = std::sqrt(static_cast<double>(vector.squared_norm));
    return {0, EncodeError::scale_overflow, std::ldexp(norm, vector.exponent)};
}

template <int Bits, bool Sketch, int Vectors, int Registers>
TURBOQUANT_NOINLINE EncodeResult encode_fused(const CodecPlan& plan, const InputColumns& in,
                                              std::uint8_t* out, float* scratch) noexcept {
    constexpr int kDim = kLanes * Registers;
    const std::size_t record_bytes = plan.record_bytes();
    for (std::ptrdiff_t column = 0; column < in.count; column += Vectors, out += Vectors * record_bytes) {
        const float* x[Vectors];
        int exponents[Vectors] = {};
        std::uint8_t* records[Vectors];
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            // At the end of the batch a vector is encoded twice, the second time to nowhere.
            const bool there = column + v < in.count;
            x[v] = column_floats(in, there ? column + v : column, kDim, scratch + kDim * v);
            records[v] = there ? out + static_cast<std::size_t>(v) * record_bytes
                               : reinterpret_cast<std::uint8_t*>(scratch + kDim * Vectors);
        }
        if (encode_registers<Bits, Sketch, Vectors, Registers>(plan, x, exponents, records) == Fused::stored)
            continue;
        for (int v = 0; v < Vectors && column + v < in.count; ++v) {
            const EncodeResult result = encode_extreme<Bits, Sketch, Vectors, Registers>(
                plan, x[v], records[v], scratch + kDim * Vectors);
            if (result.error != EncodeError::none) return {column + v, result.error, result.norm};
        }
    }
    return {in.count, EncodeError::none, 0.0};
}

// --- Batches --------------------------------------------------------------------------------------------------------------

// Records of the columns, one after another, until one cannot be stored. Dim: the dimension where it is fixed and the
// rotation not dense, so that only its path is compiled. scratch: work_floats(3, d).
template <int Bits, bool Sketch, int Dim>
EncodeResult encode(const CodecPlan& plan, const InputColumns& in, std::uint8_t* out,
                    float* scratch) noexcept {
    // Vectors in flight: two where there are registers for them.
    constexpr int kVectors = kLanes == 16 ? 2 : 1;
    if constexpr (may_be_fused<Dim>(4) && kLanes == 16)
        if (Dim != Dynamic || (plan.fused && plan.dim == 4 * kLanes))
            return encode_fused<Bits, Sketch, kVectors, 4>(plan, in, out, scratch);
    if constexpr (may_be_fused<Dim>(8))
        if (Dim != Dynamic || (plan.fused && plan.dim == 8 * kLanes))
            return encode_fused<Bits, Sketch, kVectors, 8>(plan, in, out, scratch);
    if constexpr (may_be_fused<Dim>(16))
        if (Dim != Dynamic || (plan.fused && plan.dim == 16 * kLanes))
            return encode_fused<Bits, Sketch, 1, 16>(plan, in, out, scratch);
    if constexpr (!always_fused<Dim>()) {
        const std::size_t record_bytes = plan.record_bytes();
        const int together = vectors_together<Dim>(plan);
        for (std::ptrdiff_t column = 0; column < in.count;) {
            const int count = in.count - column < together ? static_cast<int>(in.count - column) : together;
            const EncodeResult result = encode_columns<Bits, Sketch, Dim>(
                plan, in, column, count, out + static_cast<std::size_t>(column) * record_bytes, scratch);
            column += result.encoded;
            if (result.error != EncodeError::none) return {column, result.error, result.norm};
        }
        return {in.count, EncodeError::none, 0.0};
    }
}
