// What compressed keys and values do to the output of attention, on those of a real language model: relative error by bits,
// estimator and centring. One Markdown table.
//
//   attention_quality_bench DIRECTORY     with qwen3.5-0.8b_keys.npy and _values.npy: heads × tokens × dimension
//
// As in a KvCache without a window, the first four tokens are exact and the mean is that of the next 64. All tokens after them
// are quantized, decoded and attended to in double, so that estimators alone are compared. The data has no queries: the keys
// of each head stand in for them, less their mean, scaled so that logits deviate by 2. Errors are over all heads, queries and
// seeds, relative to the exact outputs less the values' mean, which attention gives at any bits.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "../examples/common/npy.hpp"
#include "turboquant/turboquant.hpp"

namespace {

namespace tq = turboquant;
using tq::Dynamic;
using tq::Index;
using tq::ScaleRule;

constexpr Index kSinks = 4, kMeanTokens = 64;
constexpr int kSeeds = 10;

template <int Bits>
using Mse = tq::MseQuantizer<Dynamic, Bits>;

struct Head {
    Eigen::MatrixXf keys, values, queries;  // one token a column
    Eigen::MatrixXd out;                    // exact
};

Eigen::MatrixXd attention(const Eigen::MatrixXf& k, const Eigen::MatrixXf& v, const Eigen::MatrixXf& q) {
    Eigen::MatrixXd p = k.cast<double>().transpose() * q.cast<double>();
    for (Index j = 0; j < p.cols(); ++j) {
        p.col(j) = (p.col(j).array() - p.col(j).maxCoeff()).exp();
        p.col(j) /= p.col(j).sum();
    }
    return v.cast<double>() * p;
}

Eigen::VectorXf mean_of(const Eigen::MatrixXf& x) {
    return x.middleCols(kSinks, kMeanTokens).rowwise().mean();
}

Head make_head(Eigen::MatrixXf keys, Eigen::MatrixXf values) {
    Head head{std::move(keys), std::move(values), {}, {}};
    head.queries = head.keys.colwise() - head.keys.rowwise().mean();
    for (Index j = 0; j < head.queries.cols(); ++j) {
        const Eigen::VectorXf logits = head.keys.transpose() * head.queries.col(j);
        const float deviation = std::sqrt((logits.array() - logits.mean()).square().mean());
        head.queries.col(j) *= 2.0f / deviation;
    }
    head.out = attention(head.keys, head.values, head.queries);
    return head;
}

// Tokens after the sinks as the quantizer gives them back. `make` builds one from a sample and a seed.
template <class Make>
Eigen::MatrixXf stored(const Eigen::MatrixXf& x, bool centring, std::uint64_t seed, const Make& make) {
    const Index count = x.cols() - kSinks;
    Eigen::VectorXf mean = Eigen::VectorXf::Zero(x.rows());
    if (centring) mean = mean_of(x);
    const Eigen::MatrixXf moved = x.rightCols(count).colwise() - mean;
    const auto quantizer = make(moved.leftCols(kMeanTokens), seed);
    Eigen::MatrixXf out = x;
    out.rightCols(count) = quantizer.decode(quantizer.encode(moved)).colwise() + mean;
    return out;
}

struct Errors {
    double keys = 0, values = 0, both = 0, energy = 0;
};

template <class Keys, class Values>
Errors measure(const std::vector<Head>& heads, bool centring, const Keys& keys, const Values& values) {
    Errors errors;
    for (const Head& head : heads) {
        const Eigen::VectorXd mean = head.values.rowwise().mean().cast<double>();
        for (int seed = 0; seed < kSeeds; ++seed) {
            const auto k = stored(head.keys, centring, static_cast<std::uint64_t>(seed), keys);
            const auto v = stored(head.values, centring, static_cast<std::uint64_t>(seed) + 1000, values);
            errors.keys += (attention(k, head.values, head.queries) - head.out).squaredNorm();
            errors.values += (attention(head.keys, v, head.queries) - head.out).squaredNorm();
            errors.both += (attention(k, v, head.queries) - head.out).squaredNorm();
            errors.energy += (head.out.colwise() - mean).squaredNorm();
        }
    }
    return errors;
}

template <class Keys, class Values>
void print(const char* bits, const char* name, double stored_bits, const std::vector<Head>& heads,
           const Keys& keys, const Values& values) {
    const auto percent = [](double error, double energy) { return 100 * std::sqrt(error / energy); };
    const Errors plain = measure(heads, false, keys, values), centred = measure(heads, true, keys, values);
    std::printf("| %s | %s | %.3f | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f |\n", bits, name, stored_bits,
                percent(plain.keys, plain.energy), percent(plain.values, plain.energy),
                percent(plain.both, plain.energy), percent(centred.keys, centred.energy),
                percent(centred.values, centred.energy), percent(centred.both, centred.energy));
    std::fflush(stdout);
}

template <class Quantizer>
auto of_rule(ScaleRule rule) {
    return [rule](const auto& sample, std::uint64_t seed) { return Quantizer(sample.rows(), seed, rule); };
}

template <int Bits>
void print_whole(const std::vector<Head>& heads) {
    const std::string bits = std::to_string(Bits);
    const Index dim = heads.front().keys.rows();
    const double stored = Mse<Bits>(dim, 0).bits_per_coordinate();
    const auto rule = [](ScaleRule r) { return of_rule<Mse<Bits>>(r); };
    print(bits.c_str(), "Mse, norm", stored, heads, rule(ScaleRule::norm), rule(ScaleRule::norm));
    print(bits.c_str(), "Mse, unbiased", stored, heads, rule(ScaleRule::unbiased), rule(ScaleRule::unbiased));
    print(bits.c_str(), "Mse, least squares", stored, heads, rule(ScaleRule::least_squares),
          rule(ScaleRule::least_squares));
    using Turbo = tq::TurboQuantizer<Dynamic, Bits>;
    const auto turbo = [](const auto& sample, std::uint64_t seed) { return Turbo(sample.rows(), seed); };
    print(bits.c_str(), "Turbo", Turbo(dim, 0).bits_per_coordinate(), heads, turbo, turbo);
}

// A quarter of the channels at OutlierBits.
template <int OutlierBits, int Bits>
void print_split(const char* bits, const std::vector<Head>& heads) {
    using Split = tq::SplitQuantizer<Mse<OutlierBits>, Mse<Bits>>;
    const auto make = [](ScaleRule rule) {
        return [rule](const auto& sample, std::uint64_t seed) {
            return Split(sample.rows(), seed, tq::outlier_channels(sample, sample.rows() / 4), rule);
        };
    };
    const std::string name = "Split, ¼ at " + std::to_string(OutlierBits) + ", ¾ at " + std::to_string(Bits);
    const double stored = make(ScaleRule::norm)(heads.front().keys, 0).bits_per_coordinate();
    print(bits, name.c_str(), stored, heads, make(ScaleRule::unbiased), make(ScaleRule::least_squares));
}

void run(const std::string& directory) {
    const auto keys = examples::read_npy(directory + "/qwen3.5-0.8b_keys.npy");
    const auto values = examples::read_npy(directory + "/qwen3.5-0.8b_values.npy");
    std::vector<Head> heads;
    const Index tokens = keys.shape[1];
    for (Index h = 0; h < keys.shape[0]; ++h)
        heads.push_back(make_head(keys.columns().middleCols(h * tokens, tokens),
                                  values.columns().middleCols(h * tokens, tokens)));
    std::printf("%td heads, %td tokens, d = %td; %d seeds; relative error of the output in percent.\n\n",
                keys.shape[0], tokens, keys.shape[2], kSeeds);
    std::printf(
        "| bits | quantizer | with scales | keys | values | both | centred: keys | values | both |\n");
    std::printf("|---|---|---:|---:|---:|---:|---:|---:|---:|\n");
    print_whole<2>(heads);
    print_split<4, 2>("2.5", heads);
    print_whole<3>(heads);
    print_split<6, 2>("3", heads);
    print_split<5, 3>("3.5", heads);
    print_whole<4>(heads);
    print_split<7, 3>("4", heads);
    print_whole<5>(heads);
}

}  // namespace

int main(int argc, char** argv) try {
    const std::string directory = argc > 1 ? argv[1] : ".";
    if (!std::ifstream(directory + "/qwen3.5-0.8b_keys.npy")) {
        std::printf("attention_quality_bench: skipped, %s holds no qwen3.5-0.8b_keys.npy\n",
                    directory.c_str());
        return 0;
    }
    run(directory);
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "attention_quality_bench: %s\n", error.what());
    return 1;
}
