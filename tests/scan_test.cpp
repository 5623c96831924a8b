// The scan of blocks of codes: the way into a block and between blocks, and scores that are, bit for bit and on every
// target, exact integer sums followed by three roundings.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <set>
#include <type_traits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "test_vectors.hpp"
#include "turboquant/turboquant.hpp"

namespace tq = turboquant;
namespace simd = turboquant::simd;  // as TURBOQUANT_INT8_KERNEL spells it
using simd::ScanLayout;
using simd::ScanQuery;
using simd::ScanStep;
using test_vectors::ScopedTarget;
using tq::Target;

namespace {

constexpr int kBlock = simd::kScanBlock;

std::set<Target>& exercised() {
    static std::set<Target> targets;
    return targets;
}

// A stream of uniform integers below `bound`, the same everywhere.
class Uniform {
public:
    explicit Uniform(std::uint64_t seed) : state_(seed * 2 + 1) {}
    std::uint32_t operator()(std::uint32_t bound) {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;  // Knuth's MMIX generator
        return static_cast<std::uint32_t>((state_ >> 33) % bound);
    }

private:
    std::uint64_t state_;
};

// Random vectors of codes, as records and in blocks, with scales and terms that are no round numbers.
template <int Bits>
struct Database {
    ScanLayout<Bits> layout;
    std::ptrdiff_t count;
    std::vector<std::vector<int>> codes;
    std::vector<std::vector<std::uint8_t>> records;
    std::vector<float> scales, terms;
    std::size_t block_bytes;
    std::vector<std::uint8_t> blocks;
    std::ptrdiff_t offset;  // of the first block: misaligned where asked for

    Database(int dim, std::ptrdiff_t n, bool with_terms, std::ptrdiff_t misalignment = 0)
        : layout(dim), count(n), offset(misalignment) {
        block_bytes = layout.index_bytes() + (with_terms ? 2u : 1u) * 4u * kBlock;
        const auto blocks_there = static_cast<std::size_t>((n + kBlock - 1) / kBlock);
        blocks.assign(blocks_there * block_bytes + static_cast<std::size_t>(offset), 0);
        Uniform random(static_cast<std::uint64_t>(dim * 8 + Bits));
        for (std::ptrdiff_t v = 0; v < n; ++v) {
            std::vector<int> code;
            // One byte more than the record, all ones: nothing past its end may reach a block.
            std::vector<std::uint8_t> record(static_cast<std::size_t>((Bits * dim + 7) / 8), 0);
            for (int i = 0; i < dim; ++i) {
                code.push_back(static_cast<int>(random(1u << Bits)));
                for (int b = 0; b < Bits; ++b)
                    if ((code.back() >> b & 1) != 0)
                        record[static_cast<std::size_t>((i * Bits + b) / 8)] |=
                            static_cast<std::uint8_t>(1 << ((i * Bits + b) % 8));
            }
            record.push_back(255);
            codes.push_back(code);
            records.push_back(record);
            scales.push_back(.37f + .013f * static_cast<float>(random(200)));
            terms.push_back(static_cast<float>(random(2001)) * .0071f - 7.0f);
            simd::store_in_block(layout, records.back().data(), block(v / kBlock), slot(v));
            set_float(v, 0, scales.back());
            if (with_terms) set_float(v, kBlock, terms.back());
        }
    }
    static int slot(std::ptrdiff_t v) { return static_cast<int>(v % kBlock); }
    std::uint8_t* block(std::ptrdiff_t i) {
        return blocks.data() + offset + static_cast<std::size_t>(i) * block_bytes;
    }
    void set_float(std::ptrdiff_t v, int after, float value) {
        std::memcpy(block(v / kBlock) + layout.index_bytes() + 4 * static_cast<std::size_t>(slot(v) + after),
                    &value, 4);
    }
    simd::ScanBlocks view(bool with_terms) {
        return {block(0), count, block_bytes, layout.index_bytes(), with_terms};
    }
};

// What a kernel reads of the queries.
template <int Bits>
struct Queries {
    std::vector<std::int8_t> quads;
    std::vector<ScanQuery> all;
    Queries(const ScanLayout<Bits>& layout, int count, std::uint64_t seed)
        : quads(static_cast<std::size_t>(count * 4 * layout.quads()) + 1) {
        Uniform random(seed);
        std::vector<float> row(static_cast<std::size_t>(layout.dim));
        for (int q = 0; q < count; ++q) {
            for (float& value : row) value = (static_cast<float>(random(20001)) - 10000.0f) / 777.0f;
            // Full scale everywhere: the largest sums there can be.
            if (q == 1) std::fill(row.begin(), row.end(), 1.0f);
            if (q == 2) std::fill(row.begin(), row.end(), -1.0f);
            ScanQuery query =
                simd::round_query(layout, row.data(), quads.data() + 1 + q * 4 * layout.quads());
            query.constant = static_cast<float>(q) * .3f - 1.0f;
            all.push_back(query);
        }
    }
};

// Every score, at its place; and that none comes twice.
struct Collect : simd::ScanSink {
    std::ptrdiff_t count;
    std::vector<float> scores, floor;
    std::vector<int> times;
    Collect(std::ptrdiff_t n, int queries)
        : count(n),
          scores(static_cast<std::size_t>(n * queries)),
          floor(static_cast<std::size_t>(queries), -std::numeric_limits<float>::infinity()),
          times(scores.size(), 0) {
        take = &Collect::take_scores;
        thresholds = floor.data();
    }
    static void take_scores(simd::ScanSink& base, int query, std::ptrdiff_t first, std::uint32_t lanes,
                            const float* values) noexcept {
        auto& self = static_cast<Collect&>(base);
        for (int i = 0; i < kBlock; ++i)
            if ((lanes >> i & 1u) != 0) {
                const auto at = static_cast<std::size_t>(query * self.count + first + i);
                if (at >= self.scores.size()) std::abort();  // beyond the last vector
                self.scores[at] = values[i];
                ++self.times[at];
            }
    }
};

template <int Bits>
void scan(Database<Bits>& database, const tq::simd::CodebookTable& codebook, const Queries<Bits>& queries,
          bool terms, simd::ScanSink& sink) {
    const auto count = static_cast<int>(queries.all.size());
    std::vector<float> scratch(static_cast<std::size_t>(simd::scan_scratch(count)) + 1);
    TURBOQUANT_INT8_KERNEL(template scan<Bits>)
    (database.layout, codebook, database.view(terms), queries.all.data(), count, sink, scratch.data() + 1);
}

// The definition: the exact sum of products of integers, to float, times step; then scale and term (or the constant) by
// one fused multiplication and addition.
template <int Bits>
float defined_score(const Database<Bits>& database, const tq::simd::CodebookTable& codebook, std::ptrdiff_t v,
                    const ScanQuery& query, bool terms) {
    const auto i = static_cast<std::size_t>(v);
    std::int64_t sum = 0;
    const std::int8_t* quads = query.quads;
    for (int step = 0; step < database.layout.quads() / ScanStep<Bits>::kQuads; ++step)
        for (int j = 0; j < ScanStep<Bits>::kQuads; ++j)
            for (int k = 0; k < 4; ++k, ++quads) {
                const int dimension = ScanLayout<Bits>::dimension(step, j, k);
                if (dimension < database.layout.dim)
                    sum += *quads *
                           codebook.int8_centroids[database.codes[i][static_cast<std::size_t>(dimension)]];
            }
    const float product = tq::detail::rounded(static_cast<float>(sum) * query.step);
    if (!terms) return std::fma(product, database.scales[i], query.constant);
    return tq::detail::rounded(std::fma(product, database.scales[i], database.terms[i])) + query.constant;
}

// By value, 0.0 and −0.0 apart.
std::uint32_t bits_of(float x) {
    std::uint32_t bits;
    std::memcpy(&bits, &x, 4);
    return bits;
}

template <int Bits>
void every_target_is_exact(int dim, std::ptrdiff_t n, int query_count, bool terms,
                           std::ptrdiff_t misalignment = 0) {
    SCOPED_TRACE(testing::Message() << Bits << " bits, d = " << dim << ", n = " << n
                                    << ", m = " << query_count << (terms ? ", terms" : ""));
    Database<Bits> database(dim, n, terms, misalignment);
    const auto& codebook = tq::detail::codebook(dim, Bits).table;
    const Queries<Bits> queries(database.layout, query_count, static_cast<std::uint64_t>(dim + query_count));
    std::vector<std::uint32_t> expected;
    for (const ScanQuery& query : queries.all)
        for (std::ptrdiff_t v = 0; v < n; ++v)
            expected.push_back(bits_of(defined_score(database, codebook, v, query, terms)));
    for (const Target target : tq::supported_targets()) {
        SCOPED_TRACE(tq::target_name(target));
        const ScopedTarget scope(target);
        Collect sink(n, query_count);
        scan(database, codebook, queries, terms, sink);
        std::vector<std::uint32_t> found;
        for (const float score : sink.scores) found.push_back(bits_of(score));
        ASSERT_EQ(found, expected);
        ASSERT_EQ(std::count(sink.times.begin(), sink.times.end(), 1), n * query_count);
        exercised().insert(target);
    }
}

template <class BitsT>
class Scan : public testing::Test {};
template <int Bits>
using Constant = std::integral_constant<int, Bits>;
using AllBits = testing::Types<Constant<1>, Constant<2>, Constant<3>, Constant<4>>;
TYPED_TEST_SUITE(Scan, AllBits, );

// Every width of the rest of a block, one vector to the block's border and beyond it.
TYPED_TEST(Scan, EveryDimension) {
    for (int dim = 1; dim <= 300; dim += dim < 140 ? 1 : 7)
        every_target_is_exact<TypeParam::value>(dim, 33, 1 + dim % 6, dim % 2 == 0);
}

// A batch's panel holds 768 dimensions: below, at and above, and more than two of them.
TYPED_TEST(Scan, LargeDimensions) {
    for (const int dim : {767, 768, 769, 800, 1535, 1536, 1537})
        for (const int queries : {1, 5, 11}) every_target_is_exact<TypeParam::value>(dim, 35, queries, true);
}

TYPED_TEST(Scan, EveryNumberOfQueries) {
    for (int queries = 1; queries <= 21; ++queries)
        for (const int dim : {20, 100})
            every_target_is_exact<TypeParam::value>(dim, 40, queries, queries % 2 == 0);
}

TYPED_TEST(Scan, EveryCount) {
    for (int n = 0; n <= 2 * kBlock + 1; ++n)
        for (const int queries : {1, 4}) every_target_is_exact<TypeParam::value>(50, n, queries, n % 2 == 0);
}

TYPED_TEST(Scan, MisalignedMemory) {
    // Scales are floats: blocks are aligned to 4 bytes at least.
    for (const int misalignment : {4, 12, 36})
        for (const int queries : {2, 7})
            every_target_is_exact<TypeParam::value>(100, 70, queries, true, misalignment);
}

// The largest dimension: sums of int8 products up to 2^31 stay exact.
TYPED_TEST(Scan, LargestSums) {
    every_target_is_exact<TypeParam::value>(simd::kMaxScanDim, 3, 5, false);
    // All codes the outermost centroid, all of the query at full scale.
    const int dim = simd::kMaxScanDim;
    constexpr int kBits = TypeParam::value;
    Database<kBits> database(dim, 2, false);
    for (int v = 0; v < 2; ++v) {
        std::fill(database.codes[static_cast<std::size_t>(v)].begin(),
                  database.codes[static_cast<std::size_t>(v)].end(), v == 0 ? 0 : (1 << kBits) - 1);
        std::vector<std::uint8_t> record(static_cast<std::size_t>(kBits * dim / 8) + 1, v == 0 ? 0 : 255);
        simd::store_in_block(database.layout, record.data(), database.block(0), v);
    }
    const auto& codebook = tq::detail::codebook(dim, kBits).table;
    const Queries<kBits> queries(database.layout, 5, 1);
    for (const Target target : tq::supported_targets()) {
        SCOPED_TRACE(tq::target_name(target));
        const ScopedTarget scope(target);
        Collect sink(2, 5);
        scan(database, codebook, queries, false, sink);
        for (int q = 0; q < 5; ++q)
            for (int v = 0; v < 2; ++v)
                EXPECT_EQ(
                    sink.scores[static_cast<std::size_t>(2 * q + v)],
                    defined_score(database, codebook, v, queries.all[static_cast<std::size_t>(q)], false));
    }
}

// A sink hears of those scores alone that reach its threshold, equality included, and may raise it as it goes.
TYPED_TEST(Scan, Thresholds) {
    constexpr int kBits = TypeParam::value;
    Database<kBits> database(64, 65, true);
    const auto& codebook = tq::detail::codebook(64, kBits).table;
    const Queries<kBits> queries(database.layout, 6, 3);
    for (const Target target : tq::supported_targets()) {
        SCOPED_TRACE(tq::target_name(target));
        const ScopedTarget scope(target);
        Collect all(65, 6), some(65, 6);
        scan(database, codebook, queries, true, all);
        for (std::size_t q = 0; q < 6; ++q) some.floor[q] = all.scores[q * 65 + 7];
        scan(database, codebook, queries, true, some);
        for (std::size_t q = 0; q < 6; ++q)
            for (std::size_t v = 0; v < 65; ++v)
                EXPECT_EQ(some.times[q * 65 + v], all.scores[q * 65 + v] >= all.scores[q * 65 + 7] ? 1 : 0);
    }
}

// --- Blocks -----------------------------------------------------------------------------------------------------------------

// Every bit of a code has one place in a block, and no two bits share one.
TYPED_TEST(Scan, PlacesInABlock) {
    constexpr int kBits = TypeParam::value;
    for (int dim = 1; dim <= 100; dim += dim < 40 ? 1 : 15) {
        SCOPED_TRACE(dim);
        const ScanLayout<kBits> layout(dim);
        std::set<std::size_t> places;
        for (const int slot : {0, 1, 17, 31}) {
            for (int bit = 0; bit < kBits * dim; ++bit) {
                std::vector<std::uint8_t> record(static_cast<std::size_t>((kBits * dim + 7) / 8), 0);
                record[static_cast<std::size_t>(bit / 8)] = static_cast<std::uint8_t>(1 << (bit % 8));
                std::vector<std::uint8_t> block(layout.index_bytes(), 0);
                simd::store_in_block(layout, record.data(), block.data(), slot);
                std::size_t set = 0;
                for (std::size_t i = 0; i < 8 * block.size(); ++i)
                    if ((block[i / 8] >> (i % 8) & 1) != 0) {
                        places.insert(i);
                        ++set;
                    }
                ASSERT_EQ(set, 1u);
            }
        }
        EXPECT_EQ(places.size(), static_cast<std::size_t>(4 * kBits * dim));
    }
}

// What is stored in a slot is what scores; moving it moves all of it, clearing leaves zeros, neighbours stay.
TYPED_TEST(Scan, MovingAndClearing) {
    constexpr int kBits = TypeParam::value;
    for (const int dim : {1, 5, 17, 29, 33, 63, 100, 129}) {
        SCOPED_TRACE(dim);
        Database<kBits> database(dim, 2 * kBlock, false);
        const ScanLayout<kBits>& layout = database.layout;
        const auto stored = [&](const std::vector<std::vector<std::uint8_t>>& records) {
            std::vector<std::uint8_t> blocks(2 * database.block_bytes, 0);
            for (std::size_t v = 0; v < records.size(); ++v)
                if (!records[v].empty())
                    simd::store_in_block(layout, records[v].data(),
                                         blocks.data() + v / kBlock * database.block_bytes,
                                         static_cast<int>(v % kBlock));
            return blocks;
        };
        auto records = database.records;
        std::vector<std::uint8_t> blocks = stored(records);
        const auto move = [&](std::size_t from, std::size_t to) {
            simd::move_in_blocks(
                layout, blocks.data() + from / kBlock * database.block_bytes, static_cast<int>(from % kBlock),
                blocks.data() + to / kBlock * database.block_bytes, static_cast<int>(to % kBlock));
            records[to] = records[from];
            ASSERT_EQ(blocks, stored(records)) << from << " to " << to;
        };
        const auto clear = [&](std::size_t at) {
            simd::clear_in_block(layout, blocks.data() + at / kBlock * database.block_bytes,
                                 static_cast<int>(at % kBlock));
            records[at].clear();
            ASSERT_EQ(blocks, stored(records)) << at;
        };
        for (const auto& [from, to] : std::vector<std::pair<std::size_t, std::size_t>>{
                 {63, 0}, {62, 31}, {32, 33}, {0, 63}, {31, 32}, {5, 5}})
            move(from, to);
        for (const std::size_t at : {0u, 31u, 32u, 63u}) clear(at);
    }
}

// A block's indices take the bytes of the records that they hold, no more.
TYPED_TEST(Scan, BytesOfABlock) {
    constexpr int kBits = TypeParam::value;
    for (int dim = 1; dim <= 2000; ++dim)
        ASSERT_EQ(ScanLayout<kBits>(dim).index_bytes(),
                  static_cast<std::size_t>((kBits * dim + 7) / 8) * kBlock)
            << dim;
}

// --- Rounding a query -------------------------------------------------------------------------------------------------------

TYPED_TEST(Scan, RoundedQuery) {
    constexpr int kBits = TypeParam::value;
    for (const int dim : {1, 5, 100, 130}) {
        const ScanLayout<kBits> layout(dim);
        const Eigen::VectorXf x = test_vectors::gaussian(dim, 1, 9);
        std::vector<std::int8_t> quads(static_cast<std::size_t>(4 * layout.quads()), 77);
        const ScanQuery query = simd::round_query(layout, x.data(), quads.data());
        std::vector<int> met(static_cast<std::size_t>(dim), 0);
        int sum = 0;
        const std::int8_t* quad = quads.data();
        for (int step = 0; step < layout.quads() / ScanStep<kBits>::kQuads; ++step)
            for (int j = 0; j < ScanStep<kBits>::kQuads; ++j)
                for (int k = 0; k < 4; ++k, ++quad) {
                    const int i = ScanLayout<kBits>::dimension(step, j, k);
                    sum += *quad;
                    if (i >= dim) {
                        EXPECT_EQ(*quad, 0);
                        continue;
                    }
                    ++met[static_cast<std::size_t>(i)];
                    // Half a step, and the rounding of the product before it.
                    EXPECT_NEAR(static_cast<float>(*quad) * query.step, x[i], query.step * .5001f);
                }
        EXPECT_EQ(query.sum, sum);
        EXPECT_EQ(std::count(met.begin(), met.end(), 1), dim);
    }
    const ScanLayout<kBits> layout(3);
    std::vector<std::int8_t> quads(static_cast<std::size_t>(4 * layout.quads()), 77);
    for (const float value : {0.0f, -0.0f}) {
        const float x[3] = {value, value, -value};
        const ScanQuery query = simd::round_query(layout, x, quads.data());
        EXPECT_EQ(query.sum, 0);
        EXPECT_EQ(std::count(quads.begin(), quads.end(), 0), static_cast<std::ptrdiff_t>(quads.size()));
    }
    for (const float value : {1e-38f, 1e-35f, 1e30f, 3e38f}) {
        const float x[3] = {value, -value, value / 4};
        const ScanQuery query = simd::round_query(layout, x, quads.data());
        EXPECT_EQ(query.sum, 32) << value;  // 127 − 127 + 31.75
        EXPECT_NEAR(query.step * 127.0f / value, 1.0f,
                    value < 1e-36f ? 1e-5f : 1e-6f);  // 1e-38: a denormal step
    }
}

// Last: that the tests above ran on every target of this machine.
TEST(ScanTargets, AllExercised) {
    const auto supported = tq::supported_targets();
    EXPECT_EQ(exercised(), std::set<Target>(supported.begin(), supported.end()));
}

}  // namespace
