// expect: TurboQuantizer stores 1 to 8 bits
#include <turboquant/turboquant.hpp>

int main() { return static_cast<int>(turboquant::TurboQuantizer<8, 0>(7).dim()); }
