// expect: TrellisQuantizer stores 1 to 4 bits per coordinate
#include <turboquant/turboquant.hpp>

int main() { return static_cast<int>(turboquant::TrellisQuantizer<8, 5>(7).dim()); }
