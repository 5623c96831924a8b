#include "any_quantizer.hpp"

#include <stdexcept>
#include <utility>

#include <turboquant/mse_quantizer.hpp>
#include <turboquant/serialization.hpp>
#include <turboquant/turbo_quantizer.hpp>

namespace tools {
namespace {

template <class Quantizer>
class Holder final : public AnyQuantizer {
public:
    explicit Holder(Quantizer quantizer) : quantizer_(std::move(quantizer)) {}

    const tq::CodecId& id() const override { return quantizer_.id(); }
    std::size_t bytes_per_vector() const override { return quantizer_.bytes_per_vector(); }
    void append(const Eigen::MatrixXf& x, Index first, Index count, tq::Codes& codes,
                int threads) const override {
        quantizer_.append(x.middleCols(first, count), codes, threads);
    }
    void decode(tq::CodesView codes, Eigen::Ref<Eigen::MatrixXf> out, int threads) const override {
        quantizer_.decode(codes, out, threads);
    }
    void inner_products(tq::CodesView codes, const Eigen::MatrixXf& queries, Eigen::Ref<Eigen::MatrixXf> out,
                        int threads) const override {
        quantizer_.inner_products(codes, queries, out, threads);
    }
    void save(const std::string& path, tq::CodesView codes) const override {
        tq::save(path, quantizer_, codes);
    }

private:
    Quantizer quantizer_;
};

// A type of quantizer, as a value to hand to a generic lambda.
template <class Quantizer>
struct Type {
    using type = Quantizer;
};
template <int Bits>
using Mse = Type<tq::MseQuantizer<Eigen::Dynamic, Bits>>;
template <int Bits>
using Turbo = Type<tq::TurboQuantizer<Eigen::Dynamic, Bits>>;

// visit(Of<bits>{}) for the bits that are asked for.
template <template <int> class Of, class Visit>
auto with_bits(int bits, Visit&& visit) {
    switch (bits) {
        case 1:
            return visit(Of<1>{});
        case 2:
            return visit(Of<2>{});
        case 3:
            return visit(Of<3>{});
        case 4:
            return visit(Of<4>{});
        case 5:
            return visit(Of<5>{});
        case 6:
            return visit(Of<6>{});
        case 7:
            return visit(Of<7>{});
        case 8:
            return visit(Of<8>{});
        default:
            throw std::invalid_argument("bits must be 1 to 8, but are " + std::to_string(bits));
    }
}

template <class Visit>
auto with_type(Estimator estimator, int bits, Visit&& visit) {
    if (estimator == Estimator::turbo) return with_bits<Turbo>(bits, visit);
    return with_bits<Mse>(bits, visit);
}

template <class Quantizer>
std::unique_ptr<AnyQuantizer> hold(Quantizer quantizer) {
    return std::make_unique<Holder<Quantizer>>(std::move(quantizer));
}

}  // namespace

const std::vector<std::string>& estimator_names() {
    static const std::vector<std::string> names{"norm", "unbiased", "least_squares", "turbo"};
    return names;
}

std::unique_ptr<AnyQuantizer> make_quantizer(Estimator estimator, int bits, Index dim, std::uint64_t seed) {
    return with_type(estimator, bits, [&](auto type) {
        using Quantizer = typename decltype(type)::type;
        if constexpr (std::is_constructible_v<Quantizer, Index, std::uint64_t, tq::ScaleRule>)
            return hold(Quantizer(dim, seed, static_cast<tq::ScaleRule>(estimator)));
        else
            return hold(Quantizer(dim, seed));
    });
}

AnyCodes load_codes(const std::string& path) {
    const tq::FileDescription file = tq::describe_file(path);
    const auto unexpected = [&](const std::string& what) {
        return std::runtime_error(path + ": the file holds " + what);
    };
    if (file.kind == tq::FileKind::index) throw unexpected("a search index, not codes");
    if (file.kind == tq::FileKind::cache) throw unexpected("an attention cache, not codes");
    const bool known = (file.id.kind == tq::QuantizerKind::mse || file.id.kind == tq::QuantizerKind::turbo) &&
                       file.id.scale == tq::simd::ScaleType::float32 &&
                       file.id.rotation == tq::RotationKind::hadamard &&
                       file.id.sketch == tq::SketchKind::orthogonal;
    if (!known)
        throw unexpected("codes of a " + file.id.description() +
                         ", which this program does not decode; the library does");
    const Estimator estimator =
        file.id.kind == tq::QuantizerKind::turbo ? Estimator::turbo : static_cast<Estimator>(file.scale_rule);
    return with_type(estimator, file.id.bits, [&](auto type) {
        auto loaded = tq::load<typename decltype(type)::type>(path);
        return AnyCodes{hold(std::move(loaded.quantizer)), std::move(loaded.codes)};
    });
}

}  // namespace tools
