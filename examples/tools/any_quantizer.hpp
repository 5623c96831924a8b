// A quantizer whose type is chosen at run time: the library's are class templates, and a command line brings the bits.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <turboquant/codes.hpp>

#include "codec.hpp"

namespace tools {

namespace tq = turboquant;
using tq::Index;

class AnyQuantizer {
public:
    AnyQuantizer() = default;
    AnyQuantizer(const AnyQuantizer&) = delete;
    AnyQuantizer& operator=(const AnyQuantizer&) = delete;
    virtual ~AnyQuantizer() = default;

    virtual const tq::CodecId& id() const = 0;
    virtual std::size_t bytes_per_vector() const = 0;
    // Columns first … first + count − 1 of x.
    virtual void append(const Eigen::MatrixXf& x, Index first, Index count, tq::Codes& codes,
                        int threads) const = 0;
    virtual void decode(tq::CodesView codes, Eigen::Ref<Eigen::MatrixXf> out, int threads) const = 0;
    virtual void inner_products(tq::CodesView codes, const Eigen::MatrixXf& queries,
                                Eigen::Ref<Eigen::MatrixXf> out, int threads) const = 0;
    virtual void save(const std::string& path, tq::CodesView codes) const = 0;
};

struct AnyCodes {
    std::unique_ptr<AnyQuantizer> quantizer;
    tq::Codes codes;
};

// Throws std::invalid_argument where there are no such codes.
std::unique_ptr<AnyQuantizer> make_quantizer(const Codec& codec, Index dim);

// Throws std::runtime_error, naming the file, where it does not hold codes of a quantizer that make_quantizer can make.
AnyCodes load_codes(const std::string& path);

// Mean over the columns of ‖x − x̂‖²/‖x‖², of those that are not zero, when the codes are decoded.
double mean_distortion(const AnyQuantizer& quantizer, tq::CodesView codes, const Eigen::MatrixXf& x,
                       int threads);

}  // namespace tools
