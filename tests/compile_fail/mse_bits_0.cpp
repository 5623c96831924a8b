// expect: MseQuantizer stores 1 to 8 bits
#include <turboquant/turboquant.hpp>

int main() { return static_cast<int>(turboquant::MseQuantizer<8, 0>(7).dim()); }
