// Real embeddings for the tests of search quality: those in examples/data always, larger sets where they are found.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>

#include <Eigen/Core>

#include "../examples/common/npy.hpp"

namespace search_data {

using Eigen::Index;

struct Set {
    std::string name;
    Eigen::MatrixXf base, queries;  // columns of norm 1
};

// The folder of the larger sets: the environment's TURBOQUANT_DATA, or shared/data beside the sources.
inline std::string folder() {
    const char* given = std::getenv("TURBOQUANT_DATA");
    return given != nullptr ? std::string(given) : std::string(TURBOQUANT_SOURCE_DIR "/../shared/data");
}

inline std::string path_of(const std::string& name, const char* part) {
    return folder() + "/" + name + "_" + part + ".npy";
}

inline bool present(const std::string& name) { return std::ifstream(path_of(name, "base")).good(); }

inline Eigen::MatrixXf unit_columns(const std::string& path, Index most) {
    const examples::NpyArray array = examples::read_npy(path);
    Eigen::MatrixXf x = array.columns().leftCols(std::min(most, array.columns().cols()));
    x.colwise().normalize();
    return x;
}

// `name`: glove_100d, sentences_512d, ada002_1536d.
inline Set load(const std::string& name, Index most_base, Index most_queries) {
    return {name, unit_columns(path_of(name, "base"), most_base),
            unit_columns(path_of(name, "queries"), most_queries)};
}

// The 10 000 word vectors of examples/data, of which every 20th is a query.
inline Set small_glove() {
    const Eigen::MatrixXf all =
        unit_columns(TURBOQUANT_SOURCE_DIR "/examples/data/glove_100d_top10k.npy", 10000);
    Set set{"glove_100d_top10k", Eigen::MatrixXf(all.rows(), 9500), Eigen::MatrixXf(all.rows(), 500)};
    for (Index i = 0; i < all.cols(); ++i) {
        if (i % 20 == 0)
            set.queries.col(i / 20) = all.col(i);
        else
            set.base.col(i - i / 20 - 1) = all.col(i);
    }
    return set;
}

}  // namespace search_data
