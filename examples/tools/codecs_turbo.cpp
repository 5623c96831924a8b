// TurboQuantizer with the orthogonal sketch, 1 to 8 bits.
#include <turboquant/turbo_quantizer.hpp>

#include "quantizer_types.hpp"

namespace tools {
namespace {

template <int Bits>
using Turbo = tq::TurboQuantizer<Eigen::Dynamic, Bits>;

}  // namespace

const Family kTurboFamily{make_of<Turbo, 8>, load_of<Turbo, 8>};

}  // namespace tools
