// Search among encoded vectors: add embeddings as they come, without training, and ask for the nearest.
//
// Vectors are encoded less a mean μ (Centring), and scored without decoding by
//
//   <q, x> = <q − μ, x − μ> + <μ, x − μ> + <q, μ>
//
// of which the first term is estimated from the codes (without bias) and the others are exact: the error grows with
// ‖q − μ‖·‖x − μ‖ instead of ‖q‖·‖x‖. Embeddings of real models have most of their length in common, so that this raises
// recall at the same bits, for one more float per vector. μ is given, or is the mean of the first 1024 vectors, which are
// kept and searched as they are until then.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <iosfwd>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "turboquant/config.hpp"
#include "turboquant/container_format.hpp"
#include "turboquant/index_storage.hpp"
#include "turboquant/mse_quantizer.hpp"
#include "turboquant/parallel.hpp"
#include "turboquant/segmented_array.hpp"
#include "turboquant/top_k.hpp"

#if TURBOQUANT_EXCEPTIONS
#include <exception>
#endif

TURBOQUANT_NAMESPACE_BEGIN

// What search compares. Larger is better for the first two; l2 is the squared Euclidean distance. An estimated distance of
// nearly equal vectors can be slightly below zero.
enum class Metric : int { inner_product, cosine, l2 };

struct FlatIndexOptions {
    std::uint64_t seed = 0;
    Metric metric = Metric::inner_product;
    bool centring = true;
    Eigen::VectorXf mean = Eigen::VectorXf();  // of dimension dim(): given, or (empty) found
    int threads = 1;                           // for search, where the program is built with OpenMP
};

// What search returns: column j belongs to query j, best first, equal scores by id. Where there are fewer than k vectors,
// ids of −1 with scores of −infinity (l2: +infinity).
struct SearchResult {
    Eigen::Matrix<std::int64_t, Eigen::Dynamic, Eigen::Dynamic> ids;  // k × m
    Eigen::MatrixXf scores;                                           // k × m
};

// A list of ids, not owned: a std::vector, or an Eigen vector, map or column.
class Ids {
public:
    Ids(const std::int64_t* data, Index size) noexcept : data_(data), size_(size) {}
    Ids(const std::vector<std::int64_t>& ids) noexcept  // NOLINT: conversion is its purpose
        : data_(ids.data()), size_(static_cast<Index>(ids.size())) {}
    template <class Vector>
    Ids(const Eigen::DenseBase<Vector>& ids) noexcept  // NOLINT
        : data_(ids.derived().data()), size_(ids.size()) {
        static_assert(
            Vector::IsVectorAtCompileTime && Vector::InnerStrideAtCompileTime == 1 &&
                (Vector::Flags & Eigen::DirectAccessBit) != 0,
            "turboquant: ids must be an Eigen vector, map or column whose elements lie side by side");
    }
    const std::int64_t* data() const noexcept { return data_; }
    Index size() const noexcept { return size_; }
    std::int64_t operator[](Index i) const noexcept { return data_[i]; }

private:
    const std::int64_t* data_;
    Index size_;
};

namespace detail {

// Whether a quantizer encodes columns less a mean, and says which one it cannot (QuantizerInterface::encode_records).
template <class Q, class = void>
struct has_encode_records : std::false_type {};
template <class Q>
struct has_encode_records<Q, std::void_t<decltype(std::declval<const Q&>().encode_records(
                                 std::declval<const simd::InputColumns&>(), std::declval<std::uint8_t*>(),
                                 std::declval<float*>()))>> : std::true_type {};

// A callable without its type, so that the scan is compiled once for all filters.
struct FilterRef {
    bool (*call)(const void* object, std::int64_t id) = nullptr;
    const void* object = nullptr;
};

// Vectors before the mean is known.
inline constexpr Index kExactVectors = 1024;

}  // namespace detail

// d: the dimension, m: number of queries. Elements are float, Eigen::half or Eigen::bfloat16. Const calls are safe from
// many threads at once. Every call throws std::invalid_argument, naming what was expected and what came, on wrong sizes,
// on a column with a NaN or an infinity, and on norms too large to be scored in float (above 1e18); nothing has changed
// then.
//
// Quantizer: any type that meets the Quantizer requirements. MseQuantizer of up to 4 bits has the fast scan; its scale is
// by default the unbiased one. The stored bytes depend on the sequence of vectors, never on how calls split it.
template <class Quantizer>
class BasicFlatIndex {
    using Storage = detail::IndexStorage<Quantizer>;

public:
    // Fixed dimension only.
    template <class Q = Quantizer, std::enable_if_t<std::is_constructible_v<Q, std::uint64_t>, int> = 0>
    explicit BasicFlatIndex(FlatIndexOptions options = {})
        : BasicFlatIndex(Quantizer(options.seed).dim(), std::move(options)) {}

    BasicFlatIndex(Index dim, FlatIndexOptions options = {})
        : BasicFlatIndex(detail::make_quantizer<Quantizer>(dim, options.seed, ScaleRule::unbiased),
                         std::move(options)) {}

    // With a quantizer of one's own; its seed counts.
    explicit BasicFlatIndex(Quantizer quantizer, FlatIndexOptions options = {});

    Index dim() const noexcept { return quantizer_.dim(); }
    Index size() const noexcept { return count_; }
    bool empty() const noexcept { return count_ == 0; }
    const Quantizer& quantizer() const noexcept { return quantizer_; }
    const FlatIndexOptions& options() const noexcept { return options_; }
    // options().threads anew, at least 1: what is loaded from a file has 1.
    void set_threads(int threads) {
        if (threads < 1)
            detail::throw_invalid_argument("FlatIndex::set_threads: threads must be at least 1, but is " +
                                           std::to_string(threads));
        options_.threads = threads;
    }
    // The mean that is subtracted; empty while it is not known, and without centring.
    Eigen::VectorXf mean() const {
        if (!encoding_ || !options_.centring) return {};
        return Eigen::Map<const Eigen::VectorXf>(mean_.data(), dim());
    }
    // Memory taken by vectors, terms, ids and mean, unused capacity included.
    std::size_t bytes() const noexcept {
        return storage_.bytes() + ids_.bytes() + exact_.bytes() + mean_.capacity() * sizeof(float);
    }
    // The id of each vector, in the order of scores().
    std::vector<std::int64_t> ids() const {
        std::vector<std::int64_t> all(static_cast<std::size_t>(count_));
        for (Index i = 0; i < count_; ++i) all[static_cast<std::size_t>(i)] = id_at(i);
        return all;
    }

    // Room for n vectors in all.
    void reserve(Index n) {
        if (encoding_ || n >= detail::kExactVectors) storage_.reserve(n);
    }

    // Adds the columns of x (d × n) and returns the id of the first: automatic ids count up, and none is ever used twice.
    template <class X>
    std::int64_t add(const Eigen::MatrixBase<X>& x) {
        const std::int64_t first = next_id_;
        const detail::Columns<X> columns(x.derived());
        detail::check_rows("FlatIndex::add", dim(), x.rows());
        if (x.cols() > std::numeric_limits<std::int64_t>::max() - first)
            detail::throw_invalid_argument("FlatIndex::add: no automatic ids are left above " +
                                           std::to_string(first - 1));
        add_columns(columns.input(), nullptr);
        return first;
    }
    // With ids of one's own, not negative, none there yet. Ascending ones are checked at once; others cost a scan of all
    // ids per call.
    template <class X>
    void add(const Eigen::MatrixBase<X>& x, Ids ids) {
        const detail::Columns<X> columns(x.derived());
        detail::check_rows("FlatIndex::add", dim(), x.rows());
        check_new_ids(ids, x.cols());
        add_columns(columns.input(), ids.data());
    }

    template <class X>
    void add(const Eigen::MatrixBase<X>& x, std::initializer_list<std::int64_t> ids) {
        add(x, Ids(ids.begin(), static_cast<Index>(ids.size())));
    }

    // Removes vectors; the last ones take their places. O(size) to find ids that are not automatic.
    void remove(Ids ids);
    void remove(std::initializer_list<std::int64_t> ids) {
        remove(Ids(ids.begin(), static_cast<Index>(ids.size())));
    }
    void remove(std::int64_t id) { remove(Ids(&id, 1)); }
    bool contains(std::int64_t id) const { return find(id) >= 0; }

    // The k best vectors for each column of queries (d × m). k = 0 gives an empty result.
    template <class X>
    SearchResult search(const Eigen::MatrixBase<X>& queries, Index k) const {
        SearchResult result;
        search(queries, k, result);
        return result;
    }
    // The same into `result`, reusing its memory.
    template <class X>
    void search(const Eigen::MatrixBase<X>& queries, Index k, SearchResult& result) const {
        search_columns(queries, k, detail::FilterRef(), result);
    }
    // Only vectors for which filter(id), a bool, holds. It is asked about those alone that would be among the k best, by
    // several threads at once when options().threads > 1.
    template <class X, class Filter,
              std::enable_if_t<std::is_invocable_r_v<bool, const Filter&, std::int64_t>, int> = 0>
    SearchResult search(const Eigen::MatrixBase<X>& queries, Index k, const Filter& filter) const {
        SearchResult result;
        search(queries, k, filter, result);
        return result;
    }
    template <class X, class Filter,
              std::enable_if_t<std::is_invocable_r_v<bool, const Filter&, std::int64_t>, int> = 0>
    void search(const Eigen::MatrixBase<X>& queries, Index k, const Filter& filter,
                SearchResult& result) const {
        const auto call = [](const void* object, std::int64_t id) -> bool {
            return (*static_cast<const Filter*>(object))(id);
        };
        search_columns(queries, k, {call, &filter}, result);
    }
    // The best `rerank` by codes, scored again by exact(id, queries.col(j)), the true score of that vector for that query
    // (or by exact(id, j), when it takes no column), of which the k best are returned.
    template <class X, class Exact>
    SearchResult search(const Eigen::MatrixBase<X>& queries, Index k, Index rerank, const Exact& exact) const;

    // All vectors that score at least `threshold` (l2: at most) for one query, d × 1: best first, n × 1.
    template <class X>
    SearchResult range_search(const Eigen::MatrixBase<X>& query, float threshold) const;

    // Every score, size() × m; row i belongs to ids()[i].
    template <class X>
    void scores(const Eigen::MatrixBase<X>& queries, Eigen::Ref<Eigen::MatrixXf> out) const;
    template <class X>
    Eigen::MatrixXf scores(const Eigen::MatrixBase<X>& queries) const {
        Eigen::MatrixXf out(count_, queries.cols());
        scores(queries, out);
        return out;
    }

    // To and from a stream or a file, with all that is in it but options().threads (container_format.hpp, and the order of
    // arrays in flat_index_file.hpp). A file is replaced at once when all is on the disk. Throws std::runtime_error when
    // the stream fails, and when what is read is damaged, too short, or another type's.
    void save(std::ostream& os) const;
    void save(const std::string& path) const;
    static BasicFlatIndex load(std::istream& is);
    static BasicFlatIndex load(const std::string& path);

    // A saved index where it lies, in a file that is mapped: vectors, terms and ids are read there and not copied, so that
    // opening takes next to no memory, and processes share it. It can do all that others can: what add() and remove() write
    // to is copied first, 1024 vectors at a time, and the file stays as it is. bytes() does not count what is in the file.
    // Throws as load() does. The file may be replaced meanwhile, by save() too, but not written to (mapped_file.hpp).
    static BasicFlatIndex map(const std::string& path, Verify verify = Verify::all);
    // The same over the `size` bytes at `data`, a multiple of 64, which must outlive the index and its copies.
    static BasicFlatIndex view_of_bytes(const void* data, std::size_t size, Verify verify = Verify::all);

private:
    bool normalises() const noexcept { return options_.metric == Metric::cosine; }
    bool euclidean() const noexcept { return options_.metric == Metric::l2; }
    std::ptrdiff_t stride() const noexcept { return simd::padded(static_cast<std::ptrdiff_t>(dim())); }
    std::int64_t id_at(Index i) const noexcept {
        if (!explicit_ids_) return i;
        std::int64_t id;
        std::memcpy(&id, ids_.at(i), sizeof id);
        return id;
    }
    void set_id(Index i, std::int64_t id) noexcept { std::memcpy(ids_.at(i), &id, sizeof id); }
    void make_ids_explicit();
    Index find(std::int64_t id) const;
    void check_new_ids(const Ids& ids, Index expected) const;

    // Adding, in flat_index_add.hpp.
    struct Undo;
    void add_columns(const simd::InputColumns& in, const std::int64_t* ids);
    void keep_exact(const simd::InputColumns& in, Index first, Index count);
    void encode(const simd::InputColumns& in, Index first, Index count, Index stored, Codes& codes);
    void settle_mean();
    bool encode_columns(simd::InputColumns in, float* terms, Codes& codes) const;
    simd::EncodeResult encode_records(const simd::InputColumns& in, Codes& codes) const;
    void centre_rows(const simd::InputColumns& in, Index first, Index count, bool normalise,
                     std::vector<float>& rows, float* terms) const;
    void encode_rows(const Eigen::Map<const Eigen::MatrixXf, 0, Eigen::OuterStride<>>& rows, Index first,
                     Index stored, Codes& codes) const;
    [[noreturn]] void throw_bad_column(const char* call, const char* what, simd::ColumnError error,
                                       Index column) const;

    // Files, in flat_index_file.hpp.
    bool write(std::ostream& os) const;
    static BasicFlatIndex read(std::istream& is, bool whole, const std::string& where);
    static BasicFlatIndex in_memory(const void* data, std::size_t size, Verify verify,
                                    const std::string& where);
    static BasicFlatIndex described(const detail::ContainerHeader& header, Quantizer quantizer,
                                    const std::string& where);
    void filled(Index count);
    template <class Self, class Visit>
    static void visit_arrays(Self& self, Index n, Visit&& visit);
    std::size_t mean_bytes() const noexcept {
        return encoding_ && options_.centring ? sizeof(float) * static_cast<std::size_t>(dim()) : 0;
    }
    std::uint64_t payload_bytes(Index n) const;

    // Searching, in flat_index_search.hpp.
    struct TopKSink;
    struct RangeSink;
    struct ScoreSink;
    template <class X>
    void search_columns(const Eigen::MatrixBase<X>& queries, Index k, detail::FilterRef filter,
                        SearchResult& result) const;
    void search_block(const simd::InputColumns& in, Index first, int count, Index k, detail::FilterRef filter,
                      SearchResult& result) const;
    void search_segments(Index first, Index last, const detail::IndexQueries& queries,
                         const typename Storage::Prepared* prepared, TopKSink& sink, float* memory) const;
    void search_parts(int parts, const detail::IndexQueries& queries,
                      const typename Storage::Prepared* prepared, TopKSink& sink) const;
    void finish(detail::TopK& best, Index k, Index column, SearchResult& result) const;
    template <class Body>
    void with_queries(const char* call, const simd::InputColumns& in, Index first, int count,
                      Body&& body) const;
    template <class Sink>
    void scan(Index first_segment, Index last_segment, const detail::IndexQueries& queries,
              const typename Storage::Prepared* prepared, Sink& sink, float* scratch) const;
    void scan_exact(Index segment, const detail::IndexQueries& queries, simd::ScanSink& sink) const;
    // Work memory for a scan: room for heaps, then thresholds, then the storage's own.
    static std::ptrdiff_t top_k_floats(int queries) noexcept {
        return (queries * static_cast<std::ptrdiff_t>(sizeof(detail::TopK) / sizeof(float)) + 15) / 16 * 16;
    }
    std::ptrdiff_t part_floats(int queries) const noexcept {
        return top_k_floats(queries) + (queries + 15) / 16 * 16 + Storage::scratch(dim(), queries);
    }
    Index segments() const noexcept {
        return (count_ + detail::kSegmentVectors - 1) / detail::kSegmentVectors;
    }

    Quantizer quantizer_;
    FlatIndexOptions options_;
    std::vector<float> mean_;  // padded by zeros; all zeros while there is none
    float mean_squared_norm_ = 0;
    bool encoding_ = false;  // the mean is settled: vectors are encoded
    Index count_ = 0;
    Storage storage_;
    detail::SegmentedArray exact_;  // vectors before that, padded
    detail::SegmentedArray ids_;
    bool explicit_ids_ = false;               // otherwise a vector's id is its position
    std::int64_t next_id_ = 0;                // above every id ever used
    std::shared_ptr<const MappedFile> file_;  // that storage_, exact_ and ids_ may look into
};

// Dim: the dimension, or Eigen::Dynamic.
template <int Dim, int Bits>
using FlatIndex = BasicFlatIndex<MseQuantizer<Dim, Bits>>;

TURBOQUANT_NAMESPACE_END

// The members' definitions.
#include "turboquant/flat_index_add.hpp"
#include "turboquant/flat_index_file.hpp"
#include "turboquant/flat_index_search.hpp"
