// MseQuantizer of 1 to 6 bits on arbitrary floats (codec_fuzzing.hpp).
#include <cstddef>
#include <cstdint>

#include "codec_fuzzing.hpp"
#include "turboquant/turboquant.hpp"

namespace tq = turboquant;
using tq::Dynamic;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    codec_fuzzing::run_on_bytes<
        tq::MseQuantizer<Dynamic, 1>, tq::MseQuantizer<Dynamic, 3>, tq::MseQuantizer<Dynamic, 4>,
        tq::MseQuantizer<Dynamic, 2, tq::Rotation<Dynamic>, Eigen::half>, tq::MseQuantizer<Dynamic, 6>>(data,
                                                                                                        size);
    return 0;
}
