// Model files: the original with float16 weights, and the stored one with weights that this library has quantized.
//
//   original   "TINYLM01", uint32 length of the header, the header (model_header.hpp), the tensors it lists in that
//              order: float16, row-major, weights as out × in; norms are vectors
//   stored     "TINYLMQ1", uint32 length of the header, uint64 FNV-1a checksum of the header, the header, then for each
//              tensor one record of turboquant::save: the rows of the matrix, each a vector, coded by an
//              MseQuantizer<Eigen::Dynamic, bits>; norms are folded into the matrices
//
// Numbers are little-endian. Records carry checksums of their own.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "model.hpp"

namespace tiny_lm {

// Reads either kind. Throws std::runtime_error that begins with the path and says what is wrong with the file.
Model read_model(const std::string& path);

// Bits per weight of a matrix, one of kStoredBits.
using BitsOf = std::function<int(const MatrixInfo&)>;
inline constexpr int kStoredBits[] = {3, 4, 5, 6, 8};

// Writes the model, quantized. Throws std::runtime_error when the file cannot be written, std::invalid_argument when
// bits_of gives something else than kStoredBits.
void store_model(const std::string& path, const Model& model, const BitsOf& bits_of);

}  // namespace tiny_lm
