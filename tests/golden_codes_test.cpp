// Codes are the same bytes, and decoded vectors the same floats, on every machine, target, compiler and optimisation
// level: digests of both against one table. -ffast-math is exempt.
//
// After a deliberate change of the format, TURBOQUANT_PRINT_GOLDEN=1 prints a new table, to replace the lines of kGolden.
#include "turboquant/turboquant.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

namespace tq = turboquant;

namespace {

using tq::Dynamic;

constexpr int kDims[] = {1, 7, 16, 33, 64, 72, 100, 128, 200, 1000, 1536};
constexpr int kDimCount = 11;
constexpr std::uint64_t kSeed = 20240607;

// FNV-1a of 64 bits, folded to 32.
class Digest {
public:
    void add(const void* data, std::size_t bytes) {
        const auto* p = static_cast<const unsigned char*>(data);
        for (std::size_t i = 0; i < bytes; ++i) hash_ = (hash_ ^ p[i]) * 0x100000001b3u;
    }
    std::uint32_t value() const { return static_cast<std::uint32_t>(hash_ ^ (hash_ >> 32)); }

private:
    std::uint64_t hash_ = 0xcbf29ce484222325u;
};

struct Digests {
    Digest codes, decoded;
};

// Integers times powers of two, exact on every machine. Columns: uniform, heavy-tailed, one spike, none; where `extreme`,
// with denormal coordinates and with squares that overflow float.
Eigen::MatrixXf input(int dim, bool extreme, int small_exponent, int large_exponent) {
    const tq::RandomBits bits(kSeed, static_cast<tq::RandomStream>(1000 + dim));
    Eigen::MatrixXf x(dim, extreme ? 6 : 4);
    for (int i = 0; i < dim; ++i) {
        const auto word = bits.word(static_cast<std::uint64_t>(i));
        const int first = static_cast<int>(word >> 44) - (1 << 19);
        const int second = static_cast<int>(word & 0xffffu) - (1 << 15);
        x(i, 0) = static_cast<float>(first) * 0x1p-19f;
        x(i, 1) = static_cast<float>(std::int64_t{second} * second * second) * 0x1p-40f;
        x(i, 2) = i == dim / 3 ? -3.0f : 0.0f;
        x(i, 3) = 0.0f;
        if (extreme) {
            x(i, 4) = std::ldexp(static_cast<float>(second), small_exponent - 15);
            x(i, 5) = std::ldexp(static_cast<float>(first), large_exponent - 19);
        }
    }
    return x;
}

template <class Quantizer, class X>
void add_vectors(const Quantizer& quantizer, const X& x, Digests& digests) {
    const tq::Codes codes = quantizer.encode(x);
    const auto decoded = quantizer.decode(codes);
    digests.codes.add(codes.data(), codes.bytes());
    digests.decoded.add(decoded.data(), sizeof(float) * static_cast<std::size_t>(decoded.size()));
}

// Every element type.
template <class Quantizer>
void add_quantizer(const Quantizer& quantizer, Digests& digests, bool extreme = true) {
    const int dim = static_cast<int>(quantizer.dim());
    add_vectors(quantizer, input(dim, extreme, -135, 100), digests);
    add_vectors(quantizer, input(dim, extreme, -18, 14).cast<Eigen::half>().eval(), digests);
    add_vectors(quantizer, input(dim, extreme, -130, 100).cast<Eigen::bfloat16>().eval(), digests);
}

template <int Dim, int Bits>
Digests mse(int dim) {
    Digests digests;
    for (tq::ScaleRule rule : {tq::ScaleRule::norm, tq::ScaleRule::unbiased, tq::ScaleRule::least_squares})
        add_quantizer(tq::MseQuantizer<Dim, Bits>(dim, kSeed, rule), digests);
    return digests;
}

template <class Scale>
Digests mse_with_scale(int dim) {
    Digests digests;
    for (tq::ScaleRule rule : {tq::ScaleRule::norm, tq::ScaleRule::unbiased, tq::ScaleRule::least_squares})
        add_quantizer(tq::MseQuantizer<Dynamic, 4, tq::Rotation<Dynamic>, Scale>(dim, kSeed, rule), digests,
                      false);
    return digests;
}

template <int Dim, int Bits>
Digests turbo(int dim) {
    Digests digests;
    add_quantizer(tq::TurboQuantizer<Dim, Bits>(dim, kSeed), digests);
    return digests;
}

Digests residual_sign(int dim) {
    Digests digests;
    add_quantizer(tq::ResidualSignQuantizer<Dynamic>(dim, kSeed), digests);
    return digests;
}

struct Case {
    const char* name;
    Digests (*digests)(int dim);
};
constexpr Case kCases[] = {
    {"mse<1>", &mse<Dynamic, 1>},
    {"mse<2>", &mse<Dynamic, 2>},
    {"mse<3>", &mse<Dynamic, 3>},
    {"mse<4>", &mse<Dynamic, 4>},
    {"mse<5>", &mse<Dynamic, 5>},
    {"mse<6>", &mse<Dynamic, 6>},
    {"mse<7>", &mse<Dynamic, 7>},
    {"mse<8>", &mse<Dynamic, 8>},
    {"mse_with_scale<Eigen::half>", &mse_with_scale<Eigen::half>},
    {"mse_with_scale<Eigen::bfloat16>", &mse_with_scale<Eigen::bfloat16>},
    {"turbo<1>", &turbo<Dynamic, 1>},
    {"turbo<2>", &turbo<Dynamic, 2>},
    {"turbo<3>", &turbo<Dynamic, 3>},
    {"turbo<4>", &turbo<Dynamic, 4>},
    {"turbo<5>", &turbo<Dynamic, 5>},
    {"turbo<6>", &turbo<Dynamic, 6>},
    {"turbo<7>", &turbo<Dynamic, 7>},
    {"turbo<8>", &turbo<Dynamic, 8>},
    {"residual_sign", &residual_sign},
};
constexpr int kCaseCount = 19;

// Of each case: digests of the codes for every dimension, then of the decoded vectors.
// clang-format off
constexpr std::uint32_t kGolden[kCaseCount][2][kDimCount] = {
    {{0x425b2376u, 0x6c1a4933u, 0x5b78d5c4u, 0x0db9ca99u, 0xbd97c1a7u, 0x79e0946eu,
      0xa8de6f5du, 0xbb6cfebeu, 0x1293370fu, 0x023882bau, 0x7ba973e2u},
     {0xad2d6093u, 0x26caeaf8u, 0x890840bau, 0xc9e2c07du, 0xa66736e4u, 0x358f4e18u,
      0x57e38091u, 0x823b2b91u, 0xd3c6d2c4u, 0x80077654u, 0xcd38704eu}},  // mse<1>
    {{0x425b2376u, 0x0c4211f7u, 0x9da779b4u, 0xc45a5b64u, 0xa3300d25u, 0xc3837b1bu,
      0xfa95b8fdu, 0xe66e5355u, 0x00957264u, 0x925e97f3u, 0x9cd1771cu},
     {0xad2d6093u, 0x4a0ae48cu, 0x3a86d041u, 0x1b0d1609u, 0x23fa5898u, 0xad117fc1u,
      0x1ecfb14fu, 0x47ad3219u, 0xaed645a8u, 0x3db1f79du, 0x692f5579u}},  // mse<2>
    {{0x425b2376u, 0xe58b9609u, 0x1ad86732u, 0xc7b86d85u, 0x460e65a0u, 0x1774b8eau,
      0x1246281cu, 0x72059195u, 0xc0eac63fu, 0x717ffbc2u, 0x373a963au},
     {0xad2d6093u, 0x94acd17cu, 0xa75f15aeu, 0x04cf87dbu, 0x4ea2c19cu, 0x5c5e1d07u,
      0x2b8d2df2u, 0x85325c88u, 0xe247962cu, 0x718db917u, 0xd36de7dau}},  // mse<3>
    {{0x425b2376u, 0xa9bc87d1u, 0x24bab2a4u, 0x5c42b4eeu, 0x67538074u, 0xf30eceb1u,
      0x4804a1c4u, 0x2581992cu, 0xd6357cd1u, 0x61ce9d1eu, 0x2c9f8c1bu},
     {0xad2d6093u, 0x9426cd75u, 0x101e706au, 0x23c9eee7u, 0x10d70ce9u, 0xd004ab76u,
      0xb89e88cbu, 0x050a2a8cu, 0x044feadbu, 0x52284533u, 0x983f5c19u}},  // mse<4>
    {{0x425b2376u, 0xf170c220u, 0x3dc17dc3u, 0x68a7210bu, 0x836fbee8u, 0x4cba002au,
      0x6f7125d4u, 0x0c9fd738u, 0x0e77ca91u, 0x4294d80bu, 0x6366d432u},
     {0xad2d6093u, 0xea2ff5f2u, 0x714b375du, 0x84332251u, 0x38b0e2b9u, 0x3e8a9c4au,
      0x72dbfc24u, 0x856d0693u, 0x859084e6u, 0xe724d08fu, 0x8239ec81u}},  // mse<5>
    {{0x425b2376u, 0x59427cc0u, 0xd9c72667u, 0xe38c564au, 0xa8d921a4u, 0x76346d80u,
      0x94db0648u, 0x251f3415u, 0x0ba49325u, 0x31a6f304u, 0xd4193edcu},
     {0xad2d6093u, 0xe437520au, 0x0f858dc7u, 0xb3294e4cu, 0xd876ad40u, 0x27d67bd3u,
      0xe50d691eu, 0x3efd39bcu, 0xe37888eau, 0xf91a606eu, 0xc3e5e941u}},  // mse<6>
    {{0x425b2376u, 0xec96acf7u, 0xe85d3640u, 0x60b1c8d8u, 0xf22c131au, 0xad003782u,
      0xba021315u, 0x8f6949feu, 0x4aff61dbu, 0x5f710827u, 0x8d389b78u},
     {0xad2d6093u, 0x5cece33eu, 0xf5afe921u, 0xc4b6cb1du, 0xf04fa688u, 0xec5a51b6u,
      0x4cfc46fcu, 0x86db340du, 0x13bd329bu, 0xe8016c04u, 0x39cda1b1u}},  // mse<7>
    {{0x425b2376u, 0x16b7f9c9u, 0x0fb16305u, 0xf414decdu, 0xa50f24a4u, 0x206c8cf4u,
      0xa71033fcu, 0xba01a401u, 0xe087e7f9u, 0xf0b5e5fdu, 0xf082f12du},
     {0xad2d6093u, 0x0d639f81u, 0x9869c7e2u, 0x62866fe0u, 0x02deb860u, 0x42c1faf0u,
      0x7dcfb31fu, 0x5e809c5du, 0x1238cae7u, 0x91bc799eu, 0xc9b90aa7u}},  // mse<8>
    {{0x52f8d438u, 0x623f71cau, 0x57a1803eu, 0xe9913da4u, 0xd0334f28u, 0x2ed1a457u,
      0x4aae0483u, 0x941ed422u, 0xfee3f61cu, 0x3b5bf070u, 0xc727fa11u},
     {0xfedb82cdu, 0xcb1e7354u, 0xcb1d67bfu, 0x8e52ea1du, 0xa5cbcfaau, 0x2b34c329u,
      0x09fce817u, 0x0f5cb8d1u, 0xc77bb29bu, 0xd7271f8du, 0x74c548ffu}},  // mse_with_scale<Eigen::half>
    {{0x6525a30du, 0xfbd774b7u, 0x806d6426u, 0x87450c5du, 0x6bcd446eu, 0x5f56aa1au,
      0xa9614a46u, 0xd3765c44u, 0x4b712dc1u, 0x7aadb53au, 0x0379a70bu},
     {0x05c978c1u, 0x52d0a024u, 0x1ff6c05au, 0x0df9959cu, 0xac15ff77u, 0xbaeef491u,
      0x1e8bb2a5u, 0x67c7c4efu, 0xce11deefu, 0x744aea57u, 0x1ee8cde3u}},  // mse_with_scale<Eigen::bfloat16>
    {{0xfcc08f7eu, 0xfeccaaa2u, 0x0fb7e066u, 0x0674c873u, 0x0f7a8d26u, 0x64ca5dd6u,
      0xf4e4643du, 0x08f6d1adu, 0x3a603a27u, 0x68efb4b2u, 0x68a5fa02u},
     {0xc8260cbeu, 0xa8e0d948u, 0x9283793eu, 0xf3631bb5u, 0x80a1f549u, 0x18c61484u,
      0x09d4bdc9u, 0x4525f6d5u, 0x195a63dfu, 0xe478f8b7u, 0xc3ede616u}},  // turbo<1>
    {{0x4bab6e32u, 0x881e977au, 0xd62d8255u, 0x3536ffa2u, 0x0fe99d91u, 0x4db25642u,
      0x14ab108bu, 0xe661fc3fu, 0x61c9c565u, 0x1b47c6ddu, 0xb93c1565u},
     {0xa38a802au, 0xb28ecc8eu, 0x3d2c80c6u, 0x6db39920u, 0xf5268cd5u, 0x55e62d0au,
      0xe1418f14u, 0xa17cd678u, 0xb5d6adf8u, 0xb7300a1au, 0xe40ceb34u}},  // turbo<2>
    {{0x4bab6e32u, 0xdda89ea6u, 0x40298ab0u, 0x565aa339u, 0xba6ad6e0u, 0xe300b79au,
      0xe28ca846u, 0x7f4cf729u, 0x6af1516bu, 0xee9f400cu, 0xfb289f57u},
     {0xa38a802au, 0x450c796bu, 0x29d99f57u, 0x9fa3d15eu, 0xa4d491d2u, 0x451648a7u,
      0x25a995beu, 0xe7c2c2deu, 0x76794d5cu, 0x98e76fb2u, 0x2f5852e2u}},  // turbo<3>
    {{0x4bab6e32u, 0x866b2024u, 0x161b4510u, 0xca836879u, 0x3bcab6e2u, 0x42b85cf6u,
      0x41e8f59eu, 0x7b7654d9u, 0xa5d2ce1bu, 0x8db49fb7u, 0x50dc0da6u},
     {0xa38a802au, 0xa7924e43u, 0x97428d6bu, 0x66c6e363u, 0xe07e782fu, 0x39ccdd2eu,
      0x743eb06eu, 0x0f2fc376u, 0xd4f9f82au, 0x89fd6300u, 0xb4e2193cu}},  // turbo<4>
    {{0x4bab6e32u, 0x6e968013u, 0x320f5f7eu, 0xb35f49c7u, 0x6fd8c326u, 0xeffe1475u,
      0x5f6187b6u, 0x1603b12cu, 0x5142e669u, 0xd0de8fc0u, 0x14b56eecu},
     {0xa38a802au, 0xc709f341u, 0xbec9d689u, 0x71fb7789u, 0xb8cdf3d3u, 0x72ce6f69u,
      0xc1ee2a19u, 0xc1e200a6u, 0xa15f4632u, 0x369e0f13u, 0x9d414700u}},  // turbo<5>
    {{0x4bab6e32u, 0xfedcb949u, 0x60a610e0u, 0x802d1a09u, 0x10862606u, 0xd055827bu,
      0x8750cd50u, 0xf97bbdc6u, 0x5cc9155eu, 0xf1bec895u, 0x09a835f7u},
     {0xa38a802au, 0xfd9bac9du, 0x82c90de5u, 0x6f583447u, 0x9df26b14u, 0x2e36dc09u,
      0xc3f59bfcu, 0xc82117f2u, 0x7e6ae168u, 0xbe173ed6u, 0x802a1879u}},  // turbo<6>
    {{0x4bab6e32u, 0x3d32a1fcu, 0x25472941u, 0x560c92f1u, 0xf58ad235u, 0x5b351ea7u,
      0x5c1d33d9u, 0x8f1f7f50u, 0x68a936dbu, 0xe288d0b9u, 0xd5c081bdu},
     {0xa38a802au, 0xbda36143u, 0xc0515423u, 0xb86cf0d8u, 0x4a0e1267u, 0xe64675b2u,
      0x329fd743u, 0x5217b931u, 0x241ddbaau, 0x40609a26u, 0x7c403e2fu}},  // turbo<7>
    {{0x4bab6e32u, 0xb10b2926u, 0xd79677d5u, 0x3ae5e54au, 0xd71cedccu, 0x623b5d19u,
      0x31a04e36u, 0x45f462b0u, 0x8fee113au, 0x88eaba03u, 0x6338b25fu},
     {0xa38a802au, 0xbc6b1caeu, 0x158dde46u, 0xc62ed241u, 0xc3d70397u, 0x253fa6a2u,
      0xe8ec44bdu, 0xb92fd813u, 0xcad6f604u, 0xe5c0d529u, 0x74acb481u}},  // turbo<8>
    {{0xfcc08f7eu, 0xfeccaaa2u, 0x0fb7e066u, 0x0674c873u, 0x0f7a8d26u, 0x64ca5dd6u,
      0xf4e4643du, 0x08f6d1adu, 0x3a603a27u, 0x68efb4b2u, 0x68a5fa02u},
     {0xc8260cbeu, 0xa8e0d948u, 0x9283793eu, 0xf3631bb5u, 0x80a1f549u, 0x18c61484u,
      0x09d4bdc9u, 0x4525f6d5u, 0x195a63dfu, 0xe478f8b7u, 0xc3ede616u}},  // residual_sign
};
// clang-format on

bool printing() {
    const char* value = std::getenv("TURBOQUANT_PRINT_GOLDEN");
    return value != nullptr && std::string(value) == "1";
}

// Leaves the target as it was.
class GoldenCodes : public testing::Test {
protected:
    ~GoldenCodes() override { tq::set_target(before_); }

private:
    tq::Target before_ = tq::active_target();
};

TEST_F(GoldenCodes, AreTheSameOnEveryTarget) {
    if (printing()) GTEST_SKIP() << "TURBOQUANT_PRINT_GOLDEN is set";
    for (tq::Target target : tq::supported_targets()) {
        tq::set_target(target);
        for (int c = 0; c < kCaseCount; ++c) {
            for (int i = 0; i < kDimCount; ++i) {
                const Digests found = kCases[c].digests(kDims[i]);
                EXPECT_EQ(found.codes.value(), kGolden[c][0][i])
                    << "codes: " << kCases[c].name << ", d = " << kDims[i] << ", " << tq::target_name(target);
                EXPECT_EQ(found.decoded.value(), kGolden[c][1][i])
                    << "decoded: " << kCases[c].name << ", d = " << kDims[i] << ", "
                    << tq::target_name(target);
            }
        }
    }
}

// The table, by the target in use.
TEST_F(GoldenCodes, Print) {
    if (!printing()) GTEST_SKIP() << "TURBOQUANT_PRINT_GOLDEN=1 prints a table";
    for (const Case& c : kCases) {
        Digests digests[kDimCount];
        for (int i = 0; i < kDimCount; ++i) digests[i] = c.digests(kDims[i]);
        std::printf("    {");
        for (Digest Digests::*part : {&Digests::codes, &Digests::decoded}) {
            std::printf(part == &Digests::codes ? "{" : "     {");
            for (int i = 0; i < kDimCount; ++i)
                std::printf("0x%08xu%s", static_cast<unsigned>((digests[i].*part).value()),
                            i == kDimCount - 1 ? "}"
                            : i == 5           ? ",\n      "
                                               : ", ");
            if (part == &Digests::codes)
                std::printf(",\n");
            else
                std::printf("},  // %s\n", c.name);
        }
    }
}

TEST_F(GoldenCodes, OfFixedDimensionsAreThoseOfDynamicOnes) {
    for (tq::Target target : tq::supported_targets()) {
        tq::set_target(target);
        const Digests found[] = {mse<128, 4>(128), turbo<128, 4>(128)};
        const Digests expected[] = {mse<Dynamic, 4>(128), turbo<Dynamic, 4>(128)};
        for (int i = 0; i < 2; ++i) {
            EXPECT_EQ(found[i].codes.value(), expected[i].codes.value()) << tq::target_name(target);
            EXPECT_EQ(found[i].decoded.value(), expected[i].decoded.value()) << tq::target_name(target);
        }
    }
}

}  // namespace
