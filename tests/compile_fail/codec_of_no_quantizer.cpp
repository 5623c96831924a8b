// expect: KvBlockCodec needs two types that fulfil the Quantizer requirements
#include <turboquant/turboquant.hpp>

using Codec = turboquant::KvBlockCodec<turboquant::Rotation<8>, turboquant::MseQuantizer<8, 2>>;
int main() { return static_cast<int>(sizeof(Codec)); }
