// The codes of an index, in the form that is fastest to scan, and how queries meet them.
//
// An IndexStorage keeps per vector what its quantizer makes of it, and a term that is added to its score. Two kinds:
// blocks of 32 vectors (simd/scan_layout.hpp) for MseQuantizer of up to 4 bits, scored by int8 dot products; plain records
// for any other quantizer, scored by its own inner_products. The estimate of <x, q> is what the quantizer's decoder gives.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "turboquant/codes.hpp"
#include "turboquant/columns.hpp"
#include "turboquant/config.hpp"
#include "turboquant/mse_quantizer.hpp"
#include "turboquant/segmented_array.hpp"
#include "turboquant/simd/dispatch.hpp"
#include "turboquant/simd/kernels.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace detail {

// Vectors to a segment: large enough that what a scan does once per segment costs nothing, small enough to be shared out
// among threads.
inline constexpr Index kSegmentVectors = 1024;

// Queries, ready for any storage: row j of `rows` (stride floats apart, zeros up to the padded dimension) is what is to be
// multiplied with vectors; score(i, j) = factor·<x_i, row_j> + term_i + constants[j].
struct IndexQueries {
    float* rows;  // may be overwritten
    std::ptrdiff_t stride;
    int count;
    float factor;
    const float* constants;
};

// Records as the quantizer makes them.
template <class Quantizer, class = void>
class IndexStorage {
public:
    IndexStorage(const Quantizer& quantizer, bool terms)
        : records_(quantizer.bytes_per_vector(), kSegmentVectors),
          terms_(sizeof(float), kSegmentVectors),
          has_terms_(terms) {}

    static constexpr bool kBlocks = false;
    Index size() const noexcept { return records_.size(); }
    std::size_t bytes() const noexcept { return records_.bytes() + terms_.bytes(); }
    void reserve(Index n) {
        records_.reserve(n);
        if (has_terms_) terms_.reserve(n);
    }
    // The first n vectors stay; new ones are filled in by set(): `count` records from position i on, one after another.
    void resize(Index n) {
        records_.resize(n);
        if (has_terms_) terms_.resize(n);
    }
    // Before vector i is moved or overwritten: memory of its own (segmented_array.hpp).
    void own(Index i) {
        records_.own(i);
        if (has_terms_) terms_.own(i);
    }
    void set(Index i, Index count, const std::uint8_t* records, const float* terms) noexcept {
        for (const Index end = i + count; i < end; ++i, ++terms, records += records_.element_bytes()) {
            std::memcpy(records_.at(i), records, records_.element_bytes());
            if (has_terms_) std::memcpy(terms_.at(i), terms, sizeof(float));
        }
    }
    void move(Index from, Index to) noexcept {
        const SegmentedArray &records = records_, &terms = terms_;
        std::memmove(records_.at(to), records.at(from), records_.element_bytes());
        if (has_terms_) std::memmove(terms_.at(to), terms.at(from), sizeof(float));
    }
    // For files: calls visit(array, elements that n vectors take) for every array that holds vectors.
    template <class Self, class Visit>
    static void visit(Self& self, Index n, Visit&& visit) {
        visit(self.records_, n);
        if (self.has_terms_) visit(self.terms_, n);
    }
    // After the arrays have been filled with n vectors.
    void filled(Index) noexcept {}

    static std::ptrdiff_t scratch(Index, int queries) noexcept { return rows_at_once(queries) * queries; }
    struct Prepared {
        IndexQueries queries;
        Prepared(const Quantizer&, const IndexQueries& q, float*) noexcept : queries(q) {}
        static std::ptrdiff_t floats(Index, int) noexcept { return 0; }
    };

    // Scores of the vectors of one segment; position 0 of the sink is the segment's first.
    void scan(const Quantizer& quantizer, Index segment, const Prepared& prepared, simd::ScanSink& sink,
              float* scratch) const {
        const Index first = segment * kSegmentVectors, last = std::min(first + kSegmentVectors, size());
        const IndexQueries& queries = prepared.queries;
        const Eigen::Map<const Eigen::MatrixXf, 0, Eigen::OuterStride<>> rows(
            queries.rows, quantizer.dim(), queries.count, Eigen::OuterStride<>(queries.stride));
        const Index at_once = rows_at_once(queries.count);
        for (Index i = first; i < last; i += at_once) {
            const Index count = std::min(at_once, last - i);
            Eigen::Map<Eigen::MatrixXf> products(scratch, count, queries.count);
            quantizer.inner_products(quantizer.view(records_.at(i), count), rows, products);
            for (int q = 0; q < queries.count; ++q)
                take(i, i - first, count, q, queries, products.data(), sink);
        }
    }

private:
    // Scored at a time, each time with the queries rotated anew: all of a segment, or for many queries as many as the cache
    // holds scores of.
    static Index rows_at_once(int queries) noexcept { return queries <= 16 ? kSegmentVectors : 256; }

    void take(Index i, Index first, Index count, int q, const IndexQueries& queries, const float* products,
              simd::ScanSink& sink) const noexcept {
        const float factor = queries.factor, constant = queries.constants[q];
        for (Index start = 0; start < count; start += simd::kScanBlock) {
            float scores[simd::kScanBlock] = {}, terms[simd::kScanBlock] = {};
            std::uint32_t lanes = 0;
            const Index end = std::min<Index>(simd::kScanBlock, count - start);
            // A segment's terms lie side by side.
            if (has_terms_)
                std::memcpy(terms, terms_.at(i + start), sizeof(float) * static_cast<std::size_t>(end));
            const float* const some = products + q * count + start;
            const float threshold = sink.thresholds[q];
            for (Index k = 0; k < end; ++k) {
                scores[k] = rounded(factor * some[k]) + terms[k] + constant;
                lanes |= (scores[k] >= threshold ? 1u : 0u) << k;
            }
            if (lanes != 0) sink.take(sink, q, first + start, lanes, scores);
        }
    }

    SegmentedArray records_, terms_;
    bool has_terms_;
};

// Blocks of up to 4 bits.
template <int Dim, int Bits, class RotationT>
class IndexStorage<MseQuantizer<Dim, Bits, RotationT, float>, std::enable_if_t<(Bits <= 4)>> {
    using Quantizer = MseQuantizer<Dim, Bits, RotationT, float>;
    static constexpr Index kBlock = simd::kScanBlock;

public:
    IndexStorage(const Quantizer& quantizer, bool terms)
        : layout_(check_dim(quantizer.dim())),
          blocks_(layout_.index_bytes() + (terms ? 2 : 1) * sizeof(float) * std::size_t{kBlock},
                  kSegmentVectors / kBlock),
          scale_offset_(quantizer.plan().scale_offset()),
          has_terms_(terms) {}

    static constexpr bool kBlocks = true;
    Index size() const noexcept { return size_; }
    std::size_t bytes() const noexcept { return blocks_.bytes(); }
    void reserve(Index n) { blocks_.reserve(blocks_for(n)); }
    void resize(Index n) {
        const Index kept = std::min(n, size_);
        if (n != size_ && kept % kBlock != 0)
            own(kept);    // the other slots of its block are filled, or cleared
        if (n < size_) {  // the slots that become free are zero, as new ones are
            for (Index i = n; i < std::min(size_, blocks_for(n) * kBlock); ++i) clear(i);
        }
        blocks_.resize(blocks_for(n));
        size_ = n;
    }
    void own(Index i) { blocks_.own(i / kBlock); }
    void set(Index i, Index count, const std::uint8_t* records, const float* terms) noexcept {
        for (const Index end = i + count; i < end;) {
            std::uint8_t* block = blocks_.at(i / kBlock);
            do {
                const int slot = static_cast<int>(i % kBlock);
                simd::store_in_block(layout_, records, block, slot);
                std::memcpy(scale(block, slot), records + scale_offset_, sizeof(float));
                if (has_terms_) std::memcpy(scale(block, slot + simd::kScanBlock), terms, sizeof(float));
                ++terms;
                records += scale_offset_ + sizeof(float);
            } while (++i < end && i % kBlock != 0);
        }
    }
    void move(Index from, Index to) noexcept {
        if (from == to) return;
        const SegmentedArray& blocks = blocks_;
        const std::uint8_t* const source = blocks.at(from / kBlock);
        std::uint8_t* const block = blocks_.at(to / kBlock);
        const int from_slot = static_cast<int>(from % kBlock), slot = static_cast<int>(to % kBlock);
        simd::move_in_blocks(layout_, source, from_slot, block, slot);
        std::memcpy(scale(block, slot), scale(source, from_slot), sizeof(float));
        if (has_terms_)
            std::memcpy(scale(block, slot + simd::kScanBlock), scale(source, from_slot + simd::kScanBlock),
                        sizeof(float));
    }
    template <class Self, class Visit>
    static void visit(Self& self, Index n, Visit&& visit) {
        visit(self.blocks_, blocks_for(n));
    }
    void filled(Index n) noexcept { size_ = n; }

    static std::ptrdiff_t scratch(Index, int queries) noexcept {
        return queries >= simd::kScanBatch ? simd::scan_scratch(queries) : 0;
    }

    // The queries rotated and rounded to int8.
    class Prepared {
    public:
        Prepared(const Quantizer& quantizer, const IndexQueries& queries, float* memory)
            : queries_(reinterpret_cast<simd::ScanQuery*>(memory)), count_(queries.count) {
            const simd::ScanLayout<Bits> layout(static_cast<int>(quantizer.dim()));
            const simd::InputColumns in{queries.rows, simd::InputType::float32, queries.stride,
                                        queries.count};
            rotate_columns(quantizer.plan().rotation[0], false, in, queries.rows, queries.stride);
            auto* quads = reinterpret_cast<std::int8_t*>(queries_ + count_);
            const float step = rounded(queries.factor * quantizer.plan().codebook->int8_step);
            for (int q = 0; q < count_; ++q, quads += 4 * layout.quads()) {
                simd::ScanQuery query = simd::round_query(layout, queries.rows + q * queries.stride, quads);
                query.step = rounded(query.step * step);
                query.constant = queries.constants[q];
                new (queries_ + q) simd::ScanQuery(query);
            }
        }
        static std::ptrdiff_t floats(Index dim, int queries) noexcept {
            const simd::ScanLayout<Bits> layout(static_cast<int>(dim));
            return queries *
                   (static_cast<std::ptrdiff_t>(sizeof(simd::ScanQuery) / sizeof(float)) + layout.quads());
        }
        const simd::ScanQuery* queries() const noexcept { return queries_; }
        int count() const noexcept { return count_; }

    private:
        simd::ScanQuery* queries_;
        int count_;
    };

    void scan(const Quantizer& quantizer, Index segment, const Prepared& prepared, simd::ScanSink& sink,
              float* scratch) const {
        const Index first = segment * kSegmentVectors;
        const simd::ScanBlocks blocks{blocks_.at(first / kBlock), std::min(kSegmentVectors, size_ - first),
                                      blocks_.element_bytes(), layout_.index_bytes(), has_terms_};
        const auto kernel = simd::scan_kernel<Bits>();
        const simd::FloatingPointGuard guard;
        kernel(layout_, *quantizer.plan().codebook, blocks, prepared.queries(), prepared.count(), sink,
               scratch);
    }

private:
    static int check_dim(Index dim) {
        if (dim > simd::kMaxScanDim)
            throw_invalid_argument("FlatIndex: the dimension must be at most " +
                                   std::to_string(simd::kMaxScanDim) + " for up to 4 bits, but is " +
                                   std::to_string(dim));
        return static_cast<int>(dim);
    }
    static Index blocks_for(Index n) noexcept { return (n + kBlock - 1) / kBlock; }
    template <class Byte>
    Byte* scale(Byte* block, int slot) const noexcept {
        return block + layout_.index_bytes() + sizeof(float) * static_cast<std::size_t>(slot);
    }
    void clear(Index i) noexcept {
        std::uint8_t* block = blocks_.at(i / kBlock);
        const int slot = static_cast<int>(i % kBlock);
        simd::clear_in_block(layout_, block, slot);
        std::memset(scale(block, slot), 0, sizeof(float));
        if (has_terms_) std::memset(scale(block, slot + simd::kScanBlock), 0, sizeof(float));
    }

    simd::ScanLayout<Bits> layout_;
    SegmentedArray blocks_;
    Index size_ = 0;
    std::size_t scale_offset_;
    bool has_terms_;
};

}  // namespace detail
TURBOQUANT_NAMESPACE_END
