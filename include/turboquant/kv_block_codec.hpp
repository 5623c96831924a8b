// Keys and values of one attention head in blocks of 64 tokens, in memory that the caller owns: the layer below KvCache, for
// engines with paged memory.
//
//   KvBlockCodec<MseQuantizer<128, 4>, MseQuantizer<128, 4>> codec(keys, values);
//   codec.encode_mean(k, key_mean);                            // where keys of a block have much in common
//   codec.encode(k, v, first, n, key_block, value_block, key_mean);      // tokens first … first + n − 1 of a block
//   codec.attend(pages, q, state);                             // any number of calls, over any split of the pages
//   codec.attend_exact(k, v, q, state);                        // tokens kept in full precision
//   codec.finish(state, out, lse);
//
// Queries are rotated once a call; logits come from the codes; weighted values are summed in the rotated domain and rotated
// back once, in finish(). Nothing is allocated. Const calls are safe from many threads at once.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "turboquant/attend_pass.hpp"
#include "turboquant/attention.hpp"
#include "turboquant/block_format.hpp"
#include "turboquant/columns.hpp"
#include "turboquant/config.hpp"
#include "turboquant/key_format.hpp"
#include "turboquant/quantizer.hpp"
#include "turboquant/simd/dispatch.hpp"

TURBOQUANT_NAMESPACE_BEGIN

// A block of keys and one of values, of which tokens 0 … tokens − 1 take part. Blocks are read up to key_block_bytes() and
// value_block_bytes(), whatever the rest holds; float scales in them want addresses that are multiples of 4. `key_mean` is what
// encode() was given for the block, if it was.
struct KvPage {
    const void* keys;
    const void* values;
    Index tokens;
    const void* key_mean = nullptr;
};

// Pages in order of their tokens. A view: a std::vector of KvPage converts to it.
class KvPages {
public:
    KvPages(const KvPage* data, Index size) noexcept : data_(data), size_(size) {}
    KvPages(const std::vector<KvPage>& pages) noexcept  // NOLINT: conversion is its purpose
        : data_(pages.data()), size_(static_cast<Index>(pages.size())) {}
    const KvPage& operator[](Index i) const noexcept { return data_[i]; }
    Index size() const noexcept { return size_; }

private:
    const KvPage* data_;
    Index size_;
};

template <class KeyQuantizer, class ValueQuantizer = KeyQuantizer>
class KvBlockCodec {
    static_assert(is_quantizer_v<KeyQuantizer> && is_quantizer_v<ValueQuantizer>,
                  "turboquant: KvBlockCodec needs two types that fulfil the Quantizer requirements");
    using Pass = detail::AttendPass<KeyQuantizer, ValueQuantizer>;

public:
    static constexpr Index kBlockTokens = simd::kBlockTokens;

    KvBlockCodec(KeyQuantizer keys, ValueQuantizer values)
        : keys_(std::move(keys)), values_(std::move(values)), grading_(keys_) {
        if (keys_.dim() > simd::kMaxScanDim || values_.dim() > simd::kMaxScanDim)
            detail::throw_invalid_argument(
                "KvBlockCodec: heads have at most 65536 dimensions, but these are " +
                std::to_string(keys_.dim()) + " and " + std::to_string(values_.dim()));
    }

    const KeyQuantizer& key_quantizer() const noexcept { return keys_; }
    const ValueQuantizer& value_quantizer() const noexcept { return values_; }
    Index dim() const noexcept { return keys_.dim(); }
    Index value_dim() const noexcept { return values_.dim(); }

    // Of a block of 64 tokens, scales included.
    std::size_t key_block_bytes() const { return detail::BlockFormat<KeyQuantizer>(keys_).key_block_bytes(); }
    std::size_t value_block_bytes() const {
        return detail::BlockFormat<ValueQuantizer>(values_).value_block_bytes();
    }

    // Of the mean of a block's keys, a record of the key quantizer's; of the share of it that was taken off each, two bits; and
    // of the keys' grades, two bits each, where they can have some (key_format.hpp): with an MseQuantizer of 2 to 4 bits for a
    // dimension that is a multiple of 32.
    std::size_t key_mean_bytes() const { return key_format().mean_bytes(); }

    // Vectors that keys and values are moved by before they are encoded. Set them before the first encode: blocks do not
    // say. attend() adds them back.
    template <class K, class V>
    void set_means(const Eigen::MatrixBase<K>& key, const Eigen::MatrixBase<V>& value) {
        detail::check_rows("KvBlockCodec::set_means", dim(), key.rows());
        detail::check_rows("KvBlockCodec::set_means", value_dim(), value.rows());
        auto means = std::make_shared<detail::KvMeans>();
        means->key.resize(static_cast<std::size_t>(simd::padded(dim())));
        means->value.resize(static_cast<std::size_t>(simd::padded(value_dim())));
        Eigen::Map<Eigen::VectorXf>(means->key.data(), dim()) = key.col(0);
        Eigen::Map<Eigen::VectorXf>(means->value.data(), value_dim()) = value.col(0);
        means->moves_keys = (key.array() != 0.0f).any();
        means_ = std::move(means);
    }
    void clear_means() noexcept { means_.reset(); }
    // nullptr where there are none.
    const detail::KvMeans* means() const noexcept { return means_.get(); }

    // Writes the mean of the columns of k (HeadDim × n, n ≥ 1) to key_mean, encoded as a key is: for keys that are near each
    // other, as those of neighbouring tokens are under rotary embeddings. encode() then takes off each key as much of it as
    // helps: none, a third, two thirds or all. From all 64 keys of a block it also finds out where bits help most: if 16 keys
    // have much more energy left than 16 others, encode() gives them a bit more and these one less. Throws
    // std::invalid_argument as encode() does.
    template <class K>
    void encode_mean(const Eigen::MatrixBase<K>& k, void* key_mean) const {
        detail::check_rows("KvBlockCodec::encode_mean", dim(), k.rows());
        if (k.cols() < 1) detail::throw_invalid_argument("KvBlockCodec::encode_mean: there are no keys");
        const detail::Columns<K> keys(k.derived());
        const simd::InputColumns& in = keys.input();
        const auto floats = static_cast<int>(dim());
        const std::ptrdiff_t row = simd::padded(floats);
        detail::with_scratch(2 * row, [&](float* sums) {
            const simd::FloatingPointGuard guard;
            float* const column = sums + row;
            std::fill(sums, column + row, 0.0f);
            for (std::ptrdiff_t i = 0; i < in.count; ++i) {
                if (TURBOQUANT_KERNEL(copy_columns)(floats, in.part(i, 1), detail::kNoLimit, column, row) >=
                    0)
                    detail::throw_not_finite("KvBlockCodec::encode_mean", "keys", static_cast<Index>(i));
                TURBOQUANT_KERNEL(add_rows)(column, row, 1, floats, sums);
            }
            encode_sums("KvBlockCodec::encode_mean", sums, k.cols(), key_mean);
            if (k.cols() != kBlockTokens) return;
            const auto one_by_one = [&](const auto& take) {
                for (int t = 0; t < static_cast<int>(kBlockTokens); ++t) {
                    TURBOQUANT_KERNEL(copy_columns)(floats, in.part(t, 1), detail::kNoLimit, column, row);
                    if (const float* mean = key_mean_of_all())
                        TURBOQUANT_KERNEL(add_mean)(column, floats, mean, -1.0f, column);
                    take(column, row, 1, t);
                }
            };
            measure_keys(one_by_one, key_mean);
        });
    }

    // Encodes the n columns of k (HeadDim × n) and v (ValueDim × n) as tokens first … first + n − 1 of a block; the block's
    // other tokens stay. With a key_mean of encode_mean(), each key less a share of it, which is added to key_mean; attend()
    // and decode() then want it too. Throws std::invalid_argument when sizes do not fit or a column holds a NaN or an infinity;
    // nothing is written then.
    template <class K, class V>
    void encode(const Eigen::MatrixBase<K>& k, const Eigen::MatrixBase<V>& v, Index first, Index n,
                void* key_block, void* value_block, void* key_mean = nullptr) const {
        detail::check_rows("KvBlockCodec::encode: keys", dim(), k.rows());
        detail::check_rows("KvBlockCodec::encode: values", value_dim(), v.rows());
        if (k.cols() != n || v.cols() != n || first < 0 || n < 0 || first + n > kBlockTokens)
            detail::throw_invalid_argument("KvBlockCodec::encode: " + std::to_string(k.cols()) +
                                           " keys and " + std::to_string(v.cols()) + " values for tokens " +
                                           std::to_string(first) + " to " + std::to_string(first + n) +
                                           " of a block of 64");
        const detail::Columns<K> keys(k.derived());
        const detail::Columns<V> values(v.derived());
        encode_columns("KvBlockCodec::encode", keys.input(), values.input(), /*plain=*/false,
                       static_cast<int>(first), key_block, value_block, key_mean, /*measured=*/false);
    }

    // Adds the tokens of the pages to the state of the queries (HeadDim × m), which the first call sizes. Of the options all
    // but lse count; tokens are numbered through the pages.
    template <class Q>
    void attend(const KvPages& pages, const Eigen::MatrixBase<Q>& q, AttendState& state,
                const AttendOptions& options = {}) const {
        Index size = 0;
        for (Index i = 0; i < pages.size(); ++i) {
            if (pages[i].tokens < 0 || pages[i].tokens > kBlockTokens)
                detail::throw_invalid_argument("KvBlockCodec::attend: page " + std::to_string(i) + " has " +
                                               std::to_string(pages[i].tokens) + " tokens; expected 0 to 64");
            size += pages[i].tokens;
        }
        attend_passes("KvBlockCodec::attend", q, state, options, size, [&](Pass& pass) {
            Index token = 0;
            for (Index i = 0; i < pages.size(); token += pages[i].tokens, ++i)
                pass.coded(pages[i].keys, pages[i].values, pages[i].key_mean,
                           static_cast<int>(pages[i].tokens), token);
            pass.flush();
        });
    }

    // The same for tokens in full precision: k HeadDim × n, v ValueDim × n, float or 16-bit.
    template <class K, class V, class Q>
    void attend_exact(const Eigen::MatrixBase<K>& k, const Eigen::MatrixBase<V>& v,
                      const Eigen::MatrixBase<Q>& q, AttendState& state,
                      const AttendOptions& options = {}) const {
        detail::check_rows("KvBlockCodec::attend_exact: keys", dim(), k.rows());
        detail::check_rows("KvBlockCodec::attend_exact: values", value_dim(), v.rows());
        if (k.cols() != v.cols())
            detail::throw_invalid_argument("KvBlockCodec::attend_exact: " + std::to_string(k.cols()) +
                                           " keys, but " + std::to_string(v.cols()) + " values");
        const detail::Columns<K> keys(k.derived());
        const detail::Columns<V> values(v.derived());
        attend_passes("KvBlockCodec::attend_exact", q, state, options, k.cols(), [&](Pass& pass) {
            exact_columns("KvBlockCodec::attend_exact", pass, keys.input(), values.input());
        });
    }

    // Adds what `other` saw to `state`: the same queries over other tokens.
    void merge(AttendState& state, const AttendState& other) const {
        if (state.columns() != other.columns() || state.value_dim() != other.value_dim())
            detail::throw_invalid_argument(
                "KvBlockCodec::merge: a state of " + std::to_string(other.columns()) +
                " columns of dimension " + std::to_string(other.value_dim()) + " into one of " +
                std::to_string(state.columns()) + " of " + std::to_string(state.value_dim()));
        const simd::FloatingPointGuard guard;
        TURBOQUANT_KERNEL(merge_states)(state.view(), other.view());
    }

    // The outputs, ValueDim × m, and where lse is not null the m natural log-sum-exps. A column that saw no token gives zeros
    // and −∞. The state stays as it is.
    void finish(const AttendState& state, Eigen::Ref<Eigen::MatrixXf> out, float* lse = nullptr) const {
        if (out.rows() != value_dim() || out.cols() != state.columns())
            detail::throw_wrong_output("KvBlockCodec::finish", value_dim(), state.columns(), out.rows(),
                                       out.cols());
        detail::with_scratch(Pass::finish_floats(value_dim()), [&](float* scratch) {
            const simd::FloatingPointGuard guard;
            Pass::finish(values_, means(), state.view(), out.data(), out.outerStride(), lse, scratch);
        });
    }

    // The vectors that the codes of token t stand for, means included.
    void decode(const void* key_block, const void* value_block, Index t, float* key, float* value,
                const void* key_mean = nullptr) const {
        detail::with_scratch(work_floats(3) + 2 * simd::padded(dim()), [&](float* scratch) {
            const simd::FloatingPointGuard guard;
            const KeyFormat keys = key_format();
            const detail::BlockFormat<ValueQuantizer> values(values_);
            if (key != nullptr) {
                const auto* of_block = static_cast<const std::uint8_t*>(key_mean);
                keys.decode(static_cast<const std::uint8_t*>(key_block), of_block, static_cast<int>(t), key,
                            scratch);
                if (of_block != nullptr) add_share(keys, of_block, static_cast<int>(t), key, scratch);
                if (const float* mean = key_mean_of_all())
                    for (Index i = 0; i < dim(); ++i) key[i] += mean[i];
            }
            if (value != nullptr) {
                values.decode_value(static_cast<const std::uint8_t*>(value_block), static_cast<int>(t), value,
                                    scratch);
                if (means_)
                    for (Index i = 0; i < value_dim(); ++i)
                        value[i] += means_->value[static_cast<std::size_t>(i)];
            }
        });
    }

    // Zeros the tokens from number `first` on.
    void erase(void* key_block, void* value_block, Index first, void* key_mean = nullptr) const {
        const auto zero_from = static_cast<int>(first), count = static_cast<int>(kBlockTokens - first);
        const std::vector<std::uint8_t> zeros(static_cast<std::size_t>(kBlockTokens) *
                                              std::max(keys_.bytes_per_vector(), values_.bytes_per_vector()));
        const KeyFormat keys = key_format();
        keys.erase(static_cast<std::uint8_t*>(key_block), static_cast<const std::uint8_t*>(key_mean),
                   zero_from, zeros.data());
        detail::BlockFormat<ValueQuantizer>(values_).store_values(zeros.data(), zero_from, count,
                                                                  static_cast<std::uint8_t*>(value_block));
        if (key_mean == nullptr) return;
        std::uint8_t* const shares = keys.shares_of(static_cast<std::uint8_t*>(key_mean));
        for (int t = zero_from; t < static_cast<int>(kBlockTokens); ++t) simd::set_share(shares, t, 0);
    }

    // For containers: encode_mean() from the sums of `count` keys, padded(dim) floats, which it changes.
    void encode_sums(const char* where, float* sums, Index count, void* key_mean) const {
        const simd::FloatingPointGuard guard;
        const auto floats = static_cast<int>(dim());
        TURBOQUANT_KERNEL(scale_rows)(sums, 0, 1, floats, 1.0f / static_cast<float>(count));
        if (const float* mean = key_mean_of_all())
            TURBOQUANT_KERNEL(add_mean)(sums, floats, mean, -1.0f, sums);
        const KeyFormat format = key_format();
        auto* const record = static_cast<std::uint8_t*>(key_mean);
        detail::with_scratch(work_floats(4),
                             [&](float* work) { format.encode_mean(where, sums, record, work); });
        std::uint8_t* const behind = format.shares_of(record);
        std::memset(behind, 0, static_cast<std::size_t>(record + format.mean_bytes() - behind));
    }

    // For containers: once its mean is encoded, the shares of it that come off the 64 keys of a block, and their grades where they
    // have some. for_rows(body) calls body(rows, stride, count, first) for all of them, rows of floats from token `first` on.
    template <class ForRows>
    void measure_keys(ForRows&& for_rows, void* key_mean) const {
        const simd::FloatingPointGuard guard;
        const KeyFormat format = key_format();
        auto* const record = static_cast<std::uint8_t*>(key_mean);
        const auto floats = static_cast<int>(dim());
        const std::ptrdiff_t row = simd::padded(floats);
        detail::with_scratch(row + work_floats(3), [&](float* mean) {
            std::fill(mean, mean + row, 0.0f);
            format.decode_mean(record, mean, mean + row);
            alignas(64) float products[kBlockTokens + 8], squares[kBlockTokens + 8];
            float* const wanted = grading_.possible() ? squares : nullptr;
            const auto multiply = TURBOQUANT_KERNEL(multiply_rows_by_mean);
            const float mean_square = square_of(mean);
            for_rows([&](const float* rows, std::ptrdiff_t stride, int count, int first) {
                multiply(rows, stride, count, floats, mean, products + first,
                         wanted != nullptr ? wanted + first : nullptr);
            });
            TURBOQUANT_KERNEL(choose_shares)
            (products, static_cast<int>(kBlockTokens), mean_square, format.shares_of(record), 0);
            format.grade(products, wanted, mean_square, record);
        });
    }
    // For containers that load: the bytes of key_mean_bytes() that hold grades, and whether what encode_mean() writes can be so.
    std::size_t grade_bytes() const noexcept { return grading_.bytes(); }
    bool well_formed(const void* key_mean) const {
        return key_format().well_formed(static_cast<const std::uint8_t*>(key_mean));
    }
    const detail::KeyGrading<KeyQuantizer>& key_grading() const noexcept { return grading_; }

    // For containers: encode() after its checks. `plain`: float rows, known to be finite, with 31 floats behind the last.
    // `measured`: by measure_keys().
    void encode_columns(const char* where, const simd::InputColumns& k, const simd::InputColumns& v,
                        bool plain, int first, void* key_block, void* value_block, void* key_mean,
                        bool measured) const {
        const auto count = static_cast<int>(k.count);
        const KeyFormat key_format = this->key_format();
        const detail::BlockFormat<ValueQuantizer> value_format(values_);
        auto* const mean_record = static_cast<std::uint8_t*>(key_mean);
        const bool graded = key_format.graded(mean_record);
        // Graded keys by groups, of which some tokens may fill one.
        const std::size_t key_bytes =
            static_cast<std::size_t>(graded ? kBlockTokens : count) * keys_.bytes_per_vector();
        const std::size_t value_bytes = static_cast<std::size_t>(count) * values_.bytes_per_vector();
        const std::ptrdiff_t floats =
            static_cast<std::ptrdiff_t>((key_bytes + value_bytes) / sizeof(float)) + 32;
        const std::ptrdiff_t rows = kEncodedAtOnce * simd::padded(std::max(dim(), value_dim()));
        const std::ptrdiff_t work = rows + work_floats(4);
        const std::ptrdiff_t mean_floats = key_mean != nullptr ? simd::padded(dim()) : 0;
        const std::ptrdiff_t graded_floats = graded ? rows : 0;
        detail::with_scratch(mean_floats + graded_floats + work + floats, [&](float* memory) {
            const simd::FloatingPointGuard guard;
            float* const graded_rows = memory + mean_floats;
            float* const scratch = graded_rows + graded_floats;
            auto* const key_records = reinterpret_cast<std::uint8_t*>(scratch + work);
            std::uint8_t* const value_records = key_records + (key_bytes + 63) / 64 * 64;
            std::uint8_t shares[simd::kShareBytes];
            BlockMean mean;
            if (key_mean != nullptr) {
                std::fill(memory, graded_rows, 0.0f);
                key_format.decode_mean(mean_record, memory, scratch);
                std::memcpy(shares, key_format.shares_of(mean_record), sizeof shares);
                mean = {memory, shares, first, measured, measured ? 0.0f : square_of(memory)};
            }
            typename KeyFormat::Encoder encoder(key_format, mean_record, first, key_records, graded_rows);
            records_of(where, "keys", encoder, keys_, key_mean_of_all(), mean, k, plain, key_records,
                       scratch);
            records_of(where, "values", value_format, values_, means_ ? means_->value.data() : nullptr,
                       BlockMean{}, v, plain, value_records, scratch);
            if (key_mean != nullptr) std::memcpy(key_format.shares_of(mean_record), shares, sizeof shares);
            encoder.store(count, static_cast<std::uint8_t*>(key_block));
            value_format.store_values(value_records, first, count, static_cast<std::uint8_t*>(value_block));
        });
    }

private:
    static constexpr int kEncodedAtOnce = 16;
    using KeyFormat = detail::KeyFormat<KeyQuantizer>;
    KeyFormat key_format() const { return KeyFormat(keys_, grading_); }

    // Work buffers for a key or a value.
    std::ptrdiff_t work_floats(std::ptrdiff_t buffers) const noexcept {
        return std::max(simd::work_floats(buffers, dim()), simd::work_floats(buffers, value_dim()));
    }

    const float* key_mean_of_all() const noexcept { return detail::key_mean_of_all(means()); }
    // The mean of the keys of a block, decoded, where there is one; the number of the first token to be encoded.
    struct BlockMean {
        const float* mean = nullptr;
        std::uint8_t* shares = nullptr;
        int first = 0;
        bool measured = false;  // the shares are known
        float mean_square = 0.0f;
    };
    float square_of(const float* mean) const {
        float products[8];
        TURBOQUANT_KERNEL(multiply_rows_by_mean)
        (mean, 0, 1, static_cast<int>(dim()), mean, products, nullptr);
        return products[0];
    }
    // Adds to a key what of the mean was taken off it.
    void add_share(const KeyFormat& format, const std::uint8_t* key_mean, int t, float* key,
                   float* scratch) const {
        const int share = simd::share_of(format.shares_of(key_mean), t);
        if (share == 0) return;
        const auto floats = static_cast<int>(dim());
        float *const mean = scratch + work_floats(3), *const sum = mean + simd::padded(floats);
        format.decode_mean(key_mean, mean, scratch);
        std::memcpy(sum, key, static_cast<std::size_t>(floats) * sizeof(float));
        TURBOQUANT_KERNEL(add_mean)(sum, floats, mean, simd::kShares[share], sum);
        std::memcpy(key, sum, static_cast<std::size_t>(floats) * sizeof(float));
    }

    // `plain`: rows of floats, finite and with 31 more behind the last, as a container holds them.
    template <class Format, class Quantizer>
    static void records_of(const char* where, const char* what, Format& format, const Quantizer& quantizer,
                           const float* mean, const BlockMean& block, const simd::InputColumns& in,
                           bool plain, std::uint8_t* records, float* scratch) {
        const auto dim = static_cast<int>(quantizer.dim());
        const std::ptrdiff_t stride = simd::padded(dim);
        float* const work = scratch + kEncodedAtOnce * stride;
        const bool moved = mean != nullptr || block.mean != nullptr;
        const Index at_once = plain && !moved ? static_cast<Index>(in.count) : kEncodedAtOnce;
        for (Index i = 0; i < in.count; i += at_once) {
            const Index count = std::min<Index>(at_once, in.count - i);
            std::uint8_t* const to = records + static_cast<std::size_t>(i) * quantizer.bytes_per_vector();
            const float* rows = static_cast<const float*>(in.data) + i * in.stride;
            std::ptrdiff_t rows_stride = in.stride;
            if (!plain) {
                const auto bad = static_cast<Index>(TURBOQUANT_KERNEL(copy_columns)(
                    dim, in.part(i, count), detail::kNoLimit, scratch, stride));
                if (bad >= 0) detail::throw_not_finite(where, what, i + bad);
                rows = scratch;
                rows_stride = stride;
            }
            if (mean != nullptr) {
                TURBOQUANT_KERNEL(centre_rows)
                (rows, rows_stride, static_cast<int>(count), dim, mean, scratch, stride);
                rows = scratch;
                rows_stride = stride;
            }
            if (block.mean != nullptr) {
                const int token = block.first + static_cast<int>(i);
                if (!block.measured) {
                    float products[kEncodedAtOnce + 8];
                    TURBOQUANT_KERNEL(multiply_rows_by_mean)
                    (rows, rows_stride, static_cast<int>(count), dim, block.mean, products, nullptr);
                    TURBOQUANT_KERNEL(choose_shares)
                    (products, static_cast<int>(count), block.mean_square, block.shares, token);
                }
                TURBOQUANT_KERNEL(take_shares)
                (rows, rows_stride, static_cast<int>(count), dim, block.mean, block.shares, token, scratch,
                 stride);
                rows = scratch;
                rows_stride = stride;
            }
            format.encode_rows(where, rows, rows_stride, static_cast<int>(count), to, work);
        }
    }

    // Runs `body` on passes of up to kMaxColumns queries.
    template <class Q, class Body>
    void attend_passes(const char* where, const Eigen::MatrixBase<Q>& q, AttendState& state,
                       const AttendOptions& options, Index size, Body&& body) const {
        detail::check_rows(where, dim(), q.rows());
        const detail::VisibleTokens visible(where, options, size, q.cols());
        if (state.columns() == 0 && state.value_dim() == 0) state.reset(value_dim(), q.cols());
        if (state.columns() != q.cols() || state.value_dim() != value_dim())
            detail::throw_invalid_argument(std::string(where) + ": " + std::to_string(q.cols()) +
                                           " queries for values of dimension " + std::to_string(value_dim()) +
                                           ", but the state has " + std::to_string(state.columns()) +
                                           " columns of dimension " + std::to_string(state.value_dim()));
        const detail::Columns<Q> queries(q.derived());
        detail::with_scratch(Pass::scratch_floats(dim(), value_dim()), [&](float* scratch) {
            const simd::FloatingPointGuard guard;
            Pass pass(keys_, grading_, values_, means(), options.scale, options.softcap, scratch);
            const Index at_once = Pass::columns_at_once(dim(), value_dim());
            for (Index first = 0; first < q.cols(); first += at_once) {
                const Index count = std::min(at_once, q.cols() - first);
                pass.begin(where, queries.input().part(first, count), first,
                           detail::columns_of(state.view(), first, count));
                for (Index c = 0; c < count; ++c) pass.see(static_cast<int>(c), visible(first + c));
                body(pass);
            }
        });
    }

    // Exact tokens as float rows, converted 16 at a time.
    void exact_columns(const char* where, Pass& pass, const simd::InputColumns& k,
                       const simd::InputColumns& v) const {
        constexpr Index kAtOnce = 16;
        const std::ptrdiff_t key_stride = simd::padded(dim()), value_stride = simd::padded(value_dim());
        detail::with_scratch(kAtOnce * (key_stride + value_stride), [&](float* rows) {
            std::fill(rows, rows + kAtOnce * (key_stride + value_stride), 0.0f);
            float* const value_rows = rows + kAtOnce * key_stride;
            for (Index first = 0; first < k.count; first += kAtOnce) {
                const Index count = std::min<Index>(kAtOnce, k.count - first);
                const auto copy = TURBOQUANT_KERNEL(copy_columns);
                const auto bad_key = static_cast<Index>(
                    copy(static_cast<int>(dim()), k.part(first, count), detail::kNoLimit, rows, key_stride));
                const auto bad_value =
                    static_cast<Index>(copy(static_cast<int>(value_dim()), v.part(first, count),
                                            detail::kNoLimit, value_rows, value_stride));
                if (bad_key >= 0) detail::throw_not_finite(where, "keys", first + bad_key);
                if (bad_value >= 0) detail::throw_not_finite(where, "values", first + bad_value);
                pass.exact(rows, key_stride, value_rows, value_stride, count, first);
            }
        });
    }

    KeyQuantizer keys_;
    ValueQuantizer values_;
    detail::KeyGrading<KeyQuantizer> grading_;
    std::shared_ptr<const detail::KvMeans> means_;
};

TURBOQUANT_NAMESPACE_END
