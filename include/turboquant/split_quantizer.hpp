// A fractional rate: the channels that carry most of the energy (outliers) at more bits than the rest (TurboQuant, arXiv
// 2504.19874, section 4.2).
//
//   x = (x_S, x_R),   x̂ = (Q_S(x_S), Q_R(x_R)),   Q_S of |S| and Q_R of d − |S| dimensions, each with a rotation, a codebook
//                                                  and a scale of its own
//
//   using Keys = SplitQuantizer<MseQuantizer<32, 4>, MseQuantizer<96, 2>>;      // (32·4 + 96·2)/128 = 2.5 bits, 3 with scales
//   Keys keys(/*seed=*/7, outlier_channels(sample, 32));
//
// S is given when the quantizer is made, and fixed. Errors add: E‖x − x̂‖² = D_S·‖x_S‖² + D_R·‖x_R‖², and the variances of
// inner products likewise. That is less than one quantizer's of the same rate only where S holds most of the energy.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "turboquant/codes.hpp"
#include "turboquant/columns.hpp"
#include "turboquant/config.hpp"
#include "turboquant/mse_quantizer.hpp"
#include "turboquant/outlier_channels.hpp"
#include "turboquant/parallel.hpp"
#include "turboquant/quantizer.hpp"
#include "turboquant/simd/dispatch.hpp"

TURBOQUANT_NAMESPACE_BEGIN

namespace detail {

constexpr int sum_of_dims(int a, int b) noexcept {
    return a == Eigen::Dynamic || b == Eigen::Dynamic ? Eigen::Dynamic : a + b;
}

}  // namespace detail

// Outliers and Rest: MseQuantizer, TurboQuantizer or ResidualSignQuantizer, of as many dimensions as there are outlier channels
// and others, or Eigen::Dynamic. A record is the outliers' record, then the rest's. The calls are those of QuantizerInterface
// (quantizer.hpp), which says what they return and throw; parts that have no ScaleRule ignore it.
template <class Outliers, class Rest>
class SplitQuantizer {
    static_assert(is_quantizer_v<Outliers> && is_quantizer_v<Rest>,
                  "turboquant: SplitQuantizer needs two types that fulfil the Quantizer requirements");
    static constexpr int kOutliers = Outliers::Decoded::RowsAtCompileTime;
    static constexpr int kRest = Rest::Decoded::RowsAtCompileTime;

public:
    static constexpr int kDim = detail::sum_of_dims(kOutliers, kRest);
    static constexpr const char* kName = "SplitQuantizer";
    using Decoded = Eigen::Matrix<float, kDim, Eigen::Dynamic>;

    // Parts of fixed dimension only.
    template <int D = kDim, std::enable_if_t<D != Eigen::Dynamic, int> = 0>
    SplitQuantizer(std::uint64_t seed, const std::vector<Index>& outliers, ScaleRule rule = ScaleRule::norm)
        : SplitQuantizer(Index{D}, seed, outliers, rule) {}

    // Throws std::invalid_argument when channels are outside of dim, doubled, none or all, or when a part's fixed dimension
    // differs. Each part's random bits are its own.
    SplitQuantizer(Index dim, std::uint64_t seed, const std::vector<Index>& outliers,
                   ScaleRule rule = ScaleRule::norm)
        : SplitQuantizer(dim, outliers,
                         detail::make_channel_split(kName, detail::checked_dim<kDim>(kName, dim), outliers),
                         seed, rule) {}

    // Quantizers of the caller's choice. Throws std::invalid_argument when their dimensions are not those of the channels.
    SplitQuantizer(Outliers outliers, Rest rest, const std::vector<Index>& channels)
        : outliers_(std::move(outliers)),
          rest_(std::move(rest)),
          split_(detail::make_channel_split(kName, outliers_.dim() + rest_.dim(), channels)) {
        if (split_->outliers != outliers_.dim())
            detail::throw_invalid_argument("SplitQuantizer: " + std::to_string(split_->outliers) +
                                           " outlier channels for a quantizer of dimension " +
                                           std::to_string(outliers_.dim()));
        set_id();
    }

    Index dim() const noexcept { return outliers_.dim() + rest_.dim(); }
    std::uint64_t seed() const noexcept { return id_.seed; }
    std::size_t bytes_per_vector() const noexcept {
        return outliers_.bytes_per_vector() + rest_.bytes_per_vector();
    }
    // What is stored per coordinate, both scales included: 8·bytes_per_vector()/d.
    double bits_per_coordinate() const noexcept {
        return 8.0 * static_cast<double>(bytes_per_vector()) / static_cast<double>(dim());
    }
    const CodecId& id() const noexcept { return id_; }
    std::uint64_t fingerprint() const noexcept { return id_.fingerprint(); }
    CodesView view(const void* data, Index size) const noexcept {
        return CodesView(data, size, bytes_per_vector(), id_);
    }

    const Outliers& outliers() const noexcept { return outliers_; }
    const Rest& rest() const noexcept { return rest_; }
    // Ascending.
    std::vector<Index> outlier_channels() const {
        return {split_->order.begin(), split_->order.begin() + split_->outliers};
    }

    template <class X>
    Codes encode(const Eigen::MatrixBase<X>& x, int threads = 1) const {
        Codes codes;
        encode(x, codes, threads);
        return codes;
    }
    template <class X>
    void encode(const Eigen::MatrixBase<X>& x, Codes& out, int threads = 1) const {
        const detail::Columns<X> columns(x.derived());
        check_input("encode", x.rows(), out.view(), threads);
        encode_columns("encode", columns.input(), out, 0, threads);
    }
    template <class X>
    void append(const Eigen::MatrixBase<X>& x, Codes& codes, int threads = 1) const {
        const detail::Columns<X> columns(x.derived());
        check_input("append", x.rows(), codes.view(), threads);
        encode_columns("append", columns.input(), codes, codes.size(), threads);
    }

    Decoded decode(CodesView codes, int threads = 1) const {
        Decoded out(dim(), codes.size());
        decode(codes, Eigen::Ref<Eigen::MatrixXf>(out), threads);
        return out;
    }
    void decode(CodesView codes, Eigen::Ref<Eigen::MatrixXf> out, int threads = 1) const {
        check_codes("decode", codes, threads);
        check_output("decode", dim(), codes.size(), out);
        const Index count = split_->outliers, rest = dim() - count;
        for_chunks(codes, nullptr, threads, kChunk * dim(),
                   [&](Index first, const CodesView& a, const CodesView& b, float* scratch) {
                       Eigen::Map<Eigen::MatrixXf> x(scratch, count, a.size());
                       Eigen::Map<Eigen::MatrixXf> y(scratch + count * a.size(), rest, a.size());
                       outliers_.decode(a, x);
                       rest_.decode(b, y);
                       for (Index j = 0; j < a.size(); ++j) {
                           float* const to = out.data() + (first + j) * out.outerStride();
                           for (Index i = 0; i < dim(); ++i)
                               to[split_->order[static_cast<std::size_t>(i)]] =
                                   i < count ? x(i, j) : y(i - count, j);
                       }
                   });
    }

    template <class Q>
    Eigen::MatrixXf inner_products(CodesView codes, const Eigen::MatrixBase<Q>& queries,
                                   int threads = 1) const {
        Eigen::MatrixXf out(codes.size(), queries.cols());
        inner_products(codes, queries, out, threads);
        return out;
    }
    template <class Q>
    void inner_products(CodesView codes, const Eigen::MatrixBase<Q>& queries, Eigen::Ref<Eigen::MatrixXf> out,
                        int threads = 1) const {
        score("inner_products", codes, nullptr, queries, out, threads, kProducts);
    }
    template <class Q>
    Eigen::MatrixXf inner_products(CodesView codes, Positions positions, const Eigen::MatrixBase<Q>& queries,
                                   int threads = 1) const {
        Eigen::MatrixXf out(positions.size(), queries.cols());
        inner_products(codes, positions, queries, out, threads);
        return out;
    }
    template <class Q>
    void inner_products(CodesView codes, Positions positions, const Eigen::MatrixBase<Q>& queries,
                        Eigen::Ref<Eigen::MatrixXf> out, int threads = 1) const {
        score("inner_products", codes, &positions, queries, out, threads, kProducts);
    }

    template <class Q>
    Eigen::MatrixXf squared_distances(CodesView codes, const Eigen::MatrixBase<Q>& queries,
                                      int threads = 1) const {
        Eigen::MatrixXf out(codes.size(), queries.cols());
        squared_distances(codes, queries, out, threads);
        return out;
    }
    template <class Q>
    void squared_distances(CodesView codes, const Eigen::MatrixBase<Q>& queries,
                           Eigen::Ref<Eigen::MatrixXf> out, int threads = 1) const {
        score("squared_distances", codes, nullptr, queries, out, threads, kDistances);
    }
    template <class Q>
    Eigen::MatrixXf squared_distances(CodesView codes, Positions positions,
                                      const Eigen::MatrixBase<Q>& queries, int threads = 1) const {
        Eigen::MatrixXf out(positions.size(), queries.cols());
        squared_distances(codes, positions, queries, out, threads);
        return out;
    }
    template <class Q>
    void squared_distances(CodesView codes, Positions positions, const Eigen::MatrixBase<Q>& queries,
                           Eigen::Ref<Eigen::MatrixXf> out, int threads = 1) const {
        score("squared_distances", codes, &positions, queries, out, threads, kDistances);
    }

    Eigen::MatrixXf code_products(CodesView a, CodesView b, int threads = 1) const {
        Eigen::MatrixXf out(a.size(), b.size());
        code_products(a, b, out, threads);
        return out;
    }
    void code_products(CodesView a, CodesView b, Eigen::Ref<Eigen::MatrixXf> out, int threads = 1) const {
        check_codes("code_products", a, threads);
        check_codes("code_products", b, threads);
        check_output("code_products", a.size(), b.size(), out);
        for_chunks(a, nullptr, threads, 0, [&](Index row, const CodesView& a1, const CodesView& a2, float*) {
            for_chunks(b, nullptr, 1, kChunk * kChunk,
                       [&](Index col, const CodesView& b1, const CodesView& b2, float* scratch) {
                           Eigen::Map<Eigen::MatrixXf> second(scratch, a1.size(), b1.size());
                           auto sum = out.block(row, col, a1.size(), b1.size());
                           outliers_.code_products(a1, b1, sum);
                           rest_.code_products(a2, b2, second);
                           sum += second;
                       });
        });
    }

private:
    enum Score { kProducts, kDistances };
    // Vectors that are encoded, records that are read, queries that are scored at a time.
    static constexpr Index kEncoded = 16, kChunk = 64, kQueries = 16;

    SplitQuantizer(Index dim, const std::vector<Index>& channels,
                   std::shared_ptr<const detail::ChannelSplit> split, std::uint64_t seed, ScaleRule rule)
        : outliers_(detail::make_quantizer<Outliers>(static_cast<Index>(channels.size()), seed, rule)),
          rest_(detail::make_quantizer<Rest>(dim - static_cast<Index>(channels.size()), ~seed, rule)),
          split_(std::move(split)) {
        set_id();
    }

    void set_id() {
        id_.kind = QuantizerKind::split;
        id_.dim = static_cast<std::int32_t>(dim());
        id_.bits = outliers_.id().bits;
        id_.seed = outliers_.seed();
        id_.parts = RandomBits(outliers_.fingerprint(), RandomStream::rotation).word(rest_.fingerprint());
        for (Index i = 0; i < split_->outliers; ++i)
            id_.parts = RandomBits(id_.parts, RandomStream::rotation)
                            .word(static_cast<std::uint64_t>(split_->order[static_cast<std::size_t>(i)]));
    }

    static std::string where(const char* call) { return std::string(kName) + "::" + call; }

    void check_codes(const char* call, const CodesView& codes, int threads) const {
        if (threads < 1) detail::throw_wrong_threads(where(call), threads);
        detail::check_codes(kName, call, codes, id_);
    }
    void check_input(const char* call, Index rows, const CodesView& codes, int threads) const {
        if (rows != dim()) detail::throw_wrong_rows(where(call), dim(), rows);
        check_codes(call, codes, threads);
    }
    static void check_output(const char* call, Index rows, Index cols,
                             const Eigen::Ref<Eigen::MatrixXf>& out) {
        if (out.rows() != rows || out.cols() != cols)
            detail::throw_wrong_output(where(call), rows, cols, out.rows(), out.cols());
    }

    // Columns first … first + count − 1 as the parts' rows: outliers at `rows`, the rest behind them.
    void gather(const simd::InputColumns& in, Index first, Index count, float* rows, float* column) const {
        const Index outliers = split_->outliers, rest = dim() - outliers;
        for (Index j = 0; j < count; ++j) {
            TURBOQUANT_KERNEL(copy_rows)(static_cast<int>(dim()), in, first + j, 1, 1.0, column);
            float *a = rows + j * outliers, *b = rows + count * outliers + j * rest;
            for (Index i = 0; i < outliers; ++i) a[i] = column[split_->order[static_cast<std::size_t>(i)]];
            for (Index i = 0; i < rest; ++i)
                b[i] = column[split_->order[static_cast<std::size_t>(outliers + i)]];
        }
    }

    // --- encode -----------------------------------------------------------------------------------------------------

    // Whether norms are so ordinary that no scale can overflow (QuantizerInterface::encode_columns).
    template <class Quantizer>
    static bool safe(const Quantizer& quantizer, const simd::InputColumns& in, float* scratch) {
        const auto dim = static_cast<int>(quantizer.dim());
        const float limit = quantizer.plan().scale_type == simd::ScaleType::float16
                                ? 1e9f / static_cast<float>(dim)
                                : 0x1p60f;
        return TURBOQUANT_KERNEL(find_extreme_column)(in, 0, dim, limit, scratch) == in.count;
    }

    // Small dimensions may need more than large ones.
    std::ptrdiff_t work_floats() const noexcept {
        return std::max(outliers_.plan().encode_floats(), rest_.plan().encode_floats());
    }

    // Records of some columns; `out` nullptr: only finds out whether they can be stored.
    simd::EncodeResult encode_some(const simd::InputColumns& in, Index begin, Index end, std::uint8_t* out,
                                   float* scratch) const {
        const std::size_t bytes = bytes_per_vector(), first_bytes = outliers_.bytes_per_vector();
        float* const column = scratch + kEncoded * dim();
        float* const work = column + simd::padded(dim());
        auto* const records = reinterpret_cast<std::uint8_t*>(work + work_floats());
        for (Index first = begin; first < end; first += kEncoded) {
            const Index count = std::min(kEncoded, end - first);
            gather(in, first, count, scratch, column);
            const Index n = outliers_.dim();
            const simd::InputColumns a{scratch, simd::InputType::float32, n, count};
            const simd::InputColumns b{scratch + count * n, simd::InputType::float32, dim() - n, count};
            if (out == nullptr && safe(outliers_, a, work) && safe(rest_, b, work)) continue;
            std::uint8_t* const second = records + static_cast<std::size_t>(kEncoded) * first_bytes;
            const simd::EncodeResult results[] = {outliers_.encode_records(a, records, work),
                                                  rest_.encode_records(b, second, work)};
            const simd::EncodeResult* worst = nullptr;
            for (const simd::EncodeResult& result : results)
                if (result.error != simd::EncodeError::none &&
                    (worst == nullptr || result.encoded < worst->encoded))
                    worst = &result;
            if (worst != nullptr) return {first + worst->encoded, worst->error, worst->norm};
            if (out == nullptr) continue;
            for (Index j = 0; j < count; ++j) {
                std::uint8_t* const to = out + static_cast<std::size_t>(first + j) * bytes;
                std::memcpy(to, records + static_cast<std::size_t>(j) * first_bytes, first_bytes);
                std::memcpy(to + first_bytes, second + static_cast<std::size_t>(j) * (bytes - first_bytes),
                            bytes - first_bytes);
            }
        }
        return {end - begin, simd::EncodeError::none, 0.0};
    }

    void encode_columns(const char* call, const simd::InputColumns& in, Codes& codes, Index before,
                        int threads) const {
        const Index after = before + in.count;
        const auto all = [&](std::uint8_t* out) {
            const int parts = detail::part_count(in.count, threads);
            simd::EncodeResult results[detail::kMaxParts];
            const std::ptrdiff_t floats =
                kEncoded * dim() + simd::padded(dim()) + work_floats() +
                static_cast<std::ptrdiff_t>(static_cast<std::size_t>(kEncoded) * bytes_per_vector() / 4 + 16);
            detail::for_each_part(in.count, parts, [&](int part, Index first, Index count) {
                detail::with_scratch(floats, [&](float* scratch) {
                    const simd::FloatingPointGuard guard;
                    results[part] = encode_some(in, first, first + count, out, scratch);
                });
            });
            for (int part = 0; part < parts; ++part)
                if (results[part].error != simd::EncodeError::none)
                    detail::throw_not_encoded(where(call), results[part], 0, " has a part of norm ");
        };
        // Where records are about to be overwritten, be sure first that none of the new ones fails.
        if (before == 0 && !codes.empty()) all(nullptr);
        all(codes.room(bytes_per_vector(), after) + static_cast<std::size_t>(before) * bytes_per_vector());
        codes.commit(id_, bytes_per_vector(), after);
    }

    // --- Reading ----------------------------------------------------------------------------------------------------

    // body(first, outliers' codes, rest's codes, `floats` floats) for every kChunk records.
    template <class Body>
    void for_chunks(const CodesView& codes, const Positions* positions, int threads, Index floats,
                    const Body& body) const {
        const Index count = positions != nullptr ? positions->size() : codes.size();
        const std::size_t bytes = bytes_per_vector(), first_bytes = outliers_.bytes_per_vector();
        const auto record_floats = static_cast<Index>(static_cast<std::size_t>(kChunk) * bytes / 4 + 16);
        detail::for_each_part(count, detail::part_count(count, threads), [&](int, Index begin, Index some) {
            detail::with_scratch(floats + record_floats, [&](float* scratch) {
                auto* const a = reinterpret_cast<std::uint8_t*>(scratch + floats);
                std::uint8_t* const b = a + static_cast<std::size_t>(kChunk) * first_bytes;
                for (Index first = begin; first < begin + some; first += kChunk) {
                    const Index size = std::min(kChunk, begin + some - first);
                    for (Index i = 0; i < size; ++i) {
                        const Index at = positions != nullptr ? positions->data()[first + i] : first + i;
                        const auto j = static_cast<std::size_t>(i);
                        const std::uint8_t* from = codes.data() + static_cast<std::size_t>(at) * bytes;
                        std::memcpy(a + j * first_bytes, from, first_bytes);
                        std::memcpy(b + j * (bytes - first_bytes), from + first_bytes, bytes - first_bytes);
                    }
                    body(first, outliers_.view(a, size), rest_.view(b, size), scratch);
                }
            });
        });
    }

    template <class Quantizer, class Q, class Out>
    static void score_part(const Quantizer& quantizer, Score kind, const CodesView& codes, const Q& queries,
                           Out&& out) {
        if (kind == kProducts)
            quantizer.inner_products(codes, queries, out);
        else
            quantizer.squared_distances(codes, queries, out);
    }

    template <class Q>
    void score(const char* call, const CodesView& codes, const Positions* positions,
               const Eigen::MatrixBase<Q>& queries, Eigen::Ref<Eigen::MatrixXf> out, int threads,
               Score kind) const {
        if (queries.rows() != dim()) detail::throw_wrong_rows(where(call), dim(), queries.rows());
        check_codes(call, codes, threads);
        detail::check_positions(kName, call, codes, positions);
        check_output(call, positions != nullptr ? positions->size() : codes.size(), queries.cols(), out);
        const detail::Columns<Q> columns(queries.derived());
        const simd::InputColumns& in = columns.input();
        const Index n = split_->outliers;
        detail::with_scratch(kQueries * dim() + simd::padded(dim()), [&](float* rows) {
            check_finite(call, in, rows);
            for (Index first = 0; first < in.count; first += kQueries) {
                const Index count = std::min<Index>(kQueries, in.count - first);
                gather(in, first, count, rows, rows + kQueries * dim());
                const Eigen::Map<const Eigen::MatrixXf> a(rows, n, count);
                const Eigen::Map<const Eigen::MatrixXf> b(rows + n * count, dim() - n, count);
                for_chunks(codes, positions, threads, kChunk * kQueries,
                           [&](Index row, const CodesView& x, const CodesView& y, float* scratch) {
                               Eigen::Map<Eigen::MatrixXf> second(scratch, x.size(), count);
                               auto sum = out.block(row, first, x.size(), count);
                               score_part(outliers_, kind, x, a, sum);
                               score_part(rest_, kind, y, b, second);
                               sum += second;
                           });
            }
        });
    }
    void check_finite(const char* call, const simd::InputColumns& queries, float* scratch) const {
        const simd::FloatingPointGuard guard;
        const simd::EncodeResult result =
            TURBOQUANT_KERNEL(check_columns)(static_cast<int>(dim()), queries, 1e300, scratch);
        if (result.error == simd::EncodeError::not_finite)
            detail::throw_not_finite(where(call), "queries", result.encoded);
    }

    Outliers outliers_;
    Rest rest_;
    std::shared_ptr<const detail::ChannelSplit> split_;
    CodecId id_;
};

TURBOQUANT_NAMESPACE_END
