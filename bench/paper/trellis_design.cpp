#include "trellis_design.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "turboquant/random.hpp"

namespace tq = turboquant;

namespace trellis {

double search(const Trellis& trellis, const float* y, int n, std::uint16_t* windows, int start, int end) {
    const int states = trellis.states(), count = 1 << trellis.window, branches = 1 << trellis.bits;
    std::vector<std::uint8_t> decisions(static_cast<std::size_t>(n) * static_cast<std::size_t>(states));
    std::vector<float> cost(static_cast<std::size_t>(states), start < 0 ? 0.0f : 1e9f), next(cost),
        candidates(static_cast<std::size_t>(count));
    if (start >= 0) cost[static_cast<std::size_t>(start)] = 0.0f;
    for (int i = 0; i < n; ++i) {
        const float* values = trellis.values.data();
        float* const e = candidates.data();
        for (int w = 0; w < count; ++w) e[w] = (y[i] - values[w]) * (y[i] - values[w]);
        for (int s = 0; s < states; ++s)
            for (int k = 0; k < branches; ++k) e[s * branches + k] += cost[static_cast<std::size_t>(s)];
        std::uint8_t* const decision =
            decisions.data() + static_cast<std::size_t>(i) * static_cast<std::size_t>(states);
        float* const best = next.data();
        for (int s = 0; s < states; ++s) best[s] = e[s];
        for (int k = 1; k < branches; ++k) {
            const float* other = e + k * states;
            for (int s = 0; s < states; ++s) {
                const bool less = other[s] < best[s];
                best[s] = less ? other[s] : best[s];
                decision[s] = less ? static_cast<std::uint8_t>(k) : decision[s];
            }
        }
        if (i % 64 == 63) {
            const float least = *std::min_element(next.begin(), next.end());
            for (float& c : next) c -= least;
        }
        std::swap(cost, next);
    }
    int state = end >= 0 ? end : static_cast<int>(std::min_element(cost.begin(), cost.end()) - cost.begin());
    double sum = 0;
    for (int i = n - 1; i >= 0; --i) {
        const std::size_t at =
            static_cast<std::size_t>(i) * static_cast<std::size_t>(states) + static_cast<std::size_t>(state);
        const int w = decisions[at] * states + state;
        windows[i] = static_cast<std::uint16_t>(w);
        const double error = static_cast<double>(y[i] - trellis.values[static_cast<std::size_t>(w)]);
        sum += error * error;
        state = w >> trellis.bits;
    }
    return sum / n;
}

double search_cyclic(const Trellis& trellis, const float* y, int n, std::uint16_t* windows, int junction) {
    junction = std::min(junction, n);
    std::vector<float> around(y + n - junction, y + n);
    around.insert(around.end(), y, y + junction);
    std::vector<std::uint16_t> found(around.size());
    search(trellis, around.data(), 2 * junction, found.data());
    const int state = found[static_cast<std::size_t>(junction)] >> trellis.bits;
    return search(trellis, y, n, windows, state, state);
}

std::vector<float> gaussian(std::size_t n, std::uint64_t seed) {
    std::vector<double> deviates(n);
    tq::detail::fill_standard_normal(tq::RandomBits(seed, tq::RandomStream::haar), deviates.data(), n);
    return {deviates.begin(), deviates.end()};
}

// The x with Φ(x) = p, by bisection.
static double quantile(double p) {
    double low = -9, high = 9;
    for (int i = 0; i < 60; ++i) {
        const double middle = 0.5 * (low + high);
        (0.5 * std::erfc(-middle / std::sqrt(2.0)) < p ? low : high) = middle;
    }
    return low;
}

Trellis design(int bits, int window, std::uint64_t seed, int rounds, int samples) {
    const std::size_t count = std::size_t{1} << window;
    Trellis trellis{bits, window, std::vector<float>(count)};
    const tq::RandomBits random(seed, tq::RandomStream::register_order);
    std::vector<std::size_t> order(count / 2);
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.word(i) % i]);
    for (std::size_t w = 0; w < count / 2; ++w) {
        const double rank = static_cast<double>(order[w]) + 0.5, sign = random.word(count + w) & 1u ? -1 : 1;
        trellis.values[w] = static_cast<float>(sign * quantile(rank / static_cast<double>(count)));
        trellis.values[count - 1 - w] = -trellis.values[w];
    }
    improve(trellis, seed, rounds, samples);
    return trellis;
}

void improve(Trellis& trellis, std::uint64_t seed, int rounds, int samples) {
    constexpr int kFresh = 8;  // iterations on the same noise
    const std::size_t count = std::size_t{1} << trellis.window;
    std::vector<float> y;
    std::vector<std::uint16_t> windows(static_cast<std::size_t>(samples));
    for (int round = 0; round < rounds; ++round) {
        if (round % kFresh == 0)
            y = gaussian(windows.size(), (seed << 16) + static_cast<std::uint64_t>(round + 1));
        search(trellis, y.data(), samples, windows.data());
        std::vector<double> sums(count), counts(count);
        for (std::size_t i = 0; i < windows.size(); ++i) {
            sums[windows[i]] += static_cast<double>(y[i]);
            sums[count - 1 - windows[i]] -= static_cast<double>(y[i]);
            counts[windows[i]] += 1;
            counts[count - 1 - windows[i]] += 1;
        }
        for (std::size_t w = 0; w < count; ++w)
            if (counts[w] > 0) trellis.values[w] = static_cast<float>(sums[w] / counts[w]);
    }
}

}  // namespace trellis
