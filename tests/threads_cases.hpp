// Results are the same at every number of threads. threads_test.cpp compiles this without OpenMP, threads_openmp_test.cpp
// with it.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "test_vectors.hpp"
#include "turboquant/turboquant.hpp"

namespace threads_cases {

namespace tq = turboquant;
using test_vectors::bytes_of;
using test_vectors::gaussian;
using test_vectors::mentions;
using test_vectors::message_of;
using tq::Codes;
using tq::Dynamic;
using tq::Index;

constexpr int kThreads[] = {2, 3, 5, 300};

template <class Quantizer>
void expect_same_results(const Quantizer& quantizer, Index count) {
    SCOPED_TRACE(std::to_string(count) + " vectors");
    const Index dim = quantizer.dim();
    const Eigen::MatrixXf x = gaussian(dim, count, 1), queries = gaussian(dim, 3, 2);
    std::vector<Index> every_other;
    for (Index i = 0; i < count; i += 2) every_other.push_back(count - 1 - i);
    const Codes codes = quantizer.encode(x);
    const Eigen::MatrixXf decoded = quantizer.decode(codes);
    const Eigen::MatrixXf dots = quantizer.inner_products(codes, queries);
    const Eigen::MatrixXf some_dots = quantizer.inner_products(codes, every_other, queries);
    const Eigen::MatrixXf distances = quantizer.squared_distances(codes, queries);
    const Eigen::MatrixXf some_distances = quantizer.squared_distances(codes, every_other, queries);
    const Eigen::MatrixXf products = quantizer.code_products(codes, codes.range(0, count / 4));
    for (const int threads : kThreads) {
        SCOPED_TRACE(std::to_string(threads) + " threads");
        Codes again = quantizer.encode(x, threads);
        EXPECT_EQ(bytes_of(again), bytes_of(codes));
        quantizer.encode(x, again, threads);  // over records that exist
        EXPECT_EQ(bytes_of(again), bytes_of(codes));
        quantizer.append(x, again, threads);
        EXPECT_EQ(bytes_of(again.range(count, count)), bytes_of(codes));
        EXPECT_TRUE(quantizer.decode(codes, threads) == decoded);
        EXPECT_TRUE(quantizer.inner_products(codes, queries, threads) == dots);
        EXPECT_TRUE(quantizer.inner_products(codes, every_other, queries, threads) == some_dots);
        EXPECT_TRUE(quantizer.squared_distances(codes, queries, threads) == distances);
        EXPECT_TRUE(quantizer.squared_distances(codes, every_other, queries, threads) == some_distances);
        EXPECT_TRUE(quantizer.code_products(codes, codes.range(0, count / 4), threads) == products);
    }
}

TEST(Threads, SameResults) {
    for (const Index count : {0, 1, 127, 128, 129, 1000}) {
        expect_same_results(tq::MseQuantizer<Dynamic, 3>(100, 7), count);
        expect_same_results(tq::TurboQuantizer<64, 4>(7), count);
    }
}

// The first column that cannot be stored is the one that is named, whichever thread meets one first.
TEST(Threads, FirstColumnIsNamed) {
    const tq::MseQuantizer<64, 3> quantizer(7);
    Eigen::MatrixXf x = gaussian(64, 1000, 1);
    x(3, 333) = std::nanf("");
    x.col(700).setConstant(3e38f);
    Codes codes = quantizer.encode(gaussian(64, 3, 2));
    const auto before = bytes_of(codes);
    for (const int threads : kThreads) {
        EXPECT_TRUE(mentions(message_of([&] { quantizer.encode(x, codes, threads); }), {"column 333"}));
        EXPECT_TRUE(mentions(message_of([&] { quantizer.append(x, codes, threads); }), {"column 333"}));
        EXPECT_TRUE(mentions(message_of([&] { (void)quantizer.encode(x.rightCols(600), threads); }),
                             {"column 300", "norm"}));
        EXPECT_EQ(bytes_of(codes), before);
    }
}

TEST(Threads, AtLeastOne) {
    const tq::MseQuantizer<64, 3> quantizer(7);
    const Eigen::MatrixXf x = gaussian(64, 2, 1);
    const Codes codes = quantizer.encode(x);
    for (const int threads : {0, -1}) {
        const std::string number = std::to_string(threads);
        EXPECT_TRUE(mentions(message_of([&] { (void)quantizer.encode(x, threads); }), {"threads", number}));
        EXPECT_TRUE(
            mentions(message_of([&] { (void)quantizer.decode(codes, threads); }), {"threads", number}));
        EXPECT_TRUE(mentions(message_of([&] { (void)quantizer.inner_products(codes, x, threads); }),
                             {"threads", number}));
    }
}

}  // namespace threads_cases
