// MseQuantizer of 1 to 6 bits on arbitrary floats (codec_fuzzing.hpp).
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
        const auto rule = static_cast<tq::ScaleRule>(choice / 5 % 3);
        switch (choice % 5) {
            case 0:
                return codec_fuzzing::check(tq::MseQuantizer<Dynamic, 1>(dim, 1, rule), x, queries);
            case 1:
                return codec_fuzzing::check(tq::MseQuantizer<Dynamic, 3>(dim, 1, rule), x, queries);
            case 2:
                return codec_fuzzing::check(tq::MseQuantizer<Dynamic, 4>(dim, 1, rule), x, queries);
            case 3:
                return codec_fuzzing::check(
                    tq::MseQuantizer<Dynamic, 2, tq::Rotation<Dynamic>, Eigen::half>(dim, 1, rule), x,
                    queries);
            default:
                return codec_fuzzing::check(tq::MseQuantizer<Dynamic, 6>(dim, 1, rule), x, queries);
        }
    }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    codec_fuzzing::run_on_bytes(data, size, CheckAll());
    return 0;
}
