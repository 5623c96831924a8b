// Rotation, encode and decode at every dimension, width and target, beside the baselines. README.md explains the names
// and the counters; `codec_bench --summary` prints one table instead.
#include <benchmark/benchmark.h>

#include <cstring>
#include <iostream>

#include "codec_cases.hpp"
#include "summary.hpp"

int main(int argc, char** argv) {
    for (int i = 1; i < argc; ++i)
        if (std::strcmp(argv[i], "--summary") == 0) {
            bench::print_summary(std::cout);
            return 0;
        }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    bench::register_cases(bench::codec_cases());
    bench::add_context();
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
