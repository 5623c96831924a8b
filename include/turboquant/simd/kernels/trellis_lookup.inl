// 64 windows of trellis codes to their int8 centroids, plus kOffset: a row for dot().
// packed: 8·Bits bytes; before: the byte before them.
template <int Bits>
struct TrellisLookup {
    const std::int8_t* table;
    TURBOQUANT_INLINE explicit TrellisLookup(const std::int8_t* centroids) noexcept : table(centroids) {}
    TURBOQUANT_INLINE Row operator()(const std::uint8_t* packed, std::uint8_t before) const noexcept {
        std::uint8_t found[64];
        std::uint64_t stream = before;
        for (int i = 0; i < 64; i += 8, packed += Bits) {
            for (int k = 0; k < Bits; ++k) stream = stream << 8 | packed[k];
            for (int j = 0; j < 8; ++j)
                found[i + j] = static_cast<std::uint8_t>(table[stream >> (Bits * (7 - j)) & 255u] + kOffset);
        }
        return load_row(found);
    }
};
