// KvBlockCodec as an engine with paged memory uses it: tokens written one by one into pages, attention over pages in parts.
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kv_vectors.hpp"
#include "turboquant/turboquant.hpp"

namespace {

namespace tq = turboquant;
using kv_vectors::reference;
using kv_vectors::tokens;
using test_vectors::gaussian;
using test_vectors::mentions;
using test_vectors::message_of;
using tq::Dynamic;
using tq::Index;

template <int Bits>
using Quantizer = tq::MseQuantizer<Dynamic, Bits>;

// Pages with 64 tokens each, the last with what is left; filled `step` tokens at a time, over bytes that mean nothing.
template <class Codec>
struct Pages {
    std::vector<std::vector<std::uint8_t>> memory;
    std::vector<tq::KvPage> list;
    Pages(const Codec& codec, const Eigen::MatrixXf& k, const Eigen::MatrixXf& v, Index step) {
        for (Index first = 0; first < k.cols(); first += 64) {
            memory.emplace_back(codec.key_block_bytes(), std::uint8_t{0xff});
            memory.emplace_back(codec.value_block_bytes(), std::uint8_t{0xff});
            void *keys = memory[memory.size() - 2].data(), *values = memory.back().data();
            const Index count = std::min<Index>(64, k.cols() - first);
            for (Index i = 0; i < count; i += step) {
                const Index n = std::min(step, count - i);
                codec.encode(k.middleCols(first + i, n), v.middleCols(first + i, n), i, n, keys, values);
            }
            list.push_back({keys, values, count});
        }
    }
};

template <int KeyBits, int ValueBits>
void attends_over_pages() {
    using Codec = tq::KvBlockCodec<Quantizer<KeyBits>, Quantizer<ValueBits>>;
    for (const Index dim : {33, 43, 52, 64, 66, 80, 109, 112}) {
        const Codec codec(Quantizer<KeyBits>(dim, 3, tq::ScaleRule::unbiased),
                          Quantizer<ValueBits>(dim, 3, tq::ScaleRule::least_squares));
        const Eigen::MatrixXf k = tokens(dim, 201, 1), v = tokens(dim, 201, 2), q = gaussian(dim, 5, 3);
        const Pages<Codec> pages(codec, k, v, 64);
        for (const Index step : {1, 3, 29}) {
            const Pages<Codec> others(codec, k, v, step);
            for (std::size_t i = 0; i < 6; ++i) {
                EXPECT_TRUE(others.memory[i] == pages.memory[i]) << dim << " step " << step;
            }
        }
        // What the quantizers decode is what the pages hold.
        const Eigen::MatrixXf keys = codec.key_quantizer().decode(codec.key_quantizer().encode(k));
        const Eigen::MatrixXf values = codec.value_quantizer().decode(codec.value_quantizer().encode(v));
        Eigen::VectorXf key(dim), value(dim);
        for (const Index t : {0, 1, 31, 32, 63, 64, 100, 200}) {
            const tq::KvPage& page = pages.list[static_cast<std::size_t>(t / 64)];
            codec.decode(page.keys, page.values, t % 64, key.data(), value.data());
            EXPECT_LE((key - keys.col(t)).norm(), 1e-5f * key.norm());
            EXPECT_LE((value - values.col(t)).norm(), 1e-5f * value.norm());
        }
        tq::AttendState state;
        codec.attend(pages.list, q, state);
        Eigen::MatrixXf whole(dim, 5);
        std::vector<float> lse(5);
        codec.finish(state, whole, lse.data());
        const Eigen::MatrixXd expected = reference(keys, values, q), exact = reference(k, v, q);
        EXPECT_LE((whole.cast<double>() - expected).norm(), 0.1 * (expected - exact).norm()) << dim;
        // Parts of the pages, in states of their own, merge to the same; so do exact tokens.
        tq::AttendState first, second;
        codec.attend(tq::KvPages(pages.list.data(), 1), q, first);
        codec.attend(tq::KvPages(pages.list.data() + 1, 3), q, second);
        codec.merge(second, first);
        Eigen::MatrixXf merged(dim, 5);
        codec.finish(second, merged);
        EXPECT_LE((merged - whole).norm(), 0.02f * whole.norm());
        const Eigen::MatrixXf more_k = tokens(dim, 70, 8), more_v = tokens(dim, 70, 9);
        codec.attend_exact(more_k.cast<Eigen::bfloat16>(), more_v, q, state);
        codec.finish(state, merged);
        Eigen::MatrixXf all_k(dim, 271), all_v(dim, 271);
        all_k << keys, more_k.cast<Eigen::bfloat16>().cast<float>();
        all_v << values, more_v;
        const Eigen::MatrixXd both = reference(all_k, all_v, q);
        EXPECT_LE((merged.cast<double>() - both).norm(),
                  0.1 * (expected - exact).norm() + 1e-5 * both.norm());
    }
}

TEST(KvBlockCodec, AttendsOverPages) {
    attends_over_pages<4, 4>();
    attends_over_pages<3, 3>();
    attends_over_pages<2, 1>();
    attends_over_pages<1, 2>();
    attends_over_pages<8, 5>();
}

template <int KeyBits, int ValueBits>
void blocks_take_what_records_take() {
    for (Index dim = 1; dim <= 256; ++dim) {
        const tq::KvBlockCodec<Quantizer<KeyBits>, Quantizer<ValueBits>> codec(Quantizer<KeyBits>(dim, 1),
                                                                               Quantizer<ValueBits>(dim, 1));
        // Values of 3 bits whose last codes share a byte in records: here it takes two.
        const bool apart = ValueBits == 3 && (dim % 8 == 1 || dim % 8 == 2 || dim % 8 == 5);
        EXPECT_EQ(codec.key_block_bytes(), 64 * codec.key_quantizer().bytes_per_vector()) << dim;
        EXPECT_EQ(codec.value_block_bytes(),
                  64 * (codec.value_quantizer().bytes_per_vector() + (apart ? 1u : 0u)))
            << dim;
    }
}

TEST(KvBlockCodec, BlocksTakeWhatRecordsTake) {
    blocks_take_what_records_take<4, 3>();
    blocks_take_what_records_take<3, 4>();
    blocks_take_what_records_take<1, 2>();
}

TEST(KvBlockCodec, Means) {
    using Codec = tq::KvBlockCodec<Quantizer<4>, Quantizer<4>>;
    Codec codec(Quantizer<4>(64, 1, tq::ScaleRule::unbiased), Quantizer<4>(64, 1));
    const Eigen::MatrixXf k = tokens(64, 64, 1), v = tokens(64, 64, 2), q = gaussian(64, 2, 3);
    const Pages<Codec> plain(codec, k, v, 64);
    codec.set_means(k.rowwise().mean(), v.rowwise().mean());
    const Pages<Codec> centred(codec, k, v, 64);
    tq::AttendState state;
    codec.attend(centred.list, q, state);
    Eigen::MatrixXf out(64, 2);
    codec.finish(state, out);
    const Eigen::MatrixXd exact = reference(k, v, q);
    const double error = (out.cast<double>() - exact).norm();
    codec.clear_means();
    state.clear();
    codec.attend(plain.list, q, state);
    codec.finish(state, out);
    EXPECT_LT(error, (out.cast<double>() - exact).norm());
    EXPECT_LT(error, 0.1 * exact.norm());
}

// Keys of one block with a mean of their own, the tokens one by one; the mean of the first ten stands for all.
template <class Codec>
void expect_key_means_help(const Codec& codec) {
    const Index dim = codec.dim();
    const Eigen::MatrixXf k = tokens(dim, 64, 1), v = tokens(dim, 64, 2), q = gaussian(dim, 3, 3);
    std::vector<std::uint8_t> keys(codec.key_block_bytes()), values(codec.value_block_bytes()),
        mean(codec.key_mean_bytes(), 0xff);
    codec.encode_mean(k.leftCols(10), mean.data());
    for (Index t = 0; t < 64; ++t)
        codec.encode(k.col(t), v.col(t), t, 1, keys.data(), values.data(), mean.data());
    Eigen::MatrixXf decoded(dim, 64), decoded_values(dim, 64), alone(dim, 64);
    for (Index t = 0; t < 64; ++t)
        codec.decode(keys.data(), values.data(), t, decoded.col(t).data(), decoded_values.col(t).data(),
                     mean.data());
    const std::vector<tq::KvPage> pages = {{keys.data(), values.data(), 64, mean.data()}};
    tq::AttendState state;
    codec.attend(pages, q, state);
    Eigen::MatrixXf out(dim, 3);
    codec.finish(state, out);
    const Eigen::MatrixXd expected = reference(decoded, decoded_values, q), exact = reference(k, v, q);
    EXPECT_LE((out.cast<double>() - expected).norm(), 0.1 * (expected - exact).norm() + 1e-5 * exact.norm());
    // Against the same without.
    std::vector<std::uint8_t> plain(codec.key_block_bytes());
    codec.encode(k, v, 0, 64, plain.data(), values.data());
    for (Index t = 0; t < 64; ++t) codec.decode(plain.data(), values.data(), t, alone.col(t).data(), nullptr);
    EXPECT_LT((decoded - k).norm(), 0.9f * (alone - k).norm());
    // Of a mean that no key is near, nothing is taken off.
    codec.encode_mean(-k, mean.data());
    codec.encode(k, v, 0, 64, keys.data(), values.data(), mean.data());
    EXPECT_TRUE(keys == plain);
    for (std::size_t i = codec.key_quantizer().bytes_per_vector(); i < mean.size(); ++i)
        EXPECT_EQ(mean[i], 0) << i;  // no shares, and these keys have no grades
    // A token that is refused leaves the mean as it was.
    const auto before = mean;
    Eigen::MatrixXf bad = k;
    bad(0, 63) = std::numeric_limits<float>::infinity();
    EXPECT_NE(message_of([&] { codec.encode(-bad, v, 0, 64, keys.data(), values.data(), mean.data()); }),
              "nothing was thrown");
    EXPECT_TRUE(mean == before);
    EXPECT_TRUE(keys == plain);
    // Erased tokens stand for nothing.
    codec.encode_mean(k, mean.data());
    codec.encode(k, v, 0, 64, keys.data(), values.data(), mean.data());
    codec.erase(keys.data(), values.data(), 7, mean.data());
    codec.decode(keys.data(), values.data(), 63, decoded.col(0).data(), nullptr, mean.data());
    EXPECT_EQ(decoded.col(0).norm(), 0.0f);
    codec.decode(keys.data(), values.data(), 6, decoded.col(0).data(), nullptr, mean.data());
    EXPECT_LT((decoded.col(0) - k.col(6)).norm(), k.col(6).norm());
}

TEST(KvBlockCodec, MeansOfBlocks) {
    for (const Index dim : {33, 64, 100}) {
        const Quantizer<4> values(dim, 3, tq::ScaleRule::least_squares);
        const auto expect = [&](auto keys) {
            expect_key_means_help(tq::KvBlockCodec<decltype(keys), Quantizer<4>>(keys, values));
        };
        expect(Quantizer<1>(dim, 3, tq::ScaleRule::unbiased));
        expect(Quantizer<2>(dim, 3, tq::ScaleRule::unbiased));
        expect(Quantizer<3>(dim, 3, tq::ScaleRule::unbiased));
        expect(Quantizer<4>(dim, 3, tq::ScaleRule::unbiased));
        expect(Quantizer<5>(dim, 3, tq::ScaleRule::unbiased));
        expect(Quantizer<8>(dim, 3, tq::ScaleRule::unbiased));
        expect(tq::TrellisQuantizer<Dynamic, 3>(dim, 3, tq::ScaleRule::unbiased));
        expect(tq::SplitQuantizer<Quantizer<4>, Quantizer<2>>(dim, 3, {0, 5, 9}, tq::ScaleRule::unbiased));
    }
    const tq::KvBlockCodec<Quantizer<4>, Quantizer<4>> codec(Quantizer<4>(64, 1), Quantizer<4>(64, 1));
    std::vector<std::uint8_t> mean(codec.key_mean_bytes());
    EXPECT_EQ(mean.size(), codec.key_quantizer().bytes_per_vector() + 16 + 16);  // shares, grades
    Eigen::MatrixXf k = gaussian(64, 10, 1);
    EXPECT_TRUE(mentions(message_of([&] { codec.encode_mean(k.leftCols(0), mean.data()); }), {"no keys"}));
    EXPECT_TRUE(mentions(message_of([&] { codec.encode_mean(k.topRows(9), mean.data()); }), {"64", "9"}));
    k(3, 7) = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(mentions(message_of([&] { codec.encode_mean(k, mean.data()); }), {"column 7", "keys"}));
}

TEST(KvBlockCodec, BadInput) {
    using Codec = tq::KvBlockCodec<Quantizer<4>, Quantizer<4>>;
    const Codec codec(Quantizer<4>(64, 1), Quantizer<4>(32, 1));
    std::vector<std::uint8_t> keys(codec.key_block_bytes(), 7), values(codec.value_block_bytes(), 7);
    const auto before = keys;
    Eigen::MatrixXf k = gaussian(64, 10, 1), v = gaussian(32, 10, 2);
    const auto encode = [&](Index first, Index n) {
        return message_of([&] { codec.encode(k, v, first, n, keys.data(), values.data()); });
    };
    EXPECT_TRUE(mentions(encode(0, 9), {"10 keys", "0 to 9"}));
    EXPECT_TRUE(mentions(encode(60, 10), {"60 to 70", "64"}));
    EXPECT_TRUE(mentions(encode(-1, 10), {"-1"}));
    v(3, 7) = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(mentions(encode(0, 10), {"column 7", "values", "NaN"}));
    EXPECT_TRUE(keys == before);
    EXPECT_TRUE(
        mentions(message_of([&] { codec.encode(k.topRows(32), v, 0, 10, keys.data(), values.data()); }),
                 {"64", "32"}));
    tq::AttendState state(32, 3), other(32, 2);
    const std::vector<tq::KvPage> pages = {{keys.data(), values.data(), 65}};
    EXPECT_TRUE(mentions(message_of([&] { codec.attend(pages, gaussian(64, 3, 1), state); }), {"65 tokens"}));
    EXPECT_TRUE(
        mentions(message_of([&] { codec.attend(tq::KvPages(nullptr, 0), gaussian(64, 2, 1), state); }),
                 {"2 queries", "3 columns"}));
    EXPECT_TRUE(mentions(message_of([&] { codec.merge(state, other); }), {"2 columns", "3"}));
    Eigen::MatrixXf out(32, 2);
    EXPECT_TRUE(mentions(message_of([&] { codec.finish(state, out); }), {"32 × 3", "32 × 2"}));
    Eigen::MatrixXf right(32, 3);
    codec.finish(state, right);
    EXPECT_TRUE(right == Eigen::MatrixXf::Zero(32, 3));
}

}  // namespace
