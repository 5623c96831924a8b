// FlatIndex: adding and removing vectors.
#pragma once

#include <string>

#include "turboquant/flat_index.hpp"

TURBOQUANT_NAMESPACE_BEGIN

template <class Quantizer>
BasicFlatIndex<Quantizer>::BasicFlatIndex(Quantizer quantizer, FlatIndexOptions options)
    : quantizer_(std::move(quantizer)),
      options_(std::move(options)),
      storage_(quantizer_, options_.centring || options_.metric == Metric::l2),
      exact_(sizeof(float) *
                 static_cast<std::size_t>(simd::padded(static_cast<std::ptrdiff_t>(quantizer_.dim()))),
             detail::kExactVectors),
      ids_(sizeof(std::int64_t), detail::kSegmentVectors) {
    detail::need_one_eigen_allocator();
    mean_ = std::vector<float>(static_cast<std::size_t>(stride()));
    encoding_ = !options_.centring || options_.mean.size() > 0;
    if (options_.threads < 1)
        detail::throw_invalid_argument("FlatIndex: options.threads must be at least 1, but is " +
                                       std::to_string(options_.threads));
    if (options_.mean.size() == 0 || !options_.centring) return;
    if (options_.mean.size() != dim())
        detail::throw_invalid_argument("FlatIndex: options.mean must be of dimension " +
                                       std::to_string(dim()) + ", but has " +
                                       std::to_string(options_.mean.size()) + " elements");
    std::copy(options_.mean.data(), options_.mean.data() + dim(), mean_.begin());
    settle_mean();
}

// ‖μ‖² of the mean in place.
template <class Quantizer>
void BasicFlatIndex<Quantizer>::settle_mean() {
    double sum = 0.0;
    for (float value : mean_) sum += detail::rounded(static_cast<double>(value) * static_cast<double>(value));
    if (!(sum <= 1e36))
        detail::throw_invalid_argument(
            "FlatIndex: options.mean holds a NaN, an infinity, or has a norm above 1e18");
    mean_squared_norm_ = static_cast<float>(sum);
}

// Takes back an addition that failed.
template <class Quantizer>
struct BasicFlatIndex<Quantizer>::Undo {
    BasicFlatIndex& index;
    const Index count;
    const bool encoding;
    bool done = false;
    explicit Undo(BasicFlatIndex& i) noexcept : index(i), count(i.count_), encoding(i.encoding_) {}
    Undo(const Undo&) = delete;
    Undo& operator=(const Undo&) = delete;
    ~Undo() {
        if (done) return;
        index.count_ = count;
        index.storage_.resize(encoding ? count : 0);
        if (encoding) return;
        index.exact_.resize(count);
        index.encoding_ = false;
        std::fill(index.mean_.begin(), index.mean_.end(), 0.0f);
        index.mean_squared_norm_ = 0.0f;
    }
};

template <class Quantizer>
void BasicFlatIndex<Quantizer>::add_columns(const simd::InputColumns& in, const std::int64_t* ids) {
    if (in.count == 0) return;
    Undo undo(*this);
    Codes codes;
    const auto n = static_cast<Index>(in.count);
    Index first = 0;
    if (!encoding_) {
        first = std::min(n, detail::kExactVectors - count_);
        keep_exact(in, 0, first);
        if (count_ == detail::kExactVectors) {
            // In double, in the order of the vectors.
            std::vector<double> sums(static_cast<std::size_t>(dim()), 0.0);
            for (Index i = 0; i < count_; ++i) {
                const auto* x = reinterpret_cast<const float*>(exact_.at(i));
                for (Index j = 0; j < dim(); ++j)
                    sums[static_cast<std::size_t>(j)] += static_cast<double>(x[j]);
            }
            for (Index j = 0; j < dim(); ++j)
                mean_[static_cast<std::size_t>(j)] =
                    static_cast<float>(sums[static_cast<std::size_t>(j)] / static_cast<double>(count_));
            settle_mean();
            encoding_ = true;
            // These are normalised already, if need be: dividing by a norm of 1 twice would change bits.
            encode({exact_.at(0), simd::InputType::float32, stride(), count_}, 0, count_, undo.count, codes);
        }
    }
    if (first < n) {
        // Exactly, so that nothing is unused; but for fewer vectors at a time each call would move a segment.
        if (n - first >= detail::kSegmentVectors) storage_.reserve(count_ + n - first);
        encode(in, first, n - first, 0, codes);
    }
    if (ids != nullptr && !explicit_ids_) make_ids_explicit();
    if (explicit_ids_) {
        ids_.resize(count_);
        for (Index i = 0; i < n; ++i) set_id(undo.count + i, ids != nullptr ? ids[i] : next_id_ + i);
    }
    undo.done = true;
    if (ids != nullptr)
        next_id_ = std::max(next_id_, *std::max_element(ids, ids + n) + 1);
    else
        next_id_ += n;
    if (encoding_ && exact_.size() > 0)
        exact_ = detail::SegmentedArray(exact_.element_bytes(), exact_.per_segment());
}

template <class Quantizer>
void BasicFlatIndex<Quantizer>::keep_exact(const simd::InputColumns& in, Index first, Index count) {
    exact_.resize(count_ + count);
    simd::CentreResult result{};
    detail::with_scratch(stride() + count, [&](float* scratch) {
        const simd::FloatingPointGuard guard;
        result = TURBOQUANT_KERNEL(centre_columns)(
            in, first, count, static_cast<int>(dim()), normalises(), false, detail::kLargestNorm,
            mean_.data(), reinterpret_cast<float*>(exact_.at(count_)), stride(), scratch + stride(), scratch);
    });
    if (result.error != simd::ColumnError::none)
        throw_bad_column("add", "vectors", result.error, first + static_cast<Index>(result.good));
    count_ += count;
}

// Columns first … first + count − 1 of `in`. The first 1024 have been normalised before, and stand in exact_; `stored` of them
// came with earlier calls.
template <class Quantizer>
void BasicFlatIndex<Quantizer>::encode(const simd::InputColumns& in, Index first, Index count, Index stored,
                                       Codes& codes) {
    const bool kept = exact_.size() > 0 && in.data == exact_.at(0), normalise = normalises() && !kept;
    const Index base = kept ? 0 : count_;
    // Vectors at a time: their codes, or 64 KiB of them centred, stay in the cache.
    const Index chunk =
        std::clamp<Index>(16384 / stride(), 1, std::min<Index>(count, detail::kSegmentVectors));
    std::vector<float> rows, terms(static_cast<std::size_t>(chunk));
    for (Index done = 0; done < count; done += chunk) {
        const Index some = std::min(chunk, count - done);
        if (normalise || !encode_columns(in.part(first + done, some), terms.data(), codes)) {
            rows.resize(static_cast<std::size_t>((some + 1) * stride()));
            centre_rows(in, first + done, some, normalise, rows, terms.data());
            encode_rows({rows.data(), dim(), some, Eigen::OuterStride<>(stride())}, first + done, stored,
                        codes);
        }
        if (euclidean())
            for (float& term : terms) term = -term;
        storage_.resize(base + done + some);
        storage_.set(base + done, some, codes.data(), terms.data());
        if (!kept) count_ = base + done + some;
    }
}

// The columns less the mean, from where they lie to codes. False where that cannot be, or one of them is not ordinary.
template <class Quantizer>
bool BasicFlatIndex<Quantizer>::encode_columns([[maybe_unused]] simd::InputColumns in,
                                               [[maybe_unused]] float* terms,
                                               [[maybe_unused]] Codes& codes) const {
    if constexpr (detail::has_encode_records<Quantizer>::value) {
        in.mean = mean_.data();
        in.terms = terms;
        in.squared = euclidean();
        return encode_records(in, codes).error == simd::EncodeError::none;
    } else {
        return false;
    }
}

// Replaces the bytes of `codes`.
template <class Quantizer>
simd::EncodeResult BasicFlatIndex<Quantizer>::encode_records(const simd::InputColumns& in,
                                                             Codes& codes) const {
    codes.clear();
    std::uint8_t* const records = codes.room(quantizer_.bytes_per_vector(), in.count);
    simd::EncodeResult result{};
    detail::with_scratch(quantizer_.plan().encode_floats(), [&](float* scratch) {
        const simd::FloatingPointGuard guard;
        result = quantizer_.encode_records(in, records, scratch);
    });
    return result;
}

// Any columns, normalised where `normalise`, less the mean: to rows, of which the one after the last is a buffer.
template <class Quantizer>
void BasicFlatIndex<Quantizer>::centre_rows(const simd::InputColumns& in, Index first, Index count,
                                            bool normalise, std::vector<float>& rows, float* terms) const {
    const simd::FloatingPointGuard guard;
    const simd::CentreResult result = TURBOQUANT_KERNEL(centre_columns)(
        in, first, count, static_cast<int>(dim()), normalise, euclidean(), detail::kLargestNorm, mean_.data(),
        rows.data(), stride(), terms, rows.data() + count * stride());
    if (result.error != simd::ColumnError::none)
        throw_bad_column("add", "vectors", result.error, first + static_cast<Index>(result.good));
}

// What has been centred, to codes. Row 0 is number `first` of the `stored` vectors of earlier calls and then the columns of
// this one.
template <class Quantizer>
void BasicFlatIndex<Quantizer>::encode_rows(
    const Eigen::Map<const Eigen::MatrixXf, 0, Eigen::OuterStride<>>& rows, Index first, Index stored,
    Codes& codes) const {
    if constexpr (detail::has_encode_records<Quantizer>::value) {
        const simd::EncodeResult result =
            encode_records({rows.data(), simd::InputType::float32, stride(), rows.cols()}, codes);
        if (result.error == simd::EncodeError::none) return;
        const Index number = first + static_cast<Index>(result.encoded);
        const std::string which =
            number >= stored
                ? "column " + std::to_string(number - stored) + " of the vectors"
                : "the vector of id " + std::to_string(id_at(number)) + ", which was kept exact until now,";
        detail::throw_invalid_argument(
            "FlatIndex::add: " + which + " has norm " + detail::number_text(result.norm) +
            (options_.centring ? " less the mean" : "") + ", too large for the type of the stored scale");
    } else {
        codes.clear();  // so that encode need not be sure to succeed before it begins
        quantizer_.encode(rows, codes);
    }
}

template <class Quantizer>
void BasicFlatIndex<Quantizer>::throw_bad_column(const char* call, const char* what, simd::ColumnError error,
                                                 Index column) const {
    const std::string where = std::string("FlatIndex::") + call;
    if (error == simd::ColumnError::not_finite) detail::throw_not_finite(where, what, column);
    detail::throw_too_large(where, what, column);
}

// --- Ids ------------------------------------------------------------------------------------------------------------------

template <class Quantizer>
void BasicFlatIndex<Quantizer>::make_ids_explicit() {
    ids_.resize(count_);
    for (Index i = 0; i < count_; ++i) set_id(i, i);
    explicit_ids_ = true;
}

template <class Quantizer>
Index BasicFlatIndex<Quantizer>::find(std::int64_t id) const {
    if (!explicit_ids_) return id >= 0 && id < count_ ? static_cast<Index>(id) : -1;
    for (Index i = 0; i < count_; ++i)
        if (id_at(i) == id) return i;
    return -1;
}

template <class Quantizer>
void BasicFlatIndex<Quantizer>::check_new_ids(const Ids& ids, Index expected) const {
    if (ids.size() != expected)
        detail::throw_invalid_argument("FlatIndex::add: expected an id for each of the " +
                                       std::to_string(expected) + " vectors, but got " +
                                       std::to_string(ids.size()));
    bool ascending = true;
    std::int64_t before = next_id_ - 1;
    for (Index i = 0; i < ids.size(); ++i) {
        if (ids[i] < 0)
            detail::throw_invalid_argument("FlatIndex::add: ids must not be negative, but id " +
                                           std::to_string(i) + " is " + std::to_string(ids[i]));
        if (ids[i] == std::numeric_limits<std::int64_t>::max())
            detail::throw_invalid_argument("FlatIndex::add: the largest id is 2^63 - 2");
        ascending = ascending && ids[i] > before;
        before = ids[i];
    }
    if (ascending) return;
    std::vector<std::int64_t> sorted(ids.data(), ids.data() + ids.size());
    std::sort(sorted.begin(), sorted.end(), detail::Less());
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    if (twice != sorted.end())
        detail::throw_invalid_argument("FlatIndex::add: id " + std::to_string(*twice) + " is given twice");
    for (Index i = 0; i < count_; ++i)
        if (std::binary_search(sorted.begin(), sorted.end(), id_at(i)))
            detail::throw_invalid_argument("FlatIndex::add: id " + std::to_string(id_at(i)) + " is taken");
}

template <class Quantizer>
void BasicFlatIndex<Quantizer>::remove(Ids ids) {
    if (ids.size() == 0) return;
    std::vector<std::int64_t> sorted(ids.data(), ids.data() + ids.size());
    std::sort(sorted.begin(), sorted.end(), detail::Less());
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    if (twice != sorted.end())
        detail::throw_invalid_argument("FlatIndex::remove: id " + std::to_string(*twice) + " is given twice");
    std::vector<std::pair<std::int64_t, Index>> found;
    if (explicit_ids_) {
        for (Index i = 0; i < count_; ++i)
            if (std::binary_search(sorted.begin(), sorted.end(), id_at(i))) found.emplace_back(id_at(i), i);
    } else {
        for (std::int64_t id : sorted)
            if (find(id) >= 0) found.emplace_back(id, find(id));
    }
    if (found.size() < sorted.size()) {
        std::sort(found.begin(), found.end(), detail::Less());
        std::size_t known = 0;
        while (known < found.size() && found[known].first == sorted[known]) ++known;
        detail::throw_invalid_argument("FlatIndex::remove: there is no id " + std::to_string(sorted[known]) +
                                       "; nothing was removed");
    }
    if (!explicit_ids_) make_ids_explicit();
    // Where memory is borrowed, nothing is written to; and nothing below may fail.
    const auto own = [this](Index i) {
        ids_.own(i);
        if (encoding_)
            storage_.own(i);
        else
            exact_.own(i);
    };
    for (const auto& [id, position] : found) own(position);
    for (Index i = count_ - static_cast<Index>(found.size()); i < count_; ++i) own(i);
    // From the last position on, so that what moves into a gap is never itself to go.
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
    for (const auto& [id, position] : found) {
        const Index last = count_ - 1;
        if (encoding_)
            storage_.move(last, position);
        else
            std::memmove(exact_.at(position), exact_.at(last), exact_.element_bytes());
        set_id(position, id_at(last));
        count_ = last;
        if (encoding_)
            storage_.resize(last);
        else
            exact_.resize(last);
        ids_.resize(last);
    }
}

TURBOQUANT_NAMESPACE_END
