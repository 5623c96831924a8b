// Codes and CodesView: containers of records.
#include <cstdint>
#include <cstring>
#include <set>
#include <type_traits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "test_vectors.hpp"
#include "turboquant/turboquant.hpp"

namespace tq = turboquant;
using test_vectors::bytes_of;
using test_vectors::gaussian;
using tq::CodecId;
using tq::Codes;
using tq::CodesView;
using tq::Dynamic;
using tq::Index;

namespace {

using Quantizer = tq::MseQuantizer<Dynamic, 4>;

static_assert(std::is_nothrow_move_constructible_v<Codes> && std::is_nothrow_move_assignable_v<Codes>);
static_assert(std::is_copy_constructible_v<Codes> && std::is_default_constructible_v<Codes>);
static_assert(std::is_convertible_v<Codes, CodesView>);
static_assert(std::is_trivially_copyable_v<CodesView>);

class CodesTest : public testing::Test {
protected:
    const Quantizer quantizer{100, 7};
    const Eigen::MatrixXf x = gaussian(100, 6, 1);
};

TEST_F(CodesTest, DefaultIsEmptyAndNobodys) {
    const Codes codes;
    EXPECT_EQ(codes.size(), 0);
    EXPECT_TRUE(codes.empty());
    EXPECT_EQ(codes.dim(), 0);
    EXPECT_EQ(codes.bytes(), 0u);
    EXPECT_EQ(codes.capacity(), 0);
    EXPECT_EQ(codes.fingerprint(), 0u);
    EXPECT_EQ(codes.view().size(), 0);
    EXPECT_EQ(CodesView().size(), 0);
    EXPECT_EQ(CodesView().fingerprint(), 0u);
    EXPECT_EQ(codes.range(0, 0).size(), 0);
    EXPECT_EQ(Codes(codes).size(), 0);  // NOLINT: a copy is the point
}

TEST_F(CodesTest, AdoptsTheQuantizer) {
    const Codes codes = quantizer.encode(x);
    EXPECT_EQ(codes.size(), 6);
    EXPECT_FALSE(codes.empty());
    EXPECT_EQ(codes.dim(), 100);
    EXPECT_EQ(codes.bytes_per_vector(), 54u);
    EXPECT_EQ(codes.bytes(), 6u * 54u);
    EXPECT_EQ(codes.id(), quantizer.id());
    EXPECT_EQ(codes.fingerprint(), quantizer.fingerprint());
    EXPECT_NE(codes.fingerprint(), 0u);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(codes.data()) % 64, 0u);
}

TEST_F(CodesTest, Views) {
    const Codes codes = quantizer.encode(x);
    const CodesView view = codes;
    EXPECT_EQ(view.data(), codes.data());
    EXPECT_EQ(view.size(), 6);
    EXPECT_EQ(view.dim(), 100);
    EXPECT_EQ(view.bytes(), codes.bytes());
    EXPECT_EQ(view.bytes_per_vector(), codes.bytes_per_vector());
    EXPECT_EQ(view.id(), codes.id());
    const CodesView part = view.range(2, 3);
    EXPECT_EQ(part.data(), codes.data() + 2 * 54);
    EXPECT_EQ(part.size(), 3);
    EXPECT_EQ(part.range(1, 2).data(), codes.data() + 3 * 54);
    EXPECT_EQ(view[5].data(), codes.data() + 5 * 54);
    EXPECT_EQ(view[5].size(), 1);
    EXPECT_EQ(codes.range(2, 3).data(), part.data());
    EXPECT_EQ(view.range(6, 0).size(), 0);
    EXPECT_TRUE(quantizer.decode(part) == quantizer.decode(codes).middleCols(2, 3));
    // Over memory of the caller.
    const auto bytes = bytes_of(codes);
    const CodesView foreign = quantizer.view(bytes.data(), 6);
    EXPECT_EQ(foreign.fingerprint(), codes.fingerprint());
    EXPECT_TRUE(quantizer.decode(foreign) == quantizer.decode(codes));
    EXPECT_TRUE(quantizer.decode(CodesView(bytes.data(), 6, 54, quantizer.id())) == quantizer.decode(codes));
}

TEST_F(CodesTest, EraseKeepsOrder) {
    Codes codes = quantizer.encode(x);
    std::vector<Index> left = {0, 1, 2, 3, 4, 5};
    for (const Index i : {3, 0, 3, 1, 1, 0}) {
        codes.erase(i);
        left.erase(left.begin() + i);
        ASSERT_EQ(codes.size(), static_cast<Index>(left.size()));
        const Codes expected = quantizer.encode(x(Eigen::all, left));
        EXPECT_EQ(bytes_of(codes), bytes_of(expected));
    }
    EXPECT_TRUE(codes.empty());
    quantizer.append(x, codes);
    EXPECT_EQ(bytes_of(codes), bytes_of(quantizer.encode(x)));
}

TEST_F(CodesTest, ReserveBeforeTheFirstEncode) {
    Codes codes;
    codes.reserve(50);
    EXPECT_EQ(codes.capacity(), 50);
    quantizer.append(x, codes);
    const std::uint8_t* data = codes.data();
    EXPECT_GE(codes.capacity(), 50);
    for (int i = 0; i < 7; ++i) quantizer.append(x, codes);
    EXPECT_EQ(codes.size(), 48);
    EXPECT_EQ(codes.data(), data);
}

TEST_F(CodesTest, ReserveKeepsTheRecords) {
    Codes codes = quantizer.encode(x);
    const auto before = bytes_of(codes);
    codes.reserve(1000);
    EXPECT_GE(codes.capacity(), 1000);
    EXPECT_EQ(codes.size(), 6);
    EXPECT_EQ(bytes_of(codes), before);
    const std::uint8_t* data = codes.data();
    codes.reserve(10);
    EXPECT_EQ(codes.data(), data);
    EXPECT_GE(codes.capacity(), 1000);
}

TEST_F(CodesTest, AppendGrowsGeometrically) {
    Codes codes;
    int moves = 0;
    const std::uint8_t* data = nullptr;
    for (int i = 0; i < 2000; ++i) {
        quantizer.append(x.col(i % 6), codes);
        moves += codes.data() != data;
        data = codes.data();
    }
    EXPECT_LT(moves, 30);  // log(2000)/log(1.5) = 19
    for (Index i = 0; i < 2000; ++i)
        ASSERT_EQ(std::memcmp(codes[i].data(), codes[i % 6].data(), codes.bytes_per_vector()), 0);
}

TEST_F(CodesTest, ClearKeepsTheMemory) {
    Codes codes = quantizer.encode(x);
    const std::uint8_t* data = codes.data();
    codes.clear();
    EXPECT_EQ(codes.size(), 0);
    EXPECT_EQ(codes.fingerprint(), 0u);
    EXPECT_EQ(codes.dim(), 0);
    const Quantizer other(64, 3);
    const Eigen::MatrixXf y = gaussian(64, 6, 2);
    other.encode(y, codes);
    EXPECT_EQ(codes.data(), data);
    EXPECT_EQ(bytes_of(codes), bytes_of(other.encode(y)));
}

TEST_F(CodesTest, CopiesAreIndependent) {
    Codes codes = quantizer.encode(x);
    const auto before = bytes_of(codes);
    Codes copy = codes;
    EXPECT_EQ(copy.id(), codes.id());
    EXPECT_NE(copy.data(), codes.data());
    EXPECT_EQ(bytes_of(copy), before);
    codes.erase(0);
    codes.clear();
    EXPECT_EQ(bytes_of(copy), before);
    Codes assigned = Quantizer(64, 3).encode(gaussian(64, 2, 2));
    assigned = copy;
    EXPECT_EQ(bytes_of(assigned), before);
    EXPECT_EQ(assigned.id(), quantizer.id());
    const Codes& same = assigned;
    assigned = same;
    EXPECT_EQ(bytes_of(assigned), before);
    quantizer.append(x, assigned);
    EXPECT_EQ(assigned.size(), 12);
    EXPECT_EQ(copy.size(), 6);
}

TEST_F(CodesTest, MovesTakeTheMemory) {
    Codes codes = quantizer.encode(x);
    const auto before = bytes_of(codes);
    const std::uint8_t* data = codes.data();
    Codes moved = std::move(codes);
    EXPECT_EQ(moved.data(), data);
    EXPECT_EQ(bytes_of(moved), before);
    Codes assigned;
    assigned = std::move(moved);
    EXPECT_EQ(assigned.data(), data);
    EXPECT_EQ(bytes_of(assigned), before);
    // What was moved from can be used again.
    codes = Codes();
    quantizer.encode(x, codes);
    EXPECT_EQ(bytes_of(codes), before);
    Codes other = quantizer.encode(x.leftCols(2));
    other.swap(assigned);
    EXPECT_EQ(bytes_of(other), before);
    EXPECT_EQ(assigned.size(), 2);
}

// Every part of the id makes another fingerprint, another description and another id.
TEST(CodecIds, EveryPartCounts) {
    std::vector<CodecId> ids;
    CodecId id;
    id.kind = tq::QuantizerKind::turbo;
    id.dim = 128;
    id.bits = 4;
    id.seed = 7;
    ids.push_back(id);
    const auto with = [&](auto&& change) {
        ids.push_back(id);
        change(ids.back());
    };
    with([](CodecId& other) { other.kind = tq::QuantizerKind::mse; });
    with([](CodecId& other) { other.kind = tq::QuantizerKind::residual_sign; });
    with([](CodecId& other) { other.dim = 129; });
    with([](CodecId& other) { other.bits = 5; });
    with([](CodecId& other) { other.rotation = tq::RotationKind::haar; });
    with([](CodecId& other) { other.sketch = tq::SketchKind::gaussian; });
    with([](CodecId& other) { other.scale = tq::simd::ScaleType::float16; });
    with([](CodecId& other) { other.scale = tq::simd::ScaleType::bfloat16; });
    with([](CodecId& other) { other.seed = 8; });
    with([](CodecId& other) { other.seed = std::uint64_t{7} << 32; });
    std::set<std::uint64_t> fingerprints;
    std::set<std::string> descriptions;
    for (std::size_t i = 0; i < ids.size(); ++i) {
        for (std::size_t j = 0; j < ids.size(); ++j) EXPECT_EQ(ids[i] == ids[j], i == j);
        fingerprints.insert(ids[i].fingerprint());
        descriptions.insert(ids[i].description());
    }
    EXPECT_EQ(fingerprints.size(), ids.size());
    EXPECT_EQ(descriptions.size(), ids.size());
    EXPECT_EQ(fingerprints.count(0), 0u);
    EXPECT_EQ(id.description(),
              "TurboQuantizer of dimension 128, 4 bits, hadamard rotation, orthogonal sketch, seed 7");
    EXPECT_EQ(CodecId().description(), "no quantizer");
    EXPECT_EQ(CodecId().fingerprint(), 0u);
}

}  // namespace
