// expect: no matching (function|constructor)
// The constructor without a dimension is for a fixed Dim alone.
#include <turboquant/turboquant.hpp>

int main() { return static_cast<int>(turboquant::MseQuantizer<turboquant::Dynamic, 4>().dim()); }
