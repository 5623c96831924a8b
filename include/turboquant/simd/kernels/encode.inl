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
TURBOQUANT_INLINE bool store_scale(std::uint8_t* out, ScaleType type, double scale) noexcept {
    const float value = static_cast<float>(scale);
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

// The last, incomplete block of a packed array: whole bytes, unused bits zero.
TURBOQUANT_INLINE void store_partial(std::uint8_t* out, const std::uint8_t* packed, int bits) noexcept {
    const int bytes = (bits + 7) / 8;
    std::memcpy(out, packed, static_cast<std::size_t>(bytes));
    if ((bits & 7) != 0) out[bytes - 1] = static_cast<std::uint8_t>(out[bytes - 1] & ((1 << (bits & 7)) - 1));
}

// --- Steps of 32 coordinates, or 64, in registers -------------------------------------------------------------------------
// Vectors in memory and vectors in registers take the same steps. c is zero from coordinate dim on; `rest` counts the
// coordinates from the step's first to the vector's end.

// Codes of 4 registers times `steps`, packed to `out`.
template <int Bits>
TURBOQUANT_INLINE Bytes quantize_step(const Nearest<Bits>& nearest, const Floats (&r)[4], Floats steps,
                                      std::uint8_t* out) noexcept {
    Floats y[4];
    TURBOQUANT_UNROLL
    for (int k = 0; k < 4; ++k) y[k] = mul(r[k], steps);
    const Bytes block = nearest(y);
    store_packed<Bits>(out, block);
    return block;
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

// ⟨z, c⟩ and ‖c‖² of the centroids chosen.
struct CentroidSums {
    float dot, squares;
};
template <int Bits>
TURBOQUANT_INLINE void centroid_step(const Centroids<Bits>& centroids, const Ints (&codes)[kSums],
                                     const Floats (&r)[kSums], int rest, bool wants_squares,
                                     Floats (&dots)[kSums], Floats (&squares)[kSums]) noexcept {
    TURBOQUANT_UNROLL
    for (int k = 0; k < kSums; ++k) {
        Floats c = centroids(codes[k]);
        if (rest < 32) c = keep(c, first_lanes(rest - k * kLanes));
        dots[k] = fused(r[k], c, dots[k]);
        if (wants_squares) squares[k] = fused(c, c, squares[k]);
    }
}

// r becomes the residual r·unit − c, whose squares are added up.
template <int Bits>
TURBOQUANT_INLINE void residual_step(const Centroids<Bits>& centroids, const Ints (&codes)[kSums],
                                     Floats unit, int rest, Floats (&r)[kSums],
                                     Floats (&squares)[kSums]) noexcept {
    TURBOQUANT_UNROLL
    for (int k = 0; k < kSums; ++k) {
        Floats c = centroids(codes[k]);
        if (rest < 32) c = keep(c, first_lanes(rest - k * kLanes));
        r[k] = fused_sub(r[k], unit, c);
        squares[k] = fused(r[k], r[k], squares[k]);
    }
}

// Sign bits of w (1 where negative); magnitudes are added up.
TURBOQUANT_INLINE std::uint32_t sign_step(const Floats (&w)[kSums], Floats (&magnitudes)[kSums]) noexcept {
    std::uint32_t bits = 0;
    TURBOQUANT_UNROLL
    for (int k = 0; k < kSums; ++k) {
        bits |= sign_bits(w[k]) << (k * kLanes);
        magnitudes[k] = add(magnitudes[k], absolute(w[k]));
    }
    return bits;
}

template <int Registers>
TURBOQUANT_INLINE void load_step(const float* z, Floats (&r)[Registers]) noexcept {
    TURBOQUANT_UNROLL
    for (int k = 0; k < Registers; ++k) r[k] = load(z + k * kLanes);
}
TURBOQUANT_INLINE void load_step(const std::uint8_t* codes, Ints (&c)[kSums]) noexcept {
    TURBOQUANT_UNROLL
    for (int k = 0; k < kSums; ++k) c[k] = load_codes(codes + k * kLanes);
}
TURBOQUANT_INLINE void clear(Floats (&sums)[kSums]) noexcept {
    TURBOQUANT_UNROLL
    for (int k = 0; k < kSums; ++k) sums[k] = zero();
}

// --- Vectors in memory, zero from coordinate dim on ------------------------------------------------------------------------

template <int Bits, bool Keep>
TURBOQUANT_INLINE void quantize(const CodebookTable& codebook, const float* z, int dim, float steps,
                                std::uint8_t* out, std::uint8_t* codes) noexcept {
    constexpr int kBlock = 4 * kLanes;
    const Nearest<Bits> nearest(codebook);
    const Floats factor = broadcast(steps);
    std::uint8_t partial[kBlock];
    for (int i = 0; i < dim; i += kBlock) {
        Floats r[4];
        load_step(z + i, r);
        std::uint8_t* to = dim - i >= kBlock ? out + i / 8 * Bits : partial;
        const Bytes block = quantize_step<Bits>(nearest, r, factor, to);
        if (Keep) store_bytes(codes + i, block);
    }
    if (const int rest = dim % kBlock; rest > 0)
        store_partial(out + (dim - rest) / 8 * Bits, partial, rest * Bits);
}

template <int Bits>
TURBOQUANT_INLINE CentroidSums centroid_sums(const CodebookTable& codebook, const float* z, int dim,
                                             const std::uint8_t* codes) noexcept {
    const Centroids<Bits> centroids(codebook.centroids);
    Floats dots[kSums], squares[kSums];
    clear(dots);
    clear(squares);
    for (int i = 0; i < dim; i += 32) {
        Floats r[kSums];
        Ints c[kSums];
        load_step(z + i, r);
        load_step(codes + i, c);
        centroid_step(centroids, c, r, dim - i, true, dots, squares);
    }
    return {reduce(dots), reduce(squares)};
}

template <int Bits>
TURBOQUANT_INLINE float residual(const CodebookTable& codebook, float* z, int dim, float unit,
                                 const std::uint8_t* codes) noexcept {
    const Centroids<Bits> centroids(codebook.centroids);
    Floats squares[kSums];
    clear(squares);
    for (int i = 0; i < dim; i += 32) {
        Floats r[kSums];
        Ints c[kSums];
        load_step(z + i, r);
        load_step(codes + i, c);
        residual_step(centroids, c, broadcast(unit), dim - i, r, squares);
        TURBOQUANT_UNROLL
        for (int k = 0; k < kSums; ++k) store(z + i + k * kLanes, r[k]);
    }
    return reduce(squares);
}

// Packs sign bits; returns ‖w‖₁.
TURBOQUANT_NOINLINE inline float pack_signs(const float* w, int dim, std::uint8_t* out) noexcept {
    Floats magnitudes[kSums];
    clear(magnitudes);
    for (int i = 0; i < dim; i += 32) {
        Floats r[kSums];
        load_step(w + i, r);
        const std::uint32_t bits = sign_step(r, magnitudes);
        std::uint8_t packed[4];
        std::memcpy(packed, &bits, 4);
        store_partial(out + i / 8, packed, dim - i < 32 ? dim - i : 32);
    }
    return reduce(magnitudes);
}

// --- From sums to what is stored, in double, the same expressions on every path ---------------------------------------------

// Of a vector z·2^exponent: its norm, the power, and the factors that bring growth·Πz to unit length and to codebook steps.
struct VectorScales {
    double squared_norm, norm, power, growth, unit;
    float steps;
    TURBOQUANT_INLINE VectorScales(const CodecPlan& plan, float squared, int exponent) noexcept
        : squared_norm(static_cast<double>(squared)),
          norm(std::sqrt(squared_norm)),
          power(exponent == 0 ? 1.0 : std::ldexp(1.0, exponent)),
          growth(plan.growth),
          unit(1.0 / (norm * growth)),
          steps(static_cast<float>(unit * plan.steps)) {}

    TURBOQUANT_INLINE double index_scale(int rule, const CentroidSums& sums) const noexcept {
        if (rule == 0) return norm * power;
        const double dot = static_cast<double>(sums.dot);  // of growth·Πz with the centroids
        return rule == 1 ? squared_norm * growth / dot * power
                         : dot / (growth * static_cast<double>(sums.squares)) * power;
    }
};

// The scale of the sketch of a vector whose square is `squared`, and whose length is then to be multiplied by `length`.
TURBOQUANT_INLINE double sketch_scale(const CodecPlan& plan, double squared, float absolute_sum,
                                      double length) noexcept {
    if (plan.gaussian) return std::sqrt(squared) * length;
    if (!(absolute_sum > 0.0f)) return 0.0;
    return squared * plan.sketch->growth / static_cast<double>(absolute_sum) * length;
}

// --- Vectors of any dimension, a few at a time --------------------------------------------------------------------------

// Indices and scale of the rotated vector z. Where Sketch, z becomes the residual of the unit vector, zero from d on, and
// `squared` its squared norm. False where the scale overflows. codes: room for d bytes and a block.
template <int Bits, bool Sketch>
TURBOQUANT_NOINLINE bool encode_indices(const CodecPlan& plan, const VectorScales& scales, float* z,
                                        std::uint8_t* out, std::uint8_t* codes, double& squared) noexcept {
    const CodebookTable& codebook = *plan.codebook;
    const int dim = plan.dim;
    CentroidSums sums{0.0f, 0.0f};
    clear_tail(z, dim);
    if (!Sketch && plan.scale_rule == 0) {
        quantize<Bits, false>(codebook, z, dim, scales.steps, out, codes);
    } else {
        quantize<Bits, true>(codebook, z, dim, scales.steps, out, codes);
        if (!Sketch) sums = centroid_sums<Bits>(codebook, z, dim, codes);
    }
    if constexpr (Sketch)
        squared =
            static_cast<double>(residual<Bits>(codebook, z, dim, static_cast<float>(scales.unit), codes));
    return store_scale(out + plan.scale_offset(), plan.scale_type, scales.index_scale(plan.scale_rule, sums));
}

// `count` columns (1 or more, up to kTogether) to consecutive records. `encoded` counts those written: fewer where one is
// not finite, which is an error where it is the first. scratch: work_floats(3, d).
template <int Bits, bool Sketch, int Dim>
TURBOQUANT_NOINLINE EncodeResult encode_columns(const CodecPlan& plan, const InputColumns& in,
                                                std::ptrdiff_t column, int count, std::uint8_t* out,
                                                float* scratch) noexcept {
    const int dim = plan.dim;
    const std::ptrdiff_t stride = padded(dim);
    const std::size_t record_bytes = plan.record_bytes();
    float* const buffers[2] = {scratch, scratch + count * stride};
    auto* const codes = reinterpret_cast<std::uint8_t*>(scratch + 2 * count * stride);
    float* z = buffers[0];
    LoadedVector vectors[kTogether];
    for (int v = 0; v < count; ++v) {
        vectors[v] = load_column(in, column + v, dim, z + v * stride);
        if (vectors[v].finite) continue;
        if (v == 0) return {0, EncodeError::not_finite, 0.0};
        count = v;
    }
    if constexpr (Bits > 0) z = rotate_all<false, Dim>(*plan.rotation, z, buffers[1], count, stride);
    double squared[kTogether], lengths[kTogether];
    for (int v = 0; v < count; ++v) {
        const VectorScales scales(plan, vectors[v].squared_norm, vectors[v].exponent);
        squared[v] = scales.squared_norm;
        lengths[v] = Bits > 0 ? scales.norm * scales.power : scales.power;
        if constexpr (Bits > 0) {
            std::uint8_t* const record = out + static_cast<std::size_t>(v) * record_bytes;
            if (vectors[v].squared_norm > 0.0f &&
                !encode_indices<Bits, Sketch>(plan, scales, z + v * stride, record, codes, squared[v]))
                return {v, EncodeError::scale_overflow, scales.norm * scales.power};
        }
    }
    float* w = z;
    if constexpr (Sketch)
        w = rotate_all<false, Dim>(*plan.sketch, z, z == buffers[0] ? buffers[1] : buffers[0], count, stride);
    for (int v = 0; v < count; ++v) {
        std::uint8_t* const record = out + static_cast<std::size_t>(v) * record_bytes;
        if (!(vectors[v].squared_norm > 0.0f)) {
            std::memset(record, 0, record_bytes);
        } else if constexpr (Sketch) {
            clear_tail(w + v * stride, dim);
            const float absolute_sum = pack_signs(w + v * stride, dim, record + plan.index_bytes());
            if (!store_scale(record + plan.sketch_scale_offset(), ScaleType::float32,
                             sketch_scale(plan, squared[v], absolute_sum, lengths[v])))
                return {v, EncodeError::scale_overflow,
                        std::sqrt(static_cast<double>(vectors[v].squared_norm)) *
                            std::ldexp(1.0, vectors[v].exponent)};
        }
    }
    return {count, EncodeError::none, 0.0};
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
    float* const other = scratch + together * stride;
    LoadedVector vectors[kTogether];
    for (std::ptrdiff_t column = 0; column < in.count;) {
        int count = in.count - column < together ? static_cast<int>(in.count - column) : together;
        for (int v = 0; v < count; ++v) {
            vectors[v] = load_column(in, column + v, dim, scratch + v * stride);
            if (vectors[v].finite) continue;
            if (v == 0) return {column, EncodeError::not_finite, 0.0};
            count = v;
        }
        float* z = rotate_all<false, Dynamic>(*plan.rotation, scratch, other, count, stride);
        float* const spare = z == scratch ? other : scratch;
        for (int v = 0; v < count; ++v, ++column, z += stride, out += record_bytes) {
            if (!(vectors[v].squared_norm > 0.0f)) {
                std::memset(out, 0, record_bytes);
                continue;
            }
            const VectorScales scales(plan, vectors[v].squared_norm, vectors[v].exponent);
            clear_tail(z, dim);
            if (!store(scales, z, spare, out))
                return {column, EncodeError::scale_overflow, scales.norm * scales.power};
        }
    }
    return {in.count, EncodeError::none, 0.0};
}
