// AVX-512 with VNNI: what attention needs beyond vector.inl. Contracts in scalar/attention.inl.

#include "turboquant/simd/avx512/attention_floats.inl"

// vpdpbusd multiplies unsigned by signed bytes: here the weights are the unsigned ones.
inline constexpr int kWeightBits = 8;

template <int Shift>
TURBOQUANT_INLINE void store_weights(std::uint8_t* p, Floats a) noexcept {
    __m512i bits = _mm512_srli_epi32(_mm512_castps_si512(a.v), Shift);
    if (kWeightBits < 8) bits = _mm512_and_si512(bits, _mm512_set1_epi32(127));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(bits));
}
struct WeightQuad {
    __m512i v;
};
TURBOQUANT_INLINE WeightQuad load_weights(const std::uint8_t* p) noexcept {
    std::int32_t bits;
    std::memcpy(&bits, p, 4);
    return {_mm512_set1_epi32(bits)};
}
template <int Bits>
struct SignedLookup : CodeLookup<Bits> {
    TURBOQUANT_INLINE explicit SignedLookup(const std::int8_t* centroids) noexcept
        : CodeLookup<Bits>(centroids) {
        TURBOQUANT_UNROLL
        for (int t = 0; t < CodeLookup<Bits>::kTables; ++t)
            this->tables[t] = _mm512_xor_si512(this->tables[t], _mm512_set1_epi8(static_cast<char>(kOffset)));
    }
};
TURBOQUANT_INLINE Sums dot_weights(Sums sums, Row row, WeightQuad weights) noexcept {
    return {
        reinterpret_cast<Int32x16>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sums.v), weights.v, row.v))};
}
TURBOQUANT_INLINE Sums add_upper_plane(Sums lower, Sums upper) noexcept { return {lower.v + upper.v * 256}; }

#include "turboquant/simd/kernels/softmax.inl"
