#include "any_quantizer.hpp"

#include <stdexcept>

#include <turboquant/file_description.hpp>

#include "quantizer_types.hpp"
#include "report.hpp"

namespace tools {

std::unique_ptr<AnyQuantizer> make_quantizer(const Codec& codec, Index dim) {
    if (codec.estimator != Estimator::turbo)
        return (codec.trellis ? kTrellisFamilies[codec.window - 6] : kMseFamily).make(codec, dim);
    if (codec.trellis)
        throw std::invalid_argument(
            "trellis codes have the scales norm, unbiased and least_squares, but turbo was asked for");
    return kTurboFamily.make(codec, dim);
}

AnyCodes load_codes(const std::string& path) {
    const tq::FileDescription file = tq::describe_file(path);
    const auto unexpected = [&](const std::string& what) {
        return std::runtime_error(path + ": the file holds " + what);
    };
    if (file.kind == tq::FileKind::index) throw unexpected("a search index, not codes");
    if (file.kind == tq::FileKind::cache) throw unexpected("an attention cache, not codes");
    const Family* const family = file.id.kind == tq::QuantizerKind::mse     ? &kMseFamily
                                 : file.id.kind == tq::QuantizerKind::turbo ? &kTurboFamily
                                 : file.id.kind == tq::QuantizerKind::trellis
                                     ? &kTrellisFamilies[file.id.window - 6]
                                     : nullptr;
    if (family == nullptr || file.id.scale != tq::simd::ScaleType::float32 ||
        file.id.rotation != tq::RotationKind::hadamard || file.id.sketch != tq::SketchKind::orthogonal)
        throw unexpected("codes of a " + file.id.description() +
                         ", which this program does not decode; the library does");
    return family->load(file.id.bits, path);
}

double mean_distortion(const AnyQuantizer& quantizer, tq::CodesView codes, const Eigen::MatrixXf& x,
                       int threads) {
    double sum = 0;
    Index counted = 0;
    Eigen::MatrixXf decoded;
    in_chunks("comparing", x.cols(), [&](Index first, Index count) {
        decoded.resize(x.rows(), count);
        quantizer.decode(codes.range(first, count), decoded, threads);
        for (Index i = 0; i < count; ++i) {
            const double squared_norm = x.col(first + i).cast<double>().squaredNorm();
            if (squared_norm == 0) continue;
            sum += (x.col(first + i) - decoded.col(i)).cast<double>().squaredNorm() / squared_norm;
            ++counted;
        }
    });
    return counted == 0 ? 0 : sum / static_cast<double>(counted);
}

}  // namespace tools
