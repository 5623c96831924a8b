// Beyond the vocabulary of vector.inl, what attention needs on every target:
//   maximum             the larger of each pair of lanes; neither is NaN
//   largest             the largest lane
//   quotient            a/b
//   lane_sum            the sum of the lanes, in any order
//   kWeightBits         bits of a weight in one byte: 7, or 8 where bytes times signed bytes have sums without saturation
//   store_weights       bits [Shift, Shift + kWeightBits) of each lane's mantissa, a byte each
//   WeightQuad, load_weights   4 tokens' weights
//   SignedLookup        CodeLookup without kOffset
//   dot_weights         sums + the dot products of 16 times 4 signed centroids with a quad of weights, exactly
//   add_upper_plane     lower + 2^kWeightBits·upper
//   two_to_the        p·2^n, where t = 1.5·2^23 + n in float and p·2^n is an ordinary number

TURBOQUANT_INLINE Floats maximum(Floats a, Floats b) noexcept {
    for (int i = 0; i < kLanes; ++i) a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
    return a;
}
TURBOQUANT_INLINE float largest(Floats a) noexcept {
    float result = a.v[0];
    for (int i = 1; i < kLanes; ++i) result = result > a.v[i] ? result : a.v[i];
    return result;
}
TURBOQUANT_INLINE Floats quotient(Floats a, Floats b) noexcept {
    for (int i = 0; i < kLanes; ++i) a.v[i] /= b.v[i];
    return a;
}
TURBOQUANT_INLINE Floats two_to_the(Floats p, Floats t) noexcept {
    for (int i = 0; i < kLanes; ++i) p.v[i] = float_of(bits_of(p.v[i]) + (bits_of(t.v[i]) << 23));
    return p;
}
TURBOQUANT_INLINE float lane_sum(Floats a) noexcept { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }

inline constexpr int kWeightBits = 7;

struct WeightQuad {
    std::uint8_t v[4];
};
template <int Shift>
TURBOQUANT_INLINE void store_weights(std::uint8_t* p, Floats a) noexcept {
    for (int i = 0; i < kLanes; ++i)
        p[i] = static_cast<std::uint8_t>(bits_of(a.v[i]) >> Shift & ((1u << kWeightBits) - 1u));
}
TURBOQUANT_INLINE WeightQuad load_weights(const std::uint8_t* p) noexcept {
    return {{p[0], p[1], p[2], p[3]}};
}
template <int Bits>
using SignedLookup = CodeLookup<Bits>;
TURBOQUANT_INLINE Sums dot_weights(Sums sums, const Row& row, WeightQuad weights) noexcept {
    for (int i = 0; i < 64; ++i) sums.v[i / 4] += static_cast<std::int8_t>(row.v[i]) * weights.v[i % 4];
    return sums;
}
TURBOQUANT_INLINE Sums add_upper_plane(Sums lower, const Sums& upper) noexcept {
    for (int i = 0; i < 16; ++i) lower.v[i] += upper.v[i] * (1 << kWeightBits);
    return lower;
}

#include "turboquant/simd/kernels/softmax.inl"
