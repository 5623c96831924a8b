// What trellis codes need beyond vector.inl; contracts in scalar/trellis.inl.

TURBOQUANT_INLINE Floats minimum(Floats a, Floats b) noexcept { return {_mm512_min_ps(a.v, b.v)}; }

template <int Times>
TURBOQUANT_INLINE Floats repeat(Floats a, int part) noexcept {
    return {_mm512_permutexvar_ps(_mm512_loadu_si512(kRepeatLanes<16, Times>.lanes[part]), a.v)};
}

template <int Bits>
TURBOQUANT_INLINE Floats mark(Floats a, int k) noexcept {
    // (a & ~mask) | (k & mask)
    return {_mm512_castsi512_ps(_mm512_ternarylogic_epi32(
        _mm512_set1_epi32((1 << Bits) - 1), _mm512_castps_si512(a.v), _mm512_set1_epi32(k), 0xac))};
}
template <int Bits>
TURBOQUANT_INLINE Ints marks(Floats a, int shift) noexcept {
    return {_mm512_slli_epi32(_mm512_and_si512(_mm512_castps_si512(a.v), _mm512_set1_epi32((1 << Bits) - 1)),
                              static_cast<unsigned>(shift))};
}
TURBOQUANT_INLINE Ints merge(Ints a, Ints b) noexcept { return {_mm512_or_si512(a.v, b.v)}; }
TURBOQUANT_INLINE void store_low_bytes(std::uint8_t* p, Ints a) noexcept {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
}

template <int Bits>
struct UnpackWindows {
    __m512i bytes, shifts;
    TURBOQUANT_INLINE UnpackWindows() noexcept
        : bytes(_mm512_loadu_si512(kWindowTable<Bits>.bytes)),
          shifts(_mm512_loadu_si512(kWindowTable<Bits>.shifts)) {}
    TURBOQUANT_INLINE void operator()(const std::uint8_t* group,
                                      Ints (&windows)[16 / kLanes]) const noexcept {
        const __m512i source =
            _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(group)));
        const __m512i shifted = _mm512_srlv_epi32(_mm512_shuffle_epi8(source, bytes), shifts);
        windows[0].v = _mm512_and_si512(shifted, _mm512_set1_epi32(kWindows - 1));
    }
};
