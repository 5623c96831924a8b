// FlatIndex: scores, the best of them, and all above a threshold.
#pragma once

#include "turboquant/flat_index.hpp"

TURBOQUANT_NAMESPACE_BEGIN

namespace detail {
// Queries that one pass over the vectors serves.
inline constexpr Index kQueriesAtOnce = 256;
}  // namespace detail

// --- What becomes of scores -------------------------------------------------------------------------------------------------

// The k best. `first` is the position of what the scan calls position 0.
template <class Quantizer>
struct BasicFlatIndex<Quantizer>::TopKSink : simd::ScanSink {
    const BasicFlatIndex* index;
    Index first = 0;
    detail::TopK* best;  // one per query
    detail::FilterRef filter;
#if TURBOQUANT_EXCEPTIONS
    std::exception_ptr error;  // what the filter threw: kernels let nothing pass
#endif

    bool admits(std::int64_t id) noexcept {
#if TURBOQUANT_EXCEPTIONS
        if (error) return false;
        try {
            return filter.call(filter.object, id);
        } catch (...) {
            error = std::current_exception();
            return false;
        }
#else
        return filter.call(filter.object, id);
#endif
    }

    static void take_scores(simd::ScanSink& base, int query, std::ptrdiff_t start, std::uint32_t lanes,
                            const float* scores) noexcept {
        auto& self = static_cast<TopKSink&>(base);
        detail::TopK& best = self.best[query];
        for (int i = 0; lanes != 0; ++i, lanes >>= 1) {
            if ((lanes & 1u) == 0) continue;
            const std::int64_t id = self.index->id_at(self.first + static_cast<Index>(start) + i);
            if (!best.wants(scores[i], id)) continue;
            if (self.filter.call != nullptr && !self.admits(id)) continue;
            best.push(scores[i], id);
        }
        self.thresholds[query] = best.threshold();
    }
};

template <class Quantizer>
struct BasicFlatIndex<Quantizer>::RangeSink : simd::ScanSink {
    const BasicFlatIndex* index;
    Index first = 0;
    std::vector<std::pair<float, std::int64_t>> found;
#if TURBOQUANT_EXCEPTIONS
    std::exception_ptr error;  // out of memory
#endif
    void keep(std::ptrdiff_t start, std::uint32_t lanes, const float* scores) {
        for (int i = 0; lanes != 0; ++i, lanes >>= 1)
            if ((lanes & 1u) != 0)
                found.emplace_back(scores[i], index->id_at(first + static_cast<Index>(start) + i));
    }
    static void take_scores(simd::ScanSink& base, int, std::ptrdiff_t start, std::uint32_t lanes,
                            const float* scores) noexcept {
        auto& self = static_cast<RangeSink&>(base);
#if TURBOQUANT_EXCEPTIONS
        try {
            self.keep(start, lanes, scores);
        } catch (...) {
            self.error = std::current_exception();
            self.thresholds[0] = std::numeric_limits<float>::infinity();
        }
#else
        self.keep(start, lanes, scores);
#endif
    }
};

template <class Quantizer>
struct BasicFlatIndex<Quantizer>::ScoreSink : simd::ScanSink {
    float* out;
    std::ptrdiff_t stride;
    float sign;
    Index first = 0;
    static void take_scores(simd::ScanSink& base, int query, std::ptrdiff_t start, std::uint32_t lanes,
                            const float* scores) noexcept {
        auto& self = static_cast<ScoreSink&>(base);
        float* to = self.out + query * self.stride + self.first + start;
        for (int i = 0; lanes != 0; ++i, lanes >>= 1)
            if ((lanes & 1u) != 0) to[i] = self.sign * scores[i];
    }
};

// --- Scanning ---------------------------------------------------------------------------------------------------------------

// Columns first … first + count − 1 of `in`, normalised and centred as the metric asks, and ready for the storage:
// body(queries, prepared, memory), prepared nullptr while vectors are kept as they are, with work memory of part_floats().
template <class Quantizer>
template <class Body>
void BasicFlatIndex<Quantizer>::with_queries(const char* call, const simd::InputColumns& in, Index first,
                                             int count, Body&& body) const {
    const std::ptrdiff_t row = stride(), constants = (count + 15) / 16 * 16;
    const std::ptrdiff_t prepared = (Storage::Prepared::floats(dim(), count) + 15) / 16 * 16;
    detail::with_scratch(
        count * row + constants + std::max(row, prepared) + part_floats(count), [&](float* memory) {
            float* const terms = memory + count * row;
            float* const rest = terms + constants;
            simd::CentreResult result;
            {
                const simd::FloatingPointGuard guard;
                result = TURBOQUANT_KERNEL(centre_columns)(in, first, count, static_cast<int>(dim()),
                                                           normalises(), euclidean(), detail::kLargestNorm,
                                                           mean_.data(), memory, row, terms, rest);
            }
            if (result.error != simd::ColumnError::none)
                throw_bad_column(call, "queries", result.error, first + static_cast<Index>(result.good));
            // <q, μ> = <q − μ, μ> + ‖μ‖².
            for (int q = 0; q < count; ++q)
                terms[q] = euclidean() ? -terms[q] : terms[q] + mean_squared_norm_;
            const detail::IndexQueries queries{memory, row, count, euclidean() ? 2.0f : 1.0f, terms};
            if (!encoding_)
                return body(queries, static_cast<const typename Storage::Prepared*>(nullptr), rest + row);
            const typename Storage::Prepared ready(quantizer_, queries, rest);
            body(queries, &ready, rest + std::max(row, prepared));
        });
}

template <class Quantizer>
void BasicFlatIndex<Quantizer>::scan_exact(Index segment, const detail::IndexQueries& queries,
                                           simd::ScanSink& sink) const {
    const auto kernel = euclidean() ? TURBOQUANT_KERNEL(template exact_scores<true>)
                                    : TURBOQUANT_KERNEL(template exact_scores<false>);
    const Index start = segment * detail::kSegmentVectors;
    for (int q = 0; q < queries.count; ++q) {
        for (Index i = start; i < std::min(count_, start + detail::kSegmentVectors); i += simd::kScanBlock) {
            float scores[simd::kScanBlock];
            const Index some = std::min<Index>(simd::kScanBlock, count_ - i);
            {
                const simd::FloatingPointGuard guard;
                kernel(reinterpret_cast<const float*>(exact_.at(i)), stride(), some, static_cast<int>(dim()),
                       queries.rows + q * queries.stride, scores);
            }
            std::uint32_t lanes = 0;
            for (int k = 0; k < some; ++k) {
                if (euclidean()) scores[k] = -scores[k];
                if (scores[k] >= sink.thresholds[q]) lanes |= 1u << k;
            }
            if (lanes != 0) sink.take(sink, q, i - start, lanes, scores);
        }
    }
}

// Segments first_segment … last_segment − 1 to a sink that has a member `first`.
template <class Quantizer>
template <class Sink>
void BasicFlatIndex<Quantizer>::scan(Index first_segment, Index last_segment,
                                     const detail::IndexQueries& queries,
                                     const typename Storage::Prepared* prepared, Sink& sink,
                                     float* scratch) const {
    for (Index segment = first_segment; segment < last_segment; ++segment) {
        sink.first = segment * detail::kSegmentVectors;
        if (prepared == nullptr)
            scan_exact(segment, queries, sink);
        else
            storage_.scan(quantizer_, segment, *prepared, sink, scratch);
    }
}

// --- The k best -------------------------------------------------------------------------------------------------------------

template <class Quantizer>
template <class X>
void BasicFlatIndex<Quantizer>::search_columns(const Eigen::MatrixBase<X>& queries, Index k,
                                               detail::FilterRef filter, SearchResult& result) const {
    detail::check_rows("FlatIndex::search", dim(), queries.rows());
    if (k < 0)
        detail::throw_invalid_argument("FlatIndex::search: k must not be negative, but is " +
                                       std::to_string(k));
    const detail::Columns<X> columns(queries.derived());
    result.ids.resize(k, queries.cols());
    result.scores.resize(k, queries.cols());
    for (Index first = 0; first < queries.cols(); first += detail::kQueriesAtOnce)
        search_block(columns.input(), first,
                     static_cast<int>(std::min(detail::kQueriesAtOnce, queries.cols() - first)), k, filter,
                     result);
}

// The best of segments first … last − 1, by `best`, one per query, whose thresholds stand in `memory`.
template <class Quantizer>
void BasicFlatIndex<Quantizer>::search_segments(Index first, Index last, const detail::IndexQueries& queries,
                                                const typename Storage::Prepared* prepared, TopKSink& sink,
                                                float* memory) const {
    sink.take = &TopKSink::take_scores;
    sink.thresholds = memory;
    for (int q = 0; q < queries.count; ++q) memory[q] = sink.best[q].threshold();
    scan(first, last, queries, prepared, sink, memory + (queries.count + 15) / 16 * 16);
}

template <class Quantizer>
void BasicFlatIndex<Quantizer>::search_block(const simd::InputColumns& in, Index first, int count, Index k,
                                             detail::FilterRef filter, SearchResult& result) const {
    with_queries("search", in, first, count, [&](const auto& queries, const auto* prepared, float* memory) {
        auto* const best = reinterpret_cast<detail::TopK*>(memory);
        float* const work = memory + top_k_floats(count);
        for (int q = 0; q < count; ++q)
            new (best + q) detail::TopK(result.scores.data() + (first + q) * k,
                                        result.ids.data() + (first + q) * k, std::min(k, count_));
        TopKSink sink;
        sink.index = this;
        sink.best = best;
        sink.filter = filter;
        const auto parts =
            static_cast<int>(std::clamp<Index>(segments(), 1, detail::part_count(count_, options_.threads)));
        if (parts == 1)
            search_segments(0, segments(), queries, prepared, sink, work);
        else
            search_parts(parts, queries, prepared, sink);
#if TURBOQUANT_EXCEPTIONS
        if (sink.error) std::rethrow_exception(sink.error);
#endif
        for (int q = 0; q < count; ++q) finish(best[q], k, first + q, result);
    });
}

// The same by several threads, each with heaps of its own for a share of the segments, merged into sink.best.
template <class Quantizer>
void BasicFlatIndex<Quantizer>::search_parts(int parts, const detail::IndexQueries& queries,
                                             const typename Storage::Prepared* prepared,
                                             TopKSink& sink) const {
    const Index kept = sink.best[0].capacity(), each = kept * queries.count;
    const auto all = static_cast<std::size_t>(parts * each);
    const std::ptrdiff_t work = part_floats(queries.count);
    std::vector<float> scores(all), memory(static_cast<std::size_t>(parts * work));
    std::vector<std::int64_t> ids(all);
    std::vector<detail::TopK> best;
    for (Index i = 0; i < static_cast<Index>(parts) * queries.count; ++i)
        best.emplace_back(scores.data() + i * kept, ids.data() + i * kept, kept);
    std::vector<TopKSink> sinks(static_cast<std::size_t>(parts), sink);
    detail::for_each_part(segments(), parts, [&](int part, Index first, Index count) {
        TopKSink& own = sinks[static_cast<std::size_t>(part)];
        own.best = best.data() + part * queries.count;
        search_segments(first, first + count, queries, prepared, own, memory.data() + part * work);
    });
    for (int part = 0; part < parts; ++part) {
#if TURBOQUANT_EXCEPTIONS
        if (sinks[static_cast<std::size_t>(part)].error)
            sink.error = sinks[static_cast<std::size_t>(part)].error;
#endif
        for (int q = 0; q < queries.count; ++q)
            sink.best[q].merge(best[static_cast<std::size_t>(part * queries.count + q)]);
    }
}

// Best first in the result's column, and what stands for missing ones.
template <class Quantizer>
void BasicFlatIndex<Quantizer>::finish(detail::TopK& best, Index k, Index column,
                                       SearchResult& result) const {
    best.sort();
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    for (Index i = 0; i < k; ++i) {
        float& score = result.scores(i, column);
        if (i < best.size()) {
            if (euclidean()) score = -score;
        } else {
            score = euclidean() ? kInfinity : -kInfinity;
            result.ids(i, column) = -1;
        }
    }
}

template <class Quantizer>
template <class X, class Exact>
SearchResult BasicFlatIndex<Quantizer>::search(const Eigen::MatrixBase<X>& queries, Index k, Index rerank,
                                               const Exact& exact) const {
    if (k < 0)
        detail::throw_invalid_argument("FlatIndex::search: k must not be negative, but is " +
                                       std::to_string(k));
    if (rerank < k)
        detail::throw_invalid_argument("FlatIndex::search: rerank must be at least k = " + std::to_string(k) +
                                       ", but is " + std::to_string(rerank));
    const SearchResult candidates = search(queries, rerank);
    SearchResult result;
    result.ids.resize(k, queries.cols());
    result.scores.resize(k, queries.cols());
    for (Index j = 0; j < queries.cols(); ++j) {
        detail::TopK best(result.scores.data() + j * k, result.ids.data() + j * k, k);
        for (Index i = 0; i < rerank && candidates.ids(i, j) >= 0; ++i) {
            const std::int64_t id = candidates.ids(i, j);
            float score;
            // The column first: a generic lambda that is written for columns would not compile for an index.
            if constexpr (std::is_invocable_r_v<float, const Exact&, std::int64_t, decltype(queries.col(j))>)
                score = static_cast<float>(exact(id, queries.col(j)));
            else
                score = static_cast<float>(exact(id, j));
            best.push(euclidean() ? -score : score, id);
        }
        finish(best, k, j, result);
    }
    return result;
}

// --- All scores -------------------------------------------------------------------------------------------------------------

template <class Quantizer>
template <class X>
SearchResult BasicFlatIndex<Quantizer>::range_search(const Eigen::MatrixBase<X>& query,
                                                     float threshold) const {
    detail::check_rows("FlatIndex::range_search", dim(), query.rows());
    if (query.cols() != 1)
        detail::throw_invalid_argument("FlatIndex::range_search: expected one query, but got " +
                                       std::to_string(query.cols()));
    if (!(threshold <= std::numeric_limits<float>::infinity()))
        detail::throw_invalid_argument("FlatIndex::range_search: the threshold is NaN");
    const detail::Columns<X> columns(query.derived());
    RangeSink sink;
    sink.take = &RangeSink::take_scores;
    sink.index = this;
    with_queries("range_search", columns.input(), 0, 1,
                 [&](const auto& queries, const auto* prepared, float* memory) {
                     memory[0] = euclidean() ? -threshold : threshold;
                     sink.thresholds = memory;
                     scan(0, segments(), queries, prepared, sink, memory + 16);
                 });
#if TURBOQUANT_EXCEPTIONS
    if (sink.error) std::rethrow_exception(sink.error);
#endif
    std::sort(sink.found.begin(), sink.found.end(), [](const auto& a, const auto& b) {
        return a.first > b.first || (a.first == b.first && a.second < b.second);
    });
    SearchResult result;
    const auto n = static_cast<Index>(sink.found.size());
    result.ids.resize(n, 1);
    result.scores.resize(n, 1);
    for (Index i = 0; i < n; ++i) {
        const auto& [score, id] = sink.found[static_cast<std::size_t>(i)];
        result.ids(i, 0) = id;
        result.scores(i, 0) = euclidean() ? -score : score;
    }
    return result;
}

template <class Quantizer>
template <class X>
void BasicFlatIndex<Quantizer>::scores(const Eigen::MatrixBase<X>& queries,
                                       Eigen::Ref<Eigen::MatrixXf> out) const {
    detail::check_rows("FlatIndex::scores", dim(), queries.rows());
    if (out.rows() != count_ || out.cols() != queries.cols())
        detail::throw_wrong_output("FlatIndex::scores", count_, queries.cols(), out.rows(), out.cols());
    const detail::Columns<X> columns(queries.derived());
    ScoreSink sink;
    sink.take = &ScoreSink::take_scores;
    sink.sign = euclidean() ? -1.0f : 1.0f;
    sink.stride = out.outerStride();
    for (Index first = 0; first < queries.cols(); first += detail::kQueriesAtOnce) {
        const auto count = static_cast<int>(std::min(detail::kQueriesAtOnce, queries.cols() - first));
        sink.out = out.data() + first * out.outerStride();
        with_queries("scores", columns.input(), first, count,
                     [&](const auto& q, const auto* prepared, float* memory) {
                         std::fill(memory, memory + count, -std::numeric_limits<float>::infinity());
                         sink.thresholds = memory;
                         scan(0, segments(), q, prepared, sink, memory + (count + 15) / 16 * 16);
                     });
    }
}

TURBOQUANT_NAMESPACE_END
