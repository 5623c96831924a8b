// What all benchmark programs share: the data, one unit of timed work with what is known about it, and the counters
// that put time, bytes and error side by side.
#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "turboquant/turboquant.hpp"

namespace bench {

namespace tq = turboquant;

// One batch of vectors, prepared: calling run() again repeats the work into the same memory.
struct Workload {
    tq::Index dim = 0;
    tq::Index count = 0;        // vectors per run()
    double stored_bytes = 0;    // per vector, what the operation's code (or output) takes
    double touched_bytes = 0;   // per vector, read and written by run()
    double distortion = 0;      // mean of ‖x − x̂‖²/‖x‖² over the batch
    std::function<void()> run;  // target already chosen
};

// A workload by name. make() allocates and measures the distortion, so it is called only for what will run.
struct Case {
    std::string name;                  // operation/codec/d<dim>[/b<bits>]/target
    std::optional<tq::Target> target;  // none where the library's choice of target plays no part
    std::function<Workload()> make;
};

// Vectors per batch: 2048 up to d = 256; above, the largest power of two with at most 2^18 coordinates in all (256 at 768
// and 1024, 128 at 1536, 64 at 3072), so that a batch takes about .3 ms on the wide targets and every input fits 2 MiB.
tq::Index batch_size(tq::Index dim) noexcept;

// batch_size(dim) vectors of independent N(0, 1) coordinates; the same at each call and on each target.
const Eigen::MatrixXf& gaussian_vectors(tq::Index dim);

// Mean over the columns of ‖x − y‖²/‖x‖², in double.
double relative_squared_error(const Eigen::Ref<const Eigen::MatrixXf>& x,
                              const Eigen::Ref<const Eigen::MatrixXf>& y);

// Π and Πᵀ of a batch; the distortion is that of going there and back.
template <class RotationT>
Workload rotation_workload(const RotationT& rotation, bool transpose) {
    const Eigen::MatrixXf& x = gaussian_vectors(rotation.dim());
    const auto out = std::make_shared<Eigen::MatrixXf>(x.rows(), x.cols());
    rotation.apply(x, *out);
    const double vector_bytes = 4.0 * static_cast<double>(x.rows());
    Workload work{x.rows(), x.cols(), vector_bytes, 2 * vector_bytes, 0, nullptr};
    work.distortion = relative_squared_error(x, rotation.apply_transpose(*out));
    work.run = [rotation, transpose, out, &x] {
        transpose ? rotation.apply_transpose(x, *out) : rotation.apply(x, *out);
        benchmark::DoNotOptimize(out->data());
        benchmark::ClobberMemory();
    };
    return work;
}

// Chooses a case's target while in scope.
class ScopedTarget {
public:
    explicit ScopedTarget(const std::optional<tq::Target>& target) : before_(tq::active_target()) {
        if (target) tq::set_target(*target);
    }
    ~ScopedTarget() { tq::set_target(before_); }
    ScopedTarget(const ScopedTarget&) = delete;
    ScopedTarget& operator=(const ScopedTarget&) = delete;

private:
    tq::Target before_;
};

// Processor time of this program so far, in seconds: unlike the wall clock it stops while others have the core.
double processor_seconds() noexcept;

// Times the case and sets the counters that README.md explains; returns ns per vector, for counters of the caller's own.
double run_case(benchmark::State& state, const Case& c);

// Registers each case under its name.
void register_cases(const std::vector<Case>& cases);

// Records the read bandwidth and the targets in the header of Google Benchmark's report.
void add_context();

}  // namespace bench
