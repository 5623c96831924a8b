// Portable C++: a vector is 4 floats (a compiler vector, or an array). Every other target gives bit for bit what this one
// gives.
//
// The vocabulary of kernels, the same on every target:
//   kLanes, kRegisterPaths floats per vector; whether d = 8·kLanes and 16·kLanes have kernels that stay in registers
//   Floats, Ints, Bytes kLanes floats; kLanes 32-bit integers; 4·kLanes bytes
//   Doubles             kDoubles doubles, with * and /, root() and conversions from and to floats
//   all_within          whether all doubles, rounded to float, have bits from `first` to `last`
//   add, sub, mul       each result rounded once; a product is never fused into a later addition
//   fused, fused_sub    a·b + c and a·b − c, rounded once
//   multiply_add        a·b + c, rounded once or twice: only for scores, whose error bound allows both
//   flip, keep          exclusive-or and bitwise-and with a mask
//   hadamard_lanes      the butterflies (a, b) → (a+b, a−b) at distance 1, 2, … kLanes/2, in that order
//   reduce_lanes        kLanes partial sums to one: lane l + lane l + kLanes/2, …, l + l+2, l + l+1; or kDoubles times that
//   sign_bits           the sign bits of 32 coordinates
//   sign_masks          −0.0 where an integer has a bit, a lane each
//   load_codes, codes_of    kLanes bytes, or those of register k of Nearest's four, each to a 32-bit lane
//   Centroids<Bits>     code → centroid
//   Nearest<Bits>       4 vectors, in the codebook's integer steps, → 4·kLanes codes (definition: codebook_table.hpp)
//   store_packed<Bits>  4·kLanes codes to kLanes·Bits/2 bytes
//   Unpack<Bits>        16 codes from 2·Bits bytes; reads 16 bytes

inline constexpr int kLanes = 4;
inline constexpr bool kRegisterPaths = false;
inline constexpr int kFirstRadix = 4;
inline constexpr int kRadix = 2;

#if defined(__GNUC__) || defined(__clang__)
using Lanes = float __attribute__((__vector_size__(16)));
#else
struct Lanes {
    float lane[kLanes];
    float& operator[](int i) noexcept { return lane[i]; }
    float operator[](int i) const noexcept { return lane[i]; }
    template <class Operation>
    static Lanes map(Lanes a, const Lanes& b, Operation operation) noexcept {
        for (int i = 0; i < kLanes; ++i) a.lane[i] = operation(a.lane[i], b.lane[i]);
        return a;
    }
    friend Lanes operator+(const Lanes& a, const Lanes& b) noexcept {
        return map(a, b, [](float x, float y) { return x + y; });
    }
    friend Lanes operator-(const Lanes& a, const Lanes& b) noexcept {
        return map(a, b, [](float x, float y) { return x - y; });
    }
    friend Lanes operator*(const Lanes& a, const Lanes& b) noexcept {
        return map(a, b, [](float x, float y) { return x * y; });
    }
};
#endif

struct Floats {
    Lanes v;
};
struct Ints {
    std::int32_t v[kLanes];
};
struct Bytes {
    std::uint8_t v[4 * kLanes];
};

TURBOQUANT_INLINE std::uint32_t bits_of(float x) noexcept {
    std::uint32_t bits;
    std::memcpy(&bits, &x, 4);
    return bits;
}
TURBOQUANT_INLINE float float_of(std::uint32_t bits) noexcept {
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
}

TURBOQUANT_INLINE Floats load(const float* p) noexcept {
    Floats a;
    std::memcpy(&a, p, sizeof a);
    return a;
}
TURBOQUANT_INLINE void store(float* p, Floats a) noexcept { std::memcpy(p, &a, sizeof a); }
TURBOQUANT_INLINE Floats load_first(const float* p, int count) noexcept {
    float lanes[kLanes] = {};
    for (int i = 0; i < kLanes && i < count; ++i) lanes[i] = p[i];
    return load(lanes);
}
TURBOQUANT_INLINE void store_first(float* p, Floats a, int count) noexcept {
    float lanes[kLanes];
    store(lanes, a);
    for (int i = 0; i < kLanes && i < count; ++i) p[i] = lanes[i];
}
TURBOQUANT_INLINE Floats broadcast(float x) noexcept { return {Lanes{x, x, x, x}}; }
TURBOQUANT_INLINE Floats zero() noexcept { return broadcast(0.0f); }
TURBOQUANT_INLINE Floats add(Floats a, Floats b) noexcept { return {a.v + b.v}; }
TURBOQUANT_INLINE Floats sub(Floats a, Floats b) noexcept { return {a.v - b.v}; }
TURBOQUANT_INLINE Floats mul(Floats a, Floats b) noexcept { return {turboquant::detail::rounded(a.v * b.v)}; }

// a·b + c rounded once. In double the product is exact; the sum is rounded to odd (its last bit set when inexact), after
// which rounding to float is right (Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums", 2008).
TURBOQUANT_INLINE float fused_scalar(float a, float b, float c) noexcept {
#if defined(__FMA__) || TURBOQUANT_ARM64
    return __builtin_fmaf(a, b, c);
#else
    const double product = static_cast<double>(a) * static_cast<double>(b), addend = static_cast<double>(c);
    double sum = product + addend;
    const double from_addend = sum - product;
    const double error = (product - (sum - from_addend)) + (addend - from_addend);
    std::uint64_t bits;
    std::memcpy(&bits, &sum, 8);
    if (error != 0.0 && (bits & 1u) == 0) {
        bits = (error > 0.0) == (sum > 0.0) ? bits + 1 : bits - 1;
        std::memcpy(&sum, &bits, 8);
    }
    return static_cast<float>(sum);
#endif
}
TURBOQUANT_INLINE Floats fused(Floats a, Floats b, Floats c) noexcept {
    for (int i = 0; i < kLanes; ++i) c.v[i] = fused_scalar(a.v[i], b.v[i], c.v[i]);
    return c;
}
TURBOQUANT_INLINE Floats fused_sub(Floats a, Floats b, Floats c) noexcept {
    for (int i = 0; i < kLanes; ++i) c.v[i] = fused_scalar(a.v[i], b.v[i], -c.v[i]);
    return c;
}
TURBOQUANT_INLINE Floats multiply_add(Floats a, Floats b, Floats c) noexcept { return {a.v * b.v + c.v}; }
TURBOQUANT_INLINE Floats flip(Floats a, Floats mask) noexcept {
    for (int i = 0; i < kLanes; ++i) a.v[i] = float_of(bits_of(a.v[i]) ^ bits_of(mask.v[i]));
    return a;
}
TURBOQUANT_INLINE Floats flip_sign(Floats a, Floats b) noexcept {
    for (int i = 0; i < kLanes; ++i) a.v[i] = float_of(bits_of(a.v[i]) ^ (bits_of(b.v[i]) & 0x80000000u));
    return a;
}
TURBOQUANT_INLINE Floats keep(Floats a, Floats mask) noexcept {
    for (int i = 0; i < kLanes; ++i) a.v[i] = float_of(bits_of(a.v[i]) & bits_of(mask.v[i]));
    return a;
}
TURBOQUANT_INLINE Floats absolute(Floats a) noexcept {
    for (int i = 0; i < kLanes; ++i) a.v[i] = float_of(bits_of(a.v[i]) & 0x7fffffffu);
    return a;
}

// binary16 to float, exactly: rebias the exponent; denormals through a float subtraction that is exact.
TURBOQUANT_INLINE float float_from_float16(std::uint16_t half) noexcept {
    const std::uint32_t sign = (half & 0x8000u) << 16, magnitude = half & 0x7fffu;
    if (magnitude >= 0x7c00u) return float_of(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    if (magnitude >= 0x0400u) return float_of(sign | ((magnitude << 13) + (112u << 23)));
    const float denormal = float_of((113u << 23) | (magnitude << 13)) - float_of(113u << 23);
    return float_of(sign | bits_of(denormal));
}
TURBOQUANT_INLINE Floats load_float16(const std::uint16_t* p) noexcept {
    return {Lanes{float_from_float16(p[0]), float_from_float16(p[1]), float_from_float16(p[2]),
                  float_from_float16(p[3])}};
}
TURBOQUANT_INLINE Floats load_bfloat16(const std::uint16_t* p) noexcept {
    return {Lanes{float_of(std::uint32_t{p[0]} << 16), float_of(std::uint32_t{p[1]} << 16),
                  float_of(std::uint32_t{p[2]} << 16), float_of(std::uint32_t{p[3]} << 16)}};
}

template <int Vectors, int Registers>
TURBOQUANT_INLINE void hadamard_lanes(Floats (&r)[Vectors][Registers]) noexcept {
    for (int i = 0; i < Vectors * Registers; ++i) {
        Lanes& v = r[i / Registers][i % Registers].v;
        const float s0 = v[0] + v[1], d0 = v[0] - v[1], s1 = v[2] + v[3], d1 = v[2] - v[3];
        v = Lanes{s0 + s1, d0 + d1, s0 - s1, d0 - d1};
    }
}

inline constexpr int kDoubles = 1;
using Doubles = double;
TURBOQUANT_INLINE double load_doubles(const float* p) noexcept { return static_cast<double>(*p); }
TURBOQUANT_INLINE void store_floats(float* p, double a) noexcept { *p = static_cast<float>(a); }

TURBOQUANT_INLINE bool all_within(double a, std::uint32_t first, std::uint32_t last) noexcept {
    const float rounded = static_cast<float>(a);
    std::uint32_t bits;
    std::memcpy(&bits, &rounded, 4);
    return bits - first <= last - first;
}

TURBOQUANT_INLINE float reduce_lanes(Floats a) noexcept { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
TURBOQUANT_INLINE double reduce_lanes(const Floats (&rows)[kDoubles]) noexcept {
    return static_cast<double>(reduce_lanes(rows[0]));
}

TURBOQUANT_INLINE std::uint32_t sign_bits(Floats a) noexcept {
    std::uint32_t bits = 0;
    for (int i = 0; i < kLanes; ++i) bits |= (bits_of(a.v[i]) >> 31) << i;
    return bits;
}
TURBOQUANT_INLINE std::uint32_t sign_bits(const Floats (&a)[8]) noexcept {
    std::uint32_t bits = 0;
    for (int k = 0; k < 8; ++k) bits |= sign_bits(a[k]) << (4 * k);
    return bits;
}
TURBOQUANT_INLINE Floats sign_masks(std::uint32_t bits) noexcept {
    Floats masks;
    for (int i = 0; i < kLanes; ++i) masks.v[i] = float_of((bits >> i & 1u) << 31);
    return masks;
}

TURBOQUANT_INLINE Ints load_codes(const std::uint8_t* p) noexcept { return {{p[0], p[1], p[2], p[3]}}; }
TURBOQUANT_INLINE void store_bytes(std::uint8_t* p, Bytes a) noexcept { std::memcpy(p, a.v, sizeof a.v); }
TURBOQUANT_INLINE Ints codes_of(const Bytes& a, int k) noexcept {
    std::uint8_t bytes[4 * kLanes];
    store_bytes(bytes, a);
    return load_codes(bytes + k * kLanes);
}

template <int Bits>
struct Centroids {
    const float* table;
    TURBOQUANT_INLINE explicit Centroids(const float* centroids) noexcept : table(centroids) {}
    TURBOQUANT_INLINE Floats operator()(Ints codes) const noexcept {
        return {Lanes{table[codes.v[0]], table[codes.v[1]], table[codes.v[2]], table[codes.v[3]]}};
    }
};

// To the nearest integer, ties to even, saturated. Adding 1.5·2^23 leaves the rounded integer in the low mantissa bits.
TURBOQUANT_INLINE int round_to_int16(float x) noexcept {
    const float clamped = x > 32767.0f ? 32767.0f : x < -32768.0f ? -32768.0f : x;
    return static_cast<int>(bits_of(turboquant::detail::rounded(clamped + 12582912.0f)) & 0x7fffffu) -
           0x400000;
}

template <int Bits>
struct Nearest {
    const CodebookTable& codebook;
    TURBOQUANT_INLINE explicit Nearest(const CodebookTable& table) noexcept : codebook(table) {}
    TURBOQUANT_INLINE Bytes operator()(const Floats (&y)[4]) const noexcept {
        Bytes codes;
        for (int i = 0; i < 4 * kLanes; ++i)
            codes.v[i] = static_cast<std::uint8_t>(
                nearest_code(codebook, round_to_int16(y[i / kLanes].v[i % kLanes])));
        return codes;
    }
};

template <int Bits>
TURBOQUANT_INLINE void store_packed(std::uint8_t* out, Bytes codes) noexcept {
    pack_bytes<Bits>(codes.v, kLanes / 2, out);
}

template <int Bits>
struct Unpack {
    TURBOQUANT_INLINE void operator()(const std::uint8_t* group, Ints (&codes)[16 / kLanes]) const noexcept {
        for (int i = 0; i < 16; ++i)
            codes[i / kLanes].v[i % kLanes] = static_cast<std::int32_t>(unpack_code(group, Bits, i));
    }
};
