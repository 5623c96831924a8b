// FlatIndex on quantizers other than the usual one: fixed dimensions, other rotations and scales, sketches.
#include <gtest/gtest.h>

#include "flat_index_support.hpp"
#include "turboquant/turboquant.hpp"

namespace tq = turboquant;
using namespace flat_index_support;
using tq::Dynamic;

namespace {

TEST(FlatIndexQuantizers, FixedDimension) {
    scores_as_theory_says<tq::FlatIndex<64, 4>>(64, unbiased_variance<4>(64));
    scores_as_theory_says<tq::FlatIndex<75, 3>>(75, unbiased_variance<3>(75));
    scores_as_theory_says<tq::FlatIndex<64, 5>>(64, unbiased_variance<5>(64));
}

TEST(FlatIndexQuantizers, FixedAndFreeDimensionAgree) {
    tq::FlatIndex<75, 3> fixed(options_of(Metric::l2, true));
    tq::FlatIndex<Dynamic, 3> free(75, options_of(Metric::l2, true));
    const Eigen::MatrixXf x = vectors(75, 1100, 1), queries = vectors(75, 5, 2);
    fixed.add(x);
    free.add(x);
    EXPECT_TRUE(same(fixed.search(queries, 10), free.search(queries, 10)));
}

TEST(FlatIndexQuantizers, HaarRotation) {
    using Quantizer = tq::MseQuantizer<Dynamic, 2, tq::Rotation<Dynamic, tq::RotationKind::haar>>;
    scores_as_theory_says<tq::BasicFlatIndex<Quantizer>>(64, unbiased_variance<2>(64));
}

// A relative error of the scale up to 2^-8 adds nothing that could be seen at 2 bits.
TEST(FlatIndexQuantizers, ShortScale) {
    using Quantizer = tq::MseQuantizer<Dynamic, 2, tq::Rotation<Dynamic>, Eigen::bfloat16>;
    scores_as_theory_says<tq::BasicFlatIndex<Quantizer>>(64, unbiased_variance<2>(64));
}

TEST(FlatIndexQuantizers, TurboQuantizer) {
    scores_as_theory_says<tq::BasicFlatIndex<tq::TurboQuantizer<64, 1>>>(64, unbiased_variance<1>(64));
    // The residual after 2 bits, estimated by one more.
    const double d = tq::LloydMaxCodebook<Dynamic, 2>(75).distortion();
    scores_as_theory_says<tq::BasicFlatIndex<tq::TurboQuantizer<Dynamic, 3>>>(75,
                                                                              d * unbiased_variance<1>(75));
}

TEST(FlatIndexQuantizers, ResidualSignQuantizer) {
    scores_as_theory_says<tq::BasicFlatIndex<tq::ResidualSignQuantizer<Dynamic>>>(75,
                                                                                  unbiased_variance<1>(75));
}

// A quantizer of one's own making: its seed and scale rule count, not those of the options.
TEST(FlatIndexQuantizers, GivenQuantizer) {
    using Quantizer = tq::MseQuantizer<Dynamic, 2>;
    auto options = options_of(Metric::inner_product, false);
    options.seed = 1;
    tq::BasicFlatIndex<Quantizer> index(Quantizer(64, 99, tq::ScaleRule::norm), options), usual(64, options);
    EXPECT_EQ(index.quantizer().id().seed, 99u);
    EXPECT_EQ(usual.quantizer().scale_rule(), tq::ScaleRule::unbiased);
    const Eigen::MatrixXf x = vectors(64, 2000, 1);
    index.add(x);
    usual.add(x);
    // `norm` shrinks products by 1 − D: of vectors with themselves, here of 100.
    const Eigen::VectorXf norms = x.colwise().squaredNorm();
    double shrunk = 0, unbiased = 0;
    for (Index i = 0; i < 2000; i += 20) {
        shrunk += static_cast<double>(index.scores(x.col(i))(i, 0) / norms[i]) / 100;
        unbiased += static_cast<double>(usual.scores(x.col(i))(i, 0) / norms[i]) / 100;
    }
    const double distortion = tq::LloydMaxCodebook<Dynamic, 2>(64).distortion();
    EXPECT_NEAR(shrunk, 1 - distortion, .02);
    EXPECT_NEAR(unbiased, 1.0, .001);  // <x, x̂> = ‖x‖² up to the rounding of the query
}

}  // namespace
