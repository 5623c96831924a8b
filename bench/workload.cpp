#include "workload.hpp"

#include <ctime>
#include <map>
#include <memory>
#include <random>

#include "baselines.hpp"

namespace bench {
namespace {

// Google Benchmark calls a benchmark several times until it has found the number of iterations; the workload is made
// once. Only the last one is kept, since all together would take gigabytes.
const Workload& prepared(const Case& c) {
    static std::string name;
    static std::unique_ptr<Workload> work;
    if (work == nullptr || name != c.name) {
        work = nullptr;
        work = std::make_unique<Workload>(c.make());
        name = c.name;
    }
    return *work;
}

}  // namespace

tq::Index batch_size(tq::Index dim) noexcept {
    constexpr tq::Index kCoordinates = tq::Index{1} << 18;
    tq::Index count = 2048;
    if (dim > 256)
        while (count > 1 && count * dim > kCoordinates) count /= 2;
    return count;
}

const Eigen::MatrixXf& gaussian_vectors(tq::Index dim) {
    static std::map<tq::Index, Eigen::MatrixXf> cache;  // references to elements stay valid
    const auto [entry, fresh] = cache.try_emplace(dim);
    if (fresh) {
        std::mt19937_64 random(20250428u + static_cast<std::uint64_t>(dim));
        std::normal_distribution<float> normal;
        entry->second = Eigen::MatrixXf::NullaryExpr(dim, batch_size(dim), [&] { return normal(random); });
    }
    return entry->second;
}

double relative_squared_error(const Eigen::Ref<const Eigen::MatrixXf>& x,
                              const Eigen::Ref<const Eigen::MatrixXf>& y) {
    double sum = 0;
    for (tq::Index i = 0; i < x.cols(); ++i) {
        const Eigen::VectorXd before = x.col(i).cast<double>();
        sum += (before - y.col(i).cast<double>()).squaredNorm() / before.squaredNorm();
    }
    return sum / static_cast<double>(x.cols());
}

double processor_seconds() noexcept { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

double run_case(benchmark::State& state, const Case& c) {
    const ScopedTarget scope(c.target);
    const Workload& work = prepared(c);
    // Timed here once more: Google Benchmark's own rates would carry "s" and "/s" whatever their unit is.
    const double start = processor_seconds();
    for (auto _ : state) work.run();
    const double vectors = static_cast<double>(state.iterations()) * static_cast<double>(work.count);
    const double seconds_per_vector = (processor_seconds() - start) / vectors;

    state.counters["ns_per_vector"] = 1e9 * seconds_per_vector;
    state.counters["elements/s"] = static_cast<double>(work.dim) / seconds_per_vector;
    state.counters["bytes_per_vector"] = work.stored_bytes;
    state.counters["distortion"] = work.distortion;
    state.counters["roofline_share"] = work.touched_bytes / seconds_per_vector / baselines::read_bandwidth();
    return 1e9 * seconds_per_vector;
}

void register_cases(const std::vector<Case>& cases) {
    for (const Case& c : cases)
        benchmark::RegisterBenchmark(c.name.c_str(), [c](benchmark::State& state) {
            run_case(state, c);
        })->Unit(benchmark::kMicrosecond);
}

void add_context() {
    benchmark::AddCustomContext("read_bandwidth",
                                std::to_string(baselines::read_bandwidth() * 1e-9) + " GB/s");
    benchmark::AddCustomContext("turboquant_targets", tq::detail::supported_target_list());
}

}  // namespace bench
