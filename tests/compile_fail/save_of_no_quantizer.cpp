// expect: this type cannot be saved or loaded: specialize SerializationTraits for it
#include <iostream>

#include <turboquant/turboquant.hpp>

int main() { turboquant::load<turboquant::Rotation<8>>(std::cin); }
