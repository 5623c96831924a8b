// expect: SplitQuantizer needs two types that fulfil the Quantizer requirements
#include <turboquant/turboquant.hpp>

using Split = turboquant::SplitQuantizer<turboquant::Rotation<8>, turboquant::MseQuantizer<8, 2>>;
int main() { return static_cast<int>(Split::kDim); }
