// Regenerates the experiments of the TurboQuant paper (arXiv 2504.19874) that one CPU can run, as CSV files and as the Markdown
// tables of README.md beside it. Real vectors come from a folder of .npy files; without it, Gaussian vectors alone are used.
//
//   paper OUT [FOLDER]      OUT: where the CSV files go; FOLDER: ada002_1536d_base.npy and the like
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include "../../examples/common/npy.hpp"
#include "turboquant/turboquant.hpp"

namespace {

namespace tq = turboquant;
using tq::Dynamic;
using tq::Index;
using tq::ScaleRule;

constexpr double kPi = 3.14159265358979323846;
constexpr int kSeeds = 8;  // of the rotation, each on all vectors

// --- Data ------------------------------------------------------------------------------------------------------------

struct Data {
    std::string name;
    Eigen::MatrixXf base, queries;  // of norm 1
};

Eigen::MatrixXf gaussian(Index dim, Index n, unsigned seed) {
    std::mt19937 engine(seed);
    std::normal_distribution<float> normal;
    return Eigen::MatrixXf::NullaryExpr(dim, n, [&] { return normal(engine); }).colwise().normalized();
}

Data gaussian_data(Index dim, Index n) { return {"Gaussian", gaussian(dim, n, 1), gaussian(dim, 200, 2)}; }

bool load(const std::string& folder, const std::string& file, const std::string& name, Data& data) {
    const std::string base = folder + "/" + file + "_base.npy";
    if (folder.empty() || !std::ifstream(base)) return false;
    data.name = name;
    data.base = examples::read_npy(base).columns().colwise().normalized();
    data.queries = examples::read_npy(folder + "/" + file + "_queries.npy").columns().colwise().normalized();
    return true;
}

class Csv {
public:
    Csv(const std::string& folder, const std::string& name, const std::string& header)
        : path_(folder + "/" + name), file_(path_) {
        if (!file_) throw std::runtime_error(path_ + ": cannot be opened for writing");
        file_ << header << '\n';
    }
    template <class First, class... Rest>
    void row(const First& first, const Rest&... rest) {
        file_ << first;
        ((file_ << ',' << rest), ...);
        if (!(file_ << '\n')) throw std::runtime_error(path_ + ": cannot be written");
    }

private:
    std::string path_;
    std::ofstream file_;
};

// visit(integral constant) for 1 … Last.
template <int Last, class Visit, int... I>
void for_bits(std::integer_sequence<int, I...>, const Visit& visit) {
    (visit(std::integral_constant<int, I + 1>()), ...);
}
template <int Last, class Visit>
void for_bits(const Visit& visit) {
    for_bits<Last>(std::make_integer_sequence<int, Last>(), visit);
}

template <int Bits>
using Mse = tq::MseQuantizer<Dynamic, Bits>;
template <int Bits>
using Turbo = tq::TurboQuantizer<Dynamic, Bits>;
template <int Bits>
using Trellis = tq::TrellisQuantizer<Dynamic, Bits>;
template <int Bits>
using GaussianTurbo = tq::TurboQuantizer<Dynamic, Bits, tq::SketchKind::gaussian>;

// --- Errors ----------------------------------------------------------------------------------------------------------

// Of one quantizer over vectors and queries of norm 1.
struct Errors {
    double distortion = 0;  // mean ‖x − x̂‖²
    double product = 0;     // d · mean of (⟨q, x̂⟩ − ⟨q, x⟩)²
    double bias = 0;        // mean of ⟨q, x̂⟩ − ⟨q, x⟩
    double slope = 0;       // Σ ⟨q, x̂⟩⟨q, x⟩ / Σ ⟨q, x⟩²
};

template <class Make>
Errors errors_of(const Data& data, const Make& make) {
    Errors sum;
    const Eigen::MatrixXf truth = data.base.transpose() * data.queries;
    for (int seed = 0; seed < kSeeds; ++seed) {
        const auto quantizer = make(data.base.rows(), static_cast<std::uint64_t>(seed));
        const Eigen::MatrixXf decoded = quantizer.decode(quantizer.encode(data.base));
        const Eigen::MatrixXf products = decoded.transpose() * data.queries;
        const Eigen::MatrixXd error = (products - truth).cast<double>();
        sum.distortion +=
            (decoded - data.base).cast<double>().squaredNorm() / static_cast<double>(data.base.cols());
        sum.product +=
            static_cast<double>(data.base.rows()) * error.squaredNorm() / static_cast<double>(error.size());
        sum.bias += error.mean();
        sum.slope += products.cast<double>().cwiseProduct(truth.cast<double>()).sum() /
                     truth.cast<double>().squaredNorm();
    }
    return {sum.distortion / kSeeds, sum.product / kSeeds, sum.bias / kSeeds, sum.slope / kSeeds};
}

template <class Quantizer>
auto plain() {
    return [](Index dim, std::uint64_t seed) { return Quantizer(dim, seed); };
}
template <class Quantizer>
auto with_rule(ScaleRule rule) {
    return [rule](Index dim, std::uint64_t seed) { return Quantizer(dim, seed, rule); };
}

// --- (a) Distortion against the bounds -----------------------------------------------------------------------------------

void distortion(const std::string& out, const std::vector<Data>& sets) {
    Csv csv(out, "distortion.csv",
            "data,bits,mse,mse_exact,prod_orthogonal,prod_gaussian,prod_theory,upper_mse,lower,upper_prod");
    std::puts("### Distortion\n");
    std::puts(
        "| data | b | mse ‖x − x̂‖² | Lloyd-Max, computed | 4^-b ≤ … ≤ √3π/2·4^-b | prod d·err², Gaussian S | "
        "π/2·D(b − 1) | "
        "orthogonal S | ≤ √3π²·4^-b |");
    std::puts("|---|---|---|---|---|---|---|---|---|");
    for (const Data& data : sets) {
        for_bits<5>([&](auto bits) {
            constexpr int kBits = decltype(bits)::value;
            const auto dim = data.base.rows();
            const double four = std::pow(4.0, -kBits), upper = std::sqrt(3.0) * kPi / 2 * four,
                         upper_product = std::sqrt(3.0) * kPi * kPi * four;
            const double exact = tq::LloydMaxCodebook<Dynamic, kBits>(dim).distortion();
            double before = 1;
            if constexpr (kBits > 1) before = tq::LloydMaxCodebook<Dynamic, kBits - 1>(dim).distortion();
            const Errors mse = errors_of(data, plain<Mse<kBits>>()),
                         prod = errors_of(data, plain<Turbo<kBits>>()),
                         published = errors_of(data, plain<GaussianTurbo<kBits>>());
            csv.row(data.name, kBits, mse.distortion, exact, prod.product, published.product,
                    kPi / 2 * before, upper, four, upper_product);
            std::printf("| %s | %d | %.5f | %.5f | %.5f … %.5f | %.4f | %.4f | %.4f | %.4f |\n",
                        data.name.c_str(), kBits, mse.distortion, exact, four, upper, published.product,
                        kPi / 2 * before, prod.product, upper_product);
            std::fflush(stdout);
        });
    }
}

// --- (b) Errors of inner products at 2 bits ------------------------------------------------------------------------------

void histograms(const std::string& out, const Data& data) {
    Csv csv(out, "histogram.csv", "error,mse,prod,unbiased"),
        by_size(out, "bias.csv", "mean_product,mse,prod,unbiased");
    const Eigen::MatrixXf truth = data.base.transpose() * data.queries;
    const Mse<2> mse(data.base.rows(), 0), unbiased(data.base.rows(), 0, ScaleRule::unbiased);
    const Turbo<2> prod(data.base.rows(), 0);
    const auto error_of = [&](const auto& quantizer) -> Eigen::MatrixXf {
        return quantizer.decode(quantizer.encode(data.base)).transpose() * data.queries - truth;
    };
    const Eigen::MatrixXf errors[] = {error_of(mse), error_of(prod), error_of(unbiased)};

    constexpr int kBins = 66;  // from −4.6/√d to 2/√d: the norm's bias is at −3.2
    const float root = std::sqrt(static_cast<float>(data.base.rows())), low = -4.6f / root,
                width = 6.6f / root / kBins;
    std::vector<std::vector<double>> counts(3, std::vector<double>(kBins));
    for (std::size_t k = 0; k < 3; ++k)
        for (Index i = 0; i < errors[k].size(); ++i) {
            const float place = (errors[k].data()[i] - low) / width;
            if (place >= 0 && place < kBins)
                counts[k][static_cast<std::size_t>(place)] += 1.0 / static_cast<double>(errors[k].size());
        }
    for (std::size_t i = 0; i < kBins; ++i)
        csv.row(low + (static_cast<float>(i) + 0.5f) * width, counts[0][i], counts[1][i], counts[2][i]);

    // Quarters of the pairs, by their inner product.
    std::vector<Index> order(static_cast<std::size_t>(truth.size()));
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<Index>(i);
    std::sort(order.begin(), order.end(),
              [&](Index a, Index b) { return truth.data()[a] < truth.data()[b]; });
    std::printf("\n### Errors of inner products at 2 bits, %s\n\n", data.name.c_str());
    std::puts(
        "| mean ⟨q, x⟩ of a quarter of the pairs | mse: mean error | deviation | prod: mean | deviation | "
        "unbiased scale: "
        "mean | deviation |");
    std::puts("|---|---|---|---|---|---|---|");
    const std::size_t quarter = order.size() / 4;
    for (std::size_t part = 0; part < 4; ++part) {
        double product = 0, mean[3] = {}, square[3] = {};
        for (std::size_t i = part * quarter; i < (part + 1) * quarter; ++i) {
            product += static_cast<double>(truth.data()[order[i]]);
            for (std::size_t k = 0; k < 3; ++k) {
                const auto error = static_cast<double>(errors[k].data()[order[i]]);
                mean[k] += error;
                square[k] += error * error;
            }
        }
        const auto n = static_cast<double>(quarter);
        std::printf("| %.4f ", product / n);
        for (std::size_t k = 0; k < 3; ++k) {
            mean[k] /= n;
            std::printf("| %+.5f | %.5f ", mean[k], std::sqrt(square[k] / n - mean[k] * mean[k]));
        }
        std::puts("|");
        by_size.row(product / n, mean[0], mean[1], mean[2]);
    }
}

// --- (c) Recall 1@k ------------------------------------------------------------------------------------------------------

void recall(const std::string& out, const std::vector<Data>& sets) {
    Csv csv(out, "recall.csv", "data,bits,k,recall");
    std::puts("\n### Recall 1@k: the nearest is among the first k\n");
    std::puts(
        "| data | b | 1@1 | 1@2 | 1@4 | 1@8 | 1@16 | 1@32 | 1@64 |\n|---|---|---|---|---|---|---|---|---|");
    for (const Data& data : sets) {
        std::vector<Index> nearest(static_cast<std::size_t>(data.queries.cols()));
        for (Index j = 0; j < data.queries.cols(); ++j)
            (data.base.transpose() * data.queries.col(j)).maxCoeff(&nearest[static_cast<std::size_t>(j)]);
        for_bits<4>([&](auto bits) {
            constexpr int kBits = decltype(bits)::value;
            Eigen::Array<double, 7, 1> found = Eigen::Array<double, 7, 1>::Zero();
            for (int seed = 0; seed < kSeeds; ++seed) {
                tq::FlatIndexOptions options;
                options.seed = static_cast<std::uint64_t>(seed);
                tq::FlatIndex<Dynamic, kBits> index(data.base.rows(), options);
                index.add(data.base);
                const tq::SearchResult hits = index.search(data.queries, 64);
                for (Index j = 0; j < data.queries.cols(); ++j)
                    for (Index i = 0; i < 64; ++i)
                        if (hits.ids(i, j) == nearest[static_cast<std::size_t>(j)])
                            for (Index p = 0; p < 7; ++p) found[p] += i < (Index{1} << p) ? 1 : 0;
            }
            found /= static_cast<double>(kSeeds * data.queries.cols());
            std::printf("| %s | %d ", data.name.c_str(), kBits);
            for (Index p = 0; p < 7; ++p) {
                std::printf("| %.3f ", found[p]);
                csv.row(data.name, kBits, 1 << p, found[p]);
            }
            std::puts("|");
            std::fflush(stdout);
        });
    }
}

// --- (d) Time ------------------------------------------------------------------------------------------------------------

// The median of five, in µs a vector.
template <class Quantizer>
double encode_time(const Quantizer& quantizer, const Eigen::MatrixXf& x) {
    tq::Codes codes;
    std::vector<double> times;
    for (int i = 0; i < 5; ++i) {
        codes.clear();
        const auto start = std::chrono::steady_clock::now();
        quantizer.encode(x, codes);
        times.push_back(
            std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
    }
    std::nth_element(times.begin(), times.begin() + 2, times.end());
    return times[2] / static_cast<double>(x.cols());
}

void time(const std::string& out) {
    Csv csv(out, "time.csv", "dim,structured_us,dense_us");
    std::printf("\n### Time to quantize, 4 bits, one core, target %s\n\n",
                tq::target_name(tq::active_target()));
    std::puts(
        "| d | structured rotation, µs a vector | 100 000 vectors, s | dense rotation, µs | ratio "
        "|\n|---|---|---|---|---|");
    for (Index dim : {200, 1536, 3072}) {
        const double fast = encode_time(Mse<4>(dim, 1), gaussian(dim, 1024, 3));
        const double dense =
            encode_time(tq::MseQuantizer<Dynamic, 4, tq::Rotation<Dynamic, tq::RotationKind::haar>>(dim, 1),
                        gaussian(dim, 64, 3));
        csv.row(dim, fast, dense);
        std::printf("| %td | %.3f | %.3f | %.1f | %.0f |\n", dim, fast, fast * 0.1, dense, dense / fast);
    }
}

// --- (f) Rate and distortion ---------------------------------------------------------------------------------------------

// Blocks of 32: the largest magnitude m as a half, and round(x/s) + 8 in 4 bits with s = −m/8 (the idea of ggml's q4_0).
double absmax_distortion(const Eigen::MatrixXf& x) {
    double error = 0;
    for (Index i = 0; i < x.cols(); ++i)
        for (Index j = 0; j < x.rows(); j += 32) {
            const auto block = x.col(i).segment(j, std::min<Index>(32, x.rows() - j));
            Index at = 0;
            block.cwiseAbs().maxCoeff(&at);
            const auto scale = static_cast<float>(Eigen::half(block[at] / -8.0f));
            for (Index k = 0; k < block.size(); ++k) {
                const float code =
                    scale == 0 ? 8.0f : std::clamp(std::floor(block[k] / scale + 8.5f), 0.0f, 15.0f);
                const auto difference = static_cast<double>(block[k] - (code - 8.0f) * scale);
                error += difference * difference;
            }
        }
    return error / static_cast<double>(x.cols());
}

void rate_distortion(const std::string& out, const std::vector<Data>& sets) {
    Csv csv(out, "rate.csv", "data,quantizer,bits,stored_bits,distortion,db_above_shannon");
    std::puts("\n### Rate and distortion: bits a coordinate with scales, and ‖x − x̂‖²\n");
    std::puts(
        "| data | quantizer | b | stored | distortion | above Shannon's 4^-stored, dB "
        "|\n|---|---|---|---|---|---|");
    for (const Data& data : sets) {
        const auto dim = static_cast<double>(data.base.rows());
        const auto row = [&](const char* name, int bits, double stored, double error) {
            const double gap = 10 * std::log10(error / std::pow(4.0, -stored));
            csv.row(data.name, name, bits, stored, error, gap);
            std::printf("| %s | %s | %d | %.3f | %.6f | %.2f |\n", data.name.c_str(), name, bits, stored,
                        error, gap);
            std::fflush(stdout);
        };
        for_bits<8>([&](auto bits) {
            constexpr int kBits = decltype(bits)::value;
            const double stored = kBits + 32 / dim;
            row("MseQuantizer; norm", kBits, stored, errors_of(data, plain<Mse<kBits>>()).distortion);
            row("MseQuantizer; least squares", kBits, stored,
                errors_of(data, with_rule<Mse<kBits>>(ScaleRule::least_squares)).distortion);
            row("MseQuantizer; unbiased", kBits, stored,
                errors_of(data, with_rule<Mse<kBits>>(ScaleRule::unbiased)).distortion);
        });
        for_bits<5>([&](auto bits) {
            constexpr int kBits = decltype(bits)::value;
            row("TurboQuantizer", kBits, kBits + (kBits > 1 ? 64 : 32) / dim,
                errors_of(data, plain<Turbo<kBits>>()).distortion);
        });
        for_bits<4>([&](auto bits) {
            constexpr int kBits = decltype(bits)::value;
            row("TrellisQuantizer; least squares", kBits, kBits + 32 / dim,
                errors_of(data, with_rule<Trellis<kBits>>(ScaleRule::least_squares)).distortion);
        });
        row("absmax; blocks of 32", 4, 4.5, absmax_distortion(data.base));
    }
}

int run(int argc, char** argv) {
    if (argc != 2 && argc != 3) {
        std::fputs("usage: paper OUT [FOLDER]\n", stderr);
        return 2;
    }
    const std::string out = argv[1], folder = argc == 3 ? argv[2] : "";
    std::vector<Data> wide{gaussian_data(1536, 2000)}, searched;
    Data data;
    if (load(folder, "ada002_1536d", "ada-002", data)) wide.push_back(data), searched.push_back(data);
    if (load(folder, "glove_100d", "GloVe-100", data)) searched.push_back(data);
    if (load(folder, "sentences_512d", "sentences-512", data)) searched.push_back(data);
    distortion(out, wide);
    histograms(out, wide.back());
    if (!searched.empty()) recall(out, searched);
    time(out);
    rate_distortion(out, wide);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "paper: %s\n", error.what());
        return 1;
    }
}
