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

// Codes of z·steps, packed to `out`; one byte each to `codes` where Keep.
template <int Bits, bool Keep>
TURBOQUANT_INLINE void quantize(const CodebookTable& codebook, const float* z, int dim, float steps,
                                std::uint8_t* out, std::uint8_t* codes) noexcept {
    constexpr int kBlock = 4 * kLanes;
    const Nearest<Bits> nearest(codebook);
    const Floats factor = broadcast(steps);
    for (int i = 0; i < dim; i += kBlock) {
        Floats y[4];
        TURBOQUANT_UNROLL
        for (int k = 0; k < 4; ++k) y[k] = mul(load(z + i + k * kLanes), factor);
        const Bytes block = nearest(y);
        if (Keep) store_bytes(codes + i, block);
        if (dim - i >= kBlock) {
            store_packed<Bits>(out + i / 8 * Bits, block);
        } else {
            std::uint8_t packed[kBlock];
            store_packed<Bits>(packed, block);
            store_partial(out + i / 8 * Bits, packed, (dim - i) * Bits);
        }
    }
}

// ⟨z, c⟩ and ‖c‖² of the centroids chosen.
struct CentroidSums {
    float dot, squares;
};
template <int Bits>
TURBOQUANT_INLINE CentroidSums centroid_sums(const CodebookTable& codebook, const float* z, int dim,
                                             const std::uint8_t* codes) noexcept {
    const Centroids<Bits> centroids(codebook.centroids);
    Floats dots[kSums], squares[kSums];
    TURBOQUANT_UNROLL
    for (int k = 0; k < kSums; ++k) dots[k] = squares[k] = zero();
    for (int i = 0; i < dim; i += 32) {
        TURBOQUANT_UNROLL
        for (int k = 0; k < kSums; ++k) {
            const int at = i + k * kLanes;
            Floats c = centroids(load_codes(codes + at));
            if (dim - at < kLanes) c = keep(c, first_lanes(dim - at));
            dots[k] = fused(load(z + at), c, dots[k]);
            squares[k] = fused(c, c, squares[k]);
        }
    }
    return {reduce(dots), reduce(squares)};
}

// z becomes the residual z·unit − c, zeros from dim on; returns its squared norm.
template <int Bits>
TURBOQUANT_INLINE float residual(const CodebookTable& codebook, float* z, int dim, float unit,
                                 const std::uint8_t* codes) noexcept {
    const Centroids<Bits> centroids(codebook.centroids);
    const Floats factor = broadcast(unit);
    Floats sums[kSums];
    TURBOQUANT_UNROLL
    for (int k = 0; k < kSums; ++k) sums[k] = zero();
    for (int i = 0; i < dim; i += 32) {
        TURBOQUANT_UNROLL
        for (int k = 0; k < kSums; ++k) {
            const int at = i + k * kLanes;
            Floats c = centroids(load_codes(codes + at));
            if (dim - at < kLanes) c = keep(c, first_lanes(dim - at));
            const Floats r = fused_sub(load(z + at), factor, c);
            store(z + at, r);
            sums[k] = fused(r, r, sums[k]);
        }
    }
    return reduce(sums);
}

// Sign bits of w (1 where negative), packed; returns ‖w‖₁. w is zero from dim on.
TURBOQUANT_INLINE float pack_signs(const float* w, int dim, std::uint8_t* out) noexcept {
    Floats sums[kSums];
    TURBOQUANT_UNROLL
    for (int k = 0; k < kSums; ++k) sums[k] = zero();
    for (int i = 0; i < dim; i += 32) {
        std::uint32_t bits = 0;
        TURBOQUANT_UNROLL
        for (int k = 0; k < kSums; ++k) {
            const Floats value = load(w + i + k * kLanes);
            bits |= sign_bits(value) << (k * kLanes);
            sums[k] = add(sums[k], absolute(value));
        }
        std::uint8_t packed[4];
        std::memcpy(packed, &bits, 4);
        if (dim - i >= 32)
            std::memcpy(out + i / 8, packed, 4);
        else
            store_partial(out + i / 8, packed, dim - i);
    }
    return reduce(sums);
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

// --- One vector, any dimension ------------------------------------------------------------------------------------------

// Two buffers, and one byte a coordinate.
TURBOQUANT_INLINE std::uint8_t* code_scratch(float* scratch, int dim) noexcept {
    return reinterpret_cast<std::uint8_t*>(scratch + 2 * padded(dim));
}

template <int Bits, bool Sketch>
TURBOQUANT_NOINLINE EncodeResult encode_column(const CodecPlan& plan, const InputColumns& in,
                                               std::ptrdiff_t column, std::uint8_t* out,
                                               float* scratch) noexcept {
    const int dim = plan.dim;
    float* const a = scratch;
    float* const b = scratch + padded(dim);
    const LoadedVector vector = load_column(in, column, dim, a);
    if (!vector.finite) return {column, EncodeError::not_finite, 0.0};
    if (!(vector.squared_norm > 0.0f)) {
        std::memset(out, 0, plan.record_bytes());
        return {column, EncodeError::none, 0.0};
    }
    const VectorScales scales(plan, vector.squared_norm, vector.exponent);
    const EncodeResult overflow{column, EncodeError::scale_overflow, scales.norm * scales.power};
    float* z = a;
    double squared = scales.squared_norm, length = scales.power;
    if constexpr (Bits > 0) {
        const CodebookTable& codebook = *plan.codebook;
        std::uint8_t* const codes = code_scratch(scratch, dim);
        z = rotate(*plan.rotation, a, b);
        clear_tail(z, dim);
        CentroidSums sums{0.0f, 0.0f};
        if (!Sketch && plan.scale_rule == 0) {
            quantize<Bits, false>(codebook, z, dim, scales.steps, out, codes);
        } else {
            quantize<Bits, true>(codebook, z, dim, scales.steps, out, codes);
            if (!Sketch) sums = centroid_sums<Bits>(codebook, z, dim, codes);
        }
        if (!store_scale(out + plan.scale_offset(), plan.scale_type,
                         scales.index_scale(plan.scale_rule, sums)))
            return overflow;
        if constexpr (Sketch) {
            // The residual of the unit vector is sketched.
            const float unit = static_cast<float>(scales.unit);
            squared = static_cast<double>(residual<Bits>(codebook, z, dim, unit, codes));
            length = scales.norm * scales.power;
        }
    }
    if constexpr (Sketch) {
        float* const w = rotate(*plan.sketch, z, z == a ? b : a);
        clear_tail(w, dim);
        const float absolute_sum = pack_signs(w, dim, out + plan.index_bytes());
        if (!store_scale(out + plan.sketch_scale_offset(), ScaleType::float32,
                         sketch_scale(plan, squared, absolute_sum, length)))
            return overflow;
    }
    return {column, EncodeError::none, 0.0};
}
