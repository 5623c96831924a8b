// From the user's memory to a work buffer: conversion to float, the norm, and what makes any finite input safe.
//
// Squared norms are sums of 32 interleaved partial sums (coordinate j goes to sum j mod 32), reduced in a fixed order.

TURBOQUANT_INLINE Floats load_element(const float* p) noexcept { return load(p); }

// Distinct types for the two 16-bit formats, both kept as their bits.
struct Float16 {
    std::uint16_t bits;
};
struct Bfloat16 {
    std::uint16_t bits;
};
TURBOQUANT_INLINE Floats load_element(const Float16* p) noexcept { return load_float16(&p->bits); }
TURBOQUANT_INLINE Floats load_element(const Bfloat16* p) noexcept { return load_bfloat16(&p->bits); }

inline constexpr int kSums = 32 / kLanes;

enum class LoadMode { norm_only, plain, scaled };

// 32 coordinates of it.
template <LoadMode Mode, class Element>
TURBOQUANT_INLINE void load_block(const Element* x, Floats first, Floats second, float* z,
                                  Floats (&sums)[kSums]) noexcept {
    TURBOQUANT_UNROLL
    for (int k = 0; k < kSums; ++k) {
        Floats value = load_element(x + kLanes * k);
        if constexpr (Mode == LoadMode::scaled) value = mul(mul(value, first), second);
        if constexpr (Mode != LoadMode::norm_only) store(z + kLanes * k, value);
        sums[k] = fused(value, value, sums[k]);
    }
}

// z = x·first·second (or x; or nothing but the norm), zeros up to the next multiple of 32; returns ‖z‖².
template <LoadMode Mode, class Element>
TURBOQUANT_NOINLINE float load_vector(const Element* x, int dim, float first, float second,
                                      float* z) noexcept {
    Floats sums[kSums];
    TURBOQUANT_UNROLL
    for (int k = 0; k < kSums; ++k) sums[k] = zero();
    const Floats f1 = broadcast(first), f2 = broadcast(second);
    int i = 0;
    for (; i + 32 <= dim; i += 32) load_block<Mode>(x + i, f1, f2, z + i, sums);
    if (i < dim) {
        Element rest[32] = {};
        std::memcpy(rest, x + i, sizeof(Element) * static_cast<std::size_t>(dim - i));
        load_block<Mode>(rest, f1, f2, z + i, sums);
    }
    return reduce(sums);
}

// A vector in a work buffer: z·2^exponent is the input.
struct LoadedVector {
    float squared_norm;
    int exponent;
    bool finite;
};

// Squared norms in [2^-60, 2^60] are finite, exact enough, and safe from overflow in unnormalised transforms. An integer
// test on the bits: it holds under -ffast-math too, and a NaN or infinity anywhere in the vector fails it.
TURBOQUANT_INLINE bool ordinary_squared_norm(float squared_norm) noexcept {
    std::uint32_t bits;
    std::memcpy(&bits, &squared_norm, 4);
    return bits - 0x21800000u <= 0x5d800000u - 0x21800000u;
}

// The rest: zeros, and vectors that are scaled, in place, by a power of two so that their largest coordinate is in [1, 2).
TURBOQUANT_NOINLINE inline LoadedVector scale_extreme_vector(float* z, int dim) noexcept {
    std::uint32_t largest = 0;
    for (int i = 0; i < dim; ++i) {
        std::uint32_t bits;
        std::memcpy(&bits, z + i, 4);
        bits &= 0x7fffffffu;
        largest = bits > largest ? bits : largest;
    }
    if (largest >= 0x7f800000u) return {0.0f, 0, false};
    if (largest == 0) return {0.0f, 0, true};
    int exponent = static_cast<int>(largest >> 23) - 127;
    if (exponent == -127) {  // denormal: the position of the leading bit
        exponent = -150;
        for (std::uint32_t rest = largest; rest != 0; rest >>= 1) ++exponent;
    }
    // 2^-exponent may exceed the range of float: two factors.
    float factors[2];
    const int exponents[2] = {-exponent / 2, -exponent - -exponent / 2};
    for (int i = 0; i < 2; ++i) {
        const std::uint32_t bits = static_cast<std::uint32_t>(exponents[i] + 127) << 23;
        std::memcpy(factors + i, &bits, 4);
    }
    return {load_vector<LoadMode::scaled>(z, dim, factors[0], factors[1], z), exponent, true};
}

TURBOQUANT_NOINLINE inline LoadedVector load_column(const InputColumns& in, std::ptrdiff_t column, int dim,
                                                    float* z) noexcept {
    const std::ptrdiff_t at = column * in.stride;
    constexpr LoadMode kPlain = LoadMode::plain;
    float squared_norm;
    if (in.type == InputType::float32)
        squared_norm = load_vector<kPlain>(static_cast<const float*>(in.data) + at, dim, 1.0f, 1.0f, z);
    else if (in.type == InputType::float16)
        squared_norm = load_vector<kPlain>(static_cast<const Float16*>(in.data) + at, dim, 1.0f, 1.0f, z);
    else
        squared_norm = load_vector<kPlain>(static_cast<const Bfloat16*>(in.data) + at, dim, 1.0f, 1.0f, z);
    if (ordinary_squared_norm(squared_norm)) return {squared_norm, 0, true};
    return scale_extreme_vector(z, dim);
}

// The first column from `column` on whose squared norm is not ordinary or exceeds `limit`, or count.
TURBOQUANT_NOINLINE inline std::ptrdiff_t find_extreme_column(const InputColumns& in, std::ptrdiff_t column,
                                                              int dim, float limit, float* scratch) noexcept {
    for (; column < in.count; ++column) {
        const float* x = static_cast<const float*>(in.data) + column * in.stride;
        const float squared_norm = in.type == InputType::float32
                                       ? load_vector<LoadMode::norm_only>(x, dim, 1.0f, 1.0f, scratch)
                                       : load_column(in, column, dim, scratch).squared_norm;
        if (!ordinary_squared_norm(squared_norm) || squared_norm > limit) break;
    }
    return column;
}

// Zeros from coordinate dim to the end of its block of 64.
TURBOQUANT_INLINE void clear_tail(float* z, int dim) noexcept {
    for (int i = dim; (i & 63) != 0; ++i) z[i] = 0.0f;
}

// load_vector() to registers: r = x, returns ‖x‖².
template <int Registers>
TURBOQUANT_INLINE float load_registers(const float* x, Floats (&r)[Registers]) noexcept {
    Floats sums[kSums];
    TURBOQUANT_UNROLL
    for (int k = 0; k < kSums; ++k) sums[k] = zero();
    TURBOQUANT_UNROLL
    for (int i = 0; i < Registers; ++i) {
        r[i] = load(x + kLanes * i);
        sums[i % kSums] = fused(r[i], r[i], sums[i % kSums]);
    }
    return reduce(sums);
}

// One column of the rotation alone, for d = kLanes·Registers a power of two; false where the norm is not ordinary.
template <int Registers>
TURBOQUANT_NOINLINE bool rotate_column_registers(const RotationPlan& plan, bool transpose, const float* x,
                                                 float* out) noexcept {
    Floats r[1][Registers];
    if (!ordinary_squared_norm(load_registers(x, r[0]))) return false;
    if (transpose)
        rotate_transpose_registers(plan, r);
    else
        rotate_registers(plan, r);
    const Floats factor = broadcast(static_cast<float>(1.0 / plan.growth));
    TURBOQUANT_UNROLL
    for (int i = 0; i < Registers; ++i) store(out + kLanes * i, mul(r[0][i], factor));
    return true;
}

TURBOQUANT_INLINE bool rotate_column_fused(const RotationPlan& plan, bool transpose, const float* x,
                                           float* out) noexcept {
    if constexpr (kRegisterPaths) {
        if (!plan.in_place()) return false;
        if (plan.dim == 8 * kLanes) return rotate_column_registers<8>(plan, transpose, x, out);
        if (plan.dim == 16 * kLanes) return rotate_column_registers<16>(plan, transpose, x, out);
    }
    return false;
}

// The rotation alone: out = Πx, or Πᵀx, column by column. Returns the first column that is not finite (its result is
// NaN), or −1.
inline std::ptrdiff_t rotate_columns(const RotationPlan& plan, bool transpose, const InputColumns& in,
                                     float* out, std::ptrdiff_t out_stride, float* scratch) noexcept {
    const int dim = plan.dim;
    float* const buffers[2] = {scratch, scratch + padded(dim)};
    const double normalisation = 1.0 / plan.growth;
    std::ptrdiff_t bad = -1;
    for (std::ptrdiff_t column = 0; column < in.count; ++column) {
        if (in.type == InputType::float32 &&
            rotate_column_fused(plan, transpose, static_cast<const float*>(in.data) + column * in.stride,
                                out + column * out_stride))
            continue;
        const LoadedVector vector = load_column(in, column, dim, buffers[0]);
        if (!vector.finite && bad < 0) bad = column;
        const float* z =
            transpose ? rotate_transpose(plan, buffers[0], buffers[1]) : rotate(plan, buffers[0], buffers[1]);
        float* to = out + column * out_stride;
        if (vector.exponent == 0) {
            const Floats factor = broadcast(static_cast<float>(normalisation));
            int i = 0;
            for (; i + kLanes <= dim; i += kLanes) store(to + i, mul(load(z + i), factor));
            for (; i < dim; ++i) to[i] = z[i] * static_cast<float>(normalisation);
        } else {
            // Rounded once, in double, so that results near the ends of float's range come out right.
            const double factor = std::ldexp(normalisation, vector.exponent);
            for (int i = 0; i < dim; ++i) to[i] = static_cast<float>(static_cast<double>(z[i]) * factor);
        }
    }
    return bad;
}

// Columns as float, rows of `out`. Returns the first column that is not finite, or −1.
inline std::ptrdiff_t copy_columns(int dim, const InputColumns& in, float* out,
                                   std::ptrdiff_t out_stride) noexcept {
    std::ptrdiff_t bad = -1;
    for (std::ptrdiff_t column = 0; column < in.count; ++column) {
        float* to = out + column * out_stride;
        const LoadedVector vector = load_column(in, column, dim, to);
        if (!vector.finite && bad < 0) bad = column;
        if (vector.exponent != 0)
            for (int i = 0; i < dim; ++i) to[i] = std::ldexp(to[i], vector.exponent);
    }
    return bad;
}
