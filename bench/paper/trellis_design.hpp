// Design of the codebooks of trellis-coded quantization: Lloyd's iteration with a Viterbi search in place of the nearest
// centroid. The source is Gaussian noise from the library's own generator: nothing is trained on data, and every machine
// finds the same numbers.
#pragma once

#include <cstdint>
#include <vector>

namespace trellis {

// Windows of `window` bits, of which each coordinate brings `bits`, the newest in the lowest places; a coordinate's value is
// that of its window. The states are the windows without their newest bits' worth of room: 2^(window − bits).
struct Trellis {
    int bits, window;
    std::vector<float> values;  // 2^window, of unit deviation
    int states() const { return 1 << (window - bits); }
};

// The windows of least squared error for y, and that error per coordinate. start, end: states, or −1 for any.
double search(const Trellis& trellis, const float* y, int n, std::uint16_t* windows, int start = -1,
              int end = -1);

// The same for one vector whose first window continues its last one, as the library encodes: `junction` coordinates on
// either side of the ends find the state there.
double search_cyclic(const Trellis& trellis, const float* y, int n, std::uint16_t* windows,
                     int junction = 16);

// n independent N(0, 1) deviates.
std::vector<float> gaussian(std::size_t n, std::uint64_t seed);

// Values that are symmetric, value(~w) = −value(w), so that no sign is preferred. Starts from Gaussian quantiles in random
// order; `rounds` of iterations on `samples` coordinates.
Trellis design(int bits, int window, std::uint64_t seed, int rounds, int samples);

// Further iterations, from where `trellis` is.
void improve(Trellis& trellis, std::uint64_t seed, int rounds, int samples);

}  // namespace trellis
