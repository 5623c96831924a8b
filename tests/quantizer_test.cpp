// The quantizers against a naive reference: records written and read by plain loops from the definitions, arithmetic in
// double; scores against decoded vectors; every way to hand vectors over.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "test_vectors.hpp"
#include "turboquant/turboquant.hpp"

namespace tq = turboquant;
using test_vectors::bytes_of;
using test_vectors::gaussian;
using tq::Codes;
using tq::Dynamic;
using tq::Index;
using tq::RotationKind;
using tq::ScaleRule;
using tq::SketchKind;

namespace {

constexpr std::uint64_t kSeed = 7;

// --- What each type is, by its template arguments ---------------------------------------------------------------------

struct Facts {
    int index_bits;
    bool sketch, gaussian;
    int scale_bytes;
    RotationKind rotation;
};

template <class Q>
struct Traits;
template <int Dim, int Bits, RotationKind Kind, class Scale>
struct Traits<tq::MseQuantizer<Dim, Bits, tq::Rotation<Dim, Kind>, Scale>> {
    static constexpr Facts kFacts{Bits, false, false, sizeof(Scale), Kind};
    using OfDynamicDim = tq::MseQuantizer<Dynamic, Bits, tq::Rotation<Dynamic, Kind>, Scale>;
};
template <int Dim, int Bits, SketchKind Sketch, RotationKind Kind>
struct Traits<tq::TurboQuantizer<Dim, Bits, Sketch, tq::Rotation<Dim, Kind>>> {
    static constexpr Facts kFacts{Bits - 1, true, Sketch == SketchKind::gaussian, Bits > 1 ? 4 : 0, Kind};
    using OfDynamicDim = tq::TurboQuantizer<Dynamic, Bits, Sketch, tq::Rotation<Dynamic, Kind>>;
};
template <int Dim, SketchKind Sketch>
struct Traits<tq::ResidualSignQuantizer<Dim, Sketch>> {
    static constexpr Facts kFacts{0, true, Sketch == SketchKind::gaussian, 0, RotationKind::hadamard};
    using OfDynamicDim = tq::ResidualSignQuantizer<Dynamic, Sketch>;
};

// --- The reference ------------------------------------------------------------------------------------------------------

Eigen::MatrixXd rotated(RotationKind kind, Index dim, tq::RandomStream stream, const Eigen::MatrixXd& x,
                        bool transpose) {
    const Eigen::MatrixXf input = x.cast<float>();
    const auto turn = [&](const auto& rotation) -> Eigen::MatrixXf {
        return transpose ? rotation.apply_transpose(input) : rotation.apply(input);
    };
    const Eigen::MatrixXf y = kind == RotationKind::haar
                                  ? turn(tq::Rotation<Dynamic, RotationKind::haar>(dim, kSeed, stream))
                                  : turn(tq::Rotation<Dynamic>(dim, kSeed, stream));
    return y.cast<double>();
}

Eigen::MatrixXd sketched(const Facts& facts, Index dim, const Eigen::MatrixXd& x, bool transpose) {
    if (!facts.gaussian) return rotated(RotationKind::hadamard, dim, tq::RandomStream::sketch, x, transpose);
    std::vector<double> deviates(static_cast<std::size_t>(dim * dim));
    tq::detail::fill_standard_normal(tq::RandomBits(kSeed, tq::RandomStream::gaussian_sketch),
                                     deviates.data(), deviates.size());
    const Eigen::MatrixXd s = Eigen::Map<const Eigen::MatrixXd>(deviates.data(), dim, dim);
    return transpose ? Eigen::MatrixXd(s.transpose() * x) : Eigen::MatrixXd(s * x);
}

// A record taken apart, bit by bit.
struct Record {
    std::vector<int> codes;
    std::vector<int> signs;  // 1 = negative
    double scale = 0, sketch_scale = 0;
    bool unused_bits_are_zero = true;
    std::size_t size = 0;
};

int bit_of(const std::uint8_t* bytes, Index bit) { return bytes[bit / 8] >> (bit % 8) & 1; }

template <class Scale>
double scale_at(const std::uint8_t* p) {
    Scale scale;
    std::memcpy(&scale, p, sizeof scale);
    return static_cast<double>(static_cast<float>(scale));
}

Record take_apart(const Facts& facts, bool bfloat16, Index dim, const std::uint8_t* bytes) {
    Record record;
    Index bits = facts.index_bits * dim;
    for (Index j = 0; j < dim && facts.index_bits > 0; ++j) {
        int code = 0;
        for (int k = 0; k < facts.index_bits; ++k) code |= bit_of(bytes, facts.index_bits * j + k) << k;
        record.codes.push_back(code);
    }
    for (Index i = bits; i % 8 != 0; ++i) record.unused_bits_are_zero &= bit_of(bytes, i) == 0;
    const std::uint8_t* at = bytes + (bits + 7) / 8;
    if (facts.sketch) {
        for (Index j = 0; j < dim; ++j) record.signs.push_back(bit_of(at, j));
        for (Index i = dim; i % 8 != 0; ++i) record.unused_bits_are_zero &= bit_of(at, i) == 0;
        at += (dim + 7) / 8;
    }
    if (facts.scale_bytes == 4) record.scale = scale_at<float>(at);
    if (facts.scale_bytes == 2)
        record.scale = bfloat16 ? scale_at<Eigen::bfloat16>(at) : scale_at<Eigen::half>(at);
    at += facts.scale_bytes;
    if (facts.sketch) {
        record.sketch_scale = scale_at<float>(at);
        at += 4;
    }
    record.size = static_cast<std::size_t>(at - bytes);
    return record;
}

// The code of a coordinate y of the unit vector, by the definition in codebook_table.hpp, and by how little it could
// have been another one: rounding to the int16 grid, and the thresholds' own rounding to float, leave either open within
// a few parts in 2^24 of the value.
struct ExpectedCode {
    int code;
    bool on_a_boundary;
};
ExpectedCode expected_code(double y, Index dim, int bits, double units, const Eigen::VectorXf& thresholds) {
    const double root_dim = std::sqrt(static_cast<double>(dim));
    const double steps = y * root_dim * units;
    const double tolerance = 1e-3 + 4 * 0x1p-24 * std::abs(steps);
    const double rounded = std::nearbyint(steps);
    bool open = std::abs(std::abs(steps - rounded) - 0.5) < tolerance;
    const double m = std::min(std::abs(rounded), 32767.0);
    const int half = 1 << (bits - 1);
    int k = 0;
    for (int i = half; i < 2 * half - 1; ++i) {
        const double exact = static_cast<double>(thresholds[i]) * root_dim * units;
        if (std::ceil(exact) <= m) ++k;
        const double off = std::abs(exact - std::nearbyint(exact));
        if (off < 4 * 0x1p-24 * exact && std::abs(m - exact) < 1.5) open = true;
    }
    return {rounded >= 0 ? half + k : half - 1 - k, open};
}

// Nearest by its definition too: no other centroid is nearer than the code's by more than a grid step.
double excess_distance(double y, int code, const Eigen::VectorXf& centroids) {
    return std::abs(y - static_cast<double>(centroids[code])) -
           (centroids.cast<double>().array() - y).abs().minCoeff();
}

struct Tables {
    Eigen::VectorXf centroids, thresholds;
    double units = 0;
};

void check_records(const Facts& facts, const Tables& tables, ScaleRule rule, bool bfloat16,
                   std::size_t bytes_per_vector, const Codes& codes, const Eigen::MatrixXf& x,
                   const Eigen::MatrixXf& decoded) {
    const Index dim = x.rows();
    ASSERT_EQ(codes.size(), x.cols());
    ASSERT_EQ(codes.bytes(), static_cast<std::size_t>(x.cols()) * bytes_per_vector);
    const Eigen::MatrixXd exact = x.cast<double>();
    const Eigen::MatrixXd y =
        facts.index_bits > 0 ? rotated(facts.rotation, dim, tq::RandomStream::rotation, exact, false) : exact;
    Eigen::MatrixXd residuals(dim, x.cols()), chosen = Eigen::MatrixXd::Zero(dim, x.cols());
    Eigen::MatrixXd signs = Eigen::MatrixXd::Zero(dim, x.cols());
    std::vector<Record> records;
    for (Index i = 0; i < x.cols(); ++i) {
        records.push_back(take_apart(facts, bfloat16, dim, codes[i].data()));
        const Record& record = records.back();
        EXPECT_EQ(record.size, bytes_per_vector);
        EXPECT_TRUE(record.unused_bits_are_zero);
        const double norm = exact.col(i).norm();
        for (Index j = 0; j < dim; ++j) {
            if (facts.sketch) signs(j, i) = record.signs[static_cast<std::size_t>(j)] != 0 ? -1 : 1;
            if (facts.index_bits == 0) continue;
            const int code = record.codes[static_cast<std::size_t>(j)];
            chosen(j, i) = static_cast<double>(tables.centroids[code]);
            const double coordinate = y(j, i) / norm;
            const ExpectedCode expected =
                expected_code(coordinate, dim, facts.index_bits, tables.units, tables.thresholds);
            EXPECT_LE(std::abs(code - expected.code), expected.on_a_boundary ? 1 : 0)
                << "column " << i << ", coordinate " << j;
            EXPECT_LE(excess_distance(coordinate, code, tables.centroids),
                      2.0 / (tables.units * std::sqrt(static_cast<double>(dim))) + 1e-6);
        }
        residuals.col(i) = y.col(i) - norm * chosen.col(i);
        // The scale by its formula. Float sums of d terms: relative error below 1e-5. A stored 16-bit scale: its ulp.
        if (facts.index_bits > 0) {
            const double dot = y.col(i).dot(chosen.col(i));
            const double scale = rule == ScaleRule::norm       ? norm
                                 : rule == ScaleRule::unbiased ? norm * norm / dot
                                                               : dot / chosen.col(i).squaredNorm();
            const double relative = facts.scale_bytes == 4 ? 0 : bfloat16 ? 0x1p-8 : 0x1p-11;
            EXPECT_NEAR(record.scale, scale, (1e-5 + relative) * scale);
        }
    }
    Eigen::MatrixXd back = chosen;
    for (Index i = 0; i < x.cols(); ++i) back.col(i) *= records[static_cast<std::size_t>(i)].scale;
    if (facts.sketch) {
        const Eigen::MatrixXd sketch = sketched(facts, dim, residuals, false);
        Eigen::MatrixXd add = sketched(facts, dim, signs, true);
        for (Index i = 0; i < x.cols(); ++i) {
            const Record& record = records[static_cast<std::size_t>(i)];
            // y and c cancel to the residual: an error of 1e-6 of ‖x‖.
            const double slack = 2e-6 * exact.col(i).norm();
            const double unit = facts.gaussian ? 4 * std::sqrt(static_cast<double>(dim)) : 1.0;
            for (Index j = 0; j < dim; ++j)
                EXPECT_TRUE((signs(j, i) < 0) == (sketch(j, i) < 0) || std::abs(sketch(j, i)) <= slack * unit)
                    << "column " << i << ", coordinate " << j;
            const double r = residuals.col(i).norm();
            const double scale = facts.gaussian ? r : r * r / sketch.col(i).lpNorm<1>();
            EXPECT_NEAR(record.sketch_scale, scale, (1e-5 + 2 * slack / r) * scale);
            const double factor =
                facts.gaussian ? std::sqrt(std::acos(-1.0) / 2) / static_cast<double>(dim) : 1.0;
            back.col(i) += record.sketch_scale * factor * add.col(i);
        }
    }
    if (facts.index_bits > 0) back = rotated(facts.rotation, dim, tq::RandomStream::rotation, back, true);
    for (Index i = 0; i < x.cols(); ++i)
        EXPECT_LE((decoded.col(i).cast<double>() - back.col(i)).norm(), 4e-6 * back.col(i).norm()) << i;
}

template <class Quantizer>
void check_records(const Quantizer& quantizer, const Eigen::MatrixXf& x, ScaleRule rule,
                   bool bfloat16 = false) {
    constexpr Facts kFacts = Traits<Quantizer>::kFacts;
    Tables tables;
    if constexpr (kFacts.index_bits > 0) {
        const tq::LloydMaxCodebook<Dynamic, kFacts.index_bits> book(quantizer.dim());
        tables = {book.centroids(), book.thresholds(), static_cast<double>(book.table().units)};
    }
    const Codes codes = quantizer.encode(x);
    check_records(kFacts, tables, rule, bfloat16, quantizer.bytes_per_vector(), codes, x,
                  quantizer.decode(codes));
}

// --- Typed over kind, dimension and bits --------------------------------------------------------------------------------

template <class Q, int D>
struct Case {
    using Quantizer = Q;
    static constexpr Index kDim = D;
};

template <class C>
class QuantizerOf : public testing::Test {};

template <int Dim, int Bits>
using Mse = tq::MseQuantizer<Dim, Bits>;
using HaarMse = tq::MseQuantizer<Dynamic, 4, tq::Rotation<Dynamic, RotationKind::haar>>;
using HalfMse = tq::MseQuantizer<Dynamic, 4, tq::Rotation<Dynamic>, Eigen::half>;
using GaussianTurbo = tq::TurboQuantizer<Dynamic, 4, SketchKind::gaussian>;

using Cases =
    testing::Types<Case<Mse<128, 1>, 128>, Case<Mse<Dynamic, 2>, 100>, Case<Mse<96, 3>, 96>,
                   Case<Mse<1536, 4>, 1536>, Case<Mse<Dynamic, 4>, 33>, Case<Mse<Dynamic, 5>, 65>,
                   Case<Mse<80, 6>, 80>, Case<Mse<64, 8>, 64>, Case<HaarMse, 60>, Case<HalfMse, 128>,
                   Case<tq::TurboQuantizer<128, 4>, 128>, Case<tq::TurboQuantizer<Dynamic, 1>, 100>,
                   Case<tq::TurboQuantizer<Dynamic, 2>, 300>, Case<tq::TurboQuantizer<48, 8>, 48>,
                   Case<GaussianTurbo, 100>, Case<tq::ResidualSignQuantizer<64>, 64>,
                   Case<tq::ResidualSignQuantizer<Dynamic, SketchKind::gaussian>, 75>>;
TYPED_TEST_SUITE(QuantizerOf, Cases, );

TYPED_TEST(QuantizerOf, BytesPerVector) {
    using Quantizer = typename TypeParam::Quantizer;
    static_assert(tq::is_quantizer_v<Quantizer>);
    constexpr Facts kFacts = Traits<Quantizer>::kFacts;
    const Quantizer quantizer(TypeParam::kDim, kSeed);
    const auto d = static_cast<std::size_t>(TypeParam::kDim);
    const std::size_t expected = (static_cast<std::size_t>(kFacts.index_bits) * d + 7) / 8 +
                                 static_cast<std::size_t>(kFacts.scale_bytes) +
                                 (kFacts.sketch ? (d + 7) / 8 + 4 : 0);
    EXPECT_EQ(quantizer.bytes_per_vector(), expected);
    EXPECT_EQ(quantizer.dim(), TypeParam::kDim);
    EXPECT_DOUBLE_EQ(quantizer.bits_per_coordinate(),
                     8.0 * static_cast<double>(expected) / static_cast<double>(d));
}

TYPED_TEST(QuantizerOf, RecordsFollowTheirDefinition) {
    using Quantizer = typename TypeParam::Quantizer;
    const Index dim = TypeParam::kDim;
    Eigen::MatrixXf x(dim, 14);
    x.leftCols(10) = gaussian(dim, 10, 1);
    x.col(10).setConstant(1.0f);
    x.col(11) = Eigen::VectorXf::Unit(dim, dim - 1) * -3.0f;
    x.col(12) = Eigen::VectorXf::LinSpaced(dim, 0.5f, 2.0f);
    x.col(13) = gaussian(dim, 1, 2) * 1e-20f;
    if constexpr (Traits<Quantizer>::kFacts.sketch) {
        check_records(Quantizer(dim, kSeed), x, ScaleRule::norm);
    } else {
        if (Traits<Quantizer>::kFacts.scale_bytes == 2) x.col(13).setConstant(0.5f);
        for (const ScaleRule rule : {ScaleRule::norm, ScaleRule::unbiased, ScaleRule::least_squares})
            check_records(Quantizer(dim, kSeed, rule), x, rule);
    }
}

TYPED_TEST(QuantizerOf, FixedAndDynamicDimGiveTheSameBytes) {
    using Quantizer = typename TypeParam::Quantizer;
    using OfDynamicDim = typename Traits<Quantizer>::OfDynamicDim;
    const Quantizer quantizer(TypeParam::kDim, kSeed);
    const OfDynamicDim dynamic(TypeParam::kDim, kSeed);
    const Eigen::MatrixXf x = gaussian(TypeParam::kDim, 6, 3);
    const Codes codes = quantizer.encode(x);
    EXPECT_EQ(bytes_of(codes), bytes_of(dynamic.encode(x)));
    EXPECT_EQ(codes.fingerprint(), dynamic.fingerprint());
    EXPECT_TRUE(dynamic.decode(codes) == quantizer.decode(codes));
}

// What inner_products may differ by from those of the decoded vectors, relative to the product of the norms. The kernels'
// float sums have 32 partial sums of d/32 terms: a few 1e-7 up to d = 1536, 1e-5 is the bound stated here. Rounded
// queries add a root mean square of .0105/√d up to 4 bits of indices, of 1.3e-4/√d beyond where there is no sketch: here six
// times that.
template <class Quantizer>
double product_tolerance(Index dim) {
    const Quantizer quantizer(dim, kSeed);
    const auto& plan = quantizer.plan();
    const double rounding = plan.bits <= 4 ? 0.0105 : plan.sketch != nullptr ? 0.0 : 1.3e-4;
    return 1e-5 + 6 * rounding / std::sqrt(static_cast<double>(dim));
}

// Scores against the decoded vectors, in double.
void check_scores(const Eigen::MatrixXd& x, const Eigen::MatrixXd& q, const Eigen::MatrixXf& dots,
                  const Eigen::MatrixXf& distances, double tolerance) {
    for (Index i = 0; i < x.cols(); ++i) {
        for (Index j = 0; j < q.cols(); ++j) {
            const double x_norm = x.col(i).norm(), q_norm = q.col(j).norm();
            EXPECT_NEAR(static_cast<double>(dots(i, j)), x.col(i).dot(q.col(j)), tolerance * x_norm * q_norm);
            const double distance = (q.col(j) - x.col(i)).squaredNorm();
            const double slack = 2e-6 * (x_norm + q_norm);  // of the vectors, before squaring
            EXPECT_NEAR(static_cast<double>(distances(i, j)), distance,
                        1e-5 * distance + 2 * slack * std::sqrt(distance) + slack * slack);
        }
    }
}

TYPED_TEST(QuantizerOf, ScoresAreThoseOfTheDecodedVectors) {
    using Quantizer = typename TypeParam::Quantizer;
    const Index dim = TypeParam::kDim;
    const Quantizer quantizer(dim, kSeed);
    const Codes a = quantizer.encode(gaussian(dim, 7, 1)), b = quantizer.encode(gaussian(dim, 6, 2) * 3.0f);
    const Eigen::MatrixXd x = quantizer.decode(a).template cast<double>(),
                          z = quantizer.decode(b).template cast<double>();
    const std::vector<Index> some = {6, 0, 3, 3};
    for (const Index count : {1, 4, 7, 130}) {
        Eigen::MatrixXf queries = gaussian(dim, count, 4);
        if (count == 7) queries = quantizer.decode(a);  // distances near zero
        const Eigen::MatrixXf dots = quantizer.inner_products(a, queries);
        const Eigen::MatrixXf distances = quantizer.squared_distances(a, queries);
        ASSERT_EQ(dots.rows(), 7);
        ASSERT_EQ(dots.cols(), count);
        check_scores(x, queries.cast<double>(), dots, distances, product_tolerance<Quantizer>(dim));
        const Eigen::MatrixXf some_dots = quantizer.inner_products(a, some, queries);
        const Eigen::MatrixXf some_distances = quantizer.squared_distances(a, some, queries);
        for (std::size_t i = 0; i < some.size(); ++i) {
            EXPECT_TRUE(some_dots.row(static_cast<Index>(i)) == dots.row(some[i]));
            EXPECT_TRUE(some_distances.row(static_cast<Index>(i)) == distances.row(some[i]));
        }
        // Into the caller's memory, with a stride.
        Eigen::MatrixXf wide = Eigen::MatrixXf::Constant(9, count, 5.0f);
        quantizer.inner_products(a, queries, wide.middleRows(1, 7));
        EXPECT_TRUE(wide.middleRows(1, 7) == dots);
        quantizer.squared_distances(a, queries, wide.middleRows(1, 7));
        EXPECT_TRUE(wide.middleRows(1, 7) == distances);
        quantizer.inner_products(a, some, queries, wide.middleRows(1, 4));
        EXPECT_TRUE(wide.middleRows(1, 4) == some_dots);
        quantizer.squared_distances(a, some, queries, wide.middleRows(1, 4));
        EXPECT_TRUE(wide.middleRows(1, 4) == some_distances);
        EXPECT_TRUE((wide.row(0).array() == 5.0f).all() && (wide.row(8).array() == 5.0f).all());
    }
    const Eigen::MatrixXf products = quantizer.code_products(a, b);
    for (Index i = 0; i < 7; ++i)
        for (Index j = 0; j < 6; ++j)
            EXPECT_NEAR(static_cast<double>(products(i, j)), x.col(i).dot(z.col(j)),
                        1e-5 * x.col(i).norm() * z.col(j).norm());
}

// Queries whose norms, and whose coordinates after the rotation, exceed float's range: products that do not are right, and
// distances are infinite.
TYPED_TEST(QuantizerOf, QueriesAtTheEndOfFloat) {
    using Quantizer = typename TypeParam::Quantizer;
    const Index dim = TypeParam::kDim;
    const Quantizer quantizer(dim, kSeed);
    Eigen::MatrixXf queries = gaussian(dim, 5, 4);
    for (Index j = 0; j < 3; ++j) queries.col(j) *= 3.4e38f / queries.col(j).cwiseAbs().maxCoeff();
    queries.col(3).setConstant(-3.4e38f);
    for (const float length : {1e-38f, 1e-4f}) {
        const Codes codes = quantizer.encode(gaussian(dim, 6, 2) * length);
        const Eigen::MatrixXd x = quantizer.decode(codes).template cast<double>(), q = queries.cast<double>();
        const Eigen::MatrixXf dots = quantizer.inner_products(codes, queries);
        const Eigen::MatrixXf distances = quantizer.squared_distances(codes, queries);
        for (Index i = 0; i < x.cols(); ++i) {
            for (Index j = 0; j < 4; ++j) {
                EXPECT_NEAR(static_cast<double>(dots(i, j)), x.col(i).dot(q.col(j)),
                            product_tolerance<Quantizer>(dim) * x.col(i).norm() * q.col(j).norm());
                EXPECT_EQ(distances(i, j), std::numeric_limits<float>::infinity());
            }
            EXPECT_TRUE(std::isfinite(distances(i, 4)));
        }
    }
}

// --- Facts that need no types ----------------------------------------------------------------------------------------

TEST(Quantizers, SeedsGiveOtherCodesAndEqualSeedsTheSame) {
    const Eigen::MatrixXf x = gaussian(128, 3, 1);
    const tq::TurboQuantizer<128, 4> a(7), b(8), again(7);
    const tq::TurboQuantizer<128, 4> copy = a;
    EXPECT_NE(bytes_of(a.encode(x)), bytes_of(b.encode(x)));
    EXPECT_EQ(bytes_of(a.encode(x)), bytes_of(again.encode(x)));
    EXPECT_EQ(bytes_of(a.encode(x)), bytes_of(copy.encode(x)));
    EXPECT_EQ(bytes_of((tq::TurboQuantizer<128, 4>().encode(x))),
              bytes_of((tq::TurboQuantizer<128, 4>(0).encode(x))));
    EXPECT_EQ((tq::MseQuantizer<128, 4>(7, ScaleRule::unbiased).scale_rule()), ScaleRule::unbiased);
    EXPECT_EQ((tq::MseQuantizer<128, 4>(7).scale_rule()), ScaleRule::norm);
}

// Eigen stores a matrix of one row by rows: columns one float apart all the same.
TEST(Quantizers, FixedDimOne) {
    Eigen::MatrixXf x(1, 6);
    x << 1, -2, 0, 3.5f, -1e30f, 1e-30f;
    const tq::MseQuantizer<1, 4> quantizer(7);
    EXPECT_EQ(quantizer.bytes_per_vector(), 5u);
    check_records(quantizer, x.leftCols(2), ScaleRule::norm);
    const Codes codes = quantizer.encode(x);
    EXPECT_TRUE(quantizer.decode(codes).isApprox(x, 1e-6f));
    EXPECT_TRUE((tq::MseQuantizer<Dynamic, 4>(1, 7).decode(codes).isApprox(x, 1e-6f)));
    const Eigen::RowVectorXf row = x;
    EXPECT_EQ(bytes_of(quantizer.encode(row)), bytes_of(codes));
    EXPECT_TRUE(tq::Rotation<1>(7).apply(x).cwiseAbs().isApprox(x.cwiseAbs(), 1e-6f));
}

// A quantizer that is moved, copied and outlives its original keeps its tables.
TEST(Quantizers, CopiesOutliveTheOriginal) {
    const Eigen::MatrixXf x = gaussian(96, 3, 1);
    auto original = std::make_unique<tq::TurboQuantizer<Dynamic, 4>>(96, 7);
    const auto expected = bytes_of(original->encode(x));
    tq::TurboQuantizer<Dynamic, 4> copy = *original, assigned(10, 1);
    assigned = *original;
    const tq::TurboQuantizer<Dynamic, 4> moved = std::move(*original);
    original.reset();
    EXPECT_EQ(bytes_of(copy.encode(x)), expected);
    EXPECT_EQ(bytes_of(assigned.encode(x)), expected);
    EXPECT_EQ(bytes_of(moved.encode(x)), expected);
}

// Every dimension: the mean relative squared error of Gaussian vectors is D(d) of the codebook. The relative deviation
// of the squared error per coordinate is 3.23 at 4 bits (facts.md): 5 standard errors over n·d coordinates, and per
// dimension a false alarm with probability 6e-7 under a normal law (seeds are fixed: what passes once passes always).
TEST(Quantizers, RoundTripOfEveryDimension) {
    std::vector<Index> dims = {100, 127, 128, 129, 255, 256, 300, 1000, 1536, 3072, 8192, 8193};
    for (Index dim = 1; dim <= 70; ++dim) dims.push_back(dim);
    for (const Index dim : dims) {
        const tq::MseQuantizer<Dynamic, 4> quantizer(dim, kSeed);
        const Index count = 40000 / dim + 1;
        const Eigen::MatrixXf x = gaussian(dim, count, static_cast<std::uint64_t>(dim));
        const Codes codes = quantizer.encode(x);
        ASSERT_EQ(codes.bytes_per_vector(), static_cast<std::size_t>((dim + 1) / 2 + 4));
        const Eigen::MatrixXf back = quantizer.decode(codes);
        double sum = 0;
        for (Index i = 0; i < count; ++i) {
            sum += static_cast<double>((back.col(i) - x.col(i)).squaredNorm() / x.col(i).squaredNorm());
            if (dim % 2 == 1) {
                EXPECT_EQ(codes[i].data()[dim / 2] >> 4, 0) << dim;
            }
        }
        const double distortion = sum / static_cast<double>(count),
                     theory = quantizer.codebook().distortion();
        const double relative = 5 * 3.23 / std::sqrt(static_cast<double>(count * dim));
        EXPECT_NEAR(distortion, theory, relative * theory + 1e-12) << dim;
    }
}

TEST(Quantizers, BrainFloatScales) {
    const tq::MseQuantizer<Dynamic, 4, tq::Rotation<Dynamic>, Eigen::bfloat16> quantizer(100, kSeed);
    EXPECT_EQ(quantizer.bytes_per_vector(), 52u);
    check_records(quantizer, gaussian(100, 5, 1), ScaleRule::norm, /*bfloat16=*/true);
}

}  // namespace
