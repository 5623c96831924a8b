// MseQuantizer of 8 bits, sketches and trellis codes on arbitrary floats (codec_fuzzing.hpp).
#include <cstddef>
#include <cstdint>

#include "codec_fuzzing.hpp"
#include "turboquant/turboquant.hpp"

namespace tq = turboquant;
using tq::Dynamic;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    codec_fuzzing::run_on_bytes<tq::MseQuantizer<Dynamic, 8>, tq::TrellisQuantizer<Dynamic, 2, 16>,
                                tq::TurboQuantizer<Dynamic, 3>, tq::ResidualSignQuantizer<Dynamic>>(data,
                                                                                                    size);
    return 0;
}
