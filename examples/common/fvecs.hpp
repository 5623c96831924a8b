// Reads .fvecs and .bvecs files: for each vector its dimension (a little-endian int32), then so many float32 or bytes.
#pragma once

#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>

#include <Eigen/Core>

namespace examples {

// One column per vector, of elements as the file has them. Throws std::runtime_error, naming the file and what is wrong.
template <class Element>
Eigen::Matrix<Element, Eigen::Dynamic, Eigen::Dynamic> read_vecs(const std::string& path) {
    const auto fail = [&](const std::string& what) { throw std::runtime_error(path + ": " + what); };
    std::ifstream in(path, std::ios::binary);
    if (!in) fail("cannot be opened");
    in.seekg(0, std::ios::end);
    const auto bytes = static_cast<std::int64_t>(in.tellg());
    in.seekg(0);
    std::int32_t dim = 0;
    if (bytes == 0) return {};
    if (!in.read(reinterpret_cast<char*>(&dim), 4)) fail("the file ends within the first dimension");
    constexpr auto kElement = static_cast<std::int64_t>(sizeof(Element));
    const std::int64_t record = 4 + kElement * static_cast<std::int64_t>(dim);
    if (dim < 1 || bytes % record != 0)
        fail("not a file of vectors of one dimension, " + std::to_string(kElement) +
             " bytes an element: it has " + std::to_string(bytes) + " bytes, and begins with dimension " +
             std::to_string(dim));
    Eigen::Matrix<Element, Eigen::Dynamic, Eigen::Dynamic> x(dim, bytes / record);
    in.seekg(0);
    for (Eigen::Index i = 0; i < x.cols(); ++i) {
        std::int32_t own = 0;
        if (!in.read(reinterpret_cast<char*>(&own), 4) ||
            !in.read(reinterpret_cast<char*>(x.col(i).data()), record - 4))
            fail("the data cannot be read");
        if (own != dim)
            fail("vector " + std::to_string(i) + " has dimension " + std::to_string(own) + ", others " +
                 std::to_string(dim));
    }
    return x;
}

inline Eigen::MatrixXf read_fvecs(const std::string& path) { return read_vecs<float>(path); }
inline Eigen::MatrixXf read_bvecs(const std::string& path) {
    return read_vecs<std::uint8_t>(path).cast<float>();
}

}  // namespace examples
