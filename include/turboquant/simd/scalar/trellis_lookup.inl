// 64 windows of trellis codes to their int8 centroids.
//   kTrellisTogether   so many records' windows are made before the first is looked up
//   windows            from 8·Bits bytes of codes, of which kReads bytes may be read, and the byte before them
//   find               their centroids, plus kOffset: a row for dot()
inline constexpr int kTrellisTogether = 1;

template <int Bits>
struct TrellisLookup {
    using Windows = Row;
    static constexpr int kReads = 8 * Bits;
    const std::int8_t* table;
    TURBOQUANT_INLINE explicit TrellisLookup(const TrellisTable& trellis) noexcept
        : table(trellis.int8_centroids) {}
    TURBOQUANT_INLINE Windows windows(const std::uint8_t* packed, std::uint8_t before) const noexcept {
        Row found;
        std::uint64_t stream = before;
        for (int i = 0; i < 64; i += 8, packed += Bits) {
            for (int k = 0; k < Bits; ++k) stream = stream << 8 | packed[k];
            for (int j = 0; j < 8; ++j)
                found.v[i + j] = static_cast<std::uint8_t>(stream >> (Bits * (7 - j)) & 255u);
        }
        return found;
    }
    TURBOQUANT_INLINE Row find(const Windows& windows) const noexcept {
        Row found;
        for (int i = 0; i < 64; ++i) found.v[i] = static_cast<std::uint8_t>(table[windows.v[i]] + kOffset);
        return found;
    }
};
