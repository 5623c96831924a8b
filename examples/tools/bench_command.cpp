// bench: every estimator at every number of bits on the user's own vectors.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include <turboquant/simd/target.hpp>

#include "../common/vectors.hpp"
#include "any_quantizer.hpp"
#include "commands.hpp"
#include "report.hpp"

namespace tools {
namespace {

constexpr Index kMostVectors = 20000, kMostQueries = 50;

// Every so-manieth column, `most` of them at the most.
Eigen::MatrixXf sample(const Eigen::MatrixXf& x, Index most) {
    const Index count = std::min(x.cols(), most);
    Eigen::MatrixXf some(x.rows(), count);
    for (Index i = 0; i < count; ++i) some.col(i) = x.col(i * x.cols() / count);
    return some;
}

// The fastest of three, in ns for each of n.
template <class Work>
double time_each(double n, const Work& work) {
    double best = 1e300;
    for (int i = 0; i < 3; ++i) {
        const Timer timer;
        work();
        best = std::min(best, timer.seconds());
    }
    return best / n * 1e9;
}

// √d times the root of the mean square of (estimate − <x, q>)/(‖x‖‖q‖).
double product_error(const Eigen::MatrixXf& estimates, const Eigen::MatrixXf& x,
                     const Eigen::MatrixXf& queries) {
    const Eigen::MatrixXf norms = x.colwise().norm().transpose() * queries.colwise().norm();
    const Eigen::MatrixXf errors = (estimates - x.transpose() * queries).array() / norms.array().max(1e-30f);
    return std::sqrt(errors.cast<double>().array().square().mean() * static_cast<double>(x.rows()));
}

}  // namespace

void bench(const BenchOptions& options) {
    const Eigen::MatrixXf all = examples::read_vectors(options.input);
    const Eigen::MatrixXf x = sample(all, kMostVectors), queries = sample(all, kMostQueries);
    const auto n = static_cast<double>(x.cols());
    std::printf("%td of %td vectors of dimension %td, %td of them as queries; target %s, %d thread%s\n\n",
                x.cols(), all.cols(), x.rows(), queries.cols(), tq::target_name(tq::active_target()),
                options.threads, options.threads == 1 ? "" : "s");
    std::puts(
        "                             bytes/           √d·error of   ns a vector       ns a\n"
        "bits  estimator              vector distortion  products   encode  decode  product");
    const Codec codecs[] = {
        {0, Estimator::norm, false, options.seed},          {0, Estimator::unbiased, false, options.seed},
        {0, Estimator::least_squares, false, options.seed}, {0, Estimator::turbo, false, options.seed},
        {0, Estimator::unbiased, true, options.seed, 6},    {0, Estimator::unbiased, true, options.seed},
        {0, Estimator::least_squares, true, options.seed}};
    for (const int bits : {1, 2, 3, 4, 5, 6, 8})
        for (Codec codec : codecs) {
            if (codec.trellis && bits > 4) continue;
            codec.bits = bits;
            const auto quantizer = make_quantizer(codec, x.rows());
            tq::Codes codes;
            const double encode = time_each(n, [&] {
                codes.clear();
                quantizer->append(x, 0, x.cols(), codes, options.threads);
            });
            Eigen::MatrixXf decoded(x.rows(), x.cols()), products(x.cols(), queries.cols());
            const double decode = time_each(n, [&] { quantizer->decode(codes, decoded, options.threads); });
            const double product = time_each(n * static_cast<double>(queries.cols()), [&] {
                quantizer->inner_products(codes, queries, products, options.threads);
            });
            std::printf("%4d  %-22s %6zu %10.5f %9.4f %8.0f %7.0f %8.2f\n", bits, codec.name().c_str(),
                        quantizer->bytes_per_vector(), mean_distortion(*quantizer, codes, x, options.threads),
                        product_error(products, x, queries), encode, decode, product);
            std::fflush(stdout);
        }
}

}  // namespace tools
