// expect: ScaleT must be float, Eigen::half or Eigen::bfloat16
#include <turboquant/turboquant.hpp>

int main() {
    return static_cast<int>(turboquant::MseQuantizer<8, 4, turboquant::Rotation<8>, int>(8, 7).dim());
}
