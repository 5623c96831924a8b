// Scores of blocks of codes (scan_layout.hpp) against int8 queries. The integer sums are exact, and what follows them is
// rounded the same way everywhere: scores are the same on every target.

inline constexpr int kRowsPerBlock = kScanBlock / 16;

// Quads J to the step's last of one step, for every row of 16 vectors: sums[row] += centroids · query.
template <int Bits, int J>
TURBOQUANT_INLINE void score_quads(const CodeLookup<Bits>& lookup,
                                   const Row (&rows)[kRowsPerBlock][ScanStep<Bits>::kRows],
                                   const std::int8_t* quads, Sums (&even)[kRowsPerBlock],
                                   Sums (&odd)[kRowsPerBlock]) noexcept {
    const Quad quad = load_quad(quads + 4 * J);
    Sums(&sums)[kRowsPerBlock] = J % 2 == 0 ? even : odd;
    TURBOQUANT_UNROLL
    for (int g = 0; g < kRowsPerBlock; ++g) sums[g] = dot(sums[g], lookup.template get<J>(rows[g]), quad);
    if constexpr (J + 1 < ScanStep<Bits>::kQuads) score_quads<Bits, J + 1>(lookup, rows, quads, even, odd);
}

// The rows of a step, and of the rest of a block after whole steps.
template <int Bits, int Rows>
TURBOQUANT_INLINE void load_step(const std::uint8_t* step,
                                 Row (&rows)[Rows][ScanStep<Bits>::kRows]) noexcept {
    TURBOQUANT_UNROLL
    for (int r = 0; r < ScanStep<Bits>::kRows; ++r) {
        TURBOQUANT_UNROLL
        for (int g = 0; g < Rows; ++g) rows[g][r] = load_row(step + (r * Rows + g) * 64);
    }
}
template <int Bits>
TURBOQUANT_INLINE void load_rest(const ScanLayout<Bits>& layout, const std::uint8_t* rest,
                                 Row (&rows)[kRowsPerBlock][ScanStep<Bits>::kRows]) noexcept {
    for (int r = 0; r < ScanStep<Bits>::kRows; rest += layout.widths[r] * kScanBlock, ++r) {
        const int width = layout.widths[r];
        TURBOQUANT_UNROLL
        for (int g = 0; g < kRowsPerBlock; ++g)
            rows[g][r] = width == 4 ? load_row(rest + g * 64) : load_narrow(rest, 16 * g, width);
    }
    if constexpr (Bits == 3) {
        // Rows by name: an index that is known at run time alone would keep them in memory.
        const RowFold &first = layout.folds[0], &second = layout.folds[1];
        if ((first.mask | second.mask) == 0) return;
        TURBOQUANT_UNROLL
        for (int g = 0; g < kRowsPerBlock; ++g) {
            Row &a = rows[g][0], &b = rows[g][1], &e = rows[g][2];
            e = blend_shifted(e, e, first.shift, first.mask);
            if (second.to == 2)
                e = blend_shifted(e, second.from == 0 ? a : b, second.shift, second.mask);
            else if (second.to == 0)
                a = blend_shifted(a, e, second.shift, second.mask);
            else
                b = blend_shifted(b, e, second.shift, second.mask);
        }
    }
}

// The scores of a block from its integer sums, given to the sink.
TURBOQUANT_INLINE void finish_block(const ScanBlocks& blocks, std::ptrdiff_t block, const std::int32_t* sums,
                                    const ScanQuery& query, int index, ScanSink& sink) noexcept {
    const std::uint8_t* after =
        blocks.data + static_cast<std::size_t>(block) * blocks.block_bytes + blocks.index_bytes;
    const float* scales = reinterpret_cast<const float*>(after);
    const Floats step = broadcast(query.step), constant = broadcast(query.constant);
    const Floats threshold = broadcast(sink.thresholds[index]);
    alignas(64) float scores[kScanBlock];
    std::uint32_t lanes = 0;
    TURBOQUANT_UNROLL
    for (int i = 0; i < kScanBlock; i += kLanes) {
        const Floats scale = load(scales + i);
        const Floats product = mul(to_floats(sums + i, kOffset * query.sum), step);
        const Floats score = blocks.terms
                                 ? add(fused(product, scale, load(scales + kScanBlock + i)), constant)
                                 : fused(product, scale, constant);
        store(scores + i, score);
        lanes |= reached(score, threshold) << i;
    }
    const std::ptrdiff_t first = block * kScanBlock, left = blocks.count - first;
    if (left < kScanBlock) lanes &= (1u << left) - 1u;
    if (lanes != 0) sink.take(sink, index, first, lanes, scores);
}

// One query against all blocks.
template <int Bits>
TURBOQUANT_NOINLINE void scan_one(const ScanLayout<Bits>& layout, const CodebookTable& codebook,
                                  const ScanBlocks& blocks, const ScanQuery& query, int index,
                                  ScanSink& sink) noexcept {
    using Step = ScanStep<Bits>;
    const CodeLookup<Bits> lookup(codebook.int8_centroids);
    const std::ptrdiff_t count = (blocks.count + kScanBlock - 1) / kScanBlock;
    for (std::ptrdiff_t block = 0; block < count; ++block) {
        const std::uint8_t* at = blocks.data + static_cast<std::size_t>(block) * blocks.block_bytes;
        const std::int8_t* quads = query.quads;
        Sums even[kRowsPerBlock], odd[kRowsPerBlock];
        TURBOQUANT_UNROLL
        for (int g = 0; g < kRowsPerBlock; ++g) even[g] = odd[g] = zero_sums();
        Row rows[kRowsPerBlock][Step::kRows];
        for (int step = 0; step < layout.steps;
             ++step, at += Step::kRows * 4 * kScanBlock, quads += 4 * Step::kQuads) {
            load_step<Bits>(at, rows);
            score_quads<Bits, 0>(lookup, rows, quads, even, odd);
        }
        if (layout.has_rest()) {
            load_rest(layout, at, rows);
            score_quads<Bits, 0>(lookup, rows, quads, even, odd);
        }
        alignas(64) std::int32_t sums[kScanBlock];
        TURBOQUANT_UNROLL
        for (int g = 0; g < kRowsPerBlock; ++g) store_sums(sums + 16 * g, add_sums(even[g], odd[g]));
        finish_block(blocks, block, sums, query, index, sink);
    }
}

// --- Batches: each block is unpacked once for all queries -------------------------------------------------------------------

template <int Bits, int J>
TURBOQUANT_INLINE void unpack_quads(const CodeLookup<Bits>& lookup,
                                    const Row (&rows)[kRowsPerBlock][ScanStep<Bits>::kRows],
                                    std::uint8_t* panel) noexcept {
    TURBOQUANT_UNROLL
    for (int g = 0; g < kRowsPerBlock; ++g)
        store_row(panel + (J * kRowsPerBlock + g) * 64, lookup.template get<J>(rows[g]));
    if constexpr (J + 1 < ScanStep<Bits>::kQuads) unpack_quads<Bits, J + 1>(lookup, rows, panel);
}

// Steps first … last − 1 (the last may be the narrow one) of a block to the panel.
template <int Bits>
TURBOQUANT_NOINLINE void unpack_panel(const ScanLayout<Bits>& layout, const CodebookTable& codebook,
                                      const std::uint8_t* block, int first, int last,
                                      std::uint8_t* panel) noexcept {
    using Step = ScanStep<Bits>;
    const CodeLookup<Bits> lookup(codebook.int8_centroids);
    Row rows[kRowsPerBlock][Step::kRows];
    for (int step = first; step < last; ++step, panel += Step::kQuads * 4 * kScanBlock) {
        const std::uint8_t* at = block + static_cast<std::size_t>(step) * (Step::kRows * 4 * kScanBlock);
        if (step < layout.steps)
            load_step<Bits>(at, rows);
        else
            load_rest(layout, at, rows);
        unpack_quads<Bits, 0>(lookup, rows, panel);
    }
}

// sums[q] (+)= panel · quads of `Queries` queries, for kBatchRows rows of 16 vectors.
template <int Queries>
TURBOQUANT_NOINLINE void multiply_panel(const std::uint8_t* panel, int quads, const ScanQuery* queries,
                                        int first_quad, std::int32_t* out) noexcept {
    for (int row = 0; row < kRowsPerBlock; row += kBatchRows) {
        Sums sums[Queries][kBatchRows];
        const std::int8_t* at[Queries];
        TURBOQUANT_UNROLL
        for (int q = 0; q < Queries; ++q) {
            at[q] = queries[q].quads + 4 * first_quad;
            TURBOQUANT_UNROLL
            for (int g = 0; g < kBatchRows; ++g)
                sums[q][g] = first_quad == 0 ? zero_sums() : load_sums(out + kScanBlock * q + 16 * (row + g));
        }
        const std::uint8_t* from = panel + 64 * row;
        for (int quad = 0; quad < quads; ++quad, from += 4 * kScanBlock) {
            Row rows[kBatchRows];
            TURBOQUANT_UNROLL
            for (int g = 0; g < kBatchRows; ++g) rows[g] = load_row(from + 64 * g);
            TURBOQUANT_UNROLL
            for (int q = 0; q < Queries; ++q) {
                const Quad value = load_quad(at[q] + 4 * quad);
                TURBOQUANT_UNROLL
                for (int g = 0; g < kBatchRows; ++g) sums[q][g] = dot(sums[q][g], rows[g], value);
            }
        }
        TURBOQUANT_UNROLL
        for (int q = 0; q < Queries; ++q) {
            TURBOQUANT_UNROLL
            for (int g = 0; g < kBatchRows; ++g)
                store_sums(out + kScanBlock * q + 16 * (row + g), sums[q][g]);
        }
    }
}

template <int Bits>
TURBOQUANT_NOINLINE void scan_batch(const ScanLayout<Bits>& layout, const CodebookTable& codebook,
                                    const ScanBlocks& blocks, const ScanQuery* queries, int count,
                                    ScanSink& sink, float* scratch) noexcept {
    constexpr int kPanelSteps = kPanelQuads / ScanStep<Bits>::kQuads;
    auto* const panel = reinterpret_cast<std::uint8_t*>(scratch);
    auto* const sums = reinterpret_cast<std::int32_t*>(scratch + kPanelBytes / sizeof(float));
    const int steps = layout.quads() / ScanStep<Bits>::kQuads;
    const std::ptrdiff_t last = (blocks.count + kScanBlock - 1) / kScanBlock;
    for (std::ptrdiff_t block = 0; block < last; ++block) {
        const std::uint8_t* at = blocks.data + static_cast<std::size_t>(block) * blocks.block_bytes;
        for (int step = 0; step < steps; step += kPanelSteps) {
            const int end = step + kPanelSteps < steps ? step + kPanelSteps : steps;
            unpack_panel(layout, codebook, at, step, end, panel);
            const int quads = (end - step) * ScanStep<Bits>::kQuads,
                      first_quad = step * ScanStep<Bits>::kQuads;
            int q = 0;
            for (; q + kBatchQueries <= count; q += kBatchQueries)
                multiply_panel<kBatchQueries>(panel, quads, queries + q, first_quad, sums + kScanBlock * q);
            for (; q < count; ++q)
                multiply_panel<1>(panel, quads, queries + q, first_quad, sums + kScanBlock * q);
        }
        for (int q = 0; q < count; ++q)
            finish_block(blocks, block, sums + kScanBlock * q, queries[q], q, sink);
    }
}

// Every query against all blocks.
template <int Bits>
void scan(const ScanLayout<Bits>& layout, const CodebookTable& codebook, const ScanBlocks& blocks,
          const ScanQuery* queries, int count, ScanSink& sink, float* scratch) noexcept {
    if (count >= kScanBatch) return scan_batch(layout, codebook, blocks, queries, count, sink, scratch);
    for (int q = 0; q < count; ++q) scan_one(layout, codebook, blocks, queries[q], q, sink);
}
