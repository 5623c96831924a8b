// Reads vectors from any file that the examples know.
#pragma once

#include <stdexcept>
#include <string>

#include <Eigen/Core>

#include "fvecs.hpp"
#include "npy.hpp"

namespace examples {

inline bool has_ending(const std::string& path, const std::string& ending) {
    return path.size() >= ending.size() &&
           path.compare(path.size() - ending.size(), ending.size(), ending) == 0;
}

// One column per vector, from .npy, .fvecs or .bvecs. Throws std::runtime_error, naming the file and what is wrong; a file
// without vectors is an error too.
inline Eigen::MatrixXf read_vectors(const std::string& path) {
    Eigen::MatrixXf x;
    if (has_ending(path, ".fvecs"))
        x = read_fvecs(path);
    else if (has_ending(path, ".bvecs"))
        x = read_bvecs(path);
    else if (has_ending(path, ".npy"))
        x = read_npy(path).columns();
    else
        throw std::runtime_error(path + ": neither .npy nor .fvecs nor .bvecs");
    if (x.size() == 0) throw std::runtime_error(path + ": holds no vectors");
    return x;
}

}  // namespace examples
