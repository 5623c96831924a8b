// What trellis codes need beyond vector.inl:
//   minimum               lane by lane
//   repeat<Times>         lane i becomes lane part·kLanes/Times + i/Times
//   mark<Bits>            the lowest bits of positive floats become the number k < 2^Bits
//   marks<Bits>           those bits, as integers, shifted left
//   merge                 bitwise or
//   store_low_bytes       kLanes bytes: the lowest of each lane
//   load_integers         kLanes bytes with signs, as floats

TURBOQUANT_INLINE Floats minimum(Floats a, Floats b) noexcept {
    for (int i = 0; i < kLanes; ++i) a.v[i] = b.v[i] < a.v[i] ? b.v[i] : a.v[i];
    return a;
}

template <int Times>
TURBOQUANT_INLINE Floats repeat(Floats a, int part) noexcept {
    Floats repeated = zero();
    for (int i = 0; i < kLanes; ++i) repeated.v[i] = a.v[part * (kLanes / Times) + i / Times];
    return repeated;
}

template <int Bits>
TURBOQUANT_INLINE Floats mark(Floats a, int k) noexcept {
    for (int i = 0; i < kLanes; ++i)
        a.v[i] = float_of((bits_of(a.v[i]) & ~((1u << Bits) - 1u)) | static_cast<std::uint32_t>(k));
    return a;
}
template <int Bits>
TURBOQUANT_INLINE Ints marks(Floats a, int shift) noexcept {
    Ints found{};
    for (int i = 0; i < kLanes; ++i)
        found.v[i] = static_cast<std::int32_t>((bits_of(a.v[i]) & ((1u << Bits) - 1u)) << shift);
    return found;
}
TURBOQUANT_INLINE Ints merge(Ints a, Ints b) noexcept {
    for (int i = 0; i < kLanes; ++i) a.v[i] |= b.v[i];
    return a;
}
TURBOQUANT_INLINE void store_low_bytes(std::uint8_t* p, Ints a) noexcept {
    for (int i = 0; i < kLanes; ++i) p[i] = static_cast<std::uint8_t>(a.v[i]);
}

TURBOQUANT_INLINE Floats load_integers(const std::uint8_t* p) noexcept {
    Floats a = zero();
    for (int i = 0; i < kLanes; ++i) a.v[i] = static_cast<float>(static_cast<std::int8_t>(p[i]));
    return a;
}
