// Prints the codebooks of include/turboquant/trellis_codebook.hpp: for windows of 6, 7 and 8 bits and every number of bits the
// best of 24 designs, rounded to int8. Takes some minutes.
//
//   trellis_codebooks [window [bits]]
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "trellis_design.hpp"

namespace {

void print_codebook(int window, int bits) {
    using trellis::Trellis;
    const std::vector<float> test = trellis::gaussian(200000, 1u << 30);
    std::vector<std::uint16_t> windows(test.size());
    Trellis best;
    double least = 9;
    for (std::uint64_t seed = 1; seed <= 24; ++seed) {
        Trellis trellis = trellis::design(bits, window, seed, 80, 60000);
        const double error =
            trellis::search(trellis, test.data(), static_cast<int>(test.size()), windows.data());
        if (error < least) {
            least = error;
            best = trellis;
        }
    }
    trellis::improve(best, 77, 24, 400000);
    double largest = 0;
    for (float value : best.values) largest = std::fmax(largest, std::fabs(static_cast<double>(value)));
    const double step = largest / 127;
    std::vector<int> rounded;
    for (float& value : best.values) {
        rounded.push_back(static_cast<int>(std::lround(static_cast<double>(value) / step)));
        value = static_cast<float>(step * rounded.back());
    }
    const double error = trellis::search(best, test.data(), static_cast<int>(test.size()), windows.data());
    std::printf("// Windows of %d bits, %d bits: %.5f on 200000 deviates.\n{%.9g, {", window, bits, error,
                step);
    for (std::size_t w = 0; w < rounded.size() / 2; ++w) std::printf("%s%d", w == 0 ? "" : ", ", rounded[w]);
    std::printf("}},\n");
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
    const int only_window = argc > 1 ? std::atoi(argv[1]) : 0, only_bits = argc > 2 ? std::atoi(argv[2]) : 0;
    for (int window = 6; window <= 8; ++window)
        for (int bits = 1; bits <= 4; ++bits)
            if ((only_window == 0 || window == only_window) && (only_bits == 0 || bits == only_bits))
                print_codebook(window, bits);
}
