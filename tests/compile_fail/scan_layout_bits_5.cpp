// expect: blocks hold codes of 1 to 4 bits
#include <turboquant/turboquant.hpp>

int main() { return turboquant::simd::ScanLayout<5>(8).quads(); }
