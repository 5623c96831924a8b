// describe_file: what a file of unknown type holds, and that damage does not get past it.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include "turboquant/file_description.hpp"
#include "turboquant/turboquant.hpp"

namespace {

namespace tq = turboquant;

class FileDescription : public testing::Test {
protected:
    ~FileDescription() override { std::remove(path.c_str()); }

    std::string bytes() const {
        std::ifstream in(path, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    void write(const std::string& content) const {
        std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
    }
    std::string message() const {
        try {
            (void)tq::describe_file(path);
        } catch (const std::runtime_error& error) {
            return error.what();
        }
        return "no error";
    }

    const std::string path =
        testing::TempDir() + testing::UnitTest::GetInstance()->current_test_info()->name() + ".tq";
};

TEST_F(FileDescription, Codes) {
    const tq::MseQuantizer<Eigen::Dynamic, 3> quantizer(70, 5, tq::ScaleRule::least_squares);
    tq::save(path, quantizer, quantizer.encode(Eigen::MatrixXf::Random(70, 11)));
    const tq::FileDescription file = tq::describe_file(path);
    EXPECT_EQ(file.kind, tq::FileKind::codes);
    EXPECT_EQ(file.id, quantizer.id());
    EXPECT_EQ(file.scale_rule, tq::ScaleRule::least_squares);
    EXPECT_EQ(file.size, 11);
    EXPECT_EQ(file.bytes, bytes().size());
}

TEST_F(FileDescription, Index) {
    tq::FlatIndexOptions options;
    options.metric = tq::Metric::l2;
    options.seed = 9;
    tq::FlatIndex<48, 2> index(options);
    index.add(Eigen::MatrixXf::Random(48, 1100));
    index.save(path);
    const tq::FileDescription file = tq::describe_file(path);
    EXPECT_EQ(file.kind, tq::FileKind::index);
    EXPECT_EQ(file.id.kind, tq::QuantizerKind::mse);
    EXPECT_EQ(file.id.dim, 48);
    EXPECT_EQ(file.id.bits, 2);
    EXPECT_EQ(file.id.seed, 9u);
    EXPECT_EQ(file.size, 1100);
    EXPECT_EQ(file.metric, tq::Metric::l2);
    EXPECT_TRUE(file.centring);
    EXPECT_FALSE(file.ids);
    EXPECT_EQ(file.bytes, bytes().size());
}

TEST_F(FileDescription, Cache) {
    tq::KvCacheOptions options;
    options.window = 16;
    options.sinks = 2;
    tq::KvCache<64, 4, 2> cache(options);
    cache.append(Eigen::MatrixXf::Random(64, 200), Eigen::MatrixXf::Random(64, 200));
    cache.save(path);
    const tq::FileDescription file = tq::describe_file(path);
    EXPECT_EQ(file.kind, tq::FileKind::cache);
    EXPECT_EQ(file.id.bits, 4);
    EXPECT_EQ(file.value_id.bits, 2);
    EXPECT_EQ(file.size, 200);
    EXPECT_EQ(file.window, 16);
    EXPECT_EQ(file.sinks, 2);
    EXPECT_EQ(file.bytes, bytes().size());
}

TEST_F(FileDescription, EveryFlippedByteIsSeen) {
    tq::FlatIndex<32, 4> index;
    index.add(Eigen::MatrixXf::Random(32, 3));
    index.save(path);
    const std::string good = bytes();
    for (std::size_t i = 0; i < good.size(); ++i) {
        std::string bad = good;
        bad[i] = static_cast<char>(bad[i] ^ 0x10);
        write(bad);
        EXPECT_THROW((void)tq::describe_file(path), std::runtime_error) << "byte " << i;
    }
    write(good.substr(0, good.size() - 64));
    EXPECT_NE(message().find("truncated"), std::string::npos) << message();
}

TEST_F(FileDescription, NotAFileOfThisLibrary) {
    EXPECT_NE(message().find("cannot open it"), std::string::npos) << message();
    write("");
    EXPECT_NE(message().find("truncated"), std::string::npos) << message();
    write("word,count\n");
    EXPECT_NE(message().find("not a TurboQuant file"), std::string::npos) << message();
}

}  // namespace
