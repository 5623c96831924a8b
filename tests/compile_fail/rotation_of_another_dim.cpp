// expect: RotationT must be Rotation<Dim, Kind>
#include <turboquant/turboquant.hpp>

int main() { return static_cast<int>(turboquant::MseQuantizer<8, 4, turboquant::Rotation<16>>(8, 7).dim()); }
