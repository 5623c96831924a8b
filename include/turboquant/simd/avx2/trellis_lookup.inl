// 64 windows of trellis codes to their int8 centroids, as in scalar/trellis_lookup.inl: windows from the upper half of the table
// are looked up by their complements, in eight rows of 16, and what is found changes its sign.

// A lookup right after its unpacking waits for it: a tenth of the time.
inline constexpr int kTrellisTogether = 4;

// The first 32 windows' source has the byte before the codes at its end. Codes of 4 bits are a byte too many for one source.
template <int Bits>
inline constexpr WindowWords<2> kWindowWords[2] = {
    make_window_words<2>(Bits, {15, 2 * Bits - 1}),
    make_window_words<2>(Bits, {0, Bits == 4 ? 7 : 2 * Bits}),
};

template <int Bits>
struct TrellisLookup {
    using Windows = Row;
    static constexpr int kReads = Bits == 4 ? 32 : 4 * Bits + 15;
    const std::int8_t* pairs;
    TURBOQUANT_INLINE explicit TrellisLookup(const TrellisTable& trellis) noexcept
        : pairs(trellis.row_pairs) {}

    static TURBOQUANT_INLINE __m128i load_128(const void* p) noexcept {
        return _mm_loadu_si128(static_cast<const __m128i*>(p));
    }
    static TURBOQUANT_INLINE __m256i unpack(__m256i source, const WindowWords<2>& words) noexcept {
        const __m256i even = _mm256_mulhi_epu16(_mm256_shuffle_epi8(source, load_256(words.bytes[0])),
                                                load_256(words.multipliers[0]));
        const __m256i odd = _mm256_mullo_epi16(_mm256_shuffle_epi8(source, load_256(words.bytes[1])),
                                               load_256(words.multipliers[1]));
        return _mm256_blendv_epi8(even, odd, _mm256_set1_epi16(static_cast<std::int16_t>(0xff00)));
    }
    // Both halves at once, so that a row is loaded once.
    TURBOQUANT_INLINE void find_in_pair(const std::int8_t* rows, const Row& index, const Row& second,
                                        Row& found) const noexcept {
        const __m256i upper = _mm256_broadcastsi128_si256(load_128(rows)),
                      change = _mm256_broadcastsi128_si256(load_128(rows + 16));
        TURBOQUANT_UNROLL
        for (int h = 0; h < 2; ++h)
            found.v[h] = _mm256_xor_si256(_mm256_shuffle_epi8(upper, index.v[h]),
                                          _mm256_shuffle_epi8(change, second.v[h]));
    }
    TURBOQUANT_INLINE void blend(Row& to, const Row& from, const Row& mask) const noexcept {
        TURBOQUANT_UNROLL
        for (int h = 0; h < 2; ++h) to.v[h] = _mm256_blendv_epi8(to.v[h], from.v[h], mask.v[h]);
    }
    TURBOQUANT_INLINE Row find(const Windows& windows) const noexcept {
        const std::int8_t* rows = pairs;
        asm("" : "+r"(rows));  // else rows go to the stack, and come back from there
        Row index, second, bit5, bit6, found, upper, other;
        TURBOQUANT_UNROLL
        for (int h = 0; h < 2; ++h) {
            index.v[h] = _mm256_min_epu8(windows.v[h], _mm256_xor_si256(windows.v[h], _mm256_set1_epi8(-1)));
            second.v[h] =
                _mm256_sub_epi8(_mm256_and_si256(index.v[h], _mm256_set1_epi8(31)), _mm256_set1_epi8(16));
            bit6.v[h] = _mm256_add_epi8(index.v[h], index.v[h]);
            bit5.v[h] = _mm256_add_epi8(bit6.v[h], bit6.v[h]);
        }
        find_in_pair(rows, index, second, found);
        find_in_pair(rows + 32, index, second, other);
        blend(found, other, bit5);
        find_in_pair(rows + 64, index, second, upper);
        find_in_pair(rows + 96, index, second, other);
        blend(upper, other, bit5);
        blend(found, upper, bit6);
        TURBOQUANT_UNROLL
        for (int h = 0; h < 2; ++h)
            found.v[h] = _mm256_sign_epi8(found.v[h], _mm256_or_si256(windows.v[h], _mm256_set1_epi8(1)));
        return found;
    }
    TURBOQUANT_INLINE Windows windows(const std::uint8_t* packed, std::uint8_t before) const noexcept {
        const __m128i start = load_128(packed);
        const __m256i first =
            _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_insert_epi8(start, before, 15)), start, 1);
        const std::uint8_t* const rest = packed + 4 * Bits - 1;
        const __m256i second =
            Bits == 4 ? _mm256_inserti128_si256(_mm256_castsi128_si256(load_128(rest)), load_128(rest + 1), 1)
                      : _mm256_broadcastsi128_si256(load_128(rest));
        return {{unpack(first, kWindowWords<Bits>[0]), unpack(second, kWindowWords<Bits>[1])}};
    }
};
