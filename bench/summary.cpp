#include "summary.hpp"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <map>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include "baselines.hpp"
#include "codec_cases.hpp"
#include "eigen_baseline.hpp"

namespace bench {
namespace {

constexpr int kRepetitions = 15;
constexpr double kSecondsPerRepetition = 0.008;

struct Row {
    const char* label;
    const char* operation;  // the name of the case before /d<dim>
    const char* bits;       // the name of the case between dimension and target
    const char* target;     // nullptr: one case for each column
    bool d128_only;
};

constexpr const char* kDense = "";  // stands for eigen_baseline::target()
constexpr Row kRows[] = {
    {"rotate", "rotate/apply", "", nullptr, false},
    {"rotate back", "rotate/apply_transpose", "", nullptr, false},
    {"encode MseQuantizer, norm", "encode/mse", "/b4", nullptr, false},
    {"· unbiased", "encode/mse_unbiased", "/b4", nullptr, false},
    {"· least squares", "encode/mse_least_squares", "/b4", nullptr, false},
    {"· norm, Dim fixed", "encode/mse_fixed", "/b4", nullptr, false},
    {"encode TurboQuantizer", "encode/turbo", "/b4", nullptr, false},
    {"· Dim fixed", "encode/turbo_fixed", "/b4", nullptr, true},
    {"decode MseQuantizer", "decode/mse", "/b4", nullptr, false},
    {"decode TurboQuantizer", "decode/turbo", "/b4", nullptr, false},
    {"memcpy", "baseline/memcpy", "", "libc", false},
    {"float32 to fp16", "baseline/fp16", "", nullptr, false},
    {"absmax 4-bit, blocks of 32", "baseline/absmax4", "", nullptr, false},
    {"absmax 8-bit, blocks of 32", "baseline/absmax8", "", nullptr, false},
    {"dense rotation, Eigen GEMM", "baseline/dense_rotation", "", kDense, false},
};

// The wide targets, best first. The VNNI and dot-product targets run the same codec kernels as their base.
std::vector<std::string> columns() {
    std::vector<std::string> names;
    for (const tq::Target target : {tq::Target::avx512, tq::Target::avx2, tq::Target::neon})
        for (const tq::Target supported : tq::supported_targets())
            if (target == supported) names.emplace_back(tq::target_name(target));
    if (names.empty()) names.emplace_back("scalar");
    return names;
}

struct Timed {
    std::optional<tq::Target> target;
    Workload work;
    int runs = 1;  // of work.run() per repetition
    std::vector<double> ns_per_vector;

    double time(int n) {
        const ScopedTarget scope(target);
        const double start = processor_seconds();
        for (int i = 0; i < n; ++i) work.run();
        return processor_seconds() - start;
    }
    void calibrate() {
        time(1);  // first use of the memory
        const double once = std::max(1e-6, time(2) / 2);
        runs = static_cast<int>(std::ceil(kSecondsPerRepetition / once));
    }
    void repeat() { ns_per_vector.push_back(time(runs) * 1e9 / runs / static_cast<double>(work.count)); }
    double median() {
        std::sort(ns_per_vector.begin(), ns_per_vector.end());
        return ns_per_vector[ns_per_vector.size() / 2];
    }
};

std::string name_of(const Row& row, int dim, const std::string& column) {
    std::string target = row.target == nullptr ? column : row.target;
    if (row.target == kDense) target = eigen_baseline::target();
    return std::string(row.operation) + "/d" + std::to_string(dim) + row.bits + "/" + target;
}

std::string nanoseconds(double ns) {
    std::ostringstream text;
    text << std::fixed << std::setprecision(ns < 100 ? 1 : 0) << ns;
    return text.str();
}

void print_row(std::ostream& out, const Row& row, int dim, const std::vector<std::string>& targets,
               std::map<std::string, Timed>& timed) {
    const Workload* work = nullptr;
    out << "| " << dim << " | " << row.label;
    if (row.target != nullptr)
        out << " (" << (row.target == kDense ? eigen_baseline::target() : row.target) << ")";
    for (std::size_t i = 0; i < targets.size(); ++i) {
        const auto found = timed.find(name_of(row, dim, targets[i]));
        // What does not depend on the target has one time, in the first column.
        if (found == timed.end() || (row.target != nullptr && i > 0)) {
            out << " | –";
            continue;
        }
        work = &found->second.work;
        out << " | " << nanoseconds(found->second.median());
    }
    if (work == nullptr) {
        out << " | – | – |\n";
        return;
    }
    out << " | " << static_cast<tq::Index>(work->stored_bytes) << " | " << std::defaultfloat
        << std::setprecision(3) << work->distortion << " |\n";
}

}  // namespace

void print_summary(std::ostream& out) {
    const std::vector<std::string> targets = columns();
    std::map<std::string, Timed> timed;
    for (const Case& c : codec_cases())
        for (const int dim : {128, 1536})
            for (const Row& row : kRows)
                for (const std::string& target : targets)
                    if (c.name == name_of(row, dim, target) && timed.count(c.name) == 0)
                        timed.emplace(c.name, Timed{c.target, c.make(), 1, {}});

    for (auto& entry : timed) entry.second.calibrate();
    for (int repetition = 0; repetition < kRepetitions; ++repetition)
        for (auto& entry : timed) entry.second.repeat();

    out << "ns per vector, one thread, median of " << kRepetitions << "; " << batch_size(128)
        << " (d = 128) and " << batch_size(1536)
        << " (d = 1536) Gaussian vectors, 4 bits; error: mean of ‖x − x̂‖²/‖x‖²; read bandwidth " << std::fixed
        << std::setprecision(1) << baselines::read_bandwidth() * 1e-9 << " GB/s\n\n"
        << std::defaultfloat;
    out << "| d | operation";
    for (const std::string& target : targets) out << " | " << target;
    out << " | bytes | error |\n|---:|---|";
    for (std::size_t i = 0; i < targets.size() + 2; ++i) out << "---:|";
    out << "\n";
    for (const int dim : {128, 1536})
        for (const Row& row : kRows)
            if (dim == 128 || !row.d128_only) print_row(out, row, dim, targets, timed);
}

}  // namespace bench
