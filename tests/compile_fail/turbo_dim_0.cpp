// expect: Dim must be at least 1
#include <turboquant/turboquant.hpp>

int main() { return static_cast<int>(turboquant::TurboQuantizer<0, 4>(7).dim()); }
