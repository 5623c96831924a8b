// The library's quantizers behind AnyQuantizer. Most of what the program compiles is their kernels, so that each family has a
// translation unit of its own (codecs_*.cpp), and they compile side by side.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include <turboquant/mse_quantizer.hpp>
#include <turboquant/serialization.hpp>

#include "any_quantizer.hpp"

namespace tools {

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

// A family: its quantizer made for a dimension, and its codes read from a file.
struct Family {
    std::unique_ptr<AnyQuantizer> (*make)(const Codec& codec, Index dim);
    AnyCodes (*load)(int bits, const std::string& path);
};
extern const Family kMseFamily, kTurboFamily;
// Of windows of 6, 7 and 8 bits.
extern const Family kTrellisFamilies[3];

// visit(Quantizer type, as a null pointer) of the bits that are asked for, Least to Most.
template <template <int> class Of, int Least, int Most, class Visit>
auto with_bits(int bits, const Visit& visit) {
    if (bits == Least) return visit(static_cast<const Of<Least>*>(nullptr));
    if constexpr (Least < Most)
        return with_bits<Of, Least + 1, Most>(bits, visit);
    else
        throw std::invalid_argument(std::string(Of<Most>::kName) + " has codes of 1 to " +
                                    std::to_string(Most) + " bits, but " + std::to_string(bits) +
                                    " were asked for");
}

template <template <int> class Of, int Most>
std::unique_ptr<AnyQuantizer> make_of(const Codec& codec, Index dim) {
    return with_bits<Of, 1, Most>(codec.bits, [&](const auto* type) -> std::unique_ptr<AnyQuantizer> {
        using Quantizer = std::decay_t<decltype(*type)>;
        if constexpr (std::is_constructible_v<Quantizer, Index, std::uint64_t, tq::ScaleRule>)
            return std::make_unique<Holder<Quantizer>>(
                Quantizer(dim, codec.seed, static_cast<tq::ScaleRule>(codec.estimator)));
        else
            return std::make_unique<Holder<Quantizer>>(Quantizer(dim, codec.seed));
    });
}

template <template <int> class Of, int Most>
AnyCodes load_of(int bits, const std::string& path) {
    return with_bits<Of, 1, Most>(bits, [&](const auto* type) {
        using Quantizer = std::decay_t<decltype(*type)>;
        auto loaded = tq::load<Quantizer>(path);
        return AnyCodes{std::make_unique<Holder<Quantizer>>(std::move(loaded.quantizer)),
                        std::move(loaded.codes)};
    });
}

}  // namespace tools
