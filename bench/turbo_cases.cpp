// TurboQuantizer with its orthogonal sketch: at Bits a coordinate, Bits − 1 of index and one of sign.
#include "codec_cases.hpp"
#include "codec_workload.hpp"

namespace bench {
namespace {

template <int Bits>
void add_dynamic(std::vector<Case>& cases) {
    for (const tq::Index dim : kDims)
        add_codec_cases(cases, "turbo", dim, Bits, true,
                        [dim] { return tq::TurboQuantizer<tq::Dynamic, Bits>(dim, kSeed); });
}

}  // namespace

std::vector<Case> turbo_cases() {
    std::vector<Case> cases;
    add_dynamic<1>(cases);
    add_dynamic<2>(cases);
    add_dynamic<3>(cases);
    add_dynamic<4>(cases);
    add_dynamic<8>(cases);
    add_codec_cases(cases, "turbo_fixed", 128, 4, true, [] { return tq::TurboQuantizer<128, 4>(kSeed); });
    return cases;
}

}  // namespace bench
