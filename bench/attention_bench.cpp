// Attention on compressed keys and values beside attention on float32 and fp16: ns per token of the context, for contexts of
// 2k, 32k and 256k tokens of 128 coordinates and 1, 4 and 8 queries; bytes per token; the error of the output; and the cost
// of append. One Markdown table; every row's timings alternate with the others' of its context. Then from which context on a
// step of generation, append and attend, takes less time than with fp16, and the cache less memory. One thread.
//
//   attention_bench [tokens …]     contexts, each a multiple of 64; 2048 32768 262144 unless told
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "attention_baseline.hpp"
#include "turboquant/turboquant.hpp"

namespace {

namespace tq = turboquant;
using tq::Index;
constexpr int kDim = attention_baseline::kDim;
constexpr int kQueries[] = {1, 4, 8};
constexpr int kRepetitions = 11;

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// One way to keep the context.
struct Row {
    std::string name;
    double bytes_per_token = 0;
    double append = 0;  // ns per token, one token a call
    std::function<void(int queries, Eigen::MatrixXf& out)> attend;
    std::vector<double> ns[3];  // per token, for each of kQueries
    double error = 0;           // of the outputs of 8 queries, relative to float32's
};

// Keys and values around a mean, as real heads have; queries whose logits deviate by 1.
struct Context {
    Index tokens;
    Eigen::MatrixXf keys, values, queries;
    explicit Context(Index n) : tokens(n), keys(kDim, n), values(kDim, n), queries(kDim, 8) {
        std::mt19937_64 random(7);
        std::normal_distribution<float> normal;
        const auto fill = [&](Eigen::MatrixXf& x) {
            for (Index i = 0; i < x.size(); ++i) x.data()[i] = normal(random);
        };
        fill(keys);
        fill(values);
        fill(queries);
        Eigen::VectorXf mean(kDim);
        for (Index i = 0; i < kDim; ++i) mean[i] = normal(random);
        keys.colwise() += mean;
        values.colwise() += mean;
    }
};

template <int KeyBits, int ValueBits>
void add_cache(std::vector<Row>& rows, const Context& context) {
    using Cache = tq::KvCache<kDim, KeyBits, ValueBits>;
    const auto cache = std::make_shared<Cache>();
    // Twice, so that the second finds memory that the process has: page faults are the system's.
    Row row;
    for (int pass = 0; pass < 2; ++pass) {
        cache->clear();
        const double start = now();
        for (Index i = 0; i < context.tokens; ++i) cache->append(context.keys.col(i), context.values.col(i));
        row.append = 1e9 * (now() - start) / static_cast<double>(context.tokens);
    }
    row.name = "K" + std::to_string(KeyBits) + "/V" + std::to_string(ValueBits);
    row.bytes_per_token = static_cast<double>(cache->bytes()) / static_cast<double>(cache->size());
    row.attend = [cache, &context](int queries, Eigen::MatrixXf& out) {
        cache->attend(context.queries.leftCols(queries), out.leftCols(queries));
    };
    rows.push_back(std::move(row));
}

void add_baselines(std::vector<Row>& rows, const Context& context) {
    if (attention_baseline::target() == nullptr) return;
    const auto q = std::make_shared<Eigen::MatrixXf>(context.queries * (1.44269504f / std::sqrt(128.0f)));
    using Halves = Eigen::Matrix<Eigen::half, Eigen::Dynamic, Eigen::Dynamic>;
    const auto k = std::make_shared<Halves>(kDim, context.tokens),
               v = std::make_shared<Halves>(kDim, context.tokens);
    *k = context.keys.cast<Eigen::half>();
    *v = context.values.cast<Eigen::half>();
    rows.push_back({"float32",
                    2.0 * kDim * 4,
                    0,
                    [&context, q](int queries, Eigen::MatrixXf& out) {
                        attention_baseline::attend_float(context.keys.data(), context.values.data(),
                                                         context.tokens, q->data(), queries, out.data());
                    },
                    {},
                    0});
    rows.push_back({"fp16",
                    2.0 * kDim * 2,
                    0,
                    [&context, q, k, v](int queries, Eigen::MatrixXf& out) {
                        attention_baseline::attend_half(reinterpret_cast<const std::uint16_t*>(k->data()),
                                                        reinterpret_cast<const std::uint16_t*>(v->data()),
                                                        context.tokens, q->data(), queries, out.data());
                    },
                    {},
                    0});
}

double median(std::vector<double> x) {
    std::sort(x.begin(), x.end());
    return x[x.size() / 2];
}

// Softmax attention in double.
Eigen::MatrixXd reference(const Context& context) {
    Eigen::MatrixXd out(kDim, 8);
    for (Index j = 0; j < 8; ++j) {
        Eigen::VectorXd logits(context.tokens);
        const Eigen::VectorXd q = context.queries.col(j).cast<double>() / std::sqrt(128.0);
        for (Index t = 0; t < context.tokens; ++t) logits[t] = context.keys.col(t).cast<double>().dot(q);
        const Eigen::VectorXd p = (logits.array() - logits.maxCoeff()).exp();
        Eigen::VectorXd sum = Eigen::VectorXd::Zero(kDim);
        for (Index t = 0; t < context.tokens; ++t) sum += p[t] * context.values.col(t).cast<double>();
        out.col(j) = sum / p.sum();
    }
    return out;
}

void run(Index tokens) {
    const Context context(tokens);
    std::vector<Row> rows;
    add_baselines(rows, context);
    add_cache<8, 8>(rows, context);
    add_cache<4, 4>(rows, context);
    add_cache<4, 3>(rows, context);
    add_cache<3, 3>(rows, context);
    add_cache<2, 2>(rows, context);
    const Eigen::MatrixXd exact = reference(context);
    Eigen::MatrixXf out(kDim, 8);
    for (Row& row : rows) {
        row.attend(8, out);
        row.error = (out.cast<double>() - exact).norm() / exact.norm();
    }
    const int inner = static_cast<int>(std::max<Index>(1, 32768 / tokens));
    for (int repetition = 0; repetition < kRepetitions; ++repetition)
        for (std::size_t i = 0; i < 3; ++i)
            for (Row& row : rows) {
                row.attend(kQueries[i], out);
                const double start = now();
                for (int k = 0; k < inner; ++k) row.attend(kQueries[i], out);
                row.ns[i].push_back(1e9 * (now() - start) / inner / static_cast<double>(tokens));
            }
    for (const Row& row : rows) {
        std::printf("| %td | %s | %.1f | %.2f | %.2f | %.2f | ", tokens, row.name.c_str(),
                    row.bytes_per_token, median(row.ns[0]), median(row.ns[1]), median(row.ns[2]));
        if (row.append > 0)
            std::printf("%.0f", row.append);
        else
            std::printf("–");
        std::printf(" | %.2e |\n", row.error);
    }
    std::fflush(stdout);
}

// --- Break-even ------------------------------------------------------------------------------------------------------

constexpr Index kLongest = 2048;

// ns of one attend, at each multiple of 64 tokens up to kLongest, for each of kQueries.
struct Steps {
    double append = 0;  // ns
    std::vector<double> bytes, attend[3];
};

template <class Attend>
double time_of(const Attend& attend, Index tokens) {
    const int inner = static_cast<int>(std::max<Index>(1, 16384 / tokens));
    std::vector<double> ns;
    for (int repetition = 0; repetition < 7; ++repetition) {
        const double start = now();
        for (int k = 0; k < inner; ++k) attend();
        ns.push_back(1e9 * (now() - start) / inner);
    }
    return median(ns);
}

Steps fp16_steps(const Context& context) {
    using Halves = Eigen::Matrix<Eigen::half, Eigen::Dynamic, Eigen::Dynamic>;
    const Eigen::MatrixXf q = context.queries * (1.44269504f / std::sqrt(128.0f));
    const Halves k = context.keys.cast<Eigen::half>(), v = context.values.cast<Eigen::half>();
    Eigen::MatrixXf out(kDim, 8);
    Steps steps;
    for (Index n = 64; n <= kLongest; n += 64) {
        steps.bytes.push_back(4.0 * kDim * static_cast<double>(n));
        for (std::size_t i = 0; i < 3; ++i)
            steps.attend[i].push_back(time_of(
                [&] {
                    attention_baseline::attend_half(reinterpret_cast<const std::uint16_t*>(k.data()),
                                                    reinterpret_cast<const std::uint16_t*>(v.data()), n,
                                                    q.data(), kQueries[i], out.data());
                },
                n));
    }
    return steps;
}

template <int KeyBits, int ValueBits>
Steps cache_steps(const Context& context) {
    tq::KvCache<kDim, KeyBits, ValueBits> cache;
    Eigen::MatrixXf out(kDim, 8);
    Steps steps;
    for (int pass = 0; pass < 2; ++pass) {
        cache.clear();
        const double start = now();
        for (Index i = 0; i < kLongest; ++i) cache.append(context.keys.col(i), context.values.col(i));
        steps.append = 1e9 * (now() - start) / static_cast<double>(kLongest);
    }
    tq::KvCache<kDim, KeyBits, ValueBits> growing;
    for (Index n = 64; n <= kLongest; n += 64) {
        growing.append(context.keys.middleCols(n - 64, 64), context.values.middleCols(n - 64, 64));
        steps.bytes.push_back(static_cast<double>(growing.bytes()));
        for (std::size_t i = 0; i < 3; ++i)
            steps.attend[i].push_back(time_of(
                [&] { growing.attend(context.queries.leftCols(kQueries[i]), out.leftCols(kQueries[i])); },
                n));
    }
    return steps;
}

// The least context from which on `ours` is not above `theirs`, in a step that costs so much more.
std::string break_even(const std::vector<double>& ours, const std::vector<double>& theirs, double more) {
    std::size_t from = ours.size();
    while (from > 0 && ours[from - 1] + more <= theirs[from - 1]) --from;
    return from == ours.size() ? "above " + std::to_string(kLongest) : std::to_string(64 * (from + 1));
}

void print_break_even() {
    const Context context(kLongest);
    const Steps half = fp16_steps(context);
    std::printf(
        "\nTokens of context from which on a cache takes less than fp16, whose append counts as free\n\n");
    std::printf("| kept as | bytes | append + attend, m = 1 | m = 4 | m = 8 | append, ns |\n");
    std::printf("|---|---:|---:|---:|---:|---:|\n");
    const auto print = [&](const char* name, const Steps& steps) {
        std::printf("| %s | %s |", name, break_even(steps.bytes, half.bytes, 0).c_str());
        for (std::size_t i = 0; i < 3; ++i)
            std::printf(" %s |", break_even(steps.attend[i], half.attend[i], steps.append).c_str());
        std::printf(" %.0f |\n", steps.append);
    };
    print("K8/V8", cache_steps<8, 8>(context));
    print("K4/V4", cache_steps<4, 4>(context));
    print("K4/V3", cache_steps<4, 3>(context));
    print("K3/V3", cache_steps<3, 3>(context));
    print("K2/V2", cache_steps<2, 2>(context));
}

}  // namespace

int main(int argc, char** argv) {
#if defined(__GLIBC__)
    // Memory that was freed stays with the process, so that append is timed and not the system's page faults.
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
    std::vector<Index> contexts;
    for (int i = 1; i < argc; ++i) contexts.push_back(std::atol(argv[i]) / 64 * 64);
    if (contexts.empty()) contexts = {2048, 32768, 262144};
    std::printf("d = 128, target %s (baselines: %s), one thread, median of %d\n\n",
                tq::target_name(tq::active_target()),
                attention_baseline::target() == nullptr ? "none" : attention_baseline::target(),
                kRepetitions);
    std::printf(
        "| tokens | kept as | bytes/token | ns/token, m = 1 | m = 4 | m = 8 | append, ns | output error |\n");
    std::printf("|---:|---|---:|---:|---:|---:|---:|---:|\n");
    for (const Index tokens : contexts) run(tokens);
    if (attention_baseline::target() != nullptr) print_break_even();
}
