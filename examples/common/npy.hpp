// NumPy's .npy files. Reads little-endian float16 or float32, C order, any number of axes; writes matrices.
//
// A C-order array whose last axis has d entries is a list of d-dimensional vectors, one after the other: the memory of a
// column-major d × n Eigen matrix. NpyArray::columns() is that matrix.
//
// Format: numpy.lib.format, versions 1 to 3. "\x93NUMPY", two bytes of version, the length of the header (2 bytes in
// version 1, 4 later, little-endian), the header (a Python dictionary as text), the data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <istream>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <Eigen/Core>

namespace examples {

struct NpyArray {
    std::vector<Eigen::Index> shape;  // at least one axis
    Eigen::VectorXf values;           // all of them, in C order

    // One column per vector of the last axis.
    Eigen::Map<const Eigen::MatrixXf> columns() const {
        const Eigen::Index d = shape.back();
        return {values.data(), d, d == 0 ? 0 : values.size() / d};
    }
};

namespace npy_detail {

[[noreturn]] inline void fail(const std::string& path, const std::string& what) {
    throw std::runtime_error(path + ": " + what);
}

inline std::string read_bytes(std::istream& in, const std::string& path, std::size_t count) {
    std::string bytes(count, '\0');
    if (!in.read(bytes.data(), static_cast<std::streamsize>(count)))
        fail(path, "the file ends within the .npy header");
    return bytes;
}

inline std::string read_header(std::istream& in, const std::string& path) {
    const std::string start = read_bytes(in, path, 8);
    if (start.compare(0, 6, "\x93NUMPY") != 0) fail(path, "not a .npy file");
    const int version = start[6];
    if (version < 1 || version > 3) fail(path, "unknown .npy version " + std::to_string(version));
    std::size_t length = 0;
    const std::string digits = read_bytes(in, path, version == 1 ? 2 : 4);
    for (std::size_t i = digits.size(); i-- > 0;)
        length = length << 8 | static_cast<unsigned char>(digits[i]);
    constexpr std::size_t kLongestHeader = 1 << 16;  // NumPy's own are about a hundred bytes
    if (length > kLongestHeader)
        fail(path, "a header of " + std::to_string(length) + " bytes is not credible");
    return read_bytes(in, path, length);
}

// The text after "'key':", or an error.
inline std::string header_value(const std::string& header, const std::string& path, const std::string& key) {
    const std::string quoted = "'" + key + "':";
    const std::size_t at = header.find(quoted);
    if (at == std::string::npos) fail(path, "the .npy header has no entry " + quoted);
    const std::size_t value = header.find_first_not_of(' ', at + quoted.size());
    return value == std::string::npos ? std::string() : header.substr(value);
}

inline bool starts_with(const std::string& text, const std::string& prefix) {
    return text.compare(0, prefix.size(), prefix) == 0;
}

// "(10000, 100), …" → {10000, 100}
inline std::vector<Eigen::Index> parse_shape(const std::string& text, const std::string& path) {
    constexpr Eigen::Index kMost = std::numeric_limits<Eigen::Index>::max() / 16;
    std::vector<Eigen::Index> shape;
    const std::size_t end = text.find(')');
    if (!starts_with(text, "(") || end == std::string::npos) fail(path, "the shape is malformed");
    bool in_number = false;
    for (std::size_t i = 1; i < end; ++i) {
        const bool digit = text[i] >= '0' && text[i] <= '9';
        if (!digit && text[i] != ',' && text[i] != ' ') fail(path, "the shape is malformed");
        if (digit && !in_number) shape.push_back(0);
        if (digit) shape.back() = 10 * shape.back() + (text[i] - '0');
        if (digit && shape.back() > kMost) fail(path, "the shape is too large");
        in_number = digit;
    }
    if (shape.empty()) fail(path, "holds a single number, not vectors");
    return shape;
}

inline Eigen::Index value_count(const std::vector<Eigen::Index>& shape, const std::string& path) {
    Eigen::Index count = 1;
    for (const Eigen::Index axis : shape) {
        if (axis != 0 && count > std::numeric_limits<Eigen::Index>::max() / 16 / axis)
            fail(path, "the shape is too large");
        count *= axis;
    }
    return count;
}

inline std::streamoff bytes_left(std::istream& in) {
    const std::streampos here = in.tellg();
    in.seekg(0, std::ios::end);
    const std::streamoff left = in.tellg() - here;
    in.seekg(here);
    return left;
}

// `count` values of type Scalar, to the end of the file. The size is checked before anything is allocated.
template <class Scalar>
Eigen::VectorXf read_values(std::istream& in, const std::string& path, Eigen::Index count) {
    const auto bytes = static_cast<std::streamoff>(count) * static_cast<std::streamoff>(sizeof(Scalar));
    const std::streamoff left = bytes_left(in);
    if (left != bytes)
        fail(path, "its shape asks for " + std::to_string(bytes) + " bytes of data, but " +
                       std::to_string(left) + " follow the header");
    Eigen::Matrix<Scalar, Eigen::Dynamic, 1> values(count);
    if (!in.read(reinterpret_cast<char*>(values.data()), bytes)) fail(path, "the data cannot be read");
    return values.template cast<float>();
}

}  // namespace npy_detail

// The array in the file at `path`, converted to float. Throws std::runtime_error, naming the file and what is wrong.
inline NpyArray read_npy(const std::string& path) {
    using namespace npy_detail;
    std::ifstream in(path, std::ios::binary);
    if (!in) fail(path, "cannot be opened");
    const std::string header = read_header(in, path);
    if (starts_with(header_value(header, path, "fortran_order"), "True"))
        fail(path, "is in Fortran order; save numpy.ascontiguousarray(x) instead");
    NpyArray array;
    array.shape = parse_shape(header_value(header, path, "shape"), path);
    const Eigen::Index count = value_count(array.shape, path);
    const std::string type = header_value(header, path, "descr");
    if (starts_with(type, "'<f2'"))
        array.values = read_values<Eigen::half>(in, path, count);
    else if (starts_with(type, "'<f4'"))
        array.values = read_values<float>(in, path, count);
    else
        fail(path, "holds elements of type " + type.substr(0, type.find(',')) + ", not '<f2' or '<f4'");
    return array;
}

namespace npy_detail {

template <class Scalar>
inline constexpr const char* kType = "";
template <>
inline constexpr const char* kType<float> = "<f4";
template <>
inline constexpr const char* kType<std::int64_t> = "<i8";

}  // namespace npy_detail

// Writes the columns of a float or int64 matrix as the rows of a two-dimensional array: to NumPy, x.cols() × x.rows(). Throws
// std::runtime_error, naming the file, when it cannot be written.
template <class Scalar>
void write_npy(const std::string& path, const Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>& x) {
    std::string header = std::string("{'descr': '") + npy_detail::kType<Scalar> +
                         "', 'fortran_order': False, 'shape': (" + std::to_string(x.cols()) + ", " +
                         std::to_string(x.rows()) + "), }";
    constexpr std::size_t kBefore = 10;                               // magic, version, length
    header.append(63 - (kBefore + header.size()) % 64, ' ') += '\n';  // the data begin at a multiple of 64
    const std::size_t length = header.size();
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    if (!out) npy_detail::fail(path, "cannot be opened for writing");
    out.write("\x93NUMPY\x01\0", 8);
    out.put(static_cast<char>(length & 0xff)).put(static_cast<char>(length >> 8));
    out << header;
    out.write(reinterpret_cast<const char*>(x.data()),
              static_cast<std::streamsize>(sizeof(Scalar)) * static_cast<std::streamsize>(x.size()));
    if (!out.flush()) npy_detail::fail(path, "cannot be written");
}

}  // namespace examples
