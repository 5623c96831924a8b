// expect: Dim must be at least 1
#include <turboquant/turboquant.hpp>

int main() { return static_cast<int>(turboquant::Rotation<-7>(7).dim()); }
