// What the fuzz targets of codecs share: arbitrary floats. Vectors with a NaN or an infinity are refused by name, all others encode and decode to finite
// numbers (or a stored scale would overflow, which is said), and every target of this machine does the very same.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#include "turboquant/turboquant.hpp"

namespace tq = turboquant;
using tq::Dynamic;
using tq::Index;

namespace codec_fuzzing {

inline void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "codec: %s\n", what);
    std::abort();
}

inline constexpr tq::Target kTargets[] = {tq::Target::scalar, tq::Target::avx2,
                                          tq::Target::avx512, tq::Target::avx512_vnni,
                                          tq::Target::neon,   tq::Target::neon_dotprod};

struct Result {
    std::string error, codes;
    Eigen::MatrixXf decoded, products;
};

inline bool same_bits(const Eigen::MatrixXf& a, const Eigen::MatrixXf& b) {
    return a.size() == b.size() &&
           (a.size() == 0 ||
            std::memcmp(a.data(), b.data(), sizeof(float) * static_cast<std::size_t>(a.size())) == 0);
}

// Inner products that are no sums of integers: at 5 to 8 bits, of queries rounded to 15 bits where there are int8 dot
// products, else in float; with sketches in float. Left out are products whose terms come near the end of float's range, and
// queries of which a 15-bit step would be a denormal number.
inline bool close(const Result& a, const Result& b, const Eigen::MatrixXf& queries) {
    for (Index i = 0; i < a.products.rows(); ++i)
        for (Index j = 0; j < a.products.cols(); ++j) {
            const double length = queries.col(j).cast<double>().norm();
            const double size = length * a.decoded.col(i).cast<double>().norm();
            const auto x = static_cast<double>(a.products(i, j)), y = static_cast<double>(b.products(i, j));
            if (size < 1e35 && length > 1e-30 && !(std::abs(x - y) <= 1e-3 * size + 1e-44)) return false;
        }
    return true;
}

template <class Quantizer, class X>
Result run(const Quantizer& quantizer, const X& x, const Eigen::MatrixXf& queries) {
    Result result;
    try {
        const tq::Codes codes = quantizer.encode(x);
        result.codes.assign(reinterpret_cast<const char*>(codes.data()), codes.bytes());
        result.decoded = quantizer.decode(codes);
        result.products.resize(codes.size(), queries.cols());
        quantizer.inner_products(codes, queries, result.products);
        require(x.template cast<float>().allFinite(), "a vector that is not finite was encoded");
    } catch (const std::invalid_argument& error) {
        result.error = error.what();
        require(result.error.rfind("turboquant: ", 0) == 0, "a message of another");
    }
    return result;
}

template <class Quantizer, class X>
void check(const Quantizer& quantizer, const X& x, const Eigen::MatrixXf& queries) {
    Result first;
    for (const tq::Target target : kTargets) {
        if (!tq::detail::target_supported(target)) continue;
        tq::set_target(target);
        const Result result = run(quantizer, x, queries);
        if (target == tq::Target::scalar) first = result;
        require(result.error == first.error, "another error");
        require(result.codes == first.codes, "other codes");
        require(same_bits(result.decoded, first.decoded), "other decoded vectors");
        if (quantizer.id().kind == tq::QuantizerKind::mse && quantizer.id().bits <= 4)
            require(same_bits(result.products, first.products), "other inner products");
        else
            require(close(result, first, queries), "inner products too far apart");
    }
}

// check() with quantizer number choice % sizeof...(Quantizers), and a scale rule by what remains.
template <class... Quantizers, class X>
void check_one(unsigned choice, Index dim, const X& x, const Eigen::MatrixXf& queries) {
    constexpr unsigned kCount = sizeof...(Quantizers);
    const auto rule = static_cast<tq::ScaleRule>(choice / kCount % 3);
    unsigned number = 0;
    const auto check_if_chosen = [&](auto make) {
        if (number++ == choice % kCount) check(make(), x, queries);
    };
    (check_if_chosen([&] { return tq::detail::make_quantizer<Quantizers>(dim, 1, rule); }), ...);
}

// check_one() of vectors of floats or, for the largest choices, halves.
template <class... Quantizers>
void run_on_bytes(const std::uint8_t* data, std::size_t size) {
    if (size < 7) return;
    constexpr Index kDims[] = {1, 2, 3, 7, 16, 20, 31, 32, 33, 48, 63, 64, 100, 128, 130, 200, 256, 300, 512};
    const Index dim = kDims[data[0] % 19];
    const unsigned choice = data[1];
    const auto count = static_cast<Index>(1 + data[2] % 6);
    data += 3, size -= 3;
    // The floats' bits are the input's bytes, over and over.
    Eigen::MatrixXf x(dim, count), queries(dim, 2);
    std::size_t at = 0;
    const auto fill = [&](Eigen::MatrixXf& matrix) {
        for (Index i = 0; i < matrix.size(); ++i, at += 4) {
            std::uint8_t bytes[4];
            for (std::size_t k = 0; k < 4; ++k) bytes[k] = data[(at + k) % size];
            std::memcpy(matrix.data() + i, bytes, 4);
        }
    };
    fill(x);
    fill(queries);
    if (!queries.allFinite()) queries.setOnes();
    const tq::Target before = tq::active_target();
    if (choice >= 224)
        check_one<Quantizers...>(choice, dim, x.cast<Eigen::half>().eval(), queries);
    else
        check_one<Quantizers...>(choice, dim, x, queries);
    tq::set_target(before);
}

}  // namespace codec_fuzzing
