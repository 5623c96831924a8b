// Encode and decode of any quantizer as workloads.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "workload.hpp"

namespace bench {

inline constexpr tq::Index kDims[] = {64, 80, 96, 128, 200, 256, 768, 1024, 1536, 3072};
inline constexpr std::uint64_t kSeed = 1;

// clear() keeps the memory but not the records: over records that exist, encode() makes a trial pass first, so that it
// can leave them alone when it throws.
template <class Quantizer>
Workload encode_workload(const Quantizer& quantizer) {
    const Eigen::MatrixXf& x = gaussian_vectors(quantizer.dim());
    const auto codes = std::make_shared<tq::Codes>(quantizer.encode(x));
    const auto bytes = static_cast<double>(quantizer.bytes_per_vector());
    Workload work{x.rows(), x.cols(), bytes, 4.0 * static_cast<double>(x.rows()) + bytes, 0, nullptr};
    work.distortion = relative_squared_error(x, quantizer.decode(*codes));
    work.run = [quantizer, codes, &x] {
        codes->clear();
        quantizer.encode(x, *codes);
        benchmark::DoNotOptimize(codes->data());
        benchmark::ClobberMemory();
    };
    return work;
}

template <class Quantizer>
Workload decode_workload(const Quantizer& quantizer) {
    const Eigen::MatrixXf& x = gaussian_vectors(quantizer.dim());
    const auto codes = std::make_shared<const tq::Codes>(quantizer.encode(x));
    const auto out = std::make_shared<Eigen::MatrixXf>(x.rows(), x.cols());
    const auto bytes = static_cast<double>(quantizer.bytes_per_vector());
    Workload work{x.rows(), x.cols(), bytes, 4.0 * static_cast<double>(x.rows()) + bytes, 0, nullptr};
    quantizer.decode(*codes, *out);
    work.distortion = relative_squared_error(x, *out);
    work.run = [quantizer, codes, out] {
        quantizer.decode(*codes, *out);
        benchmark::DoNotOptimize(out->data());
        benchmark::ClobberMemory();
    };
    return work;
}

// Cases of encode, and of decode if asked, on every target. make_quantizer() is called when the case runs.
template <class MakeQuantizer>
void add_codec_cases(std::vector<Case>& cases, const std::string& codec, tq::Index dim, int bits,
                     bool with_decode, MakeQuantizer make_quantizer) {
    for (const tq::Target target : tq::supported_targets()) {
        const std::string name = "/" + codec + "/d" + std::to_string(dim) + "/b" + std::to_string(bits) +
                                 "/" + tq::target_name(target);
        cases.push_back(
            {"encode" + name, target, [make_quantizer] { return encode_workload(make_quantizer()); }});
        if (with_decode)
            cases.push_back(
                {"decode" + name, target, [make_quantizer] { return decode_workload(make_quantizer()); }});
    }
}

}  // namespace bench
