// expect: convert others with .cast<float>
#include <turboquant/turboquant.hpp>

int main() {
    const turboquant::MseQuantizer<8, 4> quantizer(7);
    const turboquant::Codes codes = quantizer.encode(Eigen::MatrixXf::Ones(8, 2));
    return static_cast<int>(quantizer.inner_products(codes, Eigen::MatrixXd::Ones(8, 2)).size());
}
