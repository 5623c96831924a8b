// expect: the States of a TrellisQuantizer are 256, 128 or 64, divided by 2\^Bits
#include <turboquant/turboquant.hpp>

int main() { return static_cast<int>(turboquant::TrellisQuantizer<8, 2, 48>(7).dim()); }
