// The interface that all quantizers share, written once over the kernels.
//
// MseQuantizer, ResidualSignQuantizer and TurboQuantizer derive from QuantizerInterface; is_quantizer_v states the
// requirements for any other type that wants to stand beside them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

#include "turboquant/codes.hpp"
#include "turboquant/columns.hpp"
#include "turboquant/config.hpp"
#include "turboquant/parallel.hpp"
#include "turboquant/rotation.hpp"
#include "turboquant/simd/dispatch.hpp"
#include "turboquant/simd/kernels.hpp"

TURBOQUANT_NAMESPACE_BEGIN

// The Quantizer requirements (design notes of each member: QuantizerInterface below).
template <class Q, class = void>
struct is_quantizer : std::false_type {};
template <class Q>
struct is_quantizer<
    Q, std::void_t<decltype(Index(std::declval<const Q&>().dim())),
                   decltype(double(std::declval<const Q&>().bits_per_coordinate())),
                   decltype(std::size_t(std::declval<const Q&>().bytes_per_vector())),
                   decltype(Codes(std::declval<const Q&>().encode(std::declval<const Eigen::MatrixXf&>()))),
                   decltype(std::declval<const Q&>().encode(std::declval<const Eigen::MatrixXf&>(),
                                                            std::declval<Codes&>())),
                   decltype(std::declval<const Q&>().append(std::declval<const Eigen::MatrixXf&>(),
                                                            std::declval<Codes&>())),
                   decltype(Eigen::MatrixXf(std::declval<const Q&>().decode(std::declval<CodesView>()))),
                   decltype(std::declval<const Q&>().decode(std::declval<CodesView>(),
                                                            std::declval<Eigen::Ref<Eigen::MatrixXf>>())),
                   decltype(Eigen::MatrixXf(std::declval<const Q&>().inner_products(
                       std::declval<CodesView>(), std::declval<const Eigen::MatrixXf&>()))),
                   decltype(Eigen::MatrixXf(std::declval<const Q&>().inner_products(
                       std::declval<CodesView>(), std::declval<Positions>(),
                       std::declval<const Eigen::MatrixXf&>()))),
                   decltype(Eigen::MatrixXf(std::declval<const Q&>().squared_distances(
                       std::declval<CodesView>(), std::declval<const Eigen::MatrixXf&>()))),
                   decltype(Eigen::MatrixXf(std::declval<const Q&>().code_products(
                       std::declval<CodesView>(), std::declval<CodesView>())))>> : std::true_type {};
template <class Q>
inline constexpr bool is_quantizer_v = is_quantizer<Q>::value;

namespace detail {

// The encoder of a plan: its own, or the plain one.
template <int IndexBits, bool HasSketch, int KernelDim>
simd::EncodeKernel* encode_kernel(const simd::CodecPlan& plan) {
    return plan.encoder != nullptr ? plan.encoder() : simd::encode_kernel<IndexBits, HasSketch, KernelDim>();
}

// What every quantizer says of its arguments. `type` and `call` name it in messages.
inline void check_codes(const char* type, const char* call, const CodesView& codes, const CodecId& id) {
    if (codes.id().kind == QuantizerKind::none && codes.size() == 0) return;
    if (codes.id() != id)
        throw_invalid_argument(std::string(type) + "::" + call + ": the codes were made by " +
                               codes.id().description() + ", but this is " + id.description());
}

// positions: nullptr stands for all.
inline void check_positions(const char* type, const char* call, const CodesView& codes,
                            const Positions* positions) {
    if (positions == nullptr) return;
    for (Index i = 0; i < positions->size(); ++i) {
        const Index position = positions->data()[i];
        if (position < 0 || position >= codes.size())
            throw_invalid_argument(std::string(type) + "::" + call + ": position " +
                                   std::to_string(position) + " was asked for, but there are " +
                                   std::to_string(codes.size()) + " codes");
    }
}

// Why the columns from `first` on could not be encoded; has_norm: " has norm ", of what is too large.
[[noreturn]] TURBOQUANT_COLD inline void throw_not_encoded(const std::string& where,
                                                           const simd::EncodeResult& result, Index first,
                                                           const char* has_norm) {
    const std::string column = where + ": column " + std::to_string(first + result.encoded);
    if (result.error == simd::EncodeError::not_finite)
        throw_invalid_argument(column + " holds a NaN or an infinity; nothing was stored");
    throw_invalid_argument(column + has_norm + number_text(result.norm) +
                           ", too large for the type of the stored scale; nothing was stored");
}

}  // namespace detail

// d: the dimension, n: number of vectors, m: number of queries. Vectors are columns; elements are float, Eigen::half or
// Eigen::bfloat16. Const calls are safe from many threads at once. Every call throws std::invalid_argument, naming what
// was expected and what came, when sizes do not fit, when codes are another quantizer's, or when a column holds a NaN
// or an infinity. `threads`: on how many threads a program that is compiled with OpenMP shares out the vectors; the results
// are the same for each (see parallel.hpp).
template <class Derived, int Dim, int IndexBits, bool HasSketch>
class QuantizerInterface {
public:
    using Decoded = Eigen::Matrix<float, Dim, Eigen::Dynamic>;

    Index dim() const noexcept { return id_.dim; }
    std::uint64_t seed() const noexcept { return id_.seed; }

    // What is stored per vector, scales included.
    std::size_t bytes_per_vector() const noexcept { return plan_.record_bytes(); }
    // What is stored per coordinate, scales included: 8·bytes_per_vector()/d.
    double bits_per_coordinate() const noexcept {
        return 8.0 * static_cast<double>(bytes_per_vector()) / static_cast<double>(dim());
    }

    const CodecId& id() const noexcept { return id_; }
    std::uint64_t fingerprint() const noexcept { return id_.fingerprint(); }

    // A view of `size` of this quantizer's records that lie in memory of the caller.
    CodesView view(const void* data, Index size) const noexcept {
        return CodesView(data, size, bytes_per_vector(), id_);
    }

    // Codes of the columns of x (Dim × n). O(d log d) a vector. Throws when a scale overflows its type, naming the
    // column and the norm.
    template <class X>
    Codes encode(const Eigen::MatrixBase<X>& x, int threads = 1) const {
        Codes codes;
        encode(x, codes, threads);
        return codes;
    }

    // The same into `out`, replacing what it held and reusing its memory: allocates nothing when the codes fit. If it
    // throws, `out` is as it was.
    template <class X>
    void encode(const Eigen::MatrixBase<X>& x, Codes& out, int threads = 1) const {
        const detail::Columns<X> columns(x.derived());
        check_input("encode", x.rows(), out.view());
        encode_columns(columns.input(), out, /*keep=*/false, threads);
    }

    // Adds the codes of the columns of x after those in `codes`. If it throws, `codes` is as it was.
    template <class X>
    void append(const Eigen::MatrixBase<X>& x, Codes& codes, int threads = 1) const {
        const detail::Columns<X> columns(x.derived());
        check_input("append", x.rows(), codes.view());
        encode_columns(columns.input(), codes, /*keep=*/true, threads);
    }

    // The vectors that the codes stand for, Dim × n. O(d log d) a vector.
    Decoded decode(CodesView codes, int threads = 1) const {
        Decoded out(dim(), codes.size());
        decode_into(codes, out.data(), dim(),
                    threads);  // outerStride() is not the column's for a fixed Dim of 1
        return out;
    }
    // The same into the caller's memory (Dim × n); allocates nothing.
    void decode(CodesView codes, Eigen::Ref<Eigen::MatrixXf> out, int threads = 1) const {
        check_output("decode", dim(), codes.size(), out);
        decode_into(codes, out.data(), out.outerStride(), threads);
    }

    // Estimates of <x_i, q_j>, n × m, from the codes: queries are rotated once, codes are never rotated back. Queries are
    // rounded: to int8 where indices have up to 4 bits, the centroids with them, and the sketch of a query likewise; beyond,
    // without a sketch and on targets with AVX-512 VNNI, to 15 bits. This adds an error of root mean square
    // .0105·‖x̂‖‖q‖/√d, or 1.3e-4·‖x̂‖‖q‖/√d, at most (d >= 48): a ninth of the quantization's own at 4 bits, an eighth with 4
    // bits and a sketch, a fiftieth at 8 bits. Int8 estimates are the same on every target (the gaussian sketch and the haar
    // rotation aside, which are deterministic per build). Otherwise the estimate is that of the decoded vector to 1e-5.
    template <class Q>
    Eigen::MatrixXf inner_products(CodesView codes, const Eigen::MatrixBase<Q>& queries,
                                   int threads = 1) const {
        Eigen::MatrixXf out(codes.size(), queries.cols());
        score<kInnerProducts>(codes, nullptr, queries, out, threads);
        return out;
    }
    template <class Q>
    void inner_products(CodesView codes, const Eigen::MatrixBase<Q>& queries, Eigen::Ref<Eigen::MatrixXf> out,
                        int threads = 1) const {
        score<kInnerProducts>(codes, nullptr, queries, out, threads);
    }
    // The same for the records at `positions` alone, positions.size() × m.
    template <class Q>
    Eigen::MatrixXf inner_products(CodesView codes, Positions positions, const Eigen::MatrixBase<Q>& queries,
                                   int threads = 1) const {
        Eigen::MatrixXf out(positions.size(), queries.cols());
        score<kInnerProducts>(codes, &positions, queries, out, threads);
        return out;
    }
    template <class Q>
    void inner_products(CodesView codes, Positions positions, const Eigen::MatrixBase<Q>& queries,
                        Eigen::Ref<Eigen::MatrixXf> out, int threads = 1) const {
        score<kInnerProducts>(codes, &positions, queries, out, threads);
    }

    // ‖q_j − x̂_i‖², n × m, with x̂ the decoded vector: computed without decoding, and without cancellation.
    template <class Q>
    Eigen::MatrixXf squared_distances(CodesView codes, const Eigen::MatrixBase<Q>& queries,
                                      int threads = 1) const {
        Eigen::MatrixXf out(codes.size(), queries.cols());
        score<kSquaredDistances>(codes, nullptr, queries, out, threads);
        return out;
    }
    template <class Q>
    void squared_distances(CodesView codes, const Eigen::MatrixBase<Q>& queries,
                           Eigen::Ref<Eigen::MatrixXf> out, int threads = 1) const {
        score<kSquaredDistances>(codes, nullptr, queries, out, threads);
    }
    template <class Q>
    Eigen::MatrixXf squared_distances(CodesView codes, Positions positions,
                                      const Eigen::MatrixBase<Q>& queries, int threads = 1) const {
        Eigen::MatrixXf out(positions.size(), queries.cols());
        score<kSquaredDistances>(codes, &positions, queries, out, threads);
        return out;
    }
    template <class Q>
    void squared_distances(CodesView codes, Positions positions, const Eigen::MatrixBase<Q>& queries,
                           Eigen::Ref<Eigen::MatrixXf> out, int threads = 1) const {
        score<kSquaredDistances>(codes, &positions, queries, out, threads);
    }

    // <x̂_i, x̂_j> of the decoded vectors of two sets of codes, a.size() × b.size(): what building a graph needs.
    Eigen::MatrixXf code_products(CodesView a, CodesView b, int threads = 1) const {
        Eigen::MatrixXf out(a.size(), b.size());
        code_products(a, b, out, threads);
        return out;
    }
    void code_products(CodesView a, CodesView b, Eigen::Ref<Eigen::MatrixXf> out, int threads = 1) const {
        check_codes("code_products", a);
        check_codes("code_products", b);
        check_output("code_products", a.size(), b.size(), out);
        const auto kernel = simd::code_products_kernel<IndexBits, HasSketch>();
        in_parts("code_products", a.size(), threads, 8 * simd::padded(dim()),
                 [&](int, Index first, Index count, float* scratch) {
                     kernel(plan_, records(a, nullptr).part(first, count), records(b, nullptr),
                            out.data() + first, out.outerStride(), scratch);
                 });
    }

    // For kernels and containers built on quantizers.
    const simd::CodecPlan& plan() const noexcept { return plan_; }
    // Records of all columns, side by side, until one cannot be stored (result.encoded). Under a FloatingPointGuard; scratch:
    // plan().encode_floats().
    simd::EncodeResult encode_records(const simd::InputColumns& in, std::uint8_t* out, float* scratch) const {
        simd::EncodeKernel* const kernel = encode_kernel();
        return kernel(plan_, in, out, scratch);
    }

protected:
    QuantizerInterface(const CodecId& id, const simd::CodecPlan& plan) noexcept : id_(id), plan_(plan) {
        plan_.complete();
    }
    ~QuantizerInterface() = default;
    QuantizerInterface(const QuantizerInterface&) = default;
    QuantizerInterface(QuantizerInterface&&) = default;
    QuantizerInterface& operator=(const QuantizerInterface&) = default;
    QuantizerInterface& operator=(QuantizerInterface&&) = default;

    CodecId id_;
    simd::CodecPlan plan_;

private:
    enum Score { kInnerProducts, kSquaredDistances };

    static std::string where(const char* call) { return std::string(Derived::kName) + "::" + call; }

    void check_input(const char* call, Index rows, const CodesView& codes) const {
        if (rows != dim()) detail::throw_wrong_rows(where(call), dim(), rows);
        check_codes(call, codes);
    }

    void check_codes(const char* call, const CodesView& codes) const {
        detail::check_codes(Derived::kName, call, codes, id_);
    }

    void check_positions(const char* call, const CodesView& codes, const Positions* positions) const {
        detail::check_positions(Derived::kName, call, codes, positions);
    }

    void check_output(const char* call, Index rows, Index cols,
                      const Eigen::Ref<Eigen::MatrixXf>& out) const {
        if (out.rows() != rows || out.cols() != cols)
            detail::throw_wrong_output(where(call), rows, cols, out.rows(), out.cols());
    }

    simd::EncodeKernel* encode_kernel() const {
        if constexpr (kTrellis)
            return plan_.encoder();
        else
            return detail::encode_kernel<IndexBits, HasSketch, kKernelDim>(plan_);
    }

    static simd::DecodeKernel* decode_kernel() {
        if constexpr (kTrellis)
            return simd::trellis_decode_kernel<kTrellisBits, kKernelDim>();
        else
            return simd::decode_kernel<IndexBits, HasSketch, kKernelDim>();
    }

    static simd::RecordRange records(const CodesView& codes, const Positions* positions) noexcept {
        return {codes.data(), codes.bytes_per_vector(), positions ? positions->data() : nullptr,
                positions ? positions->size() : codes.size(), codes.data() + codes.bytes()};
    }

    // Whether indices are trellis codes.
    static constexpr bool kTrellis = simd::kIsTrellis<IndexBits>;
    static constexpr int kTrellisBits = IndexBits - simd::kTrellis;

    // The dimension that kernels are compiled for: a dense rotation has but one path.
    static constexpr int kKernelDim = simd::kKernelDim<(Derived::kStructured ? Dim : Dynamic)>;

    // Shares out `count` vectors: body(part, first, count, scratch) for each part, with `floats` floats of work memory.
    template <class Body>
    int in_parts(const char* call, Index count, int threads, std::ptrdiff_t floats, const Body& body) const {
        if (threads < 1) detail::throw_wrong_threads(where(call), threads);
        const int parts = detail::part_count(count, threads);
        detail::for_each_part(count, parts, [&](int part, Index first, Index some) {
            detail::with_scratch(floats, [&](float* scratch) {
                const simd::FloatingPointGuard guard;
                body(part, first, some, scratch);
            });
        });
        return parts;
    }

    void encode_columns(const simd::InputColumns& in, Codes& codes, bool keep, int threads) const {
        simd::EncodeKernel* const kernel = encode_kernel();
        const auto find_extreme = TURBOQUANT_KERNEL(find_extreme_column);
        const char* call = keep ? "append" : "encode";
        const Index before = keep ? codes.size() : 0, after = before + in.count;
        const std::size_t stride = bytes_per_vector();
        const std::ptrdiff_t work = plan_.encode_floats();
        simd::EncodeResult results[detail::kMaxParts];
        // Where records are about to be overwritten, be sure first that none of the new ones fails: columns whose norm is
        // extreme are encoded for trial. The unbiased scale is largest for a single spike after the rotation: less than √d
        // times the norm.
        if (!keep && !codes.empty()) {
            const float limit =
                plan_.scale_type == simd::ScaleType::float16 ? 1e9f / static_cast<float>(dim()) : 0x1p60f;
            const auto try_part = [&](int part, Index first, Index count, float* scratch) {
                const simd::InputColumns some = in.part(first, count);
                simd::EncodeResult& result = results[part] = {count, simd::EncodeError::none, 0.0};
                for (std::ptrdiff_t i = 0; result.error == simd::EncodeError::none; ++i) {
                    i = find_extreme(some, i, plan_.dim, limit, scratch);
                    if (i >= count) return;
                    result = kernel(plan_, some.part(i, 1), reinterpret_cast<std::uint8_t*>(scratch + work),
                                    scratch);
                    result.encoded += i;
                }
            };
            check_encoded(call, results,
                          in_parts(call, in.count, threads, work + simd::padded(dim()), try_part), in.count);
        }
        std::uint8_t* out = codes.room(stride, after) + static_cast<std::size_t>(before) * stride;
        const auto encode_part = [&](int part, Index first, Index count, float* scratch) {
            results[part] =
                kernel(plan_, in.part(first, count), out + static_cast<std::size_t>(first) * stride, scratch);
        };
        check_encoded(call, results, in_parts(call, in.count, threads, work, encode_part), in.count);
        codes.commit(id_, stride, after);
    }

    void decode_into(const CodesView& codes, float* out, std::ptrdiff_t stride, int threads) const {
        check_codes("decode", codes);
        const auto kernel = decode_kernel();
        in_parts("decode", codes.size(), threads, simd::work_floats(3, dim()),
                 [&](int, Index first, Index count, float* scratch) {
                     kernel(plan_, records(codes, nullptr).part(first, count), out + first * stride, stride,
                            scratch);
                 });
    }

    // Scores of one kind, queries in blocks that fit the stack: nothing is allocated.
    template <Score Kind, class Q>
    void score(const CodesView& codes, const Positions* positions, const Eigen::MatrixBase<Q>& queries,
               Eigen::Ref<Eigen::MatrixXf> out, int threads) const {
        const char* call = Kind == kInnerProducts ? "inner_products" : "squared_distances";
        if (queries.rows() != dim()) detail::throw_wrong_rows(where(call), dim(), queries.rows());
        check_codes(call, codes);
        check_positions(call, codes, positions);
        const detail::Columns<Q> columns(queries.derived());
        score_columns<Kind>(call, records(codes, positions), columns.input(), out, threads);
    }

    template <Score Kind>
    void score_columns(const char* call, const simd::RecordRange& range, const simd::InputColumns& queries,
                       Eigen::Ref<Eigen::MatrixXf>& out, int threads) const {
        check_output(call, range.count, queries.count, out);
        const auto kernel = score_kernel<Kind>();
        const std::ptrdiff_t part = simd::padded(dim()), work = simd::work_floats(2, dim());
        const std::ptrdiff_t row = Kind == kInnerProducts && IndexBits > 0 && plan_.sketch ? 2 * part : part;
        constexpr std::ptrdiff_t kMostQueries = 64;
        const std::ptrdiff_t block = std::clamp<std::ptrdiff_t>(16384 / row, 1, kMostQueries);
        detail::with_scratch(
            work + std::min<std::ptrdiff_t>(block, queries.count) * row, [&](float* scratch) {
                float* const rows = scratch + work;
                for (std::ptrdiff_t first = 0; first < queries.count; first += block) {
                    const simd::InputColumns some =
                        queries.part(first, std::min(block, queries.count - first));
                    float powers[kMostQueries];
                    const Index bad = prepare_queries<Kind>(some, rows, row, scratch, powers);
                    if (bad >= 0)
                        detail::throw_not_finite(where(call), "queries", static_cast<Index>(first) + bad);
                    float* const columns = out.data() + first * out.outerStride();
                    in_parts(call, range.count, threads, 3 * part,
                             [&](int, Index i, Index count, float* own) {
                                 kernel(plan_, range.part(i, count), rows, row, some.count, columns + i,
                                        out.outerStride(), own);
                             });
                    for (Index j = 0; j < some.count; ++j) {
                        if (powers[j] == 1.0f) continue;
                        const simd::FloatingPointGuard guard;
                        out.col(first + j) *= powers[j];
                    }
                }
            });
    }

    // Whether products are taken with an int8 query: sums of indices of up to 4 bits, and of signs.
    template <Score Kind>
    static constexpr bool kInt8 = Kind == kInnerProducts && (IndexBits <= 4 || kTrellis);

    // Whether with one of 15 bits, on targets that have the lookups.
    template <Score Kind>
    static bool wide() {
        return Kind == kInnerProducts && IndexBits > 4 && !kTrellis && !HasSketch && simd::has_wide_kernels();
    }

    template <Score Kind>
    static simd::ScoreKernel* score_kernel() {
#if TURBOQUANT_X86
        if constexpr (Kind == kInnerProducts && IndexBits > 4 && !kTrellis && !HasSketch)
            if (wide<Kind>()) return simd::wide_record_products_kernel<IndexBits>();
#endif
        if constexpr (kInt8<Kind> && kTrellis)
            return simd::trellis_products_kernel<kTrellisBits>();
        else if constexpr (kInt8<Kind>)
            return simd::record_products_kernel<IndexBits, HasSketch>();
        else if constexpr (Kind == kInnerProducts)
            return simd::inner_products_kernel<IndexBits, HasSketch>();
        else
            return simd::squared_distances_kernel<IndexBits, HasSketch>();
    }

    // Rows of Πq, then of SΠq where signs will be scored (S q for a pure sketch), zeros up to the padded length; rounded where
    // kernels want them so. Inner products with row j are to be multiplied by powers[j].
    template <Score Kind>
    Index prepare_queries(const simd::InputColumns& queries, float* rows, std::ptrdiff_t row, float* scratch,
                          float* powers) const {
        const simd::FloatingPointGuard guard;
        std::fill(rows, rows + queries.count * row, 0.0f);
        std::fill(powers, powers + queries.count, 1.0f);
        simd::RotateKernel* const rotate = simd::rotate_kernel();
        if constexpr (IndexBits == 0 && Kind != kInnerProducts)
            return static_cast<Index>(
                TURBOQUANT_KERNEL(copy_columns)(plan_.dim, queries, detail::kNoLimit, rows, row));
        const simd::RotationPlan& first = IndexBits == 0 ? *plan_.sketch : *plan_.rotation;
        const auto bad = static_cast<Index>(rotate(first, false, queries, rows, row, scratch, powers));
        if constexpr (Kind == kSquaredDistances)
            for (Index j = 0; j < queries.count; ++j)
                if (powers[j] != 1.0f) saturate(rows + j * row, std::exchange(powers[j], 1.0f));
        const bool sketched = Kind == kInnerProducts && IndexBits > 0 && plan_.sketch != nullptr;
        float* const second = rows + simd::padded(dim());
        if (sketched)
            rotate(*plan_.sketch, false, {rows, simd::InputType::float32, row, queries.count}, second, row,
                   scratch, nullptr);
        if constexpr (kInt8<Kind>) {
            const auto round = TURBOQUANT_INT8_KERNEL(round_rows);
            round(plan_.dim, rows, row, queries.count, scratch);
            if (sketched) round(plan_.dim, second, row, queries.count, scratch);
        }
#if TURBOQUANT_X86
        if (wide<Kind>()) simd::avx512_vnni::round_wide_rows(plan_.dim, rows, row, queries.count, scratch);
#endif
        return bad;
    }

    // The row times `power`, each coordinate within float's range: no distance is a NaN.
    void saturate(float* row, float power) const {
        constexpr float kLargest = std::numeric_limits<float>::max();
        for (Index i = 0; i < dim(); ++i)
            row[i] = std::clamp(row[i], -kLargest / power, kLargest / power) * power;
    }

    // Throws for the first column that could not be encoded. results: of `parts` parts of `count` columns.
    void check_encoded(const char* call, const simd::EncodeResult* results, int parts, Index count) const {
        for (int part = 0; part < parts; ++part)
            if (results[part].error != simd::EncodeError::none)
                detail::throw_not_encoded(where(call), results[part], detail::part_begin(count, parts, part),
                                          " has norm ");
    }
};

TURBOQUANT_NAMESPACE_END
