// expect: convert others with .cast<float>
// Double is refused, and the message says what to do.
#include <turboquant/turboquant.hpp>

int main() {
    const turboquant::MseQuantizer<8, 4> quantizer(7);
    const Eigen::MatrixXd x = Eigen::MatrixXd::Ones(8, 2);
    return static_cast<int>(quantizer.encode(x).size());
}
