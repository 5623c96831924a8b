// What trellis codes need beyond vector.inl:
//   minimum               lane by lane
//   repeat<Times, Group>  groups of lanes: group i becomes group part·kLanes/(Group·Times) + i/Times
//   mark<Bits>            the lowest bits of positive floats become the number k < 2^Bits
//   marks<Bits>           those bits, as integers, shifted left
//   merge, both           bitwise or; bitwise and with a mask
//   load_ints, store_ints   kLanes integers
//   shift_left, shift_right   by one count or by each lane's, zeros coming in
//   choose                where the lane is at least `least`, else the other
//   load_integers         kLanes bytes with signs, as floats

TURBOQUANT_INLINE Floats minimum(Floats a, Floats b) noexcept {
    for (int i = 0; i < kLanes; ++i) a.v[i] = b.v[i] < a.v[i] ? b.v[i] : a.v[i];
    return a;
}

template <int Times, int Group>
TURBOQUANT_INLINE Floats repeat(Floats a, int part) noexcept {
    Floats repeated = zero();
    for (int i = 0; i < kLanes; ++i)
        repeated.v[i] = a.v[static_cast<std::size_t>(kRepeatLanes<kLanes, Times, Group>.lanes[part][i])];
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

TURBOQUANT_INLINE Ints load_ints(const std::int32_t* p) noexcept {
    Ints a;
    std::memcpy(&a, p, sizeof a);
    return a;
}
TURBOQUANT_INLINE void store_ints(std::int32_t* p, Ints a) noexcept { std::memcpy(p, &a, sizeof a); }
TURBOQUANT_INLINE Ints both(Ints a, int mask) noexcept {
    for (int i = 0; i < kLanes; ++i) a.v[i] &= mask;
    return a;
}
TURBOQUANT_INLINE Ints shift_left(Ints a, int count) noexcept {
    for (int i = 0; i < kLanes; ++i)
        a.v[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(a.v[i]) << count);
    return a;
}
TURBOQUANT_INLINE Ints shift_right(Ints a, int count) noexcept {
    for (int i = 0; i < kLanes; ++i)
        a.v[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(a.v[i]) >> count);
    return a;
}
TURBOQUANT_INLINE Ints shift_right(Ints a, Ints counts) noexcept {
    for (int i = 0; i < kLanes; ++i)
        a.v[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(a.v[i]) >> counts.v[i]);
    return a;
}
TURBOQUANT_INLINE Ints choose(Ints a, int least, Ints yes, Ints no) noexcept {
    for (int i = 0; i < kLanes; ++i) a.v[i] = a.v[i] >= least ? yes.v[i] : no.v[i];
    return a;
}

TURBOQUANT_INLINE Floats load_integers(const std::uint8_t* p) noexcept {
    Floats a = zero();
    for (int i = 0; i < kLanes; ++i) a.v[i] = static_cast<float>(static_cast<std::int8_t>(p[i]));
    return a;
}
