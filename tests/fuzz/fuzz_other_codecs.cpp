// MseQuantizer of 8 bits, sketches and trellis codes on arbitrary floats (codec_fuzzing.hpp).
#include <cstddef>
#include <cstdint>

#include "codec_fuzzing.hpp"
#include "turboquant/turboquant.hpp"

namespace tq = turboquant;
using tq::Dynamic;

namespace {

struct CheckAll {
    template <class X>
    void operator()(unsigned choice, tq::Index dim, const X& x, const Eigen::MatrixXf& queries) const {
        const auto rule = static_cast<tq::ScaleRule>(choice / 4 % 3);
        switch (choice % 4) {
            case 0:
                return codec_fuzzing::check(tq::MseQuantizer<Dynamic, 8>(dim, 1, rule), x, queries);
            case 1:
                return codec_fuzzing::check(tq::TrellisQuantizer<Dynamic, 2, 16>(dim, 1, rule), x, queries);
            case 2:
                return codec_fuzzing::check(tq::TurboQuantizer<Dynamic, 3>(dim, 1), x, queries);
            default:
                return codec_fuzzing::check(tq::ResidualSignQuantizer<Dynamic>(dim, 1), x, queries);
        }
    }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    codec_fuzzing::run_on_bytes(data, size, CheckAll());
    return 0;
}
