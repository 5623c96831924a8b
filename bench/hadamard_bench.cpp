// The Hadamard transform at its plainest: at a power of two, Rotation is three rounds of signs and one d-point Hadamard
// each (and a tilt of 32 coordinates between rounds), so ns_per_round is the time of one signed transform, loads, stores
// and tilt shared out. It is what FFHT and other fast Hadamard libraries are compared with.
#include <benchmark/benchmark.h>

#include <string>

#include "workload.hpp"

namespace {

namespace tq = turboquant;

template <int Dim>
void register_dimension() {
    for (const tq::Target target : tq::supported_targets()) {
        const bench::Case c{
            "hadamard/d" + std::to_string(Dim) + "/" + tq::target_name(target), target,
            [] { return bench::rotation_workload(tq::Rotation<Dim>(/*seed=*/1), /*transpose=*/false); }};
        const auto run = [c](benchmark::State& state) {
            const double ns_per_vector = bench::run_case(state, c);
            state.counters["ns_per_round"] = ns_per_vector / tq::simd::kRounds;
        };
        benchmark::RegisterBenchmark(c.name.c_str(), run)->Unit(benchmark::kMicrosecond);
    }
}

}  // namespace

int main(int argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    register_dimension<64>();
    register_dimension<128>();
    register_dimension<256>();
    register_dimension<512>();
    register_dimension<1024>();
    register_dimension<2048>();
    register_dimension<4096>();
    bench::add_context();
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
