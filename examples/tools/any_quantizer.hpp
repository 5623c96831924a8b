// A quantizer whose type is chosen at run time: the library's are class templates, and a command line brings the bits.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <turboquant/codes.hpp>
#include <turboquant/file_description.hpp>

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

// What --estimator names: MseQuantizer with one of its three scales, or TurboQuantizer with the orthogonal sketch.
enum class Estimator { norm, unbiased, least_squares, turbo };
const std::vector<std::string>& estimator_names();  // in this order

std::unique_ptr<AnyQuantizer> make_quantizer(Estimator estimator, int bits, Index dim, std::uint64_t seed);

struct AnyCodes {
    std::unique_ptr<AnyQuantizer> quantizer;
    tq::Codes codes;
};
// Throws std::runtime_error, naming the file, where it does not hold codes of a quantizer that make_quantizer can make.
AnyCodes load_codes(const std::string& path);

}  // namespace tools
