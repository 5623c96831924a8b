// Codebooks against an independent quadrature (Simpson's rule in long double after x = sin(angle)), against
// the published figures, and the integer tables against their definition for every y.
#include "turboquant/lloyd_max_codebook.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

namespace tq = turboquant;

namespace {

struct Moments {
    long double zeroth = 0.0L, first = 0.0L, second = 0.0L;  // the latter two about a given point
};

// Moments of the law of one coordinate over [low, high]: with x = sin(a), f(x) dx ∝ cos(a)^(d-2) da, smooth
// for d >= 2.
Moments simpson(int dim, long double low, long double high, long double centre, int intervals) {
    const long double pi = std::acos(-1.0L);
    const long double constant =
        std::exp(std::lgamma(dim / 2.0L) - std::lgamma((dim - 1) / 2.0L)) / std::sqrt(pi);
    const long double from = std::asin(low);
    const long double step = (std::asin(high) - from) / intervals;
    Moments sum;
    for (int i = 0; i <= intervals; ++i) {
        const long double angle = from + step * i;
        const long double coefficient = i == 0 || i == intervals ? 1.0L : i % 2 == 1 ? 4.0L : 2.0L;
        const long double cosine = std::fmax(std::cos(angle), 0.0L);
        const long double law = constant * std::pow(cosine, static_cast<long double>(dim - 2));
        const long double weight = coefficient * step / 3.0L * law;
        const long double offset = std::sin(angle) - centre;
        sum.zeroth += weight;
        sum.first += weight * offset;
        sum.second += weight * offset * offset;
    }
    return sum;
}

struct Size {
    int dim, bits;
};

std::vector<Size> sizes(std::initializer_list<int> dims) {
    std::vector<Size> result;
    for (const int dim : dims) {
        for (int bits = 1; bits <= 8; ++bits) result.push_back({dim, bits});
    }
    return result;
}

std::string name_of(const Size& size) {
    return "d = " + std::to_string(size.dim) + ", bits = " + std::to_string(size.bits);
}

std::uint32_t code_by_signed_table(const tq::simd::CodebookTable& table, int y) {
    const auto bits = static_cast<std::uint16_t>(y);
    const int sum = y + table.signed_offsets[bits >> 11];
    return static_cast<std::uint32_t>(static_cast<std::uint16_t>(sum)) >> (16 - table.bits);
}

// Both tables against the definition in codebook_table.hpp, for every int16.
void expect_tables_follow(const tq::simd::CodebookTable& table, const std::vector<int>& thresholds) {
    const int half = 1 << (table.bits - 1);
    ASSERT_EQ(static_cast<int>(thresholds.size()), half - 1);
    for (int y = -32768; y <= 32767; ++y) {
        const int m = std::min(std::abs(y), 32767);
        int k = 0;
        for (const int t : thresholds) k += t <= m ? 1 : 0;
        const auto code = static_cast<std::uint32_t>(y >= 0 ? half + k : half - 1 - k);
        ASSERT_EQ(tq::simd::nearest_code(table, y), code) << "y = " << y;
        if (table.bits <= 4) {
            ASSERT_EQ(code_by_signed_table(table, y), code) << "y = " << y;
        }
    }
}

TEST(LloydMaxCodebook, SatisfiesBothConditionsAndItsFiguresAreRight) {
    for (const Size& size : sizes({2, 3, 8, 64, 128, 1536})) {
        SCOPED_TRACE(name_of(size));
        const tq::detail::Codebook& book = tq::detail::codebook(size.dim, size.bits);
        const int count = 1 << size.bits;
        const float* c = book.table.centroids;
        const long double deviation = 1.0L / std::sqrt(static_cast<long double>(size.dim));
        long double total = 0.0L, error = 0.0L, entropy = 0.0L;
        for (int i = 0; i < count; ++i) {
            if (i > 0) {
                ASSERT_LT(c[i - 1], c[i]);
                // Two centroids and their midpoint, each rounded to float: 2^-24 of the larger, twice.
                const double below = static_cast<double>(c[i - 1]), above = static_cast<double>(c[i]);
                const double larger = std::max(std::abs(below), std::abs(above));
                ASSERT_NEAR(static_cast<double>(book.thresholds[i - 1]), (below + above) / 2.0,
                            0x1p-23 * larger);
            }
            ASSERT_EQ(c[i], -c[count - 1 - i]);
            const long double low = i == 0 ? -1.0L : book.thresholds[i - 1];
            const long double high = i == count - 1 ? 1.0L : book.thresholds[i];
            const bool outermost = i == 0 || i == count - 1;  // many deviations wide
            const int intervals = std::max((1 << 16) / count, outermost ? 1 << 14 : 0);
            const Moments cell = simpson(size.dim, low, high, c[i], intervals);
            // The centroid is the conditional mean: within 1e-6 deviations, a few roundings to float at 5
            // deviations.
            ASSERT_LT(std::abs(cell.first / cell.zeroth), 1e-6L * deviation) << "centroid " << i;
            total += cell.zeroth;
            error += cell.second;
            entropy -= cell.zeroth * std::log2(cell.zeroth);
        }
        EXPECT_NEAR(static_cast<double>(total), 1.0,
                    1e-11);  // the reference itself: Simpson in the outermost cells
        // Rounding the centroids to float moves the error to second order only: 2e-9 relative at 8 bits.
        EXPECT_NEAR(book.distortion / static_cast<double>(size.dim * error), 1.0, 1e-8);
        EXPECT_NEAR(book.entropy, static_cast<double>(entropy), 1e-6);
        EXPECT_LE(book.entropy, size.bits + 1e-12);
    }
}

TEST(LloydMaxCodebook, UniformLawIsExact) {
    // d = 3: a coordinate is uniform on [-1, 1] (Archimedes), so the optimal quantizer is the uniform one.
    for (int bits = 1; bits <= 8; ++bits) {
        const tq::detail::Codebook& book = tq::detail::codebook(3, bits);
        const int count = 1 << bits;
        for (int i = 0; i < count; ++i) {
            EXPECT_EQ(book.table.centroids[i],
                      static_cast<float>(2 * i + 1 - count) / static_cast<float>(count));
        }
        EXPECT_NEAR(book.distortion * count * count, 1.0, 1e-12);
        EXPECT_NEAR(book.entropy, bits, 1e-12);
    }
}

TEST(LloydMaxCodebook, MatchesPublishedDistortions) {
    // "exact" columns of the project's table; one unit of the last printed digit.
    struct Column {
        int dim;
        double distortion[6];
    };
    const Column columns[] = {
        {64, {.35839, .11453, .03339, .00913, .00240, .00062}},
        {128, {.36089, .11600, .03397, .00931, .00245, .00063}},
        {256, {.36214, .11674, .03426, .00941, .00248, .00064}},
        {1536, {.36317, .11736, .03450, .00949, .00250, .00064}},
        {1000000, {.36338, .11748, .03455, .00950, .00250, .00064}}};  // the Gaussian limit
    for (const Column& column : columns) {
        for (int bits = 1; bits <= 6; ++bits) {
            EXPECT_NEAR(tq::detail::codebook(column.dim, bits).distortion, column.distortion[bits - 1], 1e-5)
                << name_of({column.dim, bits});
        }
    }
    // Max (1960), tables for the normal law: centroids in deviations (the law of d = 10^6 moves the outermost
    // by 6e-6), entropies in bits.
    const double four_bits[] = {.128395, .388048, .656759, .942340, 1.256231, 1.618046, 2.069017, 2.732590};
    const tq::detail::Codebook& book = tq::detail::codebook(1000000, 4);
    for (int i = 0; i < 8; ++i)
        EXPECT_NEAR(static_cast<double>(book.table.centroids[8 + i]) * 1000.0, four_bits[i], 1e-5);
    const double entropies[] = {1.0, 1.911, 2.825, 3.765, 4.730};
    for (int bits = 1; bits <= 5; ++bits) {
        EXPECT_NEAR(tq::detail::codebook(1000000, bits).entropy, entropies[bits - 1], 6e-4);
    }
}

TEST(LloydMaxCodebook, IntegerTablesFollowTheDefinition) {
    for (const Size& size : sizes({1, 2, 3, 4, 5, 8, 13, 64, 100, 128, 768, 1536, 8192})) {
        SCOPED_TRACE(name_of(size));
        const tq::detail::Codebook& book = tq::detail::codebook(size.dim, size.bits);
        const tq::simd::CodebookTable& table = book.table;
        const int half = 1 << (size.bits - 1);
        ASSERT_EQ(table.bits, size.bits);
        // T_i as the table has it: the first y >= 0 of each code. It must be ceil(t_i·sqrt(d)·units); t_i as
        // a float is known to 6e-8, which is 0.002 steps.
        std::vector<int> thresholds;
        for (int y = 0; y <= 32767 && static_cast<int>(thresholds.size()) < half - 1; ++y) {
            const auto seen =
                static_cast<std::uint32_t>(half) + static_cast<std::uint32_t>(thresholds.size());
            if (tq::simd::nearest_code(table, y) > seen) thresholds.push_back(y);
        }
        ASSERT_EQ(static_cast<int>(thresholds.size()), half - 1);
        for (int i = 1; i < half; ++i) {
            const double steps = std::sqrt(size.dim) * static_cast<double>(table.units);
            const double exact = static_cast<double>(book.thresholds[half - 1 + i]) * steps;
            EXPECT_GT(thresholds[static_cast<std::size_t>(i - 1)], exact - 0.005);
            EXPECT_LT(thresholds[static_cast<std::size_t>(i - 1)], exact + 1.005);
        }
        if (half > 1) {
            EXPECT_LE(thresholds.back(), 32705);
            EXPECT_GT(thresholds.back(),
                      32699);  // units are rounded down by less than 1, the top threshold is below 5
        } else {
            EXPECT_EQ(table.units, 8000.0f);
        }
        expect_tables_follow(table, thresholds);
    }
}

TEST(CodebookTable, AnyThresholdsOnePerCell) {
    // Thresholds at the first, second and last value of cells of width 2^(15-bits), and in every other cell.
    for (int bits = 1; bits <= 8; ++bits) {
        const int half = 1 << (bits - 1);
        const int width = 1 << (15 - bits);
        for (const int place : {0, 1, width / 2, width - 1}) {
            SCOPED_TRACE(name_of({0, bits}) + ", place " + std::to_string(place));
            tq::simd::CodebookTable table{};
            table.bits = bits;
            std::vector<int> thresholds;
            for (int i = 1; i < half; ++i) thresholds.push_back((2 * i) * width + place);
            ASSERT_TRUE(tq::simd::fill_offset_tables(table, thresholds.data()));
            expect_tables_follow(table, thresholds);
        }
    }
}

TEST(CodebookTable, ReportsTwoThresholdsInOneCell) {
    tq::simd::CodebookTable table{};
    table.bits = 3;  // cells of 4096 (magnitude) and 2048 (signed)
    const int crowded[] = {5000, 7000, 20000};
    EXPECT_FALSE(tq::simd::fill_offset_tables(table, crowded));
    const int apart[] = {5000, 9000, 20000};
    EXPECT_TRUE(tq::simd::fill_offset_tables(table, apart));
}

TEST(CodebookTable, EveryDimensionHasOneThresholdPerCell) {
    // A table that lumps two thresholds loses a code; 4 and 8 bits have the tightest cells.
    for (int bits = 2; bits <= 8; ++bits) {
        for (int dim = 1; dim <= 4096; dim += dim < 64 ? 1 : dim / 8) {
            const int half = 1 << (bits - 1);
            const tq::simd::CodebookTable& table = tq::detail::codebook(dim, bits).table;
            std::uint32_t code = static_cast<std::uint32_t>(half);
            for (int y = 0; y <= 32767; ++y) {
                const std::uint32_t next = tq::simd::nearest_code(table, y);
                ASSERT_TRUE(next == code || next == code + 1) << name_of({dim, bits}) << ", y = " << y;
                code = next;
            }
            ASSERT_EQ(code, static_cast<std::uint32_t>(2 * half - 1)) << name_of({dim, bits});
        }
    }
}

TEST(LloydMaxCodebook, OneDimensionHasTwoAtoms) {
    for (int bits = 1; bits <= 8; ++bits) {
        const tq::detail::Codebook& book = tq::detail::codebook(1, bits);
        const int count = 1 << bits;
        EXPECT_EQ(book.table.centroids[0], -1.0f);
        EXPECT_EQ(book.table.centroids[count - 1], 1.0f);
        for (int i = 1; i < count; ++i) EXPECT_LT(book.table.centroids[i - 1], book.table.centroids[i]);
        EXPECT_EQ(book.distortion, 0.0);
        EXPECT_EQ(book.entropy, 1.0);
        const int y = static_cast<int>(std::min(book.table.units, 32767.0f));  // the coordinate 1
        EXPECT_EQ(tq::simd::nearest_code(book.table, y), static_cast<std::uint32_t>(count - 1));
        EXPECT_EQ(tq::simd::nearest_code(book.table, -y), 0u);
    }
}

TEST(LloydMaxCodebook, PublicInterface) {
    const tq::LloydMaxCodebook<128, 4> fixed;
    const tq::LloydMaxCodebook<128, 4> seeded(99);
    const tq::LloydMaxCodebook<128, 4> sized(128, 7);
    const tq::LloydMaxCodebook<Eigen::Dynamic, 4> dynamic(128);
    EXPECT_EQ(&fixed.table(), &seeded.table());  // one entry, whatever the seed
    EXPECT_EQ(&fixed.table(), &sized.table());
    EXPECT_EQ(&fixed.table(), &dynamic.table());
    EXPECT_EQ(dynamic.dim(), 128);
    EXPECT_EQ(fixed.centroids().size(), 16);
    EXPECT_EQ(fixed.thresholds().size(), 15);
    EXPECT_EQ(fixed.thresholds()(7), 0.0f);
    EXPECT_EQ(fixed.centroids()(15), fixed.table().centroids[15]);
    EXPECT_NEAR(fixed.distortion(), .00931, 1e-5);
    EXPECT_GT(fixed.entropy(), 3.7);
    EXPECT_LE(sizeof(fixed), 2 * sizeof(void*));

    using Fixed = tq::LloydMaxCodebook<128, 4>;
    using Sized = tq::LloydMaxCodebook<Eigen::Dynamic, 4>;
    EXPECT_TRUE(std::is_default_constructible<Fixed>::value);
    EXPECT_FALSE(std::is_default_constructible<Sized>::value);
    EXPECT_FALSE((std::is_convertible<int, Fixed>::value));
    EXPECT_FALSE((std::is_convertible<int, Sized>::value));
    EXPECT_TRUE(std::is_nothrow_move_constructible<Fixed>::value);
}

template <class Call>
std::string message_of(Call call) {
    try {
        call();
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return "no exception";
}

TEST(LloydMaxCodebook, ErrorsNameBothSides) {
    using Fixed = tq::LloydMaxCodebook<128, 4>;
    using Sized = tq::LloydMaxCodebook<Eigen::Dynamic, 4>;
    const std::string differs = message_of([] { Fixed(96, 1); });
    EXPECT_NE(differs.find("128"), std::string::npos) << differs;
    EXPECT_NE(differs.find("96"), std::string::npos) << differs;
    const std::string zero = message_of([] { Sized book(0); });
    EXPECT_NE(zero.find("is 0"), std::string::npos) << zero;
    const std::string negative = message_of([] { Sized(-5, 1); });
    EXPECT_NE(negative.find("-5"), std::string::npos) << negative;
    const std::string huge = message_of([] { Sized(tq::Index{1} << 31, 1); });
    EXPECT_NE(huge.find("2147483648"), std::string::npos) << huge;
}

TEST(LloydMaxCodebook, CacheIsSharedByThreads) {
    constexpr int kThreads = 8;
    std::vector<const tq::detail::Codebook*> seen(kThreads * 8);
    std::vector<std::thread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
        threads.emplace_back([&seen, thread] {
            for (int bits = 1; bits <= 8; ++bits) {
                seen[static_cast<std::size_t>(thread * 8 + bits - 1)] = &tq::detail::codebook(777, bits);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    for (std::size_t i = 8; i < seen.size(); ++i) EXPECT_EQ(seen[i], seen[i % 8]);
}

TEST(LloydMaxCodebook, GoldenBits) {
    // FNV-1a over the bytes of everything a codebook holds: the same for every compiler and flag.
    std::uint64_t hash = 1469598103934665603u;
    const auto add = [&hash](const void* data, std::size_t size) {
        const auto* bytes = static_cast<const unsigned char*>(data);
        for (std::size_t i = 0; i < size; ++i) hash = (hash ^ bytes[i]) * 1099511628211u;
    };
    for (const Size& size :
         sizes({1, 2, 3, 4, 5, 7, 8, 16, 31, 64, 96, 100, 128, 200, 256, 768, 1536, 3072, 8192})) {
        const tq::detail::Codebook& book = tq::detail::codebook(size.dim, size.bits);
        add(&book.table.units, sizeof(float));
        add(book.table.centroids, sizeof(book.table.centroids));
        add(book.table.magnitude_offsets, sizeof(book.table.magnitude_offsets));
        add(book.table.signed_offsets, sizeof(book.table.signed_offsets));
        add(book.thresholds, sizeof(book.thresholds));
        add(&book.distortion, sizeof(double));
        add(&book.entropy, sizeof(double));
    }
    EXPECT_EQ(hash, 867335248004172099u);
}

}  // namespace
