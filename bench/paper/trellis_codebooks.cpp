// Prints the codebooks of include/turboquant/trellis_codebook.hpp: for every number of bits the best of 24 designs, rounded to
// int8. Takes some minutes.
#include <cmath>
#include <cstdio>
#include <vector>

#include "trellis_design.hpp"

int main() {
    using trellis::Trellis;
    for (int bits = 1; bits <= 4; ++bits) {
        const std::vector<float> test = trellis::gaussian(200000, 1u << 30);
        std::vector<std::uint16_t> windows(test.size());
        Trellis best;
        double least = 9;
        for (std::uint64_t seed = 1; seed <= 24; ++seed) {
            Trellis trellis = trellis::design(bits, 8, seed, 80, 60000);
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
        const double error =
            trellis::search(best, test.data(), static_cast<int>(test.size()), windows.data());
        std::printf("// %d bits: %.5f on 200000 deviates.\n{%.9g, {", bits, error, step);
        for (int w = 0; w < 128; ++w)
            std::printf("%s%d", w == 0 ? "" : ", ", rounded[static_cast<std::size_t>(w)]);
        std::printf("}},\n");
        std::fflush(stdout);
    }
}
