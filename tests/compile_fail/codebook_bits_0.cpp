// expect: Bits must be between 1 and 8
#include <turboquant/turboquant.hpp>

int main() { return static_cast<int>(turboquant::LloydMaxCodebook<8, 0>().dim()); }
