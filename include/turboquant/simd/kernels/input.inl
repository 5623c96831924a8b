// From the user's memory to a work buffer: conversion to float, the norm, and what makes any finite input safe.
//
// Sums over coordinates are made of 32 interleaved partial sums (coordinate j goes to sum j mod 32), reduced in a fixed
// order: sum l + sum l+16, then l + l+8, … l + l+1.

inline constexpr int kSums = 32 / kLanes;

TURBOQUANT_INLINE void clear(Floats (&sums)[kSums]) noexcept {
    TURBOQUANT_UNROLL
    for (int k = 0; k < kSums; ++k) sums[k] = zero();
}

// The steps of the reduction that leave one register, and all of them.
TURBOQUANT_INLINE Floats fold(const Floats (&sums)[kSums]) noexcept {
    Floats folded[kSums];
    TURBOQUANT_UNROLL
    for (int k = 0; k < kSums; ++k) folded[k] = sums[k];
    TURBOQUANT_UNROLL
    for (int half = kSums / 2; half > 0; half /= 2) {
        TURBOQUANT_UNROLL
        for (int k = 0; k < half; ++k) folded[k] = add(folded[k], folded[k + half]);
    }
    return folded[0];
}
TURBOQUANT_INLINE float reduce(const Floats (&sums)[kSums]) noexcept { return reduce_lanes(fold(sums)); }

// The folded sums of ‖x‖². Where Copy, z = x, zeros up to the next multiple of 32; z may be x.
template <bool Copy>
TURBOQUANT_NOINLINE Floats squares(const float* x, int dim, float* z) noexcept {
    Floats sums[kSums];
    clear(sums);
    int i = 0;
    for (; i + 32 <= dim; i += 32) {
        TURBOQUANT_UNROLL
        for (int k = 0; k < kSums; ++k) {
            const Floats value = load(x + i + kLanes * k);
            if (Copy) store(z + i + kLanes * k, value);
            sums[k] = fused(value, value, sums[k]);
        }
    }
    for (int k = 0; k < kSums && i < dim; ++k) {
        const Floats value = load_first(x + i + kLanes * k, dim - i - kLanes * k);
        if (Copy) store(z + i + kLanes * k, value);
        sums[k] = fused(value, value, sums[k]);
    }
    return fold(sums);
}

// The copy, and ‖x‖².
TURBOQUANT_INLINE float load_vector(const float* x, int dim, float* z) noexcept {
    return reduce_lanes(squares<true>(x, dim, z));
}

// The column as floats: where it lies, or converted to `buffer`.
TURBOQUANT_INLINE Floats load_halves(InputType type, const std::uint16_t* p) noexcept {
    return type == InputType::float16 ? load_float16(p) : load_bfloat16(p);
}
TURBOQUANT_NOINLINE inline void convert_column(InputType type, const std::uint16_t* x, int dim,
                                               float* buffer) noexcept {
    int i = 0;
    for (; i + kLanes <= dim; i += kLanes) store(buffer + i, load_halves(type, x + i));
    if (i == dim) return;
    std::uint16_t rest[kLanes] = {};
    std::memcpy(rest, x + i, 2 * static_cast<std::size_t>(dim - i));
    store(buffer + i, load_halves(type, rest));
}
TURBOQUANT_INLINE const float* column_floats(const InputColumns& in, std::ptrdiff_t column, int dim,
                                             float* buffer) noexcept {
    const std::ptrdiff_t at = column * in.stride;
    if (in.type == InputType::float32) return static_cast<const float*>(in.data) + at;
    convert_column(in.type, static_cast<const std::uint16_t*>(in.data) + at, dim, buffer);
    return buffer;
}

// A vector in a work buffer: z·2^exponent is the input.
struct LoadedVector {
    float squared_norm;
    int exponent;
    bool finite;
    double norm() const noexcept {  // of the input
        return std::ldexp(std::sqrt(static_cast<double>(squared_norm)), exponent);
    }
};

// Squared norms in [2^-60, 2^60] are finite, exact enough, and safe from overflow in unnormalised transforms. An integer
// test on the bits: it holds under -ffast-math too, and a NaN or infinity anywhere in the vector fails it.
inline constexpr std::uint32_t kLeastSquare = 0x21800000u, kLargestSquare = 0x5d800000u;
TURBOQUANT_INLINE bool ordinary_squared_norm(float squared_norm) noexcept {
    std::uint32_t bits;
    std::memcpy(&bits, &squared_norm, 4);
    return bits - kLeastSquare <= kLargestSquare - kLeastSquare;
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
    const int exponents[2] = {-exponent / 2, -exponent - -exponent / 2};
    for (const int part : exponents) {
        const std::uint32_t bits = static_cast<std::uint32_t>(part + 127) << 23;
        float factor;
        std::memcpy(&factor, &bits, 4);
        for (int i = 0; i < dim; ++i) z[i] *= factor;
    }
    return {load_vector(z, dim, z), exponent, true};
}

TURBOQUANT_NOINLINE inline LoadedVector load_column(const InputColumns& in, std::ptrdiff_t column, int dim,
                                                    float* z) noexcept {
    const float squared_norm = load_vector(column_floats(in, column, dim, z), dim, z);
    if (ordinary_squared_norm(squared_norm)) return {squared_norm, 0, true};
    return scale_extreme_vector(z, dim);
}

// The first column from `column` on whose squared norm is not ordinary or exceeds `limit`, or count.
inline std::ptrdiff_t find_extreme_column(const InputColumns& in, std::ptrdiff_t column, int dim, float limit,
                                          float* scratch) noexcept {
    for (; column < in.count; ++column) {
        const float* const x = column_floats(in, column, dim, scratch);
        const float squared_norm = reduce_lanes(squares<false>(x, dim, nullptr));
        if (!ordinary_squared_norm(squared_norm) || squared_norm > limit) break;
    }
    return column;
}

// squares() of d = kLanes·Registers coordinates, which stay in registers.
template <int Registers>
TURBOQUANT_INLINE Floats load_registers(const float* x, Floats (&r)[Registers]) noexcept {
    Floats sums[kSums];
    clear(sums);
    TURBOQUANT_UNROLL
    for (int i = 0; i < Registers; ++i) {
        r[i] = load(x + kLanes * i);
        sums[i % kSums] = fused(r[i], r[i], sums[i % kSums]);
    }
    return fold(sums);
}

// Vectors that take their steps together, at most as many as Doubles has lanes: where they lie, in the user's memory or
// copied, and what scales them back.
struct Block {
    const float* vectors;
    std::ptrdiff_t stride;
    int count;
    float squared_norms[kDoubles];
    bool extreme;            // whether inputs are not the vectors, but the vectors times
    float powers[kDoubles];  // these powers of two
    TURBOQUANT_INLINE Doubles power() const noexcept { return extreme ? load_doubles(powers) : Doubles(1.0); }
};

// The sums of a block's folded rows. Where vectors are missing, those of the first stand for them.
TURBOQUANT_INLINE Doubles reduce_block(Floats (&rows)[kDoubles], int count) noexcept {
    if (kDoubles == 1 || count == 1) return Doubles(static_cast<double>(reduce_lanes(rows[0])));
    for (int v = count; v < kDoubles; ++v) rows[v] = rows[0];
    return reduce_lanes(rows);
}

// The same of a block with norms that are not ordinary: everything is copied to x, up to a vector that is not finite.
TURBOQUANT_NOINLINE inline void load_extreme_block(Block& block, int dim, float* x,
                                                   std::ptrdiff_t stride) noexcept {
    for (float& power : block.powers) power = 1.0f;
    for (int v = 0; v < block.count; ++v) {
        float* const z = x + v * stride;
        LoadedVector vector{load_vector(block.vectors + v * block.stride, dim, z), 0, true};
        if (!ordinary_squared_norm(vector.squared_norm)) vector = scale_extreme_vector(z, dim);
        if (!vector.finite) block.count = v;
        block.squared_norms[v] = vector.squared_norm;
        block.powers[v] = std::ldexp(1.0f, vector.exponent);
    }
    block.vectors = x;
    block.stride = stride;
}

// `count` columns as floats: where they lie, or converted to x, `stride` floats apart. Norms are the caller's to find.
TURBOQUANT_INLINE Block block_of_floats(const InputColumns& in, std::ptrdiff_t column, int count, int dim,
                                        float* x, std::ptrdiff_t stride) noexcept {
    Block block;
    block.vectors = x;
    block.stride = stride;
    block.count = count;
    const std::ptrdiff_t at = column * in.stride;
    if (in.type != InputType::float32) {
        const auto* halves = static_cast<const std::uint16_t*>(in.data) + at;
        for (int v = 0; v < count; ++v) convert_column(in.type, halves + v * in.stride, dim, x + v * stride);
    } else {
        block.vectors = static_cast<const float*>(in.data) + at;
        block.stride = in.stride;
    }
    return block;
}

Block load_centred_block(const InputColumns& in, std::ptrdiff_t column, int count, int dim, float* x,
                         std::ptrdiff_t stride) noexcept;

// `count` columns, fewer where one is not finite, and no more than `room` where they are copied: to x, `stride` floats apart.
// One column alone is copied, lest it be read twice from where it is not aligned. Registers: how many of them make a vector
// where that is known, else 0.
template <int Registers>
TURBOQUANT_INLINE Block load_block(const InputColumns& in, std::ptrdiff_t column, int count, int room,
                                   int dim, float* x, std::ptrdiff_t stride) noexcept {
    if ((in.mean != nullptr || in.type != InputType::float32) && count > room) count = room;
    if (in.mean != nullptr) return load_centred_block(in, column, count, dim, x, stride);
    Block block = block_of_floats(in, column, count, dim, x, stride);
    const bool copy = Registers == 0 && count == 1;
    Floats rows[kDoubles];
    int v = 0;
    do {
        const float* const z = block.vectors + v * block.stride;
        if constexpr (Registers > 0) {
            Floats r[Registers];
            rows[v] = load_registers(z, r);
        } else {
            rows[v] = copy ? squares<true>(z, dim, x) : squares<false>(z, dim, nullptr);
        }
    } while (++v < count);
    if (copy) block.vectors = x;
    const Doubles squared_norms = reduce_block(rows, count);
    store_floats(block.squared_norms, squared_norms);
    block.extreme = !all_within(squared_norms, kLeastSquare, kLargestSquare);
    if (block.extreme) {
        if (block.count > room) block.count = room;
        load_extreme_block(block, dim, x, stride);
    }
    return block;
}

// Zeros from coordinate dim to the end of its block of 64.
TURBOQUANT_INLINE void clear_tail(float* z, int dim) noexcept {
    const int end = (dim + 63) & ~63;
    int i = dim;
    for (; i + kLanes <= end; i += kLanes) store(z + i, zero());
    store_first(z + i, zero(), end - i);
}

// Columns of the rotation alone, for d = kLanes·Registers a power of two, as long as their norms are ordinary; returns how
// many.
template <int Vectors, int Registers>
TURBOQUANT_NOINLINE std::ptrdiff_t rotate_columns_registers(const RotationPlan& plan, bool transpose,
                                                            const float* x, std::ptrdiff_t stride,
                                                            std::ptrdiff_t count, float* out,
                                                            std::ptrdiff_t out_stride) noexcept {
    const Floats factor = broadcast(static_cast<float>(1.0 / plan.growth));
    std::ptrdiff_t column = 0;
    for (; column + Vectors <= count; column += Vectors, x += Vectors * stride, out += Vectors * out_stride) {
        Floats r[Vectors][Registers];
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v)
            if (!ordinary_squared_norm(reduce_lanes(load_registers(x + v * stride, r[v])))) return column;
        if (transpose)
            rotate_transpose_registers(plan, r);
        else
            rotate_registers(plan, r);
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            TURBOQUANT_UNROLL
            for (int i = 0; i < Registers; ++i)
                store(out + v * out_stride + kLanes * i, mul(r[v][i], factor));
        }
    }
    return column;
}

TURBOQUANT_INLINE std::ptrdiff_t rotate_columns_fused(const RotationPlan& plan, bool transpose,
                                                      const InputColumns& in, std::ptrdiff_t column,
                                                      float* out, std::ptrdiff_t out_stride) noexcept {
    if constexpr (kRegisterPaths) {
        constexpr int kVectors = kLanes == 16 ? 2 : 1;
        if (!plan.plain() || in.type != InputType::float32) return 0;
        const float* x = static_cast<const float*>(in.data) + column * in.stride;
        const std::ptrdiff_t count = in.count - column;
        out += column * out_stride;
        if (plan.dim == 8 * kLanes)
            return rotate_columns_registers<kVectors, 8>(plan, transpose, x, in.stride, count, out,
                                                         out_stride);
        if (plan.dim == 16 * kLanes)
            return rotate_columns_registers<1, 16>(plan, transpose, x, in.stride, count, out, out_stride);
    }
    return 0;
}

// to = z·factor·2^exponent.
TURBOQUANT_INLINE void store_scaled(const float* z, int dim, double factor, int exponent,
                                    float* to) noexcept {
    if (exponent == 0) {
        const Floats f = broadcast(static_cast<float>(factor));
        for (int i = 0; i < dim; i += kLanes) store_first(to + i, mul(load(z + i), f), dim - i);
    } else {
        // Rounded once, in double, so that results near the ends of float's range come out right.
        factor = std::ldexp(factor, exponent);
        for (int i = 0; i < dim; ++i) to[i] = static_cast<float>(static_cast<double>(z[i]) * factor);
    }
}

// The rotation alone: out = Πx, or Πᵀx, column by column. Returns the first column that is not finite (its result is
// NaN), or −1. scratch: work_floats(2, d). powers: nullptr, or one per column, 1 before the call: what is written is then to
// be multiplied by them, 2^16 where a coordinate, or its product with a centroid, might exceed float's range.
inline std::ptrdiff_t rotate_columns(const RotationPlan& plan, bool transpose, const InputColumns& in,
                                     float* out, std::ptrdiff_t out_stride, float* scratch,
                                     float* powers) noexcept {
    const int dim = plan.dim, together = vectors_together<Dynamic>(plan);
    const std::ptrdiff_t stride = padded(dim);
    float* const x = scratch + plan.lead();
    float* const other = x + together * stride;
    std::ptrdiff_t bad = -1;
    for (std::ptrdiff_t column = 0; column < in.count;) {
        column += rotate_columns_fused(plan, transpose, in, column, out, out_stride);
        const int count = in.count - column < together ? static_cast<int>(in.count - column) : together;
        if (count == 0) break;
        int exponents[kTogether];
        for (int v = 0; v < count; ++v) {
            const LoadedVector vector = load_column(in, column + v, dim, x + v * stride);
            if (!vector.finite && bad < 0) bad = column + v;
            exponents[v] = vector.exponent;
            if (powers != nullptr && vector.exponent > 100) {
                powers[column + v] = 0x1p16f;
                exponents[v] -= 16;
            }
        }
        const float* z = transpose ? rotate_all<true, Dynamic>(plan, x, other, count, stride)
                                   : rotate_all<false, Dynamic>(plan, x, other, count, stride);
        for (int v = 0; v < count; ++v)
            store_scaled(z + v * stride, dim, 1.0 / plan.growth, exponents[v],
                         out + (column + v) * out_stride);
        column += count;
    }
    return bad;
}

// Columns as float, rows of `out`. Returns the first column that is not finite or whose norm exceeds `limit` (2^30 or more),
// or −1.
inline std::ptrdiff_t copy_columns(int dim, const InputColumns& in, double limit, float* out,
                                   std::ptrdiff_t out_stride) noexcept {
    std::ptrdiff_t bad = -1;
    for (std::ptrdiff_t column = 0; column < in.count; ++column) {
        float* to = out + column * out_stride;
        const LoadedVector vector = load_column(in, column, dim, to);
        if (!vector.finite && bad < 0) bad = column;
        if (vector.exponent == 0) continue;
        for (int i = 0; i < dim; ++i) to[i] = std::ldexp(to[i], vector.exponent);
        if (vector.norm() > limit && bad < 0) bad = column;
    }
    return bad;
}
