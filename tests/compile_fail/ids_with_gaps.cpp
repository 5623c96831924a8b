// expect: ids must be an Eigen vector, map or column whose elements lie side by side
#include <turboquant/turboquant.hpp>

int main() {
    turboquant::FlatIndex<8, 4> index;
    const Eigen::Matrix<std::int64_t, 3, 3> ids = Eigen::Matrix<std::int64_t, 3, 3>::Zero();
    index.remove(ids.row(1));
}
