// Search on codes beside search among floats: time, bytes and what is found. Each call prints one Markdown table.
//
//   search_bench --scan DIM [--vectors N]   one query and batches of 200, every target, float32 and fp16 beside it
//   search_bench --add                      adding to an index, beside encode alone
//   search_bench --recall FOLDER NAME       recall at 1 to 4 bits of FOLDER/NAME_base.npy and NAME_queries.npy
#if __has_include(<malloc.h>)
#include <malloc.h>
#endif

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include <Eigen/Core>

#include "../examples/common/npy.hpp"
#include "baselines.hpp"
#include "brute_force.hpp"
#include "eigen_baseline.hpp"
#include "turboquant/turboquant.hpp"
#include "workload.hpp"

namespace bench {
namespace {

constexpr tq::Index kK = 10, kBatch = 200;
template <int Bits>
using FlatIndex = tq::FlatIndex<tq::Dynamic, Bits>;

// Median wall time of at least five calls and a quarter of a second, after one that is not timed.
double seconds_of(const std::function<void()>& call) {
    using Clock = std::chrono::steady_clock;
    constexpr double kEnough = .25;
    call();
    std::vector<double> times;
    for (double sum = 0; times.size() < 5 || sum < kEnough; sum += times.back()) {
        const auto start = Clock::now();
        call();
        times.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
    std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2),
                     times.end());
    return times[times.size() / 2];
}

// Coordinates uniform in ±1, all different; a rotation makes them Gaussian.
Eigen::MatrixXf uniform_vectors(tq::Index dim, tq::Index count, std::uint64_t seed) {
    Eigen::MatrixXf x(dim, count);
    std::uint64_t state = 2 * seed + 1;
    for (tq::Index i = 0; i < x.size(); ++i) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        x.data()[i] = static_cast<float>(static_cast<std::int32_t>(state >> 32)) * 4.6566129e-10f;
    }
    return x;
}

// --- Scan -----------------------------------------------------------------------------------------------------------

struct Scan {
    tq::Index dim, count;
    Eigen::MatrixXf vectors, queries;

    // `search(m)` searches for the first m queries; `bytes` a vector are read.
    void row(const std::string& name, double bytes, const std::function<void(tq::Index)>& search) const {
        const double one = seconds_of([&] { search(1); }), many = seconds_of([&] { search(kBatch); });
        const auto n = static_cast<double>(count), m = static_cast<double>(kBatch);
        std::printf("| %-28s | %6.0f | %8.3f | %7.2f | %5.1f | %8.3f | %7.2f |\n", name.c_str(), bytes,
                    one * 1e3, one / n * 1e9, bytes * n / one * 1e-9, many / m * 1e3, many / m / n * 1e9);
        std::fflush(stdout);
    }
};

template <int Bits>
void scan_codes(const Scan& scan) {
    tq::FlatIndexOptions options;
    options.seed = 1;
    FlatIndex<Bits> index(scan.dim, options);
    index.add(scan.vectors);
    const double bytes = static_cast<double>(index.bytes()) / static_cast<double>(scan.count);
    for (const tq::Target target : tq::supported_targets()) {
        if (target == tq::Target::scalar) continue;  // 200 queries would take minutes
        const ScopedTarget scope(target);
        tq::SearchResult hits;
        scan.row(std::to_string(Bits) + (Bits == 1 ? " bit, " : " bits, ") + tq::target_name(target), bytes,
                 [&](tq::Index m) { index.search(scan.queries.leftCols(m), kK, hits); });
    }
}

// The same best vectors as Eigen finds, to float's rounding of their scores.
void check(const std::vector<float>& scores, const std::vector<float>& expected) {
    for (std::size_t i = 0; i < scores.size(); ++i)
        if (!(std::abs(scores[i] - expected[i]) <= 1e-3f * std::abs(expected[i])))
            throw std::logic_error("a baseline finds other vectors than Eigen");
}

void scan_floats(const Scan& scan) {
    std::vector<std::uint16_t> half(static_cast<std::size_t>(scan.vectors.size()));
    baselines::to_half(scan.vectors.data(), half.size(), half.data());
    std::vector<float> scores(kK * kBatch), expected(kK * kBatch);
    std::vector<std::int64_t> ids(kK * kBatch);
    const auto bytes = static_cast<double>(scan.dim);
    const std::string native = std::string(", Eigen ") + eigen_baseline::target();
    for (const bool narrow : {false, true}) {
        scan.row((narrow ? "fp16" : "float32") + native, bytes * (narrow ? 2 : 4), [&](tq::Index m) {
            if (narrow)
                eigen_baseline::search_fp16(half.data(), scan.dim, scan.count, scan.queries.data(), m, kK,
                                            expected.data(), ids.data());
            else
                eigen_baseline::search_float32(scan.vectors.data(), scan.dim, scan.count, scan.queries.data(),
                                               m, kK, expected.data(), ids.data());
        });
        for (const baselines::BruteForce& own : baselines::brute_force()) {
            if ((own.bytes == 2) != narrow) continue;
            scan.row(std::string(own.name) + ", " + own.target, bytes * static_cast<double>(own.bytes),
                     [&](tq::Index m) {
                         own.search(narrow ? static_cast<const void*>(half.data()) : scan.vectors.data(),
                                    scan.dim, scan.count, scan.queries.data(), m, kK, scores.data(),
                                    ids.data());
                     });
            check(scores, expected);
        }
    }
}

void print_scan(tq::Index dim, tq::Index count) {
    const Scan scan{dim, count, uniform_vectors(dim, count, 1), uniform_vectors(dim, kBatch, 2)};
    std::printf("%td vectors of dimension %td, k = %td; one core reads %.1f GB/s from memory.\n\n", count,
                dim, kK, baselines::read_bandwidth() * 1e-9);
    std::puts(
        "|                              |        | one query |        |       | batch of 200 |        |\n"
        "|                              | bytes  | ms       | ns/vec  | GB/s  | ms/query | ns/vec  |\n"
        "|---|---|---|---|---|---|---|");
    scan_floats(scan);
    scan_codes<4>(scan);
    scan_codes<3>(scan);
    scan_codes<2>(scan);
    scan_codes<1>(scan);
    std::printf("\nRead bandwidth again: %.1f GB/s.\n", baselines::measure_read_bandwidth() * 1e-9);
}

// --- Adding -----------------------------------------------------------------------------------------------------------

template <int Bits>
void add_row(tq::Index dim) {
    const tq::Index n = std::max<tq::Index>(2048, (1 << 21) / dim);
    const Eigen::MatrixXf x = uniform_vectors(dim, n, 1);
    tq::FlatIndexOptions options;
    const tq::MseQuantizer<tq::Dynamic, Bits> quantizer(dim, 1, tq::ScaleRule::unbiased);
    tq::Codes codes;
    const auto each = [&](double seconds) { return seconds / static_cast<double>(n) * 1e9; };
    const double encode = each(seconds_of([&] {
        codes.clear();
        quantizer.encode(x, codes);
    }));
    const auto add = [&](bool centring, tq::Index some) {
        tq::FlatIndexOptions with;
        with.centring = centring;
        if (centring) with.mean = x.rowwise().mean();  // given, so that every vector takes the same way
        return each(seconds_of([&] {
            FlatIndex<Bits> index(dim, with);
            index.reserve(n);
            for (tq::Index i = 0; i < n; i += some) index.add(x.middleCols(i, std::min(some, n - i)));
        }));
    };
    const double plain = add(false, n), centred = add(true, n), singly = add(true, 1);
    std::printf("| %4td | %d | %7.0f | %7.0f | %7.0f | %7.0f | %.2f |\n", dim, Bits, encode, plain, centred,
                singly, centred / encode);
    std::fflush(stdout);
}

// Memory that was freed stays with the process: else the first row, whose allocations are the first of their size, is a
// measurement of page faults (in a virtual machine 12 µs for each 4 KiB).
void keep_freed_memory() {
#ifdef M_MMAP_THRESHOLD  // of the GNU C library
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}

void print_add() {
    keep_freed_memory();
    std::printf("ns a vector, target %s.\n\n", tq::target_name(tq::active_target()));
    std::puts(
        "| d | bits | encode | add | add, centred | · one at a time | centred ÷ encode "
        "|\n|---|---|---|---|---|---|---|");
    for (const tq::Index dim : {100, 128, 768, 1536}) {
        add_row<2>(dim);
        add_row<4>(dim);
    }
}

// --- Recall -----------------------------------------------------------------------------------------------------------

struct Task {
    Eigen::MatrixXf base, queries;
    std::vector<std::int64_t> exact;  // the kK best of each query
};

Task load_task(const std::string& folder, const std::string& name) {
    const auto columns = [&](const char* part) {
        Eigen::MatrixXf x = examples::read_npy(folder + "/" + name + "_" + part + ".npy").columns();
        x.colwise().normalize();
        return x;
    };
    Task task{columns("base"), columns("queries"), {}};
    task.exact.resize(static_cast<std::size_t>(kK * task.queries.cols()));
    std::vector<float> scores(task.exact.size());
    eigen_baseline::search_float32(task.base.data(), task.base.rows(), task.base.cols(), task.queries.data(),
                                   task.queries.cols(), kK, scores.data(), task.exact.data());
    return task;
}

// recall@1@k: how often the exact best is among the first k, k = 1, 2, 4 … 64; then recall@10. Mean over five seeds.
template <int Bits>
void recall_row(const Task& task, bool centring) {
    constexpr int kSeeds = 5, kCurve = 7;
    const tq::Index m = task.queries.cols();
    double curve[kCurve] = {}, ten = 0, bytes = 0;
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
        tq::FlatIndexOptions options;
        options.seed = seed;
        options.centring = centring;
        FlatIndex<Bits> index(task.base.rows(), options);
        index.add(task.base);
        bytes = static_cast<double>(index.bytes()) / static_cast<double>(index.size());
        const tq::SearchResult hits = index.search(task.queries, 64);
        for (tq::Index j = 0; j < m; ++j) {
            const std::int64_t* exact = task.exact.data() + j * kK;
            for (int i = 0; i < kCurve; ++i)
                curve[i] += (hits.ids.col(j).head(tq::Index{1} << i).array() == exact[0]).any() ? 1 : 0;
            for (tq::Index i = 0; i < kK; ++i)
                ten += (hits.ids.col(j).head(kK).array() == exact[i]).any() ? 1.0 / kK : 0;
        }
    }
    std::printf("| %d | %-3s | %4.0f |", Bits, centring ? "yes" : "no", bytes);
    for (const double hits : curve) std::printf(" %.3f |", hits / kSeeds / static_cast<double>(m));
    std::printf(" %.3f |\n", ten / kSeeds / static_cast<double>(m));
    std::fflush(stdout);
}

void print_recall(const std::string& folder, const std::string& name) {
    const Task task = load_task(folder, name);
    std::printf("%s: %td vectors of dimension %td, %td queries, cosine.\n\n", name.c_str(), task.base.cols(),
                task.base.rows(), task.queries.cols());
    std::puts(
        "| bits | centring | bytes/vector | 1@1 | 1@2 | 1@4 | 1@8 | 1@16 | 1@32 | 1@64 | recall@10 |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|");
    for (const bool centring : {true, false}) {
        recall_row<1>(task, centring);
        recall_row<2>(task, centring);
        recall_row<3>(task, centring);
        recall_row<4>(task, centring);
    }
}

int run(const std::vector<std::string>& arguments) {
    const auto is = [&](std::size_t i, const char* text) {
        return i < arguments.size() && arguments[i] == text;
    };
    if (is(0, "--add") && arguments.size() == 1) {
        print_add();
    } else if (is(0, "--recall") && arguments.size() == 3) {
        print_recall(arguments[1], arguments[2]);
    } else if (is(0, "--scan") && (arguments.size() == 2 || (arguments.size() == 4 && is(2, "--vectors")))) {
        print_scan(std::stol(arguments[1]), arguments.size() == 4 ? std::stol(arguments[3]) : 100000);
    } else {
        std::fputs("usage: search_bench --scan DIM [--vectors N] | --add | --recall FOLDER NAME\n", stderr);
        return 1;
    }
    return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
    try {
        return bench::run({argv + 1, argv + argc});
    } catch (const std::exception& error) {
        std::fprintf(stderr, "search_bench: %s\n", error.what());
        return 1;
    }
}
