// TrellisQuantizer, 1 to 4 bits, windows of 6 to 8.
#include <turboquant/trellis_quantizer.hpp>

#include "quantizer_types.hpp"

namespace tools {
namespace {

template <int Window>
struct Windows {
    template <int Bits>
    using Trellis = tq::TrellisQuantizer<Eigen::Dynamic, Bits, (1 << (Window - Bits))>;
    static constexpr Family kFamily{make_of<Trellis, 4>, load_of<Trellis, 4>};
};

}  // namespace

const Family kTrellisFamilies[3] = {Windows<6>::kFamily, Windows<7>::kFamily, Windows<8>::kFamily};

}  // namespace tools
