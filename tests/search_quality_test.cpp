// Recall on real embeddings: what the int8 query, centring and the structured rotation do to it.
//
// The larger sets are looked for in TURBOQUANT_DATA, or shared/data beside the sources; without them their tests are skipped.
// Everything here is reproducible but the Haar rotations, which are so per build: margins say what a run may differ by.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "search_data.hpp"
#include "turboquant/turboquant.hpp"

namespace tq = turboquant;
using search_data::Set;
using tq::Dynamic;
using tq::Index;

namespace {

constexpr Index kK = 10;
using Hits = Eigen::Matrix<std::int64_t, Dynamic, Dynamic>;

// The kK best of every column of scores, in any order.
template <class Scores>
Hits best_of(const Scores& scores) {
    Hits best(kK, scores.cols());
    std::vector<Index> order(static_cast<std::size_t>(scores.rows()));
    for (Index j = 0; j < scores.cols(); ++j) {
        for (Index i = 0; i < scores.rows(); ++i) order[static_cast<std::size_t>(i)] = i;
        std::nth_element(order.begin(), order.begin() + kK, order.end(),
                         [&](Index a, Index b) { return scores(a, j) > scores(b, j); });
        for (Index i = 0; i < kK; ++i) best(i, j) = order[static_cast<std::size_t>(i)];
    }
    return best;
}

Hits exact_hits(const Set& set) {
    Eigen::MatrixXf scores(set.base.cols(), set.queries.cols());
    scores.noalias() = set.base.transpose() * set.queries;
    return best_of(scores);
}

double recall(const Hits& found, const Hits& exact) {
    Index both = 0;
    for (Index j = 0; j < exact.cols(); ++j)
        for (Index i = 0; i < kK; ++i) both += (found.col(j).array() == exact(i, j)).any() ? 1 : 0;
    return static_cast<double>(both) / static_cast<double>(exact.size());
}

tq::FlatIndexOptions options_of(std::uint64_t seed, bool centring) {
    tq::FlatIndexOptions options;
    options.seed = seed;
    options.centring = centring;
    return options;
}

template <class FlatIndexT>
double recall_of(const Set& set, const Hits& exact, std::uint64_t seed, bool centring) {
    FlatIndexT index(set.base.rows(), options_of(seed, centring));
    index.add(set.base);
    return recall(index.search(set.queries, kK).ids, exact);
}

struct Mean {
    double value, standard_error;
};
Mean mean_of(const std::vector<double>& x) {
    double mean = 0, squares = 0;
    for (const double value : x) mean += value / static_cast<double>(x.size());
    for (const double value : x) squares += (value - mean) * (value - mean);
    const auto n = static_cast<double>(x.size());
    return {mean, std::sqrt(squares / (n * (n - 1)))};
}

// --- int8 scores --------------------------------------------------------------------------------------------------------------

// The same codes, decoded, and scored in double: <q − μ, x̂> + <μ, x − μ>; <q, μ> ranks nothing.
template <int Bits>
void integer_scan_costs_nothing(const Set& set, const Hits& exact) {
    const Index dim = set.base.rows();
    tq::FlatIndex<Dynamic, Bits> index(dim, options_of(7, true));
    index.add(set.base);
    const double integer = recall(index.search(set.queries, kK).ids, exact);

    const Eigen::VectorXf mean = index.mean();
    const Eigen::MatrixXf centred = set.base.colwise() - mean;
    const Eigen::MatrixXd decoded =
        index.quantizer().decode(index.quantizer().encode(centred)).template cast<double>();
    const Eigen::MatrixXd queries = (set.queries.colwise() - mean).template cast<double>();
    Eigen::MatrixXd scores(set.base.cols(), set.queries.cols());
    scores.noalias() = decoded.transpose() * queries;
    const Eigen::VectorXd terms = centred.template cast<double>().transpose() * mean.template cast<double>();
    scores.colwise() += terms;
    const double floating = recall(best_of(scores), exact);
    std::printf("%s, %d bits: recall@10 %.4f by int8, %.4f in double\n", set.name.c_str(), Bits, integer,
                floating);
    EXPECT_NEAR(integer, floating, .002) << set.name << ", " << Bits << " bits";
}

TEST(SearchQuality, IntegerScanOfTheSmallSet) {
    const Set set = search_data::small_glove();
    const Hits exact = exact_hits(set);
    integer_scan_costs_nothing<1>(set, exact);
    integer_scan_costs_nothing<2>(set, exact);
    integer_scan_costs_nothing<3>(set, exact);
    integer_scan_costs_nothing<4>(set, exact);
}

TEST(SearchQuality, IntegerScan) {
    for (const std::string name : {"glove_100d", "sentences_512d"}) {
        if (!search_data::present(name)) GTEST_SKIP() << name << " is not in " << search_data::folder();
        const Set set = search_data::load(name, 12000, name == "glove_100d" ? 1000 : 500);
        const Hits exact = exact_hits(set);
        integer_scan_costs_nothing<2>(set, exact);
        integer_scan_costs_nothing<4>(set, exact);
    }
}

// --- Centring -----------------------------------------------------------------------------------------------------------------

// Paired: the same seeds with and without. Returns the gain.
Mean gain_of_centring(const Set& set) {
    const Hits exact = exact_hits(set);
    std::vector<double> gains, with;
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        with.push_back(recall_of<tq::FlatIndex<Dynamic, 2>>(set, exact, seed, true));
        gains.push_back(with.back() - recall_of<tq::FlatIndex<Dynamic, 2>>(set, exact, seed, false));
    }
    const Mean gain = mean_of(gains);
    std::printf("%s, 2 bits: recall@10 %.4f centred, %+.4f ± %.4f\n", set.name.c_str(), mean_of(with).value,
                gain.value, gain.standard_error);
    return gain;
}

// More than two standard errors of the five seeds' mean.
TEST(SearchQuality, CentringHelps) {
    for (const std::string name : {"ada002_1536d", "sentences_512d"}) {
        if (!search_data::present(name)) GTEST_SKIP() << name << " is not in " << search_data::folder();
        const Mean gain = gain_of_centring(search_data::load(name, 12000, 500));
        EXPECT_GT(gain.value, 2 * gain.standard_error) << name;
    }
}

TEST(SearchQuality, CentringDoesNotHurt) {
    const Mean small = gain_of_centring(search_data::small_glove());
    EXPECT_GE(small.value, 0.0);
    if (!search_data::present("glove_100d")) GTEST_SKIP() << "glove_100d is not in " << search_data::folder();
    EXPECT_GE(gain_of_centring(search_data::load("glove_100d", 50000, 500)).value, 0.0);
}

// --- Rotation -----------------------------------------------------------------------------------------------------------------

// Against a uniformly random rotation, over seeds of both: within two standard errors of the difference.
void as_good_as_haar(const Set& set, std::uint64_t seeds) {
    using Haar =
        tq::BasicFlatIndex<tq::MseQuantizer<Dynamic, 2, tq::Rotation<Dynamic, tq::RotationKind::haar>>>;
    const Hits exact = exact_hits(set);
    std::vector<double> structured, haar;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        structured.push_back(recall_of<tq::FlatIndex<Dynamic, 2>>(set, exact, seed, true));
        haar.push_back(recall_of<Haar>(set, exact, seed, true));
    }
    const Mean a = mean_of(structured), b = mean_of(haar);
    std::printf("%s, 2 bits, %d seeds: recall@10 %.4f ± %.4f structured, %.4f ± %.4f Haar\n",
                set.name.c_str(), static_cast<int>(seeds), a.value, a.standard_error, b.value,
                b.standard_error);
    EXPECT_LE(std::abs(a.value - b.value), 2 * std::hypot(a.standard_error, b.standard_error)) << set.name;
}

TEST(SearchQuality, StructuredRotationAsGoodAsHaar) { as_good_as_haar(search_data::small_glove(), 20); }

TEST(SearchQuality, StructuredRotationAsGoodAsHaarOnSentences) {
    if (!search_data::present("sentences_512d"))
        GTEST_SKIP() << "sentences_512d is not in " << search_data::folder();
    as_good_as_haar(search_data::load("sentences_512d", 4000, 500), 10);
}

}  // namespace
