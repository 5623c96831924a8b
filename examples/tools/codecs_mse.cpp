// MseQuantizer, 1 to 8 bits, and search among its codes: the index encodes by the same kernels.
#include "index_types.hpp"
#include "quantizer_types.hpp"

namespace tools {
namespace {

template <int Bits>
using Mse = tq::MseQuantizer<Eigen::Dynamic, Bits>;

template <int Bits>
std::unique_ptr<AnyIndex> hold(const IndexSource& source) {
    return std::make_unique<IndexHolder<Mse<Bits>>>(source);
}

}  // namespace

const Family kMseFamily{make_of<Mse, 8>, load_of<Mse, 8>};

std::unique_ptr<AnyIndex> make_index(int bits, const IndexSource& source) {
    switch (bits) {
        case 1:
            return hold<1>(source);
        case 2:
            return hold<2>(source);
        case 3:
            return hold<3>(source);
        case 4:
            return hold<4>(source);
        case 8:
            return hold<8>(source);
        default:
            throw std::runtime_error("an index has 1, 2, 3, 4 or 8 bits here, but " + std::to_string(bits) +
                                     " were asked for");
    }
}

}  // namespace tools
