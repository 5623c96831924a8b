// The keys and values of one attention head of one sequence, compressed, and attention on the compressed form.
//
//   KvCache<128, 4> cache;                                  // 4 bits for keys and values: 3.8 times less than fp16
//   cache.append(k, v);                                     // one token or a prompt: 128 × n each
//   cache.attend(q, out);                                   // softmax(scale·qᵀK)·V for each column of q
//
// Keys take the unbiased scale, so that logits are unbiased; values the least-squares one. The newest `window` tokens and the
// first `sinks` are kept in float; older ones are quantized in blocks of 64, after what they have in common is taken off
// (centring): of the values a mean μ, which Σp = 1 gives back; of the keys of each block their own mean, whose product with the
// query is added to their logits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <istream>
#include <ostream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "turboquant/attention.hpp"
#include "turboquant/config.hpp"
#include "turboquant/exact_tokens.hpp"
#include "turboquant/kv_block_codec.hpp"
#include "turboquant/kv_cache_file.hpp"
#include "turboquant/mse_quantizer.hpp"
#include "turboquant/shared_bytes.hpp"

TURBOQUANT_NAMESPACE_BEGIN

// What is taken off before tokens are quantized.
enum class Centring : int {
    none,
    values,  // the mean of the first tokens off the values
    all,     // the mean of the first tokens off keys and values
    blocks  // the mean of the first tokens off the values; off keys as much of the mean of their own block as helps each
};

// true: blocks; false: none.
class CentringChoice {
public:
    constexpr CentringChoice(Centring which) noexcept
        : which_(which) {}  // NOLINT: conversions are its purpose
    constexpr CentringChoice(bool on) noexcept : which_(on ? Centring::blocks : Centring::none) {}  // NOLINT
    constexpr Centring which() const noexcept { return which_; }
    constexpr bool keys() const noexcept { return which_ == Centring::all; }
    constexpr bool blocks() const noexcept { return which_ == Centring::blocks; }
    constexpr operator bool() const noexcept { return which_ != Centring::none; }  // NOLINT

private:
    Centring which_;
};

struct KvCacheOptions {
    std::uint64_t seed = 0;
    // The newest `window` tokens are exact. Tokens past it wait, exact, until 64 of them fill a block. Once quantized they stay
    // so, also where truncate() makes them the newest.
    Index window = 64;
    Index sinks = 4;  // the first tokens, always exact: softmax gives them much of its weight
    // What the first tokens have in common is the mean of the first 64 after the sinks that leave the window. Off values it
    // helps a little. Off keys (`all`) it helps where keys have no positions; rotary embeddings turn the mean of early keys away
    // from that of later ones, until taking it off costs more than it saves: in a model of 4096 tokens the energy that it leaves
    // rises from .63 to 1.25. Blocks follow: there the mean of each 64 keys leaves .31 to .57 in all layers but the first, and
    // the error of attention falls by 26 to 29 % at 2, 3 and 4 bits, for 1/64 of the keys' bytes, 16 bytes a block, and a tenth
    // of the time of attend. At these widths, where HeadDim is a multiple of 32, blocks whose keys differ much are graded besides:
    // a bit more for the 16 of most energy, one less for the 16 of least. A model finds names and numbers again that it loses
    // without: of 100, 1 instead of 4 are lost at 3 bits, 4 instead of 10 at 2 (examples/tiny_lm).
    CentringChoice centring = Centring::blocks;
};

template <class KeyQuantizer, class ValueQuantizer = KeyQuantizer>
class BasicKvCache {
    using Codec = KvBlockCodec<KeyQuantizer, ValueQuantizer>;
    using Pass = detail::AttendPass<KeyQuantizer, ValueQuantizer>;
    static constexpr Index kBlock = simd::kBlockTokens;

public:
    static constexpr int kHeadDim = KeyQuantizer::Decoded::RowsAtCompileTime;
    static constexpr int kValueDim = ValueQuantizer::Decoded::RowsAtCompileTime;

    // Fixed dimensions only.
    template <int D = kHeadDim, int VD = kValueDim,
              std::enable_if_t<D != Eigen::Dynamic && VD != Eigen::Dynamic, int> = 0>
    explicit BasicKvCache(const KvCacheOptions& options = {})
        : BasicKvCache(detail::make_quantizer<KeyQuantizer>(D, options.seed, ScaleRule::unbiased),
                       detail::make_quantizer<ValueQuantizer>(VD, options.seed, ScaleRule::least_squares),
                       options) {}
    // Keys and values of one dimension, or each of its own. Throws std::invalid_argument when a fixed one differs.
    explicit BasicKvCache(Index dim, const KvCacheOptions& options = {})
        : BasicKvCache(dim, kValueDim == Eigen::Dynamic ? dim : Index{kValueDim}, options) {}
    BasicKvCache(Index dim, Index value_dim, const KvCacheOptions& options = {})
        : BasicKvCache(
              detail::make_quantizer<KeyQuantizer>(dim, options.seed, ScaleRule::unbiased),
              detail::make_quantizer<ValueQuantizer>(value_dim, options.seed, ScaleRule::least_squares),
              options) {}
    // Quantizers of the caller's choice; options.seed plays no part.
    BasicKvCache(KeyQuantizer keys, ValueQuantizer values, const KvCacheOptions& options = {})
        : options_(checked(options)),
          codec_(std::move(keys), std::move(values)),
          sinks_(codec_.dim(), codec_.value_dim(), options.sinks),
          recent_(codec_.dim(), codec_.value_dim(), options.window + kBlock),
          key_limit_(largest_norm(codec_.key_quantizer())),
          value_limit_(largest_norm(codec_.value_quantizer())) {}

    // A copy is a branch: it shares all that either has until one of them writes to it.
    BasicKvCache(const BasicKvCache&) = default;
    BasicKvCache& operator=(const BasicKvCache&) = default;
    // What was moved from is empty.
    BasicKvCache(BasicKvCache&& other) : BasicKvCache(static_cast<const BasicKvCache&>(other)) {
        other.clear();
    }
    BasicKvCache& operator=(BasicKvCache&& other) {
        if (this == &other) return *this;
        *this = static_cast<const BasicKvCache&>(other);
        other.clear();
        return *this;
    }

    Index dim() const noexcept { return codec_.dim(); }
    Index value_dim() const noexcept { return codec_.value_dim(); }
    // Tokens.
    Index size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    // How many of them are quantized.
    Index quantized() const noexcept { return coded_; }
    const KvCacheOptions& options() const noexcept { return options_; }
    const Codec& codec() const noexcept { return codec_; }

    // All memory of this cache, capacity included, also what copies share; without the quantizers' tables, which do not grow.
    std::size_t bytes() const noexcept {
        std::size_t total = sizeof *this + sinks_.bytes() + recent_.bytes() +
                            blocks_.capacity() * sizeof(detail::SharedBytes);
        for (const detail::SharedBytes& block : blocks_) total += block.bytes();
        if (codec_.means() != nullptr)
            total += (codec_.means()->key.size() + codec_.means()->value.size()) * sizeof(float);
        return total;
    }

    // Adds n tokens: k is HeadDim × n, v is ValueDim × n, float, Eigen::half or Eigen::bfloat16. Throws std::invalid_argument
    // when sizes do not fit, when a column holds a NaN or an infinity, or when its norm is beyond what the quantizers' scales
    // hold, or above 1e18; nothing is stored then. Amortised O(d log d) a token.
    template <class K, class V>
    void append(const Eigen::MatrixBase<K>& k, const Eigen::MatrixBase<V>& v) {
        detail::check_rows("KvCache::append: keys", dim(), k.rows());
        detail::check_rows("KvCache::append: values", value_dim(), v.rows());
        if (k.cols() != v.cols())
            detail::throw_invalid_argument("KvCache::append: " + std::to_string(k.cols()) + " keys, but " +
                                           std::to_string(v.cols()) + " values");
        const detail::Columns<K> keys(k.derived());
        const detail::Columns<V> values(v.derived());
        append_columns(keys.input(), values.input());
    }

    // out (ValueDim × m) becomes the attention of the m columns of q (HeadDim × m). Allocates nothing. A column that sees no
    // token (an empty cache, an empty range) gives zeros, and −∞ in lse; m = 0 does nothing. Throws std::invalid_argument when
    // sizes or options do not fit, or when a query holds a NaN or an infinity or has a norm above 1e18.
    template <class Q>
    void attend(const Eigen::MatrixBase<Q>& q, Eigen::Ref<Eigen::MatrixXf> out,
                const AttendOptions& options = {}) const {
        detail::check_rows("KvCache::attend", dim(), q.rows());
        if (out.rows() != value_dim() || out.cols() != q.cols())
            detail::throw_wrong_output("KvCache::attend", value_dim(), q.cols(), out.rows(), out.cols());
        const detail::VisibleTokens visible("KvCache::attend", options, size_, q.cols());
        const detail::Columns<Q> queries(q.derived());
        attend_columns(queries.input(), visible, options, out);
    }
    template <class Q>
    Eigen::MatrixXf attend(const Eigen::MatrixBase<Q>& q, const AttendOptions& options = {}) const {
        Eigen::MatrixXf out(value_dim(), q.cols());
        attend(q, out, options);
        return out;
    }

    // Estimates of <q_j, k_t>, size() × m, without scale; those of exact tokens are exact.
    template <class Q>
    Eigen::MatrixXf scores(const Eigen::MatrixBase<Q>& q) const {
        Eigen::MatrixXf out(size_, q.cols());
        scores(q, out);
        return out;
    }
    template <class Q>
    void scores(const Eigen::MatrixBase<Q>& q, Eigen::Ref<Eigen::MatrixXf> out) const {
        detail::check_rows("KvCache::scores", dim(), q.rows());
        if (out.rows() != size_ || out.cols() != q.cols())
            detail::throw_wrong_output("KvCache::scores", size_, q.cols(), out.rows(), out.cols());
        const detail::Columns<Q> queries(q.derived());
        score_columns(queries.input(), out);
    }

    // What the cache stands for: keys HeadDim × size(), values ValueDim × size(), decoded where they are quantized.
    Eigen::MatrixXf keys() const { return decoded<true>(); }
    Eigen::MatrixXf values() const { return decoded<false>(); }

    // Forgets all tokens but the first n. Throws std::invalid_argument unless 0 <= n <= size().
    void truncate(Index n) {
        if (n < 0 || n > size_)
            detail::throw_invalid_argument("KvCache::truncate: " + std::to_string(n) +
                                           " tokens were asked for, but there are " + std::to_string(size_));
        size_ = n;
        coded_ = std::min(coded_, std::max<Index>(0, n - options_.sinks));
        blocks_.resize(static_cast<std::size_t>((coded_ + kBlock - 1) / kBlock));
        if (coded_ == 0) codec_.clear_means();  // the next tokens have a mean of their own
    }
    void clear() { truncate(0); }

    // Writes the whole cache (kv_cache_file.hpp) and flushes. Throws std::runtime_error when the stream fails.
    void save(std::ostream& os) const;
    // The same into a file, which is replaced at once when all is on the disk.
    void save(const std::string& path) const;

    // The cache that was saved. Throws std::runtime_error, saying what was expected and what came, when the file is damaged or
    // of another type; any single flipped bit and any truncation is found. From a stream not a byte more than the cache's is
    // read.
    static BasicKvCache load(std::istream& is);
    static BasicKvCache load(const std::string& path);

private:
    static const KvCacheOptions& checked(const KvCacheOptions& options) {
        constexpr Index kMost = Index{1} << 40;
        if (options.window < 0 || options.sinks < 0 || options.window > kMost || options.sinks > kMost)
            detail::throw_invalid_argument("KvCache: window and sinks must be 0 to 2^40, but are " +
                                           std::to_string(options.window) + " and " +
                                           std::to_string(options.sinks));
        return options;
    }

    // Tokens after the sinks, numbered from 0: [0, coded_) in blocks, [coded_, later()) in recent_.
    Index sink_count() const noexcept { return std::min(size_, options_.sinks); }
    Index later() const noexcept { return size_ - sink_count(); }

    // --- append -----------------------------------------------------------------------------------------------------

    template <class Quantizer>
    static double largest_norm(const Quantizer& quantizer) {
        // A scale is at most √d times the norm (a single spike after the rotation); a mean at most doubles the norm.
        double most = 3.4e38;
        if constexpr (detail::BlockFormat<Quantizer>::kRotated)
            if (quantizer.plan().scale_type == simd::ScaleType::float16) most = 65504.0;
        return std::min(most / (4.0 * std::sqrt(static_cast<double>(quantizer.dim()))), detail::kLargestNorm);
    }
    static void check_columns(const char* what, Index dim, const simd::InputColumns& in, double limit);
    void check_keys(const simd::InputColumns& k) const { check_columns("keys", dim(), k, key_limit_); }
    void check_values(const simd::InputColumns& v) const {
        check_columns("values", value_dim(), v, value_limit_);
    }

    void append_columns(const simd::InputColumns& k, const simd::InputColumns& v);
    // Tokens until a block is complete.
    Index room_before_block() const noexcept { return options_.window + kBlock - (later() - coded_); }

    // Columns i … i + count − 1 to tokens first … of `tokens`. False where one needs a closer look.
    bool copy_tokens(const simd::InputColumns& k, const simd::InputColumns& v, Index i, Index count,
                     detail::ExactTokens& tokens, Index first) const;

    // Once the tokens past the window complete a block, they go into it.
    void quantize_full_block();

    // Of tokens coded_ … end − 1, in order, in double.
    void set_means(Index end);
    // Of the keys of tokens coded_ … end − 1, a whole block.
    void encode_key_mean(Index end, std::uint8_t* mean) const;

    // Where a block's values and the mean of its keys begin, and where it ends: at `mean` where keys are not centred by blocks.
    // Found once a call, since the formats that know are costly to make.
    struct BlockParts {
        std::size_t values, mean, end;
        template <class Byte>
        Byte* mean_of(Byte* block) const noexcept {
            return end > mean ? block + mean : nullptr;
        }
    };
    BlockParts parts() const {
        const std::size_t values = (codec_.key_block_bytes() + 3) / 4 * 4;
        const std::size_t mean = values + codec_.value_block_bytes();
        return {values, mean, mean + (options_.centring.blocks() ? codec_.key_mean_bytes() : 0)};
    }

    // --- attend -----------------------------------------------------------------------------------------------------

    // Calls exact(run, first token) and coded(key block, value block, key mean, tokens, first token) for all tokens in order.
    template <class Exact, class Coded>
    void for_tokens(Exact&& exact, Coded&& coded) const {
        sinks_.for_runs(0, sink_count(), exact);
        const BlockParts at = parts();
        for (Index first = 0; first < coded_; first += kBlock) {
            const std::uint8_t* block = blocks_[static_cast<std::size_t>(first / kBlock)].data();
            if (first + kBlock < coded_) {
                const detail::SharedBytes& next = blocks_[static_cast<std::size_t>(first / kBlock) + 1];
                detail::prefetch(next.data(), next.size());
            }
            coded(block, block + at.values, at.mean_of(block),
                  static_cast<int>(std::min(kBlock, coded_ - first)), options_.sinks + first);
        }
        recent_.for_runs(coded_, later(), [&](const detail::ExactTokens::Run& run, Index token) {
            exact(run, sink_count() + token);
        });
    }

    void attend_columns(const simd::InputColumns& queries, const detail::VisibleTokens& visible,
                        const AttendOptions& options, Eigen::Ref<Eigen::MatrixXf>& out) const;

    void score_columns(const simd::InputColumns& queries, Eigen::Ref<Eigen::MatrixXf>& out) const;

    template <bool Keys>
    Eigen::MatrixXf decoded() const;

    // --- Files ------------------------------------------------------------------------------------------------------

    detail::CacheFields fields() const;

    std::vector<std::uint8_t> written() const;

    static BasicKvCache loaded(std::istream& is, bool whole, const std::string& where);

    // The tokens of a verified file.
    void take(const detail::CacheFields& fields, const std::uint8_t* from, const std::string& where);

    KvCacheOptions options_;
    Codec codec_;
    detail::ExactTokens sinks_, recent_;
    double key_limit_, value_limit_;  // the largest norms that scales can hold
    std::vector<detail::SharedBytes> blocks_;
    Index size_ = 0, coded_ = 0;
};

// Keys of HeadDim coordinates at KeyBits, values of ValueDim at ValueBits.
template <int HeadDim, int KeyBits, int ValueBits = KeyBits, int ValueDim = HeadDim>
using KvCache = BasicKvCache<MseQuantizer<HeadDim, KeyBits>, MseQuantizer<ValueDim, ValueBits>>;

TURBOQUANT_NAMESPACE_END

// The members' definitions.
#include "turboquant/kv_cache_append.hpp"
#include "turboquant/kv_cache_attend.hpp"
#include "turboquant/kv_cache_save.hpp"
