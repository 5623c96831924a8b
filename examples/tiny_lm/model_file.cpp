#include "model_file.hpp"

#include <cstdint>
#include <exception>
#include <fstream>
#include <map>
#include <stdexcept>
#include <utility>

#include "model_header.hpp"

#include <turboquant/turboquant.hpp>

namespace tiny_lm {
namespace {

namespace tq = turboquant;

constexpr char kOriginal[] = "TINYLM01", kStored[] = "TINYLMQ1";
constexpr std::size_t kMagicBytes = 8;
constexpr std::uint64_t kLongestHeader = 1 << 20;  // those of eight layers have 2 to 3 thousand bytes
constexpr std::uint64_t kSeed = 1;                 // of every rotation; stored in every record

using Tensors = std::map<std::string, Weights>;

std::uint64_t bytes_left(std::istream& in) {
    const std::streamoff here = in.tellg();
    in.seekg(0, std::ios::end);
    const std::streamoff end = in.tellg();
    in.seekg(here);
    return static_cast<std::uint64_t>(end - here);
}

// Nothing is allocated that the file does not have.
std::string read_bytes(std::istream& in, std::uint64_t count, const std::string& what) {
    const std::uint64_t left = bytes_left(in);
    if (left < count)
        throw std::runtime_error("the file ends within " + what + ": " + std::to_string(count) +
                                 " bytes expected, " + std::to_string(left) + " left");
    std::string bytes(count, '\0');
    if (!in.read(bytes.data(), static_cast<std::streamsize>(count)))
        throw std::runtime_error(what + " cannot be read");
    return bytes;
}

std::uint64_t read_number(std::istream& in, std::size_t bytes) {
    std::uint64_t value = 0;
    const std::string digits = read_bytes(in, bytes, "the numbers before the header");
    for (std::size_t i = bytes; i-- > 0;) value = value << 8 | static_cast<unsigned char>(digits[i]);
    return value;
}

void write_number(std::ostream& out, std::uint64_t value, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) out.put(static_cast<char>(value >> (8 * i) & 255));
}

// FNV-1a, 64 bits (draft-eastlake-fnv): each step is a bijection of the state, so a single wrong byte never goes
// unnoticed.
std::uint64_t checksum(const std::string& bytes) {
    std::uint64_t hash = 0xCBF29CE484222325;
    for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001B3;
    return hash;
}

// --- Reading ---------------------------------------------------------------------------------------------------------

// The matrix as the library sees it: each row a column, contiguous.
Eigen::Map<Eigen::MatrixXf> rows_as_columns(Weights& matrix) {
    return {matrix.data(), matrix.cols(), matrix.rows()};
}

Weights read_float16(std::istream& in, const TensorEntry& tensor) {
    const auto bytes = static_cast<std::uint64_t>(tensor.rows * tensor.cols) * sizeof(Eigen::half);
    const std::string data = read_bytes(in, bytes, tensor.name);
    Weights matrix(tensor.rows, tensor.cols);
    for (Index i = 0; i < matrix.size(); ++i) {
        const auto low = static_cast<unsigned char>(data[static_cast<std::size_t>(2 * i)]);
        const auto high = static_cast<unsigned char>(data[static_cast<std::size_t>(2 * i + 1)]);
        matrix.data()[i] = static_cast<float>(
            Eigen::numext::bit_cast<Eigen::half>(static_cast<std::uint16_t>(low | high << 8)));
    }
    return matrix;
}

template <int Bits>
Weights read_codes(std::istream& in, const TensorEntry& tensor) {
    const auto [quantizer, codes] = tq::load<tq::MseQuantizer<Eigen::Dynamic, Bits>>(in);
    if (codes.size() != tensor.rows || quantizer.dim() != tensor.cols)
        throw std::runtime_error(std::to_string(codes.size()) + " rows of " +
                                 std::to_string(quantizer.dim()) + " weights, but the header says " +
                                 std::to_string(tensor.rows) + " of " + std::to_string(tensor.cols));
    Weights matrix(tensor.rows, tensor.cols);
    quantizer.decode(codes, rows_as_columns(matrix));
    return matrix;
}

Weights read_quantized(std::istream& in, const TensorEntry& tensor) {
    try {
        switch (tensor.bits) {
            case 3:
                return read_codes<3>(in, tensor);
            case 4:
                return read_codes<4>(in, tensor);
            case 5:
                return read_codes<5>(in, tensor);
            case 6:
                return read_codes<6>(in, tensor);
            case 8:
                return read_codes<8>(in, tensor);
        }
    } catch (const std::exception& error) {
        throw std::runtime_error(tensor.name + ": " + error.what());
    }
    throw std::runtime_error(tensor.name + " has " + std::to_string(tensor.bits) +
                             " bits per weight, not 3, 4, 5, 6 or 8");
}

Weights take(Tensors& tensors, const std::string& name, Index rows, Index cols) {
    const auto found = tensors.find(name);
    if (found == tensors.end()) throw std::runtime_error("the file has no tensor " + name);
    Weights matrix = std::move(found->second);
    tensors.erase(found);
    if (matrix.rows() != rows || matrix.cols() != cols)
        throw std::runtime_error(name + " is " + std::to_string(matrix.rows()) + " × " +
                                 std::to_string(matrix.cols()) +
                                 ", but the other sizes in the header ask for " + std::to_string(rows) +
                                 " × " + std::to_string(cols));
    if (!matrix.allFinite()) throw std::runtime_error(name + " holds a NaN or an infinity");
    return matrix;
}

Model assemble(const ModelShape& shape, Tensors& tensors) {
    Model model;
    model.shape = shape;
    if (shape.layers > static_cast<Index>(tensors.size()))
        throw std::runtime_error("the file has fewer tensors than layers");
    model.blocks.resize(static_cast<std::size_t>(shape.layers));
    for_each_matrix(model, [&](const MatrixInfo& info, Weights& matrix) {
        matrix = take(tensors, info.name, info.rows, info.cols);
    });
    return model;
}

// Scales the columns of the matrices behind a norm by the norm's weights.
void fold_norms(Model& model, Tensors& tensors) {
    const auto fold = [&](const std::string& name, std::initializer_list<Weights*> matrices) {
        const Weights norm = take(tensors, name, model.shape.dim, 1);
        for (Weights* matrix : matrices) *matrix *= norm.col(0).asDiagonal();
    };
    for (std::size_t i = 0; i < model.blocks.size(); ++i) {
        const std::string prefix = "blocks." + std::to_string(i) + ".";
        Block& block = model.blocks[i];
        fold(prefix + "n1.weight", {&block.wq, &block.wk, &block.wv});
        fold(prefix + "n2.weight", {&block.w1, &block.w3});
    }
    fold("nf.weight", {&model.head});
}

Model read_model(std::istream& in) {
    const std::string magic = read_bytes(in, kMagicBytes, "its first eight bytes");
    const bool stored = magic == kStored;
    if (!stored && magic != kOriginal)
        throw std::runtime_error("not a model file: it begins neither with TINYLM01 nor with TINYLMQ1");
    const std::uint64_t length = read_number(in, 4);
    if (length > kLongestHeader)
        throw std::runtime_error("a header of " + std::to_string(length) + " bytes is not credible");
    const std::uint64_t expected = stored ? read_number(in, 8) : 0;
    const std::string text = read_bytes(in, length, "the header");
    if (stored && checksum(text) != expected)
        throw std::runtime_error("the header is damaged: its checksum does not match");

    const ModelHeader header = parse_header(text);
    Tensors tensors;
    for (const TensorEntry& tensor : header.tensors)
        tensors[tensor.name] = stored ? read_quantized(in, tensor) : read_float16(in, tensor);
    if (in.peek() != std::istream::traits_type::eof())
        throw std::runtime_error("bytes follow the last tensor");
    Model model = assemble(header.shape, tensors);
    if (!stored) fold_norms(model, tensors);
    return model;
}

// --- Writing ---------------------------------------------------------------------------------------------------------

template <int Bits>
void write_codes(std::ostream& out, const Weights& matrix) {
    const tq::MseQuantizer<Eigen::Dynamic, Bits> quantizer(matrix.cols(), kSeed,
                                                           tq::ScaleRule::least_squares);
    const Eigen::Map<const Eigen::MatrixXf> rows(matrix.data(), matrix.cols(), matrix.rows());
    tq::save(out, quantizer, quantizer.encode(rows));
}

void write_quantized(std::ostream& out, int bits, const Weights& matrix) {
    switch (bits) {
        case 3:
            return write_codes<3>(out, matrix);
        case 4:
            return write_codes<4>(out, matrix);
        case 5:
            return write_codes<5>(out, matrix);
        case 6:
            return write_codes<6>(out, matrix);
        case 8:
            return write_codes<8>(out, matrix);
    }
    throw std::invalid_argument(std::to_string(bits) +
                                " bits per weight: models are stored in 3, 4, 5, 6 or 8");
}

}  // namespace

Model read_model(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) throw std::runtime_error(path + ": cannot be opened");
    try {
        return read_model(in);
    } catch (const std::exception& error) {
        throw std::runtime_error(path + ": " + error.what());
    }
}

void store_model(const std::string& path, const Model& model, const BitsOf& bits_of) {
    ModelHeader header{model.shape, {}};
    for_each_matrix(model, [&](const MatrixInfo& info, const Weights&) {
        header.tensors.push_back({info.name, info.rows, info.cols, bits_of(info)});
    });
    const std::string text = format_header(header);
    std::ofstream out(path, std::ios::binary);
    if (!out) throw std::runtime_error(path + ": cannot be opened for writing");
    out.write(kStored, kMagicBytes);
    write_number(out, text.size(), 4);
    write_number(out, checksum(text), 8);
    out << text;
    std::size_t i = 0;
    for_each_matrix(model, [&](const MatrixInfo&, const Weights& matrix) {
        write_quantized(out, header.tensors[i++].bits, matrix);
    });
    out.close();
    if (!out) throw std::runtime_error(path + ": cannot be written");
}

}  // namespace tiny_lm
