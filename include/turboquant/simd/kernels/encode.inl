// Encoding: rotate, nearest centroid, scale, and the sign sketch of the residual.

// float to binary16 (ties to even) and to bfloat16; infinity where the value is too large.
TURBOQUANT_INLINE std::uint16_t float16_from_float(float x) noexcept {
    std::uint32_t bits;
    std::memcpy(&bits, &x, 4);
    const std::uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);
    if (magnitude < 0x38800000u) {  // below the smallest normal: units of 2^-24
        if (magnitude < 0x33000000u) return static_cast<std::uint16_t>(sign);
        const int shift = 126 - static_cast<int>(magnitude >> 23);
        const std::uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
        const std::uint32_t floor = mantissa >> shift, rest = mantissa & ((1u << shift) - 1u);
        const std::uint32_t half = 1u << (shift - 1);
        const std::uint32_t up = rest > half || (rest == half && (floor & 1u)) ? 1u : 0u;
        return static_cast<std::uint16_t>(sign | (floor + up));
    }
    const std::uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
    return static_cast<std::uint16_t>(sign | ((rounded - (112u << 23)) >> 13));
}

TURBOQUANT_INLINE std::uint16_t bfloat16_from_float(float x) noexcept {
    std::uint32_t bits;
    std::memcpy(&bits, &x, 4);
    return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

// Writes a scale; false if it overflows its type.
TURBOQUANT_INLINE bool store_scale(std::uint8_t* out, ScaleType type, float value) noexcept {
    std::uint32_t bits;
    std::memcpy(&bits, &value, 4);
    if ((bits & 0x7f800000u) == 0x7f800000u) return false;
    if (type == ScaleType::float32) {
        std::memcpy(out, &value, 4);
        return true;
    }
    const bool half = type == ScaleType::float16;
    const std::uint16_t stored = half ? float16_from_float(value) : bfloat16_from_float(value);
    std::memcpy(out, &stored, 2);
    const unsigned exponent_mask = half ? 0x7c00u : 0x7f80u;
    return (stored & exponent_mask) != exponent_mask;
}

// `bytes` bytes, at least Size and less than two. Left to memcpy() this takes longer than all else that a partial block does.
template <std::size_t Size>
TURBOQUANT_INLINE void copy_twice(std::uint8_t* out, const std::uint8_t* from, int bytes) noexcept {
    std::memcpy(out, from, Size);
    std::memcpy(out + bytes - Size, from + bytes - Size, Size);
}

// The last, incomplete block of a packed array: whole bytes, unused bits zero.
TURBOQUANT_NOINLINE inline void store_partial(std::uint8_t* out, const std::uint8_t* packed,
                                              int bits) noexcept {
    int bytes = (bits + 7) / 8;
    for (; bytes >= 32; bytes -= 16, out += 16, packed += 16) std::memcpy(out, packed, 16);
    if (bytes >= 16)
        copy_twice<16>(out, packed, bytes);
    else if (bytes >= 8)
        copy_twice<8>(out, packed, bytes);
    else if (bytes >= 4)
        copy_twice<4>(out, packed, bytes);
    else
        for (int i = 0; i < bytes; ++i) out[i] = packed[i];
    if ((bits & 7) != 0) out[bytes - 1] = static_cast<std::uint8_t>(out[bytes - 1] & ((1 << (bits & 7)) - 1));
}

// --- Steps of 32 coordinates, or 64, in registers -------------------------------------------------------------------------
// Vectors in memory and vectors in registers take the same steps: whole blocks of Nearest, and of 32 coordinates. `rest`
// counts the coordinates from the step's first to the vector's end.

inline constexpr int kStep = kSums < 4 ? 4 : kSums, kStepFloats = kStep * kLanes;

// Codes of r·steps, packed to `out`.
template <int Bits>
TURBOQUANT_INLINE void quantize_step(const Nearest<Bits>& nearest, const Floats (&r)[kStep], Floats steps,
                                     std::uint8_t* out, Bytes (&codes)[kStep / 4]) noexcept {
    TURBOQUANT_UNROLL
    for (int i = 0; i < kStep; i += 4) {
        Floats y[4];
        TURBOQUANT_UNROLL
        for (int k = 0; k < 4; ++k) y[k] = mul(r[i + k], steps);
        codes[i / 4] = nearest(y);
        store_packed<Bits>(out + i * kLanes / 8 * Bits, codes[i / 4]);
    }
}

// All bits in the first `count` lanes, none in the others.
TURBOQUANT_INLINE Floats first_lanes(int count) noexcept {
    static constexpr std::uint32_t kMasks[32] = {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u,
                                                 ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u};
    const int kept = count < 0 ? 0 : count < kLanes ? count : kLanes;
    float masks[kLanes];
    std::memcpy(masks, kMasks + 16 - kept, sizeof masks);
    return load(masks);
}

// The codes' centroids, zero past the vector's end.
template <int Bits>
TURBOQUANT_INLINE void centroid_step(const Centroids<Bits>& centroids, const Bytes (&codes)[kStep / 4],
                                     int rest, Floats (&c)[kStep]) noexcept {
    TURBOQUANT_UNROLL
    for (int k = 0; k < kStep; ++k) {
        c[k] = centroids(codes_of(codes[k / 4], k % 4));
        if (rest < kStepFloats) c[k] = keep(c[k], first_lanes(rest - k * kLanes));
    }
}

// ⟨z, c⟩ and, where wanted, ‖c‖².
TURBOQUANT_INLINE void sum_step(const Floats (&r)[kStep], const Floats (&c)[kStep], bool wants_squares,
                                Floats (&dots)[kSums], Floats (&squares)[kSums]) noexcept {
    TURBOQUANT_UNROLL
    for (int k = 0; k < kStep; ++k) dots[k % kSums] = fused(r[k], c[k], dots[k % kSums]);
    if (!wants_squares) return;
    TURBOQUANT_UNROLL
    for (int k = 0; k < kStep; ++k) squares[k % kSums] = fused(c[k], c[k], squares[k % kSums]);
}

// r becomes the residual r·unit − c, whose squares are added up.
TURBOQUANT_INLINE void residual_step(Floats (&r)[kStep], Floats unit, const Floats (&c)[kStep],
                                     Floats (&squares)[kSums]) noexcept {
    TURBOQUANT_UNROLL
    for (int k = 0; k < kStep; ++k) {
        r[k] = fused_sub(r[k], unit, c[k]);
        squares[k % kSums] = fused(r[k], r[k], squares[k % kSums]);
    }
}

// Sign bits of w (1 where negative); magnitudes are added up.
TURBOQUANT_INLINE std::uint32_t sign_step(const Floats (&w)[kSums], Floats (&magnitudes)[kSums]) noexcept {
    TURBOQUANT_UNROLL
    for (int k = 0; k < kSums; ++k) magnitudes[k] = add(magnitudes[k], absolute(w[k]));
    return sign_bits(w);
}

template <int Registers>
TURBOQUANT_INLINE void load_step(const float* z, Floats (&r)[Registers]) noexcept {
    TURBOQUANT_UNROLL
    for (int k = 0; k < Registers; ++k) r[k] = load(z + k * kLanes);
}
// With zeros past the vector's end. Written to memory just before, they would keep the loads waiting.
template <int Registers>
TURBOQUANT_INLINE void load_step(const float* z, int rest, Floats (&r)[Registers]) noexcept {
    if (rest >= Registers * kLanes) return load_step(z, r);
    TURBOQUANT_UNROLL
    for (int k = 0; k < Registers; ++k) r[k] = load_first(z + k * kLanes, rest - k * kLanes);
}

// --- From sums to what is stored ------------------------------------------------------------------------------------------
// In double, the same expressions on every path. Number: double, or Doubles for a block of vectors.

TURBOQUANT_INLINE double root(double x) noexcept { return std::sqrt(x); }

// Of vectors times `power`: their norms, and the factors that bring growth·Πz to unit length and to codebook steps.
template <class Number>
struct Scales {
    Number squared_norm, norm, power, growth, unit, steps;
    TURBOQUANT_INLINE Scales(const CodecPlan& plan, Number squared, Number power_of_two) noexcept
        : squared_norm(squared),
          norm(root(squared)),
          power(power_of_two),
          growth(plan.growth),
          unit(Number(1.0) / (norm * growth)),
          steps(unit * Number(plan.steps)) {}

    // dot: of growth·Πz with the centroids, whose squared norm is `squares`.
    TURBOQUANT_INLINE Number index_scale(int rule, Number dot, Number squares) const noexcept {
        if (rule == 0) return norm * power;
        return rule == 1 ? squared_norm * growth / dot * power : dot / (growth * squares) * power;
    }
};

// What a block's vectors are multiplied by: zero where they are zero.
struct Factors {
    float steps[kDoubles], units[kDoubles];
    TURBOQUANT_INLINE Factors(const Block& block, const Scales<Doubles>& scales) noexcept {
        store_floats(steps, scales.steps);
        store_floats(units, scales.unit);
        if (!block.extreme) return;
        for (int v = 0; v < block.count; ++v)
            if (!(block.squared_norms[v] > 0.0f)) steps[v] = units[v] = 0.0f;
    }
};

// The scale of the sketch of a vector whose square is `squared` and whose length is then to be multiplied by `length`, unless
// absolute_sum is zero.
template <class Number>
TURBOQUANT_INLINE Number sketch_scale(const CodecPlan& plan, Number squared, Number absolute_sum,
                                      Number length) noexcept {
    if (plan.gaussian) return root(squared) * length;
    return squared * Number(plan.sketch->growth) / absolute_sum * length;
}

inline constexpr std::uint32_t kLargestFloat = 0x7f7fffffu;  // its bits

// What the codes and signs of a block's vectors add up to, folded.
struct BlockSums {
    Floats dots[kDoubles];        // ⟨z, c⟩
    Floats squares[kDoubles];     // ‖c‖², or of residuals
    Floats magnitudes[kDoubles];  // of what the sketch takes the signs
};

// Writes the scales of a block's records, and records of zeros; returns the first whose scale overflows, or block.count.
template <int Bits, bool Sketch>
TURBOQUANT_INLINE int store_scales(const CodecPlan& plan, const Block& block, const Scales<Doubles>& scales,
                                   BlockSums& sums, std::uint8_t* out) noexcept {
    const std::size_t record_bytes = plan.record_bytes();
    float index_scales[kDoubles], sketch_scales[kDoubles], magnitudes[kDoubles];
    // Norms above zero and finite scales, to be stored as they are.
    bool plain = !block.extreme;
    Doubles dots = scales.norm, squares = scales.squared_norm;
    if (Bits > 0 && !Sketch && plan.scale_rule != 0) dots = reduce_block(sums.dots, block.count);
    if (Bits > 0 && (Sketch || plan.scale_rule == 2)) squares = reduce_block(sums.squares, block.count);
    if constexpr (Bits > 0) {
        const Doubles all = scales.index_scale(plan.scale_rule, dots, squares);
        store_floats(index_scales, all);
        plain = plain && plan.scale_type == ScaleType::float32 && all_within(all, 0, kLargestFloat);
    }
    if constexpr (Sketch) {
        const Doubles absolute_sums = reduce_block(sums.magnitudes, block.count);
        const Doubles all =
            sketch_scale(plan, squares, absolute_sums, Bits > 0 ? scales.norm * scales.power : scales.power);
        store_floats(magnitudes, absolute_sums);
        store_floats(sketch_scales, all);
        plain = plain && all_within(all, 0, kLargestFloat);
    }
    if (plain) {
        for (int v = 0; v < block.count; ++v, out += record_bytes) {
            if constexpr (Bits > 0) std::memcpy(out + plan.scale_offset(), index_scales + v, 4);
            if constexpr (Sketch) std::memcpy(out + plan.sketch_scale_offset(), sketch_scales + v, 4);
        }
        return block.count;
    }
    for (int v = 0; v < block.count; ++v, out += record_bytes) {
        if (!(block.squared_norms[v] > 0.0f)) {
            std::memset(out, 0, record_bytes);
            continue;
        }
        if constexpr (Bits > 0)
            if (!store_scale(out + plan.scale_offset(), plan.scale_type, index_scales[v])) return v;
        if constexpr (Sketch) {
            const float scale = plan.gaussian || magnitudes[v] > 0.0f ? sketch_scales[v] : 0.0f;
            if (!store_scale(out + plan.sketch_scale_offset(), ScaleType::float32, scale)) return v;
        }
    }
    return block.count;
}

// What became of a block of which `stored` records could be: an error unless that is all.
TURBOQUANT_INLINE EncodeResult encoded(const Block& block, int stored) noexcept {
    if (stored == block.count) return {stored, EncodeError::none, 0.0};
    const double norm = std::sqrt(static_cast<double>(block.squared_norms[stored]));
    const double power = block.extreme ? static_cast<double>(block.powers[stored]) : 1.0;
    return {stored, EncodeError::scale_overflow, norm * power};
}

// --- Vectors in memory, a few at a time -----------------------------------------------------------------------------------

// Codes of the rotated vector z to `out`, and what they add up to. Where Sketch, z becomes the residual of the unit vector.
template <int Bits, bool Sketch>
TURBOQUANT_NOINLINE void encode_indices(const CodebookTable& codebook, int scale_rule, float* z, int dim,
                                        float steps, float unit, std::uint8_t* out, Floats& dot,
                                        Floats& square) noexcept {
    const Nearest<Bits> nearest(codebook);
    const Centroids<Bits> centroids(codebook.centroids);
    const Floats step_factor = broadcast(steps), unit_factor = broadcast(unit);
    Floats dots[kSums], squares[kSums];
    clear(dots);
    clear(squares);
    std::uint8_t partial[kStepFloats];
    for (int i = 0; i < dim; i += kStepFloats) {
        const int rest = dim - i;
        Floats r[kStep];
        Bytes codes[kStep / 4];
        load_step(z + i, rest, r);
        quantize_step(nearest, r, step_factor, rest >= kStepFloats ? out + i / 8 * Bits : partial, codes);
        if (!Sketch && scale_rule == 0) continue;
        Floats c[kStep];
        centroid_step(centroids, codes, rest, c);
        if constexpr (Sketch) {
            residual_step(r, unit_factor, c, squares);
            TURBOQUANT_UNROLL
            for (int k = 0; k < kStep; ++k) store(z + i + k * kLanes, r[k]);
        } else {
            sum_step(r, c, scale_rule == 2, dots, squares);
        }
    }
    if (const int rest = dim % kStepFloats; rest > 0)
        store_partial(out + (dim - rest) / 8 * Bits, partial, rest * Bits);
    dot = fold(dots);
    square = fold(squares);
}

// Packs sign bits; returns the folded sums of ‖w‖₁.
TURBOQUANT_NOINLINE inline Floats pack_signs(const float* w, int dim, std::uint8_t* out) noexcept {
    Floats magnitudes[kSums];
    clear(magnitudes);
    for (int i = 0; i < dim; i += 32) {
        Floats r[kSums];
        load_step(w + i, dim - i, r);
        const std::uint32_t bits = sign_step(r, magnitudes);
        std::uint8_t packed[4];
        std::memcpy(packed, &bits, 4);
        if (dim - i >= 32)
            std::memcpy(out + i / 8, packed, 4);
        else
            store_partial(out + i / 8, packed, dim - i);
    }
    return fold(magnitudes);
}

// Vectors whose norms and scales are found together: as many as the first level of the cache holds besides.
TURBOQUANT_INLINE int vectors_of_block(int dim, int together) noexcept {
    const int vectors = 4096 / dim < kDoubles ? 4096 / dim : kDoubles;
    return vectors > together ? vectors / together * together : together;
}

// `count` columns (1 or more, up to vectors_of_block()) to consecutive records, fewer where one is not finite, which is an
// error where it is the first. scratch: work_floats(2, d).
template <int Bits, bool Sketch, int Dim>
TURBOQUANT_NOINLINE EncodeResult encode_columns(const CodecPlan& plan, const InputColumns& in,
                                                std::ptrdiff_t column, int count, std::uint8_t* out,
                                                float* scratch) noexcept {
    const int dim = plan.dim, together = vectors_together<Dim>(plan);
    const std::ptrdiff_t stride = padded(dim);
    const std::size_t record_bytes = plan.record_bytes();
    float* const x = scratch + (Bits > 0 ? plan.rotation : plan.sketch)->lead();
    float* const other = x + together * stride;
    const Block block = load_block<0>(in, column, count, together, dim, x, stride);
    if (block.count == 0) return {0, EncodeError::not_finite, 0.0};
    const Scales<Doubles> scales(plan, load_doubles(block.squared_norms), block.power());
    const Factors factors(block, scales);
    BlockSums sums;
    std::uint8_t* record = out;
    int first = 0;
    do {  // vectors that are rotated together
        const int left = block.count - first, end = first + (left < together ? left : together);
        const float* const vectors = block.vectors + first * block.stride;
        float* z = rotate_all<false, Dim>(Bits > 0 ? *plan.rotation : *plan.sketch, vectors, block.stride, x,
                                          other, stride, end - first);
        if constexpr (Bits > 0) {
            std::uint8_t* indices = record;
            int v = first;
            do {
                encode_indices<Bits, Sketch>(*plan.codebook, plan.scale_rule, z, dim, factors.steps[v],
                                             factors.units[v], indices, sums.dots[v], sums.squares[v]);
                z += stride, indices += record_bytes;
            } while (++v < end);
        }
        if constexpr (Sketch) {
            const float* w =
                Bits > 0 ? rotate_all<false, Dim>(*plan.sketch, other, x, end - first, stride) : other;
            std::uint8_t* signs = record + plan.index_bytes();
            int v = first;
            do {
                sums.magnitudes[v] = pack_signs(w, dim, signs);
                w += stride, signs += record_bytes;
            } while (++v < end);
        }
        record += static_cast<std::size_t>(together) * record_bytes;
        first = end;
    } while (first < block.count);
    return encoded(block, store_scales<Bits, Sketch>(plan, block, scales, sums, out));
}

// Records of the columns, one after another, by an encoder of its own: store(scales, z, spare, record) writes that of
// z = growth·Πx, whose tail is zero, and returns false where the scale overflows. spare: padded(dim) floats. In scratch, what
// lies beyond 2·vectors_together()·padded(dim) floats is the encoder's.
template <class Store>
TURBOQUANT_INLINE EncodeResult encode_each(const CodecPlan& plan, const InputColumns& in, std::uint8_t* out,
                                           float* scratch, const Store& store) noexcept {
    const int dim = plan.dim, together = vectors_together<Dynamic>(plan);
    const std::ptrdiff_t stride = padded(dim);
    const std::size_t record_bytes = plan.record_bytes();
    float* const x = scratch + plan.rotation->lead();
    float* const other = x + together * stride;
    for (std::ptrdiff_t column = 0; column < in.count;) {
        const int count = in.count - column < together ? static_cast<int>(in.count - column) : together;
        const Block block = load_block<0>(in, column, count, together, dim, x, stride);
        if (block.count == 0) return {column, EncodeError::not_finite, 0.0};
        float* z = rotate_all<false, Dynamic>(*plan.rotation, block.vectors, block.stride, x, other, stride,
                                              block.count);
        for (int v = 0; v < block.count; ++v, ++column, z += stride, out += record_bytes) {
            if (!(block.squared_norms[v] > 0.0f)) {
                std::memset(out, 0, record_bytes);
                continue;
            }
            const Scales<double> scales(plan, static_cast<double>(block.squared_norms[v]),
                                        block.extreme ? static_cast<double>(block.powers[v]) : 1.0);
            clear_tail(z, dim);
            if (!store(scales, z, x, out))
                return {column, EncodeError::scale_overflow, scales.norm * scales.power};
        }
    }
    return {in.count, EncodeError::none, 0.0};
}
