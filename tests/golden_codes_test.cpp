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

template <int Bits>
Digests refined(int dim) {
    Digests digests;
    for (tq::ScaleRule rule : {tq::ScaleRule::unbiased, tq::ScaleRule::least_squares})
        add_quantizer(tq::MseQuantizer<Dynamic, Bits>(dim, kSeed, rule, tq::Refinement::scale_search),
                      digests);
    return digests;
}

template <int Dim, int Bits, int States = (256 >> Bits)>
Digests trellis(int dim) {
    Digests digests;
    for (tq::ScaleRule rule : {tq::ScaleRule::norm, tq::ScaleRule::unbiased, tq::ScaleRule::least_squares})
        add_quantizer(tq::TrellisQuantizer<Dim, Bits, States>(dim, kSeed, rule), digests);
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
    {"refined<2>", &refined<2>},
    {"refined<4>", &refined<4>},
    {"trellis<1>", &trellis<Dynamic, 1>},
    {"trellis<2>", &trellis<Dynamic, 2>},
    {"trellis<3>", &trellis<Dynamic, 3>},
    {"trellis<4>", &trellis<Dynamic, 4>},
    {"trellis<1, 64>", &trellis<Dynamic, 1, 64>},
    {"trellis<2, 32>", &trellis<Dynamic, 2, 32>},
    {"trellis<3, 16>", &trellis<Dynamic, 3, 16>},
    {"trellis<4, 8>", &trellis<Dynamic, 4, 8>},
    {"trellis<1, 32>", &trellis<Dynamic, 1, 32>},
    {"trellis<2, 16>", &trellis<Dynamic, 2, 16>},
    {"trellis<3, 8>", &trellis<Dynamic, 3, 8>},
    {"trellis<4, 4>", &trellis<Dynamic, 4, 4>},
};
constexpr int kCaseCount = 33;

// Of each case: digests of the codes for every dimension, then of the decoded vectors.
// clang-format off
constexpr std::uint32_t kGolden[kCaseCount][2][kDimCount] = {
    {{0x425b2376u, 0x6c1a4933u, 0x5b78d5c4u, 0xc0be137au, 0xbd97c1a7u, 0xf765c726u,
      0xbf3510dcu, 0xbb6cfebeu, 0x8850e21fu, 0x86fef325u, 0x7ba973e2u},
     {0xad2d6093u, 0x26caeaf8u, 0x890840bau, 0x4442089cu, 0xa66736e4u, 0xb25140a6u,
      0x320ce1f1u, 0x823b2b91u, 0xcce2437cu, 0x99f8343au, 0xcd38704eu}},  // mse<1>
    {{0x425b2376u, 0x0c4211f7u, 0x9da779b4u, 0xddf51999u, 0xa3300d25u, 0x75fd18fau,
      0xa09fac49u, 0xe66e5355u, 0xa0d62b07u, 0xdce292d9u, 0x9cd1771cu},
     {0xad2d6093u, 0x4a0ae48cu, 0x3a86d041u, 0xc25faa2bu, 0x23fa5898u, 0x0859dd09u,
      0x2870b0cau, 0x47ad3219u, 0x9228f5cdu, 0x08e32ce1u, 0x692f5579u}},  // mse<2>
    {{0x425b2376u, 0xe58b9609u, 0x1ad86732u, 0x109f0ef7u, 0x460e65a0u, 0xe9a3926cu,
      0x372a581cu, 0x72059195u, 0x0a05ed90u, 0x8063b81au, 0x373a963au},
     {0xad2d6093u, 0x94acd17cu, 0xa75f15aeu, 0x2ba3f9ceu, 0x4ea2c19cu, 0xcc0bc68au,
      0x3a9a6e76u, 0x85325c88u, 0x27ac62f2u, 0xa37df9acu, 0xd36de7dau}},  // mse<3>
    {{0x425b2376u, 0xa9bc87d1u, 0x24bab2a4u, 0x15f95e37u, 0x67538074u, 0x69774af1u,
      0xfdf3db3au, 0x2581992cu, 0x723ff2a0u, 0xac0830b1u, 0x2c9f8c1bu},
     {0xad2d6093u, 0x9426cd75u, 0x101e706au, 0x07dbb13au, 0x10d70ce9u, 0xceea4c8du,
      0x3bfc336bu, 0x050a2a8cu, 0x677aa397u, 0x5dab950bu, 0x983f5c19u}},  // mse<4>
    {{0x425b2376u, 0xf170c220u, 0x3dc17dc3u, 0x379c0552u, 0x836fbee8u, 0x71b29c66u,
      0xc605f84eu, 0x0c9fd738u, 0x7e75253du, 0xa04fc2c9u, 0x6366d432u},
     {0xad2d6093u, 0xea2ff5f2u, 0x714b375du, 0xf753bd12u, 0x38b0e2b9u, 0xca838e71u,
      0x308ae921u, 0x856d0693u, 0x9e0b1a09u, 0x8c1748a0u, 0x8239ec81u}},  // mse<5>
    {{0x425b2376u, 0x59427cc0u, 0xd9c72667u, 0xdee8b99fu, 0xa8d921a4u, 0x869561f4u,
      0x43450db3u, 0x251f3415u, 0xd3899b9au, 0x620009f6u, 0xd4193edcu},
     {0xad2d6093u, 0xe437520au, 0x0f858dc7u, 0xeb023666u, 0xd876ad40u, 0x855faec2u,
      0xd0fd731bu, 0x3efd39bcu, 0x8bdf1959u, 0xa13bb939u, 0xc3e5e941u}},  // mse<6>
    {{0x425b2376u, 0xec96acf7u, 0xe85d3640u, 0xf7c568e1u, 0xf22c131au, 0xc0411360u,
      0xc051adecu, 0x8f6949feu, 0x7cf1e97fu, 0x0103f66cu, 0x8d389b78u},
     {0xad2d6093u, 0x5cece33eu, 0xf5afe921u, 0x3ec49bb2u, 0xf04fa688u, 0xa38fd25bu,
      0xaeed0c6fu, 0x86db340du, 0x2787eb95u, 0x8316b98fu, 0x39cda1b1u}},  // mse<7>
    {{0x425b2376u, 0x16b7f9c9u, 0x0fb16305u, 0x82d7406au, 0xa50f24a4u, 0x58d3f298u,
      0x66292ea3u, 0xba01a401u, 0x6186bec5u, 0xc5220bcau, 0xf082f12du},
     {0xad2d6093u, 0x0d639f81u, 0x9869c7e2u, 0x9061a2a9u, 0x02deb860u, 0xcc0e55d2u,
      0xaee76912u, 0x5e809c5du, 0xea5b1713u, 0xb629349eu, 0xc9b90aa7u}},  // mse<8>
    {{0x52f8d438u, 0x623f71cau, 0x57a1803eu, 0x4a89d9e1u, 0xd0334f28u, 0x9fa069dbu,
      0x607cb312u, 0x941ed422u, 0xda4e08c3u, 0xfc3764aeu, 0xc727fa11u},
     {0xfedb82cdu, 0xcb1e7354u, 0xcb1d67bfu, 0x93aaf15cu, 0xa5cbcfaau, 0xf4c6e27au,
      0xaad4e677u, 0x0f5cb8d1u, 0xbb611500u, 0x35fd9690u, 0x74c548ffu}},  // mse_with_scale<Eigen::half>
    {{0x6525a30du, 0xfbd774b7u, 0x806d6426u, 0x793ba33eu, 0x6bcd446eu, 0x47c2e6f2u,
      0x62e0e6b4u, 0xd3765c44u, 0xdc8b3106u, 0x82968c02u, 0x0379a70bu},
     {0x05c978c1u, 0x52d0a024u, 0x1ff6c05au, 0x46a49c6bu, 0xac15ff77u, 0x35cdc913u,
      0x8ce8dcdfu, 0x67c7c4efu, 0x7be11dd5u, 0xd5a03d56u, 0x1ee8cde3u}},  // mse_with_scale<Eigen::bfloat16>
    {{0xfcc08f7eu, 0xfeccaaa2u, 0x0fb7e066u, 0xfa8ada2du, 0x0f7a8d26u, 0x2ece3060u,
      0xb7ea3c96u, 0x08f6d1adu, 0x2fd26b24u, 0x12d34aa8u, 0x68a5fa02u},
     {0xc8260cbeu, 0xa8e0d948u, 0x9283793eu, 0x5c29b9cdu, 0x80a1f549u, 0xe53f7c4cu,
      0x2c67786fu, 0x4525f6d5u, 0xb6b66a1au, 0x4edbe438u, 0xc3ede616u}},  // turbo<1>
    {{0x4bab6e32u, 0x881e977au, 0xd62d8255u, 0x7950497fu, 0x0fe99d91u, 0xecad38beu,
      0xbafa64dfu, 0xe661fc3fu, 0x3b837fa4u, 0xc2f9a26du, 0xb93c1565u},
     {0xa38a802au, 0xb28ecc8eu, 0x3d2c80c6u, 0x9e47db45u, 0xf5268cd5u, 0x7434e62du,
      0x44b919e5u, 0xa17cd678u, 0xc1987323u, 0x09b7c33au, 0xe40ceb34u}},  // turbo<2>
    {{0x4bab6e32u, 0xdda89ea6u, 0x40298ab0u, 0x55eeaa53u, 0xba6ad6e0u, 0x28771dc8u,
      0xf4726164u, 0x7f4cf729u, 0xbc718a8fu, 0xc698d86cu, 0xfb289f57u},
     {0xa38a802au, 0x450c796bu, 0x29d99f57u, 0x1d7a4eaau, 0xa4d491d2u, 0x7a1d6c81u,
      0xad6698e5u, 0xe7c2c2deu, 0x9040a072u, 0x1c91425fu, 0x2f5852e2u}},  // turbo<3>
    {{0x4bab6e32u, 0x866b2024u, 0x161b4510u, 0x02355d4cu, 0x3bcab6e2u, 0x09764c58u,
      0x3dcc6dccu, 0x7b7654d9u, 0x0c845841u, 0x9594637eu, 0x50dc0da6u},
     {0xa38a802au, 0xa7924e43u, 0x97428d6bu, 0x455aab7eu, 0xe07e782fu, 0xf98a1026u,
      0xb0b8e995u, 0x0f2fc376u, 0xc6d69967u, 0x6cf2c893u, 0xb4e2193cu}},  // turbo<4>
    {{0x4bab6e32u, 0x6e968013u, 0x320f5f7eu, 0x1a488647u, 0x6fd8c326u, 0x6defeae6u,
      0xf5721470u, 0x1603b12cu, 0xcf4ada78u, 0x12819af5u, 0x14b56eecu},
     {0xa38a802au, 0xc709f341u, 0xbec9d689u, 0x296cca65u, 0xb8cdf3d3u, 0x17ec71a0u,
      0x2ceb2ba8u, 0xc1e200a6u, 0xa2b1c340u, 0x0bf57f36u, 0x9d414700u}},  // turbo<5>
    {{0x4bab6e32u, 0xfedcb949u, 0x60a610e0u, 0xac2eeaa4u, 0x10862606u, 0x67bd25feu,
      0x2daf4662u, 0xf97bbdc6u, 0xede2e788u, 0x3f323646u, 0x09a835f7u},
     {0xa38a802au, 0xfd9bac9du, 0x82c90de5u, 0x37229138u, 0x9df26b14u, 0xfee5266du,
      0xe7aa2030u, 0xc82117f2u, 0x73891b2bu, 0x8f649c52u, 0x802a1879u}},  // turbo<6>
    {{0x4bab6e32u, 0x3d32a1fcu, 0x25472941u, 0x64158fd3u, 0xf58ad235u, 0xde97c958u,
      0xc4e5d2aeu, 0x8f1f7f50u, 0xb738f4d2u, 0x416b5d6eu, 0xd5c081bdu},
     {0xa38a802au, 0xbda36143u, 0xc0515423u, 0x65fc1535u, 0x4a0e1267u, 0x2c6f759au,
      0x10e703aeu, 0x5217b931u, 0x0095b1a2u, 0x1ae9ee76u, 0x7c403e2fu}},  // turbo<7>
    {{0x4bab6e32u, 0xb10b2926u, 0xd79677d5u, 0x39f5a795u, 0xd71cedccu, 0x2d2ada29u,
      0xcb61240fu, 0x45f462b0u, 0x17018399u, 0x3315ec4cu, 0x6338b25fu},
     {0xa38a802au, 0xbc6b1caeu, 0x158dde46u, 0xac3cbbfcu, 0xc3d70397u, 0x9b294fb9u,
      0x60321bc9u, 0xb92fd813u, 0xe3dcdb2bu, 0x6b8999b9u, 0x74acb481u}},  // turbo<8>
    {{0xfcc08f7eu, 0xfeccaaa2u, 0x0fb7e066u, 0xfa8ada2du, 0x0f7a8d26u, 0x2ece3060u,
      0xb7ea3c96u, 0x08f6d1adu, 0x2fd26b24u, 0x12d34aa8u, 0x68a5fa02u},
     {0xc8260cbeu, 0xa8e0d948u, 0x9283793eu, 0x5c29b9cdu, 0x80a1f549u, 0xe53f7c4cu,
      0x2c67786fu, 0x4525f6d5u, 0xb6b66a1au, 0x4edbe438u, 0xc3ede616u}},  // residual_sign
    {{0x69b6f1f2u, 0x54daa020u, 0x7b55f992u, 0xee15498fu, 0xfbda9f28u, 0xca62efc5u,
      0x03c93216u, 0x6c7365abu, 0xb076c2deu, 0x20435409u, 0x848ad5cdu},
     {0x891cfc99u, 0x52ecdb45u, 0x363826bbu, 0x0410da0eu, 0xd854c254u, 0x7654c9bcu,
      0x2b6a1c1cu, 0xded54c65u, 0x3dc5b9adu, 0x93f09de6u, 0xded70aa0u}},  // refined<2>
    {{0xdc34963eu, 0xd7dc3defu, 0xc326d308u, 0x40060500u, 0x0b5c35f6u, 0xcf9c0e26u,
      0xe8ffd490u, 0x8e1ac34eu, 0x2c001267u, 0x30eae86eu, 0x8093573fu},
     {0x48dc53e9u, 0x638d1588u, 0x300c7e3au, 0xee6dd627u, 0x8464860au, 0x8312e27du,
      0xa5219ebdu, 0xc48ecc20u, 0x13fc9607u, 0xe2f6d7feu, 0x6bfcff26u}},  // refined<4>
    {{0xd56ac466u, 0x040377f6u, 0xcc5b75c9u, 0xa2600325u, 0xe985db69u, 0xb1425db1u,
      0x8ae56afeu, 0x50e249f4u, 0xab475e0du, 0x74c51b06u, 0xe35b43f1u},
     {0xdb583d83u, 0x3f6e20feu, 0x0dab6762u, 0xe13d62e1u, 0x580300f5u, 0x7112f4a1u,
      0x99d48d84u, 0x76cd82f9u, 0xb267afe9u, 0xbe8c59aeu, 0x5de46766u}},  // trellis<1>
    {{0x80b8c2b8u, 0xe2f427f7u, 0x732303f9u, 0x9e79cde7u, 0xf2796898u, 0xd5bed0ccu,
      0xf8be72fcu, 0xf868c24bu, 0x736b0589u, 0xeae0cd4eu, 0xe92f3312u},
     {0xbf51722bu, 0x94f16520u, 0x8d42af65u, 0x245f6fa4u, 0x5f5b01ddu, 0xe8fe66cdu,
      0xdb65514cu, 0x7e960f63u, 0xaa94c45au, 0x02da6edeu, 0x422337d6u}},  // trellis<2>
    {{0xd34326b8u, 0x80689d8eu, 0xd12593bfu, 0x726a29c7u, 0x74603c27u, 0xe960f8bcu,
      0x1365bb4eu, 0x4070ccb2u, 0x9d6dabe8u, 0xc9d0b308u, 0x23710667u},
     {0x4c778a31u, 0xc4508905u, 0xec0b3fcau, 0xe3ad42f0u, 0xa69bba5eu, 0x6b32860du,
      0xd25e5020u, 0x41ebffecu, 0x4132ed9eu, 0x000906aeu, 0x9160b6c0u}},  // trellis<3>
    {{0x3f123c33u, 0x04b9ea97u, 0x973697c4u, 0xfa4f9166u, 0x8e65cc81u, 0xace22ebcu,
      0x50f18984u, 0xa500fb6cu, 0x8f098366u, 0x8b960c73u, 0xf7e6caf2u},
     {0x6ccdc4d2u, 0x429d5dbbu, 0xc3b77affu, 0x729d8e95u, 0x2f1e7229u, 0x90d48af2u,
      0x317256ccu, 0x2d17d968u, 0x080adea6u, 0x21e8ed17u, 0xbae64075u}},  // trellis<4>
    {{0x15bb2fd7u, 0xe367664du, 0xf78c8576u, 0xd98ac942u, 0xc9b20c12u, 0xc222fbd0u,
      0xca1b2845u, 0x61cc317du, 0xece7c625u, 0x2f9d438fu, 0xf6045a98u},
     {0x3e9d751au, 0xf22101a6u, 0x38775c6cu, 0x9c3b091bu, 0x0f4a7948u, 0x4a1a63dbu,
      0x93c176beu, 0x16941e94u, 0xc32943b0u, 0xaa5ef4adu, 0xc68fddf2u}},  // trellis<1, 64>
    {{0x8f411eb3u, 0x710e6bc3u, 0x1523a0d6u, 0x2e0e0866u, 0xbf44e416u, 0xbe632244u,
      0x4ff8653au, 0x8427873eu, 0x6d5c12fcu, 0xef0561dfu, 0xdaffdba7u},
     {0x96fc4576u, 0x8a694249u, 0x0b354502u, 0xbb7f3ba3u, 0x39f6b106u, 0x0dbaf9f8u,
      0x5e075bceu, 0xb537c325u, 0x43f2706fu, 0xd9f65184u, 0xfd3d7b1bu}},  // trellis<2, 32>
    {{0x86e311a3u, 0x64cf87a6u, 0x9da0a478u, 0x8777411cu, 0xd76ed018u, 0x238098feu,
      0xaba0926eu, 0xef3eaebfu, 0x06588891u, 0x9bce28cbu, 0x66fb1d0fu},
     {0xeb8a42c8u, 0x8dda9b4fu, 0x90dd753fu, 0xc715c487u, 0x3198642cu, 0x1bde7f6du,
      0x9d40fd18u, 0x6eebb288u, 0x26b1139eu, 0x920691dbu, 0x9525baaau}},  // trellis<3, 16>
    {{0xf8522401u, 0xa5018209u, 0xe70b2ff4u, 0x61b698e6u, 0xd25ca26cu, 0x9051ac51u,
      0x87dcc3a9u, 0x2ae29cafu, 0x7cc98c33u, 0x05e19884u, 0x572f7333u},
     {0x97805910u, 0xf960a2efu, 0xff5aceaeu, 0x7b13062du, 0xae5e6244u, 0xd25e1d07u,
      0x9f19fd32u, 0xaad7b341u, 0xd212d1c5u, 0xbbf1202cu, 0xf7611565u}},  // trellis<4, 8>
    {{0xf3248d5cu, 0x4defc3ebu, 0x1d038be3u, 0x875d8f67u, 0x40754edau, 0xe67fb166u,
      0x39db98c0u, 0xf1c7f3f7u, 0xea399efau, 0x7482287fu, 0x6f20f7a3u},
     {0x71c917d9u, 0x04ad62d6u, 0x6cc1637fu, 0xea48a908u, 0x09f96368u, 0xa642beffu,
      0x1dd44fa5u, 0x95d2d4a6u, 0x83a60189u, 0x2a8fad39u, 0x4f329130u}},  // trellis<1, 32>
    {{0xda973df6u, 0xaf06e398u, 0xdd38d89eu, 0xcf6b5e49u, 0xb81dd848u, 0x5f8a11ebu,
      0xe540f7a7u, 0xaf878de7u, 0x0221e91cu, 0x646d5bb1u, 0xcb202eebu},
     {0x51a91e22u, 0xf1073840u, 0xfff066d8u, 0xf9a22962u, 0x1980aafbu, 0xbdc79a67u,
      0x3f7a0366u, 0x49696472u, 0xcaf91ed7u, 0x7016b40bu, 0xd5fd45fcu}},  // trellis<2, 16>
    {{0x68fdc880u, 0xf8ef9838u, 0x6c4c1ca2u, 0xa758671fu, 0xaa314301u, 0x0a538db4u,
      0x5b000808u, 0xbd5b1f11u, 0xd5e19dc6u, 0x9e9f3a8eu, 0x075e82abu},
     {0x8083320au, 0xc8940cf3u, 0x662d6ab1u, 0x8255792cu, 0xa12ab510u, 0xa7886209u,
      0x93d22899u, 0x1ca26c35u, 0x293f5538u, 0x52ddaa0eu, 0x3997eb56u}},  // trellis<3, 8>
    {{0xb744003cu, 0xc661e0a9u, 0x67b0d6b9u, 0x5e915167u, 0x9c271ccdu, 0x59d799e3u,
      0xabc6adefu, 0x2df9eeffu, 0x4813ef0cu, 0x57bfddefu, 0x4645bbe0u},
     {0x51ab3c55u, 0x00c44760u, 0xf6bc872cu, 0xb616cc81u, 0x9b23acfcu, 0xe682159cu,
      0x38d74d85u, 0x3c873cc8u, 0xf0f1b6d7u, 0xf3eedb84u, 0xc652ee87u}},  // trellis<4, 4>
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
        const Digests found[] = {mse<128, 4>(128), turbo<128, 4>(128), trellis<128, 2>(128)};
        const Digests expected[] = {mse<Dynamic, 4>(128), turbo<Dynamic, 4>(128), trellis<Dynamic, 2>(128)};
        for (int i = 0; i < 3; ++i) {
            EXPECT_EQ(found[i].codes.value(), expected[i].codes.value()) << tq::target_name(target);
            EXPECT_EQ(found[i].decoded.value(), expected[i].decoded.value()) << tq::target_name(target);
        }
    }
}

}  // namespace
