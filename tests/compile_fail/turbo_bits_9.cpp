// expect: TurboQuantizer stores 1 to 8 bits
#include <turboquant/turboquant.hpp>

int main() { return static_cast<int>(turboquant::TurboQuantizer<8, 9>(7).dim()); }
