// The keys and values of one attention head of one sequence, compressed, and attention on the compressed form.
//
//   KvCache<128, 4> cache;                                  // 4 bits for keys and values: 3.8 times less than fp16
//   cache.append(k, v);                                     // one token or a prompt: 128 × n each
//   cache.attend(q, out);                                   // softmax(scale·qᵀK)·V for each column of q
//
// Keys take the unbiased scale, so that logits are unbiased; values the least-squares one. The newest `window` tokens and the
// first `sinks` are kept in float; older ones are quantized in blocks of 64, after a mean vector is taken off (centring).
// Exact softmax attention is invariant to both means: <q, μ> moves all logits alike, and Σp = 1 gives μ back.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <istream>
#include <ostream>
#include <string>
#include <system_error>
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

struct KvCacheOptions {
    std::uint64_t seed = 0;
    // The newest `window` tokens are exact. Tokens past it wait, exact, until 64 of them fill a block. Once quantized they stay
    // so, also where truncate() makes them the newest.
    Index window = 64;
    Index sinks = 4;  // the first tokens, always exact: softmax gives them much of its weight
    // Takes the mean of the first 64 tokens after the sinks that leave the window off every token that is quantized.
    bool centring = true;
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
        : BasicKvCache(make<KeyQuantizer>(D, options.seed, ScaleRule::unbiased),
                       make<ValueQuantizer>(VD, options.seed, ScaleRule::least_squares), options) {}
    // Keys and values of one dimension, or each of its own. Throws std::invalid_argument when a fixed one differs.
    explicit BasicKvCache(Index dim, const KvCacheOptions& options = {})
        : BasicKvCache(dim, kValueDim == Eigen::Dynamic ? dim : Index{kValueDim}, options) {}
    BasicKvCache(Index dim, Index value_dim, const KvCacheOptions& options = {})
        : BasicKvCache(make<KeyQuantizer>(dim, options.seed, ScaleRule::unbiased),
                       make<ValueQuantizer>(value_dim, options.seed, ScaleRule::least_squares), options) {}
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
    // hold; nothing is stored then. Amortised O(d log d) a token.
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
    // token (an empty cache, an empty range) gives zeros, and −∞ in lse; m = 0 does nothing.
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
    void save(std::ostream& os) const {
        const std::vector<std::uint8_t> payload = written();
        if (!detail::write_cache(os, fields(), payload))
            detail::throw_runtime_error("KvCache::save: writing to the stream failed");
    }
    // The same into a file, which is replaced at once when all is on the disk.
    void save(const std::string& path) const {
        const std::vector<std::uint8_t> payload = written();
        detail::ReplacementFile file(detail::quoted("KvCache::save", path), path);
        errno = 0;
        if (!detail::write_cache(file.stream(), fields(), payload)) file.fail("writing failed", errno);
        file.commit();
    }

    // The cache that was saved. Throws std::runtime_error, saying what was expected and what came, when the file is damaged or
    // of another type; any single flipped bit and any truncation is found. From a stream not a byte more than the cache's is
    // read.
    static BasicKvCache load(std::istream& is) { return loaded(is, false, "KvCache::load"); }
    static BasicKvCache load(const std::string& path) {
        const std::string where = detail::quoted("KvCache::load", path);
        errno = 0;
        std::ifstream file(path, std::ios::binary);
        if (!file) detail::throw_bad_file(where, "cannot open it: " + std::system_category().message(errno));
        return loaded(file, true, where);
    }

private:
    static const KvCacheOptions& checked(const KvCacheOptions& options) {
        constexpr Index kMost = Index{1} << 40;
        if (options.window < 0 || options.sinks < 0 || options.window > kMost || options.sinks > kMost)
            detail::throw_invalid_argument("KvCache: window and sinks must be 0 to 2^40, but are " +
                                           std::to_string(options.window) + " and " +
                                           std::to_string(options.sinks));
        return options;
    }
    template <class Quantizer>
    static Quantizer make(Index dim, std::uint64_t seed, ScaleRule rule) {
        if constexpr (std::is_constructible_v<Quantizer, Index, std::uint64_t, ScaleRule>)
            return Quantizer(dim, seed, rule);
        else
            return Quantizer(dim, seed);
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
        return most / (4.0 * std::sqrt(static_cast<double>(quantizer.dim())));
    }
    static void check_columns(const char* what, Index dim, const simd::InputColumns& in, double limit) {
        simd::EncodeResult result{};
        detail::with_scratch(simd::padded(dim), [&](float* scratch) {
            result = TURBOQUANT_KERNEL(check_columns)(static_cast<int>(dim), in, limit, scratch);
        });
        if (result.error == simd::EncodeError::none) return;
        const auto column = static_cast<Index>(result.encoded);
        if (result.error == simd::EncodeError::not_finite)
            detail::throw_not_finite("KvCache::append", what, column);
        detail::throw_invalid_argument("KvCache::append: column " + std::to_string(column) + " of the " +
                                       what + " has norm " + std::to_string(result.norm) +
                                       ", too large for the quantizer's scales, which take up to " +
                                       std::to_string(limit));
    }
    void check_keys(const simd::InputColumns& k) const { check_columns("keys", dim(), k, key_limit_); }
    void check_values(const simd::InputColumns& v) const {
        check_columns("values", value_dim(), v, value_limit_);
    }

    void append_columns(const simd::InputColumns& k, const simd::InputColumns& v) {
        const simd::FloatingPointGuard guard;
        const auto count = static_cast<Index>(k.count);
        // What fits beside the waiting tokens is checked as it is copied: tokens count from when size_ says so.
        const bool few = size_ >= options_.sinks && count <= room_before_block();
        if (!few) {
            check_keys(k);
            check_values(v);
        }
        for (Index i = 0; i < count;) {
            const bool sink = size_ < options_.sinks;
            const Index some = std::min(count - i, sink ? options_.sinks - size_ : room_before_block());
            detail::ExactTokens& tokens = sink ? sinks_ : recent_;
            const Index first = sink ? size_ : later();
            tokens.make_room(sink ? 0 : coded_, first, first + some);
            if (!copy_tokens(k, v, i, some, tokens, first) && few) {
                check_keys(k);
                check_values(v);
            }
            size_ += some;
            i += some;
            if (!sink) quantize_full_block();
        }
    }
    // Tokens until a block is complete.
    Index room_before_block() const noexcept { return options_.window + kBlock - (later() - coded_); }

    // Columns i … i + count − 1 to tokens first … of `tokens`. False where one needs a closer look.
    bool copy_tokens(const simd::InputColumns& k, const simd::InputColumns& v, Index i, Index count,
                     detail::ExactTokens& tokens, Index first) const {
        const auto copy = TURBOQUANT_KERNEL(copy_rows);
        bool ordinary = true;
        for (const Index end = i + count; i < end;) {
            const detail::ExactTokens::Room to = tokens.room(first, first + (end - i));
            ordinary &= copy(static_cast<int>(dim()), k, i, to.count, key_limit_, to.keys) == i + to.count;
            ordinary &=
                copy(static_cast<int>(value_dim()), v, i, to.count, value_limit_, to.values) == i + to.count;
            i += to.count;
            first += to.count;
        }
        return ordinary;
    }

    // Once the tokens past the window complete a block, they go into it.
    void quantize_full_block() {
        const Index end = (coded_ / kBlock + 1) * kBlock;
        if (later() < end + options_.window) return;
        if (options_.centring && codec_.means() == nullptr) set_means(end);
        const std::size_t key_bytes = aligned_key_bytes();
        const auto index = static_cast<std::size_t>(coded_ / kBlock);
        if (index == blocks_.size())
            blocks_.emplace_back(key_bytes + codec_.value_block_bytes(), /*zeroed=*/false);
        else
            blocks_[index].make_unique();
        std::uint8_t* const block = blocks_[index].data();
        recent_.for_runs(coded_, end, [&](const detail::ExactTokens::Run& run, Index token) {
            codec_.encode_columns("KvCache::append", {run.keys, simd::InputType::float32, dim(), run.count},
                                  {run.values, simd::InputType::float32, value_dim(), run.count},
                                  /*plain=*/true, static_cast<int>(token % kBlock), block, block + key_bytes);
        });
        coded_ = end;
    }

    // Of tokens coded_ … end − 1, in order, in double.
    void set_means(Index end) {
        Eigen::VectorXf key(dim()), value(value_dim());
        const auto mean = [&](Eigen::VectorXf& out, const float* detail::ExactTokens::Run::*rows) {
            for (Index i = 0; i < out.size(); ++i) {
                double sum = 0;
                recent_.for_runs(coded_, end, [&](const detail::ExactTokens::Run& run, Index) {
                    for (Index t = 0; t < run.count; ++t)
                        sum += static_cast<double>((run.*rows)[t * out.size() + i]);
                });
                out[i] = static_cast<float>(sum / static_cast<double>(end - coded_));
            }
        };
        const simd::FloatingPointGuard guard;
        mean(key, &detail::ExactTokens::Run::keys);
        mean(value, &detail::ExactTokens::Run::values);
        codec_.set_means(key, value);
    }

    // Where a block's values begin.
    std::size_t aligned_key_bytes() const { return (codec_.key_block_bytes() + 3) / 4 * 4; }

    // --- attend -----------------------------------------------------------------------------------------------------

    // Calls exact(run, first token) and coded(key block, value block, tokens, first token) for all tokens in order.
    template <class Exact, class Coded>
    void for_tokens(Exact&& exact, Coded&& coded) const {
        sinks_.for_runs(0, sink_count(), exact);
        const std::size_t key_bytes = aligned_key_bytes();
        for (Index first = 0; first < coded_; first += kBlock) {
            const std::uint8_t* block = blocks_[static_cast<std::size_t>(first / kBlock)].data();
            if (first + kBlock < coded_) {
                const detail::SharedBytes& next = blocks_[static_cast<std::size_t>(first / kBlock) + 1];
                detail::prefetch(next.data(), next.size());
            }
            coded(block, block + key_bytes, static_cast<int>(std::min(kBlock, coded_ - first)),
                  options_.sinks + first);
        }
        recent_.for_runs(coded_, later(), [&](const detail::ExactTokens::Run& run, Index token) {
            exact(run, sink_count() + token);
        });
    }

    static simd::InputColumns part(simd::InputColumns in, Index first, Index count) noexcept {
        const std::ptrdiff_t element = in.type == simd::InputType::float32 ? 4 : 2;
        in.data = static_cast<const std::uint8_t*>(in.data) + first * in.stride * element;
        in.count = count;
        return in;
    }

    void attend_columns(const simd::InputColumns& queries, const detail::VisibleTokens& visible,
                        const AttendOptions& options, Eigen::Ref<Eigen::MatrixXf>& out) const {
        const std::ptrdiff_t stride = simd::padded(value_dim());
        const Index columns = std::min<Index>(queries.count, Pass::columns_at_once(dim(), value_dim()));
        const std::ptrdiff_t state_floats = (detail::state_floats(stride, columns) + 15) / 16 * 16;
        const std::ptrdiff_t floats = state_floats + std::max(Pass::scratch_floats(dim(), value_dim()),
                                                              Pass::finish_floats(value_dim()));
        detail::with_scratch(floats, [&](float* scratch) {
            const simd::FloatingPointGuard guard;
            Pass pass(codec_.key_quantizer(), codec_.value_quantizer(), codec_.means(), options.scale,
                      options.softcap, scratch + state_floats);
            for (Index first = 0; first < queries.count; first += columns) {
                const Index count = std::min(columns, static_cast<Index>(queries.count) - first);
                const simd::SoftmaxState state = detail::state_in(scratch, stride, count);
                detail::clear_state(state);
                const Index bad = pass.begin(part(queries, first, count), state);
                if (bad >= 0) detail::throw_not_finite("KvCache::attend", "queries", first + bad);
                for (Index c = 0; c < count; ++c) pass.see(static_cast<int>(c), visible(first + c));
                for_tokens(
                    [&](const detail::ExactTokens::Run& run, Index token) {
                        pass.exact(run.keys, dim(), run.values, value_dim(), run.count, token);
                    },
                    [&](const void* keys, const void* values, int tokens, Index token) {
                        pass.coded(keys, values, tokens, token);
                    });
                pass.flush();
                Pass::finish(codec_.value_quantizer(), codec_.means(), state,
                             out.data() + first * out.outerStride(), out.outerStride(),
                             options.lse != nullptr ? options.lse + first : nullptr, scratch + state_floats);
            }
        });
    }

    void score_columns(const simd::InputColumns& queries, Eigen::Ref<Eigen::MatrixXf>& out) const {
        detail::with_scratch(Pass::scratch_floats(dim(), value_dim()), [&](float* scratch) {
            const simd::FloatingPointGuard guard;
            Pass pass(codec_.key_quantizer(), codec_.value_quantizer(), codec_.means(), 1.0f / detail::kLog2E,
                      0.0f, scratch);
            const Index at_once = Pass::columns_at_once(dim(), value_dim());
            for (Index first = 0; first < queries.count; first += at_once) {
                const Index count = std::min(at_once, static_cast<Index>(queries.count) - first);
                const Index bad = pass.begin(part(queries, first, count), simd::SoftmaxState{});
                if (bad >= 0) detail::throw_not_finite("KvCache::scores", "queries", first + bad);
                const auto store = [&](const float* products, int tokens, Index token) {
                    for (Index c = 0; c < count; ++c)
                        std::memcpy(out.data() + (first + c) * out.outerStride() + token,
                                    products + c * kBlock, static_cast<std::size_t>(tokens) * sizeof(float));
                };
                for_tokens(
                    [&](const detail::ExactTokens::Run& run, Index token) {
                        for (Index t = 0; t < run.count; t += kBlock) {
                            const int tokens = static_cast<int>(std::min(kBlock, run.count - t));
                            store(pass.exact_products(run.keys + t * dim(), dim(), tokens), tokens,
                                  token + t);
                        }
                    },
                    [&](const void* keys, const void*, int tokens, Index token) {
                        store(pass.coded_products(keys, tokens), tokens, token);
                    });
            }
        });
    }

    template <bool Keys>
    Eigen::MatrixXf decoded() const {
        const Index rows = Keys ? dim() : value_dim();
        Eigen::MatrixXf out(rows, size_);
        for_tokens(
            [&](const detail::ExactTokens::Run& run, Index token) {
                std::memcpy(out.data() + token * rows, Keys ? run.keys : run.values,
                            static_cast<std::size_t>(rows * run.count) * sizeof(float));
            },
            [&](const void* keys, const void* values, int tokens, Index token) {
                for (int t = 0; t < tokens; ++t) {
                    float* const to = out.data() + (token + t) * rows;
                    codec_.decode(keys, values, t, Keys ? to : nullptr, Keys ? nullptr : to);
                }
            });
        return out;
    }

    // --- Files ------------------------------------------------------------------------------------------------------

    detail::CacheFields fields() const {
        detail::CacheFields fields;
        fields.key_id = codec_.key_quantizer().id();
        fields.value_id = codec_.value_quantizer().id();
        fields.key_rule = SerializationTraits<KeyQuantizer>::scale_rule(codec_.key_quantizer());
        fields.value_rule = SerializationTraits<ValueQuantizer>::scale_rule(codec_.value_quantizer());
        fields.centring = options_.centring;
        fields.means = codec_.means() != nullptr;
        fields.seed = options_.seed;
        fields.window = options_.window;
        fields.sinks = options_.sinks;
        fields.size = size_;
        fields.coded = coded_;
        fields.key_block_bytes = codec_.key_block_bytes();
        fields.value_block_bytes = codec_.value_block_bytes();
        return fields;
    }

    std::vector<std::uint8_t> written() const {
        const detail::CacheFields all = fields();
        std::vector<std::uint8_t> payload;
        payload.reserve(all.payload());
        payload.resize(detail::kCachePrefix);
        detail::write_cache_prefix(all, payload.data());
        const auto add = [&payload](const void* data, std::size_t bytes) {
            const auto* from = static_cast<const std::uint8_t*>(data);
            payload.insert(payload.end(), from, from + bytes);
        };
        const std::size_t key_bytes = static_cast<std::size_t>(dim()) * sizeof(float);
        const std::size_t value_bytes = static_cast<std::size_t>(value_dim()) * sizeof(float);
        const auto add_tokens = [&](const detail::ExactTokens& tokens, Index first, Index last) {
            using Run = detail::ExactTokens::Run;
            tokens.for_runs(first, last, [&](const Run& run, Index) {
                add(run.keys, static_cast<std::size_t>(run.count) * key_bytes);
            });
            tokens.for_runs(first, last, [&](const Run& run, Index) {
                add(run.values, static_cast<std::size_t>(run.count) * value_bytes);
            });
        };
        if (all.means) {
            add(codec_.means()->key.data(), key_bytes);
            add(codec_.means()->value.data(), value_bytes);
        }
        add_tokens(sinks_, 0, sink_count());
        for (Index first = 0; first < coded_; first += kBlock) {
            detail::SharedBytes block = blocks_[static_cast<std::size_t>(first / kBlock)];
            if (coded_ - first < kBlock) {  // what truncate() left behind is not part of the cache
                block.make_unique();
                codec_.erase(block.data(), block.data() + aligned_key_bytes(), coded_ - first);
            }
            add(block.data(), all.key_block_bytes);
            add(block.data() + aligned_key_bytes(), all.value_block_bytes);
        }
        add_tokens(recent_, coded_, later());
        return payload;
    }

    static BasicKvCache loaded(std::istream& is, bool whole, const std::string& where) {
        const detail::LoadedCache file =
            detail::read_cache(is, SerializationTraits<KeyQuantizer>::id(),
                               SerializationTraits<ValueQuantizer>::id(), whole, where);
        const detail::CacheFields& fields = file.fields;
        KvCacheOptions options;
        options.seed = fields.seed;
        options.window = fields.window;
        options.sinks = fields.sinks;
        options.centring = fields.centring;
        BasicKvCache cache(
            SerializationTraits<KeyQuantizer>::make(fields.key_id.dim, fields.key_id.seed, fields.key_rule),
            SerializationTraits<ValueQuantizer>::make(fields.value_id.dim, fields.value_id.seed,
                                                      fields.value_rule),
            options);
        if (cache.codec_.key_block_bytes() != fields.key_block_bytes ||
            cache.codec_.value_block_bytes() != fields.value_block_bytes)
            detail::throw_bad_file(where, "the file's blocks have " + std::to_string(fields.key_block_bytes) +
                                              " and " + std::to_string(fields.value_block_bytes) +
                                              " bytes; expected " +
                                              std::to_string(cache.codec_.key_block_bytes()) + " and " +
                                              std::to_string(cache.codec_.value_block_bytes()));
        cache.take(fields, file.payload.data() + detail::kCachePrefix);
        return cache;
    }

    // The tokens of a verified file.
    void take(const detail::CacheFields& fields, const std::uint8_t* from) {
        const std::size_t key_bytes = static_cast<std::size_t>(dim()) * sizeof(float);
        const std::size_t value_bytes = static_cast<std::size_t>(value_dim()) * sizeof(float);
        const auto take_tokens = [&](detail::ExactTokens& tokens, Index first, Index last) {
            if (first == last) return;
            tokens.make_room(first, first, last);
            for (Index i = first; i < last; ++i, from += key_bytes)
                std::memcpy(tokens.room(i, i + 1).keys, from, key_bytes);
            for (Index i = first; i < last; ++i, from += value_bytes)
                std::memcpy(tokens.room(i, i + 1).values, from, value_bytes);
        };
        if (fields.means) {
            Eigen::VectorXf key(dim()), value(value_dim());
            std::memcpy(key.data(), from, key_bytes);
            std::memcpy(value.data(), from + key_bytes, value_bytes);
            codec_.set_means(key, value);
            from += key_bytes + value_bytes;
        }
        take_tokens(sinks_, 0, fields.sink_count());
        blocks_.reserve(static_cast<std::size_t>(fields.blocks()));
        for (Index i = 0; i < fields.blocks(); ++i) {
            blocks_.emplace_back(aligned_key_bytes() + fields.value_block_bytes, /*zeroed=*/false);
            std::memcpy(blocks_.back().data(), from, fields.key_block_bytes);
            from += fields.key_block_bytes;
            std::memcpy(blocks_.back().data() + aligned_key_bytes(), from, fields.value_block_bytes);
            from += fields.value_block_bytes;
        }
        take_tokens(recent_, fields.coded, fields.coded + fields.recent());
        size_ = fields.size;
        coded_ = fields.coded;
    }

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
