// What was tried beyond Lloyd-Max, before TrellisQuantizer: distortion of a Gaussian source in d = 128 dimensions, bytes, and the
// time of the library's own quantizers.
//
//   trellis_study            the table, in Markdown
//   trellis_study times      TrellisQuantizer beside MseQuantizer: distortion, and the times of each target
//   trellis_study states     of what States trade: distortion and encoding, many vectors at a time and one by one
//
// Rows of the library are timed: encode and decode, ns a vector. The others are plain reference code, whose time says nothing;
// what their decoder would look up is listed instead.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include <turboquant/turboquant.hpp>

#include "trellis_design.hpp"

namespace {

namespace tq = turboquant;
using tq::Index;

constexpr int kDim = 128, kVectors = 4000;

void row(const char* name, int bits, double distortion, double bytes, const std::string& encode,
         const std::string& decode, const char* table) {
    std::printf("| %s | %d | %.5f | %.2f | %.1f | %s | %s | %s |\n", name, bits, distortion,
                -10 * std::log10(distortion) - 6.0206 * bits, bytes, encode.c_str(), decode.c_str(), table);
    std::fflush(stdout);
}

std::string text(double ns) { return std::to_string(std::lround(ns)); }

// The least of nine runs, per vector.
template <class Call>
double nanoseconds(const Call& call) {
    double least = std::numeric_limits<double>::infinity();
    for (int run = 0; run < 9; ++run) {
        const auto start = std::chrono::steady_clock::now();
        call();
        const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - start;
        least = std::min(least, time.count() / kVectors);
    }
    return least;
}

template <class Quantizer>
void library_row(const char* name, int bits, const Quantizer& quantizer, const Eigen::MatrixXf& x,
                 const char* table) {
    tq::Codes codes;
    const double encode = nanoseconds([&] {
        codes.clear();
        quantizer.encode(x, codes);
    });
    Eigen::MatrixXf back(kDim, kVectors);
    const double decode = nanoseconds([&] { quantizer.decode(codes, back); });
    back -= x;
    const double distortion = static_cast<double>(
        (back.colwise().squaredNorm().array() / x.colwise().squaredNorm().array()).mean());
    row(name, bits, distortion, static_cast<double>(quantizer.bytes_per_vector()), text(encode), text(decode),
        table);
}

template <int Bits>
void library_rows(const Eigen::MatrixXf& x) {
    using tq::ScaleRule;
    library_row("Lloyd-Max: MseQuantizer", Bits, tq::MseQuantizer<kDim, Bits>(7, ScaleRule::least_squares), x,
                "2^b floats");
    library_row("the same, Refinement::scale_search", Bits,
                tq::MseQuantizer<kDim, Bits>(7, ScaleRule::least_squares, tq::Refinement::scale_search), x,
                "2^b floats");
    library_row("TrellisQuantizer, windows of 6 bits", Bits,
                tq::TrellisQuantizer<kDim, Bits, (64 >> Bits)>(7, ScaleRule::least_squares), x, "64 int8");
    library_row("TrellisQuantizer, windows of 7 bits", Bits,
                tq::TrellisQuantizer<kDim, Bits, (128 >> Bits)>(7, ScaleRule::least_squares), x, "128 int8");
    library_row("TrellisQuantizer, windows of 8 bits", Bits,
                tq::TrellisQuantizer<kDim, Bits>(7, ScaleRule::least_squares), x, "256 int8");
}

// Windows of other lengths, each design the best of four, joined at the ends.
void trellis_row(int bits, int window, const std::vector<float>& vectors) {
    trellis::Trellis best;
    double least = std::numeric_limits<double>::infinity();
    const std::vector<float> test = trellis::gaussian(50000, 1u << 29);
    std::vector<std::uint16_t> windows(test.size());
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
        trellis::Trellis trellis = trellis::design(bits, window, seed, 48, 30000);
        const double error =
            trellis::search(trellis, test.data(), static_cast<int>(test.size()), windows.data());
        if (error < least) {
            least = error;
            best = trellis;
        }
    }
    double sum = 0;
    const int count = static_cast<int>(vectors.size()) / kDim;
    for (int v = 0; v < count; ++v)
        sum += trellis::search_cyclic(best, vectors.data() + v * kDim, kDim, windows.data());
    const std::string name = "trellis, windows of " + std::to_string(window) + " bits, " +
                             std::to_string(best.states()) + " states";
    const std::string table = std::to_string(1 << window) + " floats";
    row(name.c_str(), bits, sum / count, kDim * bits / 8.0 + 4, "–", "–", table.c_str());
}

// A codebook of 2^(2b) points of the plane, by Lloyd's iteration on Gaussian pairs.
void plane_row(int bits) {
    const int points = 1 << (2 * bits);
    const std::vector<float> y = trellis::gaussian(200000, 3), start = trellis::gaussian(2 * 256, 4);
    std::vector<double> p(start.begin(), start.begin() + 2 * points);
    double distortion = 0;
    for (int round = 0; round < 60; ++round) {
        std::vector<double> sums(p.size()), counts(static_cast<std::size_t>(points));
        distortion = 0;
        for (std::size_t i = 0; i < y.size(); i += 2) {
            const auto a = static_cast<double>(y[i]), b = static_cast<double>(y[i + 1]);
            std::size_t nearest = 0;
            double least = std::numeric_limits<double>::infinity();
            for (std::size_t k = 0; k < counts.size(); ++k) {
                const double error =
                    (a - p[2 * k]) * (a - p[2 * k]) + (b - p[2 * k + 1]) * (b - p[2 * k + 1]);
                if (error < least) {
                    least = error;
                    nearest = k;
                }
            }
            sums[2 * nearest] += a;
            sums[2 * nearest + 1] += b;
            counts[nearest] += 1;
            distortion += least;
        }
        for (std::size_t k = 0; k < counts.size(); ++k)
            for (std::size_t c = 0; c < 2 && counts[k] > 0; ++c) p[2 * k + c] = sums[2 * k + c] / counts[k];
    }
    const std::string table = std::to_string(points) + " pairs of floats";
    row("2-d codebook (k-means of the plane)", bits, distortion / static_cast<double>(y.size()),
        kDim * bits / 8.0 + 4, "–", "–", table.c_str());
}

// A uniform quantizer whose indices have an entropy of b bits: what an ideal entropy coder would reach, at a length that
// differs from vector to vector.
void entropy_row(int bits) {
    const auto moments = [](double step, double& entropy) {
        double distortion = 0;
        entropy = 0;
        for (int k = -400; k <= 400; ++k) {
            double mass = 0, first = 0, second = 0;
            for (int i = 0; i < 200; ++i) {
                const double x = (k + (i + 0.5) / 200 - 0.5) * step;
                const double weight = std::exp(-0.5 * x * x) * 0.39894228040143268 * step / 200;
                mass += weight;
                first += weight * x;
                second += weight * x * x;
            }
            if (mass < 1e-300) continue;
            distortion += second - first * first / mass;
            entropy -= mass * std::log2(mass);
        }
        return distortion;
    };
    double low = 0.02, high = 4, entropy = 0;
    for (int i = 0; i < 40; ++i) {
        const double middle = 0.5 * (low + high);
        moments(middle, entropy);
        (entropy > bits ? low : high) = middle;
    }
    row("uniform, ideal entropy coder (no random access)", bits, moments(low, entropy), kDim * bits / 8.0 + 4,
        "–", "–", "a step");
}

// The nearest point of E8 = D8 ∪ (D8 + ½), to y.
void nearest_e8(const double* y, double* out) {
    double least = std::numeric_limits<double>::infinity();
    for (int coset = 0; coset < 2; ++coset) {
        double point[8], worst = -1, error = 0;
        int sum = 0, flip = 0;
        for (int i = 0; i < 8; ++i) {
            const double t = y[i] - 0.5 * coset;
            const double rounded = std::floor(t + 0.5);
            sum += static_cast<int>(rounded);
            point[i] = rounded + 0.5 * coset;
            if (std::fabs(t - rounded) > worst) {
                worst = std::fabs(t - rounded);
                flip = i;
            }
        }
        if (sum % 2 != 0) point[flip] += y[flip] > point[flip] ? 1 : -1;
        for (int i = 0; i < 8; ++i) error += (y[i] - point[i]) * (y[i] - point[i]);
        if (error < least) {
            least = error;
            std::copy(point, point + 8, out);
        }
    }
}

// E8 with spherical shaping: the 2^(8b) shortest points. E8 has 240·Σ_{k|n} k³ points of squared norm 2n. What falls outside is
// drawn towards the origin until it meets a point inside; the scale is the best of a few.
void lattice_row(int bits) {
    double count = 1, largest = 0;
    for (int n = 1; count < std::pow(2.0, 8 * bits); ++n) {
        double cubes = 0;
        for (int k = 1; k <= n; ++k)
            if (n % k == 0) cubes += static_cast<double>(k) * k * k;
        count += 240 * cubes;
        if (count <= std::pow(2.0, 8 * bits)) largest = 2 * n;
    }
    const std::vector<float> noise = trellis::gaussian(8 * 4000, 9);
    double best = std::numeric_limits<double>::infinity();
    for (double scale = 0.6; scale < 1.3; scale += 0.02) {
        const double factor = std::sqrt((largest + 1) / 8) * scale;
        double sum = 0;
        for (std::size_t v = 0; v < noise.size(); v += 8) {
            double y[8], point[8] = {}, square = std::numeric_limits<double>::infinity();
            for (double shrink = 1; square > largest; shrink *= 0.97) {
                for (std::size_t i = 0; i < 8; ++i)
                    y[i] = static_cast<double>(noise[v + i]) * factor * shrink;
                nearest_e8(y, point);
                square = 0;
                for (double c : point) square += c * c;
            }
            for (std::size_t i = 0; i < 8; ++i) {
                const double error = static_cast<double>(noise[v + i]) - point[i] / factor;
                sum += error * error;
            }
        }
        best = std::min(best, sum / static_cast<double>(noise.size()));
    }
    row("E8, its shortest 2^(8b) points", bits, best, kDim * bits / 8.0 + 4, "–", "–",
        bits == 2 ? "65536 points" : "enumeration");
}

// The least time of each of two calls, taken in turns, ns per vector.
struct Pair {
    double trellis, scalar;
};
template <class First, class Second>
Pair in_turns(Index vectors, const First& first, const Second& second) {
    const auto time = [&](double& least, const auto& call) {
        const auto start = std::chrono::steady_clock::now();
        call();
        const std::chrono::duration<double, std::nano> elapsed = std::chrono::steady_clock::now() - start;
        least = std::min(least, elapsed.count() / static_cast<double>(vectors));
    };
    Pair least{std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()};
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(250);
    while (std::chrono::steady_clock::now() < end) {
        time(least.trellis, first);
        time(least.scalar, second);
    }
    return least;
}

void print(const Pair& pair) {
    std::printf(" %.1f | %.1f | %.2f |", pair.trellis, pair.scalar, pair.trellis / pair.scalar);
}

// One row: records enough to be read from the second cache.
template <int Dim, int Bits>
void time_row() {
    constexpr Index kCount = Dim < 512 ? 1024 : 256;
    constexpr int kQueries = 8;
    std::vector<float> noise = trellis::gaussian(std::size_t{Dim} * (kCount + kQueries), 5);
    const Eigen::Map<const Eigen::MatrixXf> all(noise.data(), Dim, kCount + kQueries);
    const Eigen::MatrixXf x = all.leftCols(kCount), queries = all.rightCols(kQueries);
    const Eigen::VectorXf query = queries.col(0);
    const tq::TrellisQuantizer<Dim, Bits> trellis(7);
    const tq::MseQuantizer<Dim, Bits> scalar(7);
    tq::Codes codes, scalar_codes;
    trellis.encode(x, codes);
    scalar.encode(x, scalar_codes);
    Eigen::MatrixXf back(Dim, kCount), products(kCount, kQueries), product(kCount, 1);
    trellis.decode(codes, back);
    const double distortion = static_cast<double>(
        ((back - x).colwise().squaredNorm().array() / x.colwise().squaredNorm().array()).mean());
    std::printf("| %s | %d | %d | %.5f |", tq::target_name(tq::active_target()), Dim, Bits, distortion);
    tq::Codes buffer;
    print(in_turns(
        kCount,
        [&] {
            buffer.clear();
            trellis.encode(x, buffer);
        },
        [&] {
            buffer.clear();
            scalar.encode(x, buffer);
        }));
    print(in_turns(
        kCount, [&] { trellis.decode(codes, back); }, [&] { scalar.decode(scalar_codes, back); }));
    print(in_turns(
        kCount, [&] { trellis.inner_products(codes, query, product); },
        [&] { scalar.inner_products(scalar_codes, query, product); }));
    print(in_turns(
        kCount * kQueries, [&] { trellis.inner_products(codes, queries, products); },
        [&] { scalar.inner_products(scalar_codes, queries, products); }));
    std::printf("\n");
    std::fflush(stdout);
}

template <int Dim>
void time_rows() {
    time_row<Dim, 2>();
    time_row<Dim, 3>();
    time_row<Dim, 4>();
}

void print_times() {
    std::printf(
        "| target | d | b | distortion | encode: trellis | scalar | ratio | decode: trellis | scalar | ratio "
        "| a query: "
        "trellis | scalar | ratio | of 8 queries: trellis | scalar | ratio |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    for (const tq::Target target : tq::supported_targets()) {
        if (target == tq::Target::scalar) continue;
        tq::set_target(target);
        time_rows<128>();
        time_rows<1536>();
    }
}

// One row: distortion with least-squares scales, and ns a vector encoded, of 1024 at a time and of one; the least of many runs.
template <class Quantizer>
void states_row(const char* name, int bits, const Quantizer& quantizer) {
    const Index dim = quantizer.dim(), count = dim < 512 ? 1024 : 256;
    const std::vector<float> noise = trellis::gaussian(static_cast<std::size_t>(dim * count), 5);
    const Eigen::Map<const Eigen::MatrixXf> x(noise.data(), dim, count);
    tq::Codes codes;
    const Pair times = in_turns(
        count,
        [&] {
            codes.clear();
            quantizer.encode(x, codes);
        },
        [&] {
            codes.clear();
            for (Index i = 0; i < count; ++i) quantizer.append(x.col(i), codes);
        });
    const Eigen::MatrixXf back = quantizer.decode(codes);
    const double distortion = static_cast<double>(
        ((back - x).colwise().squaredNorm().array() / x.colwise().squaredNorm().array()).mean());
    std::printf("| %s | %td | %d | %s | %.5f | %.0f | %.0f |\n", tq::target_name(tq::active_target()), dim,
                bits, name, distortion, times.trellis, times.scalar);
    std::fflush(stdout);
}

template <int Dim, int Bits>
void states_rows() {
    constexpr tq::ScaleRule kRule = tq::ScaleRule::least_squares;
    states_row("MseQuantizer", Bits, tq::MseQuantizer<Dim, Bits>(7, kRule));
    states_row("Refinement::scale_search", Bits,
               tq::MseQuantizer<Dim, Bits>(7, kRule, tq::Refinement::scale_search));
    states_row("64 >> b states", Bits, tq::TrellisQuantizer<Dim, Bits, (64 >> Bits)>(7, kRule));
    states_row("128 >> b states", Bits, tq::TrellisQuantizer<Dim, Bits, (128 >> Bits)>(7, kRule));
    states_row("256 >> b states", Bits, tq::TrellisQuantizer<Dim, Bits>(7, kRule));
}

void print_states() {
    std::printf(
        "| target | d | b | code | distortion | encode, ns | one at a time "
        "|\n|---|---|---|---|---|---|---|\n");
    for (const tq::Target target : tq::supported_targets()) {
        if (target == tq::Target::scalar || target == tq::Target::avx512_vnni) continue;  // as avx512
        tq::set_target(target);
        states_rows<128, 2>();
        states_rows<128, 3>();
        states_rows<128, 4>();
        states_rows<1536, 2>();
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 1 && std::string(argv[1]) == "times") {
        print_times();
        return 0;
    }
    if (argc > 1 && std::string(argv[1]) == "states") {
        print_states();
        return 0;
    }
    std::vector<float> noise = trellis::gaussian(std::size_t{kDim} * kVectors, 5);
    const Eigen::MatrixXf x = Eigen::Map<const Eigen::MatrixXf>(noise.data(), kDim, kVectors);
    std::vector<float> vectors(noise.begin(),
                               noise.begin() + 600 * kDim);  // of norm √d, as the library makes them
    for (int v = 0; v < 600; ++v) {
        Eigen::Map<Eigen::VectorXf> column(vectors.data() + v * kDim, kDim);
        column *= std::sqrt(static_cast<float>(kDim)) / column.norm();
    }
    std::printf("Target %s.\n\n", tq::target_name(tq::active_target()));
    std::printf(
        "| code | b | distortion | dB from 4^-b | bytes, d = 128 | encode ns | decode ns | decoder's table "
        "|\n"
        "|---|---|---|---|---|---|---|---|\n");
    library_rows<2>(x);
    library_rows<3>(x);
    library_rows<4>(x);
    for (int bits = 2; bits <= 4; ++bits) {
        plane_row(bits);
        lattice_row(bits);
        entropy_row(bits);
        for (int window : {5, 6, 7, 8, 9, 10})
            if (window > bits) trellis_row(bits, window, vectors);
    }
}
