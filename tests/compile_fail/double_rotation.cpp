// expect: convert others with .cast<float>
#include <turboquant/turboquant.hpp>

int main() { return static_cast<int>(turboquant::Rotation<8>(7).apply(Eigen::MatrixXd::Ones(8, 2)).size()); }
