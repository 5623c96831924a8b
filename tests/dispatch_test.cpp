// Every target that this machine runs gives, bit for bit, what the scalar target gives: codes, decoded vectors and
// rotations, for every length, alignment, number of bits and element type, whatever floating-point mode the host is in.
// Scores may use fused operations where a target has them: they agree within a stated bound.
#include <cfenv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "test_vectors.hpp"
#include "turboquant/turboquant.hpp"

#if TURBOQUANT_X86
#include <xmmintrin.h>
#endif

namespace tq = turboquant;
namespace simd = turboquant::simd;  // as TURBOQUANT_KERNEL spells it
using test_vectors::bytes_of;
using test_vectors::gaussian;
using test_vectors::mentions;
using test_vectors::message_of;
using test_vectors::ScopedTarget;
using tq::Codes;
using tq::CodesView;
using tq::Dynamic;
using tq::Index;
using tq::Target;

namespace {

using Bytes = std::vector<std::uint8_t>;
using Turbo = tq::TurboQuantizer<Dynamic, 5>;  // 4 index bits and a sketch: every kind of kernel

// Targets that a comparison below has run on.
std::set<Target>& exercised() {
    static std::set<Target> targets;
    return targets;
}

template <class Body>
void for_each_target(Body&& body) {
    for (const Target target : tq::supported_targets()) {
        SCOPED_TRACE(tq::target_name(target));
        const ScopedTarget scope(target);
        body();
        exercised().insert(target);
    }
}

std::vector<std::uint32_t> bits_of(const Eigen::MatrixXf& x) {
    std::vector<std::uint32_t> bits(static_cast<std::size_t>(x.size()));
    if (!bits.empty()) std::memcpy(bits.data(), x.data(), 4 * bits.size());
    return bits;
}

// Everything that must not depend on the target.
struct Outcome {
    Bytes codes;
    std::vector<std::uint32_t> decoded;
    friend bool operator==(const Outcome& a, const Outcome& b) {
        return a.codes == b.codes && a.decoded == b.decoded;
    }
};

template <class Quantizer, class X>
Outcome outcome(const Quantizer& quantizer, const X& x) {
    const Codes codes = quantizer.encode(x);
    return {bytes_of(codes), bits_of(quantizer.decode(codes))};
}

// Vectors that reach every branch of loading: ordinary, zero, denormal, tiny, huge, one-hot.
Eigen::MatrixXf varied(Index dim, std::uint64_t seed) {
    Eigen::MatrixXf x = gaussian(dim, 8, seed);
    x.col(1).setZero();
    x.col(2) = (x.col(2) * 1000.0f).array().round().matrix() * 0x1p-149f;
    x.col(3) *= 1e-30f;
    x.col(4) *= 1e30f;
    x.col(5) = Eigen::VectorXf::Unit(dim, dim / 2);
    x.col(6).setConstant(-0.25f);
    x.col(7)(dim - 1) *= 1e4f;
    return x;
}

void expect_all_targets_equal_scalar(Index dim) {
    SCOPED_TRACE(dim);
    const Turbo quantizer(dim, 7);
    const Eigen::MatrixXf x = varied(dim, static_cast<std::uint64_t>(dim));
    const ScopedTarget scalar(Target::scalar);
    const Outcome expected = outcome(quantizer, x);
    for_each_target([&] { EXPECT_TRUE(outcome(quantizer, x) == expected); });
}

TEST(Dispatch, EveryLengthEqualsScalar) {
    // Two vectors of the widest unit, 64 coordinates, and one more: 0 … 2N + 1.
    for (Index dim = 1; dim <= 2 * 64 + 1; ++dim) {
        expect_all_targets_equal_scalar(dim);
    }
}

TEST(Dispatch, LargeDimensionsEqualScalar) {
    for (const Index dim :
         {192, 200, 255, 256, 257, 300, 384, 511, 768, 1000, 1024, 1536, 3072, 8192, 8193}) {
        expect_all_targets_equal_scalar(dim);
    }
}

TEST(Dispatch, EveryCountOfColumnsAndAnyAlignment) {
    for (const Index dim : {1, 15, 31, 63, 64, 65, 96, 100, 129}) {
        const Turbo quantizer(dim, 7);
        for (Index count = 0; count <= 5; ++count) {
            SCOPED_TRACE(std::to_string(dim) + " × " + std::to_string(count));
            const Eigen::MatrixXf x = gaussian(dim, count, static_cast<std::uint64_t>(dim));
            const ScopedTarget scalar(Target::scalar);
            const Outcome expected = outcome(quantizer, x);
            ASSERT_EQ(expected.codes.size(), static_cast<std::size_t>(count) * quantizer.bytes_per_vector());
            // Columns that start one float off any alignment, with gaps between them.
            const Index stride = dim + 3;
            std::vector<float> buffer(static_cast<std::size_t>(1 + stride * count) + 16, 1e9f);
            const Eigen::Map<Eigen::MatrixXf, 0, Eigen::OuterStride<>> moved(buffer.data() + 1, dim, count,
                                                                             Eigen::OuterStride<>(stride));
            Eigen::Map<Eigen::MatrixXf, 0, Eigen::OuterStride<>>(buffer.data() + 1, dim, count,
                                                                 Eigen::OuterStride<>(stride)) = x;
            // Records at an odd address, in a buffer that ends with them.
            Bytes odd(1 + expected.codes.size());
            if (count > 0) std::memcpy(odd.data() + 1, expected.codes.data(), expected.codes.size());
            for_each_target([&] {
                EXPECT_TRUE(outcome(quantizer, moved) == expected);
                const CodesView view = quantizer.view(odd.data() + 1, count);
                EXPECT_EQ(bits_of(quantizer.decode(view)), expected.decoded);
                // Into memory one float off.
                std::vector<float> out(static_cast<std::size_t>(1 + stride * count) + 1, 5.0f);
                Eigen::Map<Eigen::MatrixXf, 0, Eigen::OuterStride<>> decoded(out.data() + 1, dim, count,
                                                                             Eigen::OuterStride<>(stride));
                quantizer.decode(view, decoded);
                EXPECT_EQ(bits_of(decoded), expected.decoded);
                for (Index j = 0; j < count; ++j)
                    for (Index i = dim; i < stride; ++i)
                        EXPECT_EQ(out[static_cast<std::size_t>(1 + j * stride + i)], 5.0f);
                EXPECT_EQ(out[0], 5.0f);
            });
        }
    }
}

template <int Bits>
void every_kernel_of_bits() {
    using Mse = tq::MseQuantizer<Dynamic, Bits>;
    for (const Index dim : {1, 7, 16, 33, 64, 100, 127, 192, 300}) {
        SCOPED_TRACE(std::to_string(Bits) + " bits, dimension " + std::to_string(dim));
        const Mse norm(dim, 7), unbiased(dim, 7, tq::ScaleRule::unbiased),
            least_squares(dim, 7, tq::ScaleRule::least_squares);
        const Eigen::MatrixXf x = varied(dim, static_cast<std::uint64_t>(dim));
        const ScopedTarget scalar(Target::scalar);
        const Outcome expected[] = {outcome(norm, x), outcome(unbiased, x), outcome(least_squares, x)};
        for_each_target([&] {
            EXPECT_TRUE(outcome(norm, x) == expected[0]);
            EXPECT_TRUE(outcome(unbiased, x) == expected[1]);
            EXPECT_TRUE(outcome(least_squares, x) == expected[2]);
        });
        if constexpr (Bits <= 7) {
            const tq::TurboQuantizer<Dynamic, Bits + 1> turbo(dim, 7);
            const tq::TurboQuantizer<Dynamic, Bits + 1, tq::SketchKind::gaussian> gaussian_turbo(dim, 7);
            const Outcome with_sketch = outcome(turbo, x), with_gaussian = outcome(gaussian_turbo, x);
            for_each_target([&] {
                EXPECT_TRUE(outcome(turbo, x) == with_sketch);
                EXPECT_TRUE(outcome(gaussian_turbo, x) == with_gaussian);
            });
        }
    }
}

TEST(Dispatch, EveryNumberOfBitsEqualsScalar) {
    every_kernel_of_bits<1>();
    every_kernel_of_bits<2>();
    every_kernel_of_bits<3>();
    every_kernel_of_bits<4>();
    every_kernel_of_bits<5>();
    every_kernel_of_bits<6>();
    every_kernel_of_bits<7>();
    every_kernel_of_bits<8>();
}

TEST(Dispatch, PureSketchesEqualScalar) {
    for (const Index dim : {1, 3, 8, 17, 33, 64, 65, 100, 128, 300}) {
        SCOPED_TRACE(dim);
        const tq::ResidualSignQuantizer<Dynamic> orthogonal(dim, 7);
        const tq::ResidualSignQuantizer<Dynamic, tq::SketchKind::gaussian> normal(dim, 7);
        const Eigen::MatrixXf x = varied(dim, static_cast<std::uint64_t>(dim));
        const ScopedTarget scalar(Target::scalar);
        const Outcome expected[] = {outcome(orthogonal, x), outcome(normal, x)};
        for_each_target([&] {
            EXPECT_TRUE(outcome(orthogonal, x) == expected[0]);
            EXPECT_TRUE(outcome(normal, x) == expected[1]);
        });
    }
}

// Every 16-bit pattern that is finite, as input and as stored scale.
template <class Element, class Scale>
void sixteen_bit_patterns() {
    constexpr Index kDim = 64;
    std::vector<Element> elements;
    for (unsigned bits = 0; bits < 0x10000u; ++bits) {
        const auto element = Eigen::numext::bit_cast<Element>(static_cast<std::uint16_t>(bits));
        // Below 1e37, so that no norm overflows.
        if (std::abs(static_cast<float>(element)) < 1e37f) elements.push_back(element);
    }
    const Index count = static_cast<Index>(elements.size()) / kDim;
    const Eigen::Map<const Eigen::Matrix<Element, Dynamic, Dynamic>> x(elements.data(), kDim, count);
    const tq::MseQuantizer<Dynamic, 4> quantizer(kDim, 7);
    const Eigen::MatrixXf as_float = x.template cast<float>();
    const ScopedTarget scalar(Target::scalar);
    const Outcome expected = outcome(quantizer, as_float);
    // Norms across the range of the scale, rounding cases included.
    const tq::MseQuantizer<Dynamic, 4, tq::Rotation<Dynamic>, Scale> scaled(kDim, 7);
    Eigen::MatrixXf norms = gaussian(kDim, 2000, 3);
    for (Index j = 0; j < norms.cols(); ++j)
        norms.col(j) *= std::exp2(static_cast<float>(j) / 2000.0f * 40.0f - 28.0f) / norms.col(j).norm();
    const Outcome expected_scaled = outcome(scaled, norms);
    for_each_target([&] {
        EXPECT_TRUE(outcome(quantizer, x) == expected);
        EXPECT_TRUE(outcome(scaled, norms) == expected_scaled);
    });
    // And each stored scale is the nearest one: what Eigen's conversion gives.
    const auto records = expected_scaled.codes.data();
    const tq::MseQuantizer<Dynamic, 4> exact(kDim, 7);
    const Codes exact_codes = exact.encode(norms);
    for (Index j = 0; j < norms.cols(); ++j) {
        float norm;
        std::memcpy(&norm, exact_codes[j].data() + kDim / 2, 4);
        std::uint16_t stored;
        std::memcpy(&stored, records + static_cast<std::size_t>(j) * scaled.bytes_per_vector() + kDim / 2, 2);
        EXPECT_EQ(stored, Eigen::numext::bit_cast<std::uint16_t>(static_cast<Scale>(norm))) << norm;
    }
}

TEST(Dispatch, Float16Patterns) { sixteen_bit_patterns<Eigen::half, Eigen::half>(); }
TEST(Dispatch, Bfloat16Patterns) { sixteen_bit_patterns<Eigen::bfloat16, Eigen::bfloat16>(); }

TEST(Dispatch, RotationsEqualScalar) {
    const auto compare = [](const auto& rotation) {
        SCOPED_TRACE(rotation.dim());
        const Eigen::MatrixXf x = varied(rotation.dim(), 3);
        const ScopedTarget scalar(Target::scalar);
        const auto forward = bits_of(rotation.apply(x)), backward = bits_of(rotation.apply_transpose(x));
        for_each_target([&] {
            EXPECT_EQ(bits_of(rotation.apply(x)), forward);
            EXPECT_EQ(bits_of(rotation.apply_transpose(x)), backward);
        });
    };
    for (Index dim = 1; dim <= 300; ++dim) compare(tq::Rotation<Dynamic>(dim, 7));
    for (const Index dim : {320, 400, 511, 512, 1000, 1536, 3072, 4096, 8192, 8193, 10000})
        compare(tq::Rotation<Dynamic>(dim, 7));
    for (const Index dim : {64, 100, 129}) compare(tq::Rotation<Dynamic, tq::RotationKind::haar>(dim, 7));
}

// Up to 4 bits of indices, with a sketch and without, products are exact sums of integers, rounded the same way everywhere.
// What rounding the queries adds is below what QuantizerInterface::inner_products states: its root mean square over 10^4
// pairs, known to 1 %, is .0057 … .0083.
TEST(Dispatch, IntegerScoresAreTheSame) {
    const auto compare = [](const auto& quantizer) {
        const Index dim = quantizer.dim();
        SCOPED_TRACE(dim);
        const Codes codes = quantizer.encode(gaussian(dim, 37, 1));
        for (const Index count : {1, 3, 4, 6}) {
            const Eigen::MatrixXf queries = gaussian(dim, count, 2);
            const ScopedTarget scalar(Target::scalar);
            const Eigen::MatrixXf expected = quantizer.inner_products(codes, queries);
            for_each_target([&] { EXPECT_TRUE(quantizer.inner_products(codes, queries) == expected); });
        }
        if (dim < 48) return;
        const Codes many = quantizer.encode(gaussian(dim, 100, 3));
        const Eigen::MatrixXf queries = gaussian(dim, 100, 4), decoded = quantizer.decode(many);
        const Eigen::MatrixXf exact = decoded.transpose() * queries;
        const Eigen::MatrixXf norms = decoded.colwise().norm().transpose() * queries.colwise().norm() /
                                      std::sqrt(static_cast<float>(dim));
        const float error =
            ((quantizer.inner_products(many, queries) - exact).array() / norms.array()).matrix().norm() /
            100.0f;
        EXPECT_LE(error, 0.0105f);
    };
    for (const Index dim : {1, 7, 48, 64, 100, 129, 300, 768}) {
        compare(tq::MseQuantizer<Dynamic, 1>(dim, 7));
        compare(tq::MseQuantizer<Dynamic, 3>(dim, 7));
        compare(tq::MseQuantizer<Dynamic, 4>(dim, 7));
        compare(tq::ResidualSignQuantizer<Dynamic>(dim, 7));
        compare(tq::TurboQuantizer<Dynamic, 2>(dim, 7));
        compare(tq::TurboQuantizer<Dynamic, 4>(dim, 7));
        compare(Turbo(dim, 7));
    }
}

// Sums of d products in any order and with any fusing differ by at most 2d ulps of the sum of magnitudes, which is at
// most the product of the norms; measured, the differences stay two orders below.
TEST(Dispatch, ScoresAgree) {
    const auto compare = [](const auto& quantizer) {
        const Index dim = quantizer.dim();
        SCOPED_TRACE(dim);
        const Eigen::MatrixXf x = gaussian(dim, 9, 1);
        const Codes codes = quantizer.encode(x);
        const Eigen::VectorXf norms = quantizer.decode(codes).colwise().norm();
        const float bound = 4.0f * static_cast<float>(dim) * 0x1p-24f;
        for (const Index count : {1, 3, 4, 5, 70}) {
            const Eigen::MatrixXf queries = gaussian(dim, count, 2);
            const Eigen::VectorXf query_norms = queries.colwise().norm();
            const ScopedTarget scalar(Target::scalar);
            const Eigen::MatrixXf dots = quantizer.inner_products(codes, queries);
            const Eigen::MatrixXf distances = quantizer.squared_distances(codes, queries);
            const Eigen::MatrixXf products = quantizer.code_products(codes, codes);
            const Eigen::MatrixXf scale = norms * query_norms.transpose();
            for_each_target([&] {
                EXPECT_TRUE(((quantizer.inner_products(codes, queries) - dots).array().abs() <=
                             bound * (scale.array() * 2.0f + 1e-30f))
                                .all());
                EXPECT_TRUE(((quantizer.squared_distances(codes, queries) - distances).array().abs() <=
                             bound * (distances.array() * 2.0f + 1e-30f))
                                .all());
                EXPECT_TRUE(((quantizer.code_products(codes, codes) - products).array().abs() <=
                             bound * (2.0f * norms * norms.transpose()).array() + 1e-30f)
                                .all());
            });
        }
    };
    for (const Index dim : {1, 5, 31, 32, 33, 64, 100, 129, 1536}) {
        compare(Turbo(dim, 7));
        compare(tq::MseQuantizer<Dynamic, 4>(dim, 7));
        compare(tq::ResidualSignQuantizer<Dynamic>(dim, 7));
    }
}

TEST(Dispatch, NotFiniteIsSeenByEveryTarget) {
    const Turbo quantizer(100, 7);
    for_each_target([&] {
        for (Index row = 0; row < 100; ++row) {
            for (const float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
                Eigen::MatrixXf x = gaussian(100, 2, 1);
                x(row, 1) = bad;
                EXPECT_TRUE(mentions(message_of([&] { (void)quantizer.encode(x); }), {"column 1"})) << row;
                EXPECT_TRUE(
                    mentions(message_of([&] { (void)quantizer.inner_products(Codes(), x); }), {"column 1"}))
                    << row;
            }
        }
    });
}

// --- The host's floating-point mode ---------------------------------------------------------------------------------------

struct HostMode {
    const char* name;
    int rounding;
    bool flush;
};
constexpr HostMode kHostModes[] = {{"upward", FE_UPWARD, false},
                                   {"downward", FE_DOWNWARD, false},
                                   {"toward zero", FE_TOWARDZERO, false},
                                   {"FTZ and DAZ", FE_TONEAREST, true},
                                   {"FTZ, DAZ, upward", FE_UPWARD, true}};

class ScopedHostMode {
public:
    explicit ScopedHostMode(const HostMode& mode) {
        std::fesetround(mode.rounding);
#if TURBOQUANT_X86
        if (mode.flush) _mm_setcsr(_mm_getcsr() | 0x8040u);  // FTZ, DAZ
#endif
    }
    ~ScopedHostMode() {
#if TURBOQUANT_X86
        _mm_setcsr(_mm_getcsr() & ~0x8040u);
#endif
        std::fesetround(FE_TONEAREST);
    }
    ScopedHostMode(const ScopedHostMode&) = delete;
    ScopedHostMode& operator=(const ScopedHostMode&) = delete;
};

#if TURBOQUANT_X86
unsigned mode_bits() { return _mm_getcsr() & ~0x3fu; }  // without the sticky exception flags
#else
int mode_bits() { return std::fegetround(); }
#endif

TEST(HostModes, SameBytesAndModeUntouched) {
    for (const Index dim : {33, 100, 128, 300}) {
        const Eigen::MatrixXf x = varied(dim, 3);
        const Outcome expected = outcome(Turbo(dim, 7), x);
        const auto rotated = bits_of(tq::Rotation<Dynamic>(dim, 7).apply(x));
        Eigen::MatrixXf bad = x;
        bad(dim - 1, 2) = std::nanf("");
        for_each_target([&] {
            for (const HostMode& mode : kHostModes) {
                SCOPED_TRACE(mode.name);
                Outcome found;
                std::vector<std::uint32_t> found_rotated;
                bool threw = false, kept = true;
                {
                    const ScopedHostMode scope(mode);
                    const auto before = mode_bits();
                    const Turbo quantizer(dim, 7);
                    kept = kept && mode_bits() == before;
                    const Codes codes = quantizer.encode(x);
                    kept = kept && mode_bits() == before;
                    const Eigen::MatrixXf decoded = quantizer.decode(codes);
                    kept = kept && mode_bits() == before;
                    const Eigen::MatrixXf y = tq::Rotation<Dynamic>(dim, 7).apply(x);
                    kept = kept && mode_bits() == before;
                    (void)quantizer.inner_products(codes, x);
                    (void)quantizer.squared_distances(codes, x);
                    (void)quantizer.code_products(codes, codes);
                    kept = kept && mode_bits() == before;
                    threw = !message_of([&] { (void)quantizer.encode(bad); }).empty() &&
                            !message_of([&] { (void)quantizer.inner_products(codes, bad); }).empty();
                    kept = kept && mode_bits() == before;
                    found = {bytes_of(codes), bits_of(decoded)};
                    found_rotated = bits_of(y);
                }
                EXPECT_TRUE(found == expected);
                EXPECT_EQ(found_rotated, rotated);
                EXPECT_TRUE(threw);
                EXPECT_TRUE(kept);
            }
        });
    }
}

// Tables are built once and kept: built first under another mode, they are the same too. Each mode gets a dimension
// that nothing else in this program uses.
TEST(HostModes, TablesBuiltUnderAnotherMode) {
    Index dim = 1101;
    for (const HostMode& mode : kHostModes) {
        SCOPED_TRACE(mode.name);
        std::vector<float> tables[2];
        {
            const ScopedHostMode scope(mode);
            const Turbo quantizer(dim, 7);
            const tq::MseQuantizer<Dynamic, 8> fine(dim, 7);
        }
        tq::detail::Codebook expected[2];
        tq::detail::build_codebook(expected[0], static_cast<int>(dim), 4);
        tq::detail::build_codebook(expected[1], static_cast<int>(dim), 8);
        const tq::detail::Codebook* found[2] = {&tq::detail::codebook(static_cast<int>(dim), 4),
                                                &tq::detail::codebook(static_cast<int>(dim), 8)};
        for (int i = 0; i < 2; ++i) {
            EXPECT_EQ(std::memcmp(found[i]->table.centroids, expected[i].table.centroids,
                                  sizeof expected[i].table.centroids),
                      0);
            EXPECT_EQ(found[i]->table.units, expected[i].table.units);
            EXPECT_EQ(std::memcmp(found[i]->table.magnitude_offsets, expected[i].table.magnitude_offsets,
                                  sizeof expected[i].table.magnitude_offsets),
                      0);
            EXPECT_EQ(std::memcmp(found[i]->table.signed_offsets, expected[i].table.signed_offsets,
                                  sizeof expected[i].table.signed_offsets),
                      0);
            EXPECT_EQ(
                std::memcmp(found[i]->thresholds, expected[i].thresholds, sizeof expected[i].thresholds), 0);
            EXPECT_EQ(found[i]->distortion, expected[i].distortion);
            EXPECT_EQ(found[i]->entropy, expected[i].entropy);
        }
        dim += 2;
    }
    // Dense tables: the haar kind, the gaussian sketch.
    const Eigen::MatrixXf x = gaussian(40, 3, 1);
    using Dense = tq::TurboQuantizer<Dynamic, 5, tq::SketchKind::gaussian,
                                     tq::Rotation<Dynamic, tq::RotationKind::haar>>;
    const Outcome expected = outcome(Dense(40, 7), x);
    for (const HostMode& mode : kHostModes) {
        Outcome found;
        {
            const ScopedHostMode scope(mode);
            found = outcome(Dense(40, 7), x);
        }
        EXPECT_TRUE(found == expected) << mode.name;
    }
}

// --- Choosing -------------------------------------------------------------------------------------------------------------

TEST(Targets, UnknownNamesThrowAndListTheSupportedOnes) {
    const Target before = tq::active_target();
    for (const char* name : {"nonsense", "AVX2", "", " scalar", "avx512vnni"}) {
        const std::string message = message_of([&] { tq::set_target(name); });
        EXPECT_TRUE(mentions(message, {"set_target", std::string("'") + name + "'", "supported: "}));
        for (const Target target : tq::supported_targets())
            EXPECT_TRUE(mentions(message, {tq::target_name(target)}));
        EXPECT_EQ(tq::active_target(), before);
    }
    for (const Target target : tq::detail::kAllTargets) {
        if (tq::detail::target_supported(target)) continue;
        const char* name = tq::target_name(target);
        EXPECT_TRUE(mentions(message_of([&] { tq::set_target(target); }), {name, "not supported", "scalar"}));
        EXPECT_TRUE(mentions(message_of([&] { tq::set_target(name); }), {name, "not supported", "scalar"}));
        EXPECT_EQ(tq::active_target(), before);
    }
    for (const Target target : tq::supported_targets()) {
        const ScopedTarget restore(before);
        tq::set_target(tq::target_name(target));
        EXPECT_EQ(tq::active_target(), target);
        tq::set_target(target);
        EXPECT_EQ(tq::active_target(), target);
    }
}

class ScopedVariable {
public:
    explicit ScopedVariable(const char* value) {
        const char* saved = std::getenv(kName);
        was_set_ = saved != nullptr;
        if (was_set_) saved_ = saved;
        value != nullptr ? setenv(kName, value, 1) : unsetenv(kName);
    }
    ~ScopedVariable() { was_set_ ? setenv(kName, saved_.c_str(), 1) : unsetenv(kName); }
    ScopedVariable(const ScopedVariable&) = delete;
    ScopedVariable& operator=(const ScopedVariable&) = delete;

private:
    static constexpr const char* kName = "TURBOQUANT_TARGET";
    bool was_set_;
    std::string saved_;
};

TEST(Targets, EnvironmentVariable) {
    const auto targets = tq::supported_targets();
    ASSERT_FALSE(targets.empty());
    EXPECT_EQ(targets.front(), Target::scalar);
    for (const char* nothing : {static_cast<const char*>(nullptr), ""}) {
        const ScopedVariable variable(nothing);
        EXPECT_EQ(tq::detail::default_target(), targets.back());
    }
    for (const Target target : targets) {
        const ScopedVariable variable(tq::target_name(target));
        EXPECT_EQ(tq::detail::default_target(), target);
    }
    const ScopedVariable variable("riscv");
    EXPECT_TRUE(mentions(message_of([] { (void)tq::detail::default_target(); }),
                         {"TURBOQUANT_TARGET", "'riscv'", "supported: scalar"}));
    // What is chosen already stays.
    EXPECT_EQ(message_of([] { (void)tq::active_target(); }), "");
    EXPECT_TRUE(
        mentions(message_of([] { (void)tq::detail::parse_target("sse9", "a test"); }),
                 {"a test names the target 'sse9'", tq::target_name(tq::supported_targets().back())}));
}

// What the operating system says of the processor, independently of the library.
std::set<std::string> processor_flags() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        if (line.rfind("flags", 0) != 0 && line.rfind("Features", 0) != 0) continue;
        std::istringstream words(line.substr(line.find(':') + 1));
        std::set<std::string> flags;
        for (std::string word; words >> word;) flags.insert(word);
        return flags;
    }
    return {};
}

TEST(Targets, EachTargetOfThisProcessorIsOffered) {
    const std::set<std::string> flags = processor_flags();
    if (flags.empty()) GTEST_SKIP() << "no /proc/cpuinfo";
    const auto has = [&](std::initializer_list<const char*> names) {
        for (const char* name : names)
            if (flags.count(name) == 0) return false;
        return true;
    };
    std::set<Target> expected = {Target::scalar};
#if TURBOQUANT_X86
    if (has({"avx2", "fma", "f16c", "bmi1", "bmi2"})) {
        expected.insert(Target::avx2);
        if (has({"avx512f", "avx512bw", "avx512dq", "avx512vl"})) {
            expected.insert(Target::avx512);
            if (has({"avx512_vnni", "avx512vbmi"})) expected.insert(Target::avx512_vnni);
        }
    }
#elif TURBOQUANT_ARM64
    if (!has({"asimd"})) GTEST_SKIP() << "/proc/cpuinfo is another processor's: this one is emulated";
    expected.insert(Target::neon);
    if (has({"asimddp"})) expected.insert(Target::neon_dotprod);
#endif
    const auto offered = tq::supported_targets();
    EXPECT_EQ(std::set<Target>(offered.begin(), offered.end()), expected);
}

// Choosing a target really changes the code that runs.
TEST(Targets, EachTargetHasItsOwnKernels) {
    for_each_target([] {
        const auto kernel = TURBOQUANT_KERNEL(rotate_columns);
        switch (tq::active_target()) {
            case Target::scalar:
                EXPECT_TRUE(kernel == &simd::scalar::rotate_columns);
                break;
#if TURBOQUANT_X86
            case Target::avx2:
                EXPECT_TRUE(kernel == &simd::avx2::rotate_columns);
                break;
            case Target::avx512:
            case Target::avx512_vnni:
                EXPECT_TRUE(kernel == &simd::avx512::rotate_columns);
                break;
#elif TURBOQUANT_ARM64
            case Target::neon:
            case Target::neon_dotprod:
                EXPECT_TRUE(kernel == &simd::neon::rotate_columns);
                break;
#endif
            default:
                ADD_FAILURE() << "no kernels are expected for this target";
        }
    });
}

// Last: no target that this machine has was left out of the comparisons above.
TEST(ZLast, EveryTargetWasExercised) {
    if (testing::GTEST_FLAG(filter) != "*") GTEST_SKIP() << "only some tests ran";
    for (const Target target : tq::supported_targets())
        EXPECT_EQ(exercised().count(target), 1u) << tq::target_name(target);
}

}  // namespace
