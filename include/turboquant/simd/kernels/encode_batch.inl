// Encoding of many vectors: in registers, several at a time, where d is 8 or 16 vectors' lanes (or 64); else through
// encode_columns(). Both take the same steps in the same order: the bytes are the same.

// `Count` registers from `first` on.
template <int Count, int Registers>
TURBOQUANT_INLINE void get_part(const Floats (&r)[Registers], int first, Floats (&part)[Count]) noexcept {
    TURBOQUANT_UNROLL
    for (int k = 0; k < Count; ++k) part[k] = r[first + k];
}

// encode_indices() and pack_signs() of vectors in registers.
template <int Bits, bool Sketch, int Registers>
TURBOQUANT_INLINE void encode_registers(const CodebookTable& codebook, int scale_rule, Floats (&r)[Registers],
                                        float steps, float unit, std::uint8_t* out, Floats& dot,
                                        Floats& square) noexcept {
    const Nearest<Bits> nearest(codebook);
    const Centroids<Bits> centroids(codebook.centroids);
    const Floats step_factor = broadcast(steps), unit_factor = broadcast(unit);
    Floats dots[kSums], squares[kSums];
    clear(dots);
    clear(squares);
    TURBOQUANT_UNROLL
    for (int i = 0; i < Registers; i += kStep) {
        Floats part[kStep], c[kStep];
        Bytes codes[kStep / 4];
        get_part(r, i, part);
        quantize_step(nearest, part, step_factor, out + kLanes * i / 8 * Bits, codes);
        if (!Sketch && scale_rule == 0) continue;
        centroid_step(centroids, codes, kStepFloats, c);
        if constexpr (Sketch) {
            residual_step(part, unit_factor, c, squares);
            TURBOQUANT_UNROLL
            for (int k = 0; k < kStep; ++k) r[i + k] = part[k];
        } else {
            sum_step(part, c, scale_rule == 2, dots, squares);
        }
    }
    dot = fold(dots);
    square = fold(squares);
}

template <int Registers>
TURBOQUANT_INLINE Floats pack_signs_registers(const Floats (&r)[Registers], std::uint8_t* out) noexcept {
    Floats magnitudes[kSums];
    clear(magnitudes);
    TURBOQUANT_UNROLL
    for (int i = 0; i < Registers; i += kSums) {
        Floats part[kSums];
        get_part(r, i, part);
        const std::uint32_t bits = sign_step(part, magnitudes);
        std::memcpy(out + kLanes * i / 8, &bits, 4);
    }
    return fold(magnitudes);
}

template <int Registers>
TURBOQUANT_INLINE void prefetch(const float* x) noexcept {
    TURBOQUANT_UNROLL
    for (int i = 0; i < Registers * kLanes; i += 16) __builtin_prefetch(x + i);
}

// The records of a block, `Vectors` of its vectors in registers at a time; returns how many could be stored. nowhere: room for
// a record; ahead: vectors that will be wanted next, as many.
template <int Bits, bool Sketch, int Vectors, int Registers>
TURBOQUANT_INLINE int encode_block(const CodecPlan& plan, const Block& block, const float* ahead,
                                   std::ptrdiff_t ahead_stride, std::uint8_t* out,
                                   std::uint8_t* nowhere) noexcept {
    const std::size_t record_bytes = plan.record_bytes();
    const Scales<Doubles> scales(plan, load_doubles(block.squared_norms), block.power());
    const Factors factors(block, scales);
    BlockSums sums;
    for (int first = 0; first < block.count; first += Vectors) {
        Floats r[Vectors][Registers];
        std::uint8_t* records[Vectors];
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            // Where one is missing the first is encoded twice, the second time to nowhere.
            const bool there = first + v < block.count;
            load_step(block.vectors + (there ? first + v : first) * block.stride, r[v]);
            prefetch<Registers>(ahead + (first + v) * ahead_stride);
            records[v] = there ? out + static_cast<std::size_t>(first + v) * record_bytes : nowhere;
        }
        if constexpr (Bits > 0) {
            rotate_registers(*plan.rotation, r);
            TURBOQUANT_UNROLL
            for (int v = 0; v < Vectors; ++v)
                encode_registers<Bits, Sketch>(*plan.codebook, plan.scale_rule, r[v],
                                               factors.steps[first + v], factors.units[first + v], records[v],
                                               sums.dots[first + v], sums.squares[first + v]);
        }
        if constexpr (Sketch) {
            rotate_registers(*plan.sketch, r);
            TURBOQUANT_UNROLL
            for (int v = 0; v < Vectors; ++v)
                sums.magnitudes[first + v] = pack_signs_registers(r[v], records[v] + plan.index_bytes());
        }
    }
    return store_scales<Bits, Sketch>(plan, block, scales, sums, out);
}

template <int Bits, bool Sketch, int Vectors, int Registers>
TURBOQUANT_NOINLINE EncodeResult encode_fused(const CodecPlan& plan, const InputColumns& in,
                                              std::uint8_t* out, float* scratch) noexcept {
    static_assert(kDoubles % Vectors == 0, "a block is made of whole groups of vectors");
    constexpr int kDim = kLanes * Registers;
    auto* const nowhere = reinterpret_cast<std::uint8_t*>(scratch + kDim * kDoubles);
    for (std::ptrdiff_t column = 0; column < in.count;) {
        const int count = in.count - column < kDoubles ? static_cast<int>(in.count - column) : kDoubles;
        const Block block = load_block<Registers>(in, column, count, kDoubles, kDim, scratch, kDim);
        if (block.count == 0) return {column, EncodeError::not_finite, 0.0};
        const float* ahead = block.vectors;
        std::ptrdiff_t ahead_stride = block.stride;
        if (in.type == InputType::float32 && in.count - column >= 2 * kDoubles) {
            ahead = static_cast<const float*>(in.data) + (column + kDoubles) * in.stride;
            ahead_stride = in.stride;
        }
        const EncodeResult result = encoded(block, encode_block<Bits, Sketch, Vectors, Registers>(
                                                       plan, block, ahead, ahead_stride, out, nowhere));
        column += result.encoded;
        if (result.error != EncodeError::none) return {column, result.error, result.norm};
        out += static_cast<std::size_t>(block.count) * plan.record_bytes();
    }
    return {in.count, EncodeError::none, 0.0};
}

// --- Batches --------------------------------------------------------------------------------------------------------------

// Records of the columns, one after another, until one cannot be stored. Dim: the dimension where it is fixed and the
// rotation not dense, so that only its path is compiled. scratch: work_floats(3, d).
template <int Bits, bool Sketch, int Dim>
EncodeResult encode(const CodecPlan& plan, const InputColumns& in, std::uint8_t* out,
                    float* scratch) noexcept {
    // Vectors in flight: two where there are registers for them; one that comes alone goes alone.
    constexpr int kVectors = kLanes == 16 ? 2 : 1;
    if constexpr (may_be_fused<Dim>(4) && kLanes == 16)
        if (Dim != Dynamic || (plan.fused && plan.dim == 4 * kLanes))
            return in.count == 1 ? encode_fused<Bits, Sketch, 1, 4>(plan, in, out, scratch)
                                 : encode_fused<Bits, Sketch, kVectors, 4>(plan, in, out, scratch);
    if constexpr (may_be_fused<Dim>(8))
        if (Dim != Dynamic || (plan.fused && plan.dim == 8 * kLanes))
            return in.count == 1 ? encode_fused<Bits, Sketch, 1, 8>(plan, in, out, scratch)
                                 : encode_fused<Bits, Sketch, kVectors, 8>(plan, in, out, scratch);
    if constexpr (may_be_fused<Dim>(16))
        if (Dim != Dynamic || (plan.fused && plan.dim == 16 * kLanes))
            return encode_fused<Bits, Sketch, 1, 16>(plan, in, out, scratch);
    if constexpr (!always_fused<Dim>()) {
        const std::size_t record_bytes = plan.record_bytes();
        const int most = vectors_of_block(plan.dim, vectors_together<Dim>(plan));
        for (std::ptrdiff_t column = 0; column < in.count;) {
            const int count = in.count - column < most ? static_cast<int>(in.count - column) : most;
            const EncodeResult result = encode_columns<Bits, Sketch, Dim>(
                plan, in, column, count, out + static_cast<std::size_t>(column) * record_bytes, scratch);
            column += result.encoded;
            if (result.error != EncodeError::none) return {column, result.error, result.norm};
        }
        return {in.count, EncodeError::none, 0.0};
    }
}
