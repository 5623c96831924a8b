// Beyond the vocabulary of vector.inl, what attention needs on every target:
//   maximum             the larger of each pair of lanes; neither is NaN
//   largest             the largest lane
//   quotient            a/b
//   store_seven_bits    bits [Shift, Shift + 7) of each lane's mantissa, a byte each
//   add_upper_plane     lower + 128·upper
//   two_to_the          p·2^n, where t = 1.5·2^23 + n in float and p·2^n is an ordinary number

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
template <int Shift>
TURBOQUANT_INLINE void store_seven_bits(std::int8_t* p, Floats a) noexcept {
    for (int i = 0; i < kLanes; ++i) p[i] = static_cast<std::int8_t>(bits_of(a.v[i]) >> Shift & 127u);
}
TURBOQUANT_INLINE Sums add_upper_plane(Sums lower, const Sums& upper) noexcept {
    for (int i = 0; i < 16; ++i) lower.v[i] += upper.v[i] * 128;
    return lower;
}
