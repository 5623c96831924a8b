// TrellisQuantizer, 1 to 4 bits.
#include <turboquant/trellis_quantizer.hpp>

#include "quantizer_types.hpp"

namespace tools {
namespace {

template <int Bits>
using Trellis = tq::TrellisQuantizer<Eigen::Dynamic, Bits>;

}  // namespace

const Family kTrellisFamily{make_of<Trellis, 4>, load_of<Trellis, 4>};

}  // namespace tools
