// The program from end to end: tools_test <turboquant> <folder of examples/data>. Each test runs it as a user would.
#include <gtest/gtest.h>

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <regex>
#include <string>

#include "../../common/npy.hpp"
#include "../../common/vectors.hpp"

namespace {

std::string program, data;

struct Outcome {
    int status;
    std::string output;  // stdout and stderr
};

Outcome run(const std::string& arguments) {
    Outcome result{-1, ""};
    FILE* const pipe = popen(("'" + program + "' " + arguments + " 2>&1").c_str(), "r");
    if (pipe == nullptr) return result;
    std::array<char, 4096> buffer{};
    while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), pipe))
        result.output.append(buffer.data(), got);
    const int status = pclose(pipe);
    result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return result;
}

std::string temporary(const std::string& name) { return testing::TempDir() + "turboquant_tools_" + name; }

// The number after `label` in a report.
double number_after(const std::string& label, const std::string& text) {
    std::smatch match;
    return std::regex_search(text, match, std::regex(label + " +(-?[0-9.]+)")) ? std::stod(match[1]) : -1;
}

void expect_failure(const std::string& arguments, const std::string& message) {
    const Outcome result = run(arguments);
    EXPECT_NE(result.status, 0) << arguments;
    EXPECT_NE(result.output.find(message), std::string::npos) << arguments << ":\n" << result.output;
}

// Words of GloVe: 10 000 vectors of dimension 100.
std::string words() { return data + "/glove_100d_top10k.npy"; }

TEST(Tools, CodesThereAndBack) {
    const std::string codes = temporary("words.tq"), decoded = temporary("words.npy");
    const Outcome encoded = run("encode " + words() + " " + codes + " --bits 4 --seed 3 --threads 2");
    ASSERT_EQ(encoded.status, 0) << encoded.output;
    EXPECT_NE(encoded.output.find("10000 vectors of dimension 100"), std::string::npos) << encoded.output;
    EXPECT_NE(encoded.output.find("54 bytes a vector"), std::string::npos) << encoded.output;
    EXPECT_NEAR(number_after("distortion", encoded.output), 0.0094, 0.0003);

    const Outcome info = run("info " + codes);
    ASSERT_EQ(info.status, 0) << info.output;
    EXPECT_NE(info.output.find("MseQuantizer of dimension 100, 4 bits, hadamard rotation, seed 3"),
              std::string::npos)
        << info.output;
    EXPECT_NE(info.output.find("checksums good"), std::string::npos) << info.output;

    const Outcome back = run("decode " + codes + " " + decoded + " --original " + words());
    ASSERT_EQ(back.status, 0) << back.output;
    EXPECT_EQ(number_after("distortion", back.output), number_after("distortion", encoded.output));
    const Eigen::MatrixXf x = examples::read_vectors(words()), y = examples::read_vectors(decoded);
    ASSERT_EQ(y.rows(), x.rows());
    ASSERT_EQ(y.cols(), x.cols());
    EXPECT_LT((x - y).squaredNorm(), 0.0101f * x.squaredNorm());
}

TEST(Tools, EveryEstimatorDecodes) {
    const std::string codes = temporary("estimator.tq"), decoded = temporary("estimator.npy");
    for (const char* estimator : {"norm", "unbiased", "least_squares", "turbo"}) {
        const Outcome encoded =
            run("encode " + words() + " " + codes + " --bits 2 --estimator " + std::string(estimator));
        ASSERT_EQ(encoded.status, 0) << encoded.output;
        const Outcome back = run("decode " + codes + " " + decoded + " --original " + words());
        ASSERT_EQ(back.status, 0) << back.output;
        EXPECT_EQ(number_after("distortion", back.output), number_after("distortion", encoded.output))
            << estimator;
    }
}

// D = .0767 at 2 bits (trellis_quantizer.hpp), .1156 without.
TEST(Tools, TrellisCodes) {
    const std::string codes = temporary("trellis.tq"), decoded = temporary("trellis.npy");
    const Outcome encoded =
        run("encode " + words() + " " + codes + " --bits 2 --trellis --estimator least_squares");
    ASSERT_EQ(encoded.status, 0) << encoded.output;
    EXPECT_NE(encoded.output.find("29 bytes a vector"), std::string::npos) << encoded.output;
    EXPECT_NEAR(number_after("distortion", encoded.output), 0.0765, 0.002);
    const Outcome info = run("info " + codes);
    EXPECT_NE(info.output.find("TrellisQuantizer of dimension 100, 2 bits"), std::string::npos)
        << info.output;
    EXPECT_NE(info.output.find("scale       least_squares"), std::string::npos) << info.output;
    const Outcome back = run("decode " + codes + " " + decoded + " --original " + words());
    ASSERT_EQ(back.status, 0) << back.output;
    EXPECT_EQ(number_after("distortion", back.output), number_after("distortion", encoded.output));
}

// D = .0803 at 2 bits with windows of 6 bits (trellis_quantizer.hpp).
TEST(Tools, TrellisCodesOfShorterWindows) {
    const std::string codes = temporary("trellis6.tq"), decoded = temporary("trellis6.npy");
    const Outcome encoded =
        run("encode " + words() + " " + codes + " --bits 2 --trellis --window 6 --estimator least_squares");
    ASSERT_EQ(encoded.status, 0) << encoded.output;
    EXPECT_NEAR(number_after("distortion", encoded.output), 0.0803, 0.002);
    const Outcome info = run("info " + codes);
    EXPECT_NE(info.output.find("TrellisQuantizer of dimension 100, 2 bits, 16 states"), std::string::npos)
        << info.output;
    const Outcome back = run("decode " + codes + " " + decoded + " --original " + words());
    ASSERT_EQ(back.status, 0) << back.output;
    EXPECT_EQ(number_after("distortion", back.output), number_after("distortion", encoded.output));
    expect_failure("encode " + words() + " " + codes + " --trellis --window 5", "not in");
}

TEST(Tools, SearchesVectorsAndSavedIndexes) {
    const std::string index = temporary("words.tqi"), ids = temporary("ids.npy"),
                      again = temporary("again.npy");
    const Outcome built = run("search " + words() + " " + words() + " -k 1 --exact --print 2 --save " +
                              index + " --ids " + ids);
    ASSERT_EQ(built.status, 0) << built.output;
    EXPECT_GT(number_after("recall", built.output), 0.999) << built.output;  // each word finds itself
    EXPECT_NE(built.output.find("query 1: 1 ("), std::string::npos) << built.output;
    EXPECT_EQ(built.output.find("query 2:"), std::string::npos) << built.output;

    const Outcome info = run("info " + index);
    EXPECT_NE(info.output.find("a search index"), std::string::npos) << info.output;
    EXPECT_NE(info.output.find("cosine"), std::string::npos) << info.output;

    const Outcome loaded = run("search " + index + " " + words() + " -k 1 --threads 2 --ids " + again);
    ASSERT_EQ(loaded.status, 0) << loaded.output;
    std::ifstream first(ids, std::ios::binary), second(again, std::ios::binary);
    const std::string a{std::istreambuf_iterator<char>(first), {}},
        b{std::istreambuf_iterator<char>(second), {}};
    EXPECT_EQ(a.size(), 128 + 8 * 10000u);
    EXPECT_EQ(a, b);
}

TEST(Tools, Bench) {
    const std::string few = temporary("few.npy");
    examples::write_npy<float>(few, Eigen::MatrixXf::Random(32, 50));
    const Outcome result = run("bench " + few);
    ASSERT_EQ(result.status, 0) << result.output;
    EXPECT_NE(result.output.find("50 of 50 vectors of dimension 32"), std::string::npos) << result.output;
    EXPECT_TRUE(std::regex_search(result.output, std::regex(" 8  turbo +40 ")) &&
                std::regex_search(result.output, std::regex(" 2  unbiased, trellis +12 ")))
        << result.output;
}

TEST(Tools, SaysWhatIsWrong) {
    const std::string codes = temporary("good.tq"), bad = temporary("bad.tq"), out = temporary("out.npy");
    const std::string vectors = temporary("vectors.npy"), short_file = temporary("short.fvecs");
    examples::write_npy<float>(vectors, Eigen::MatrixXf::Random(24, 40));
    ASSERT_EQ(run("encode " + vectors + " " + codes).status, 0);

    expect_failure("", "subcommand is required");
    expect_failure("encode nothing.npy " + out, "turboquant: nothing.npy: cannot be opened");
    expect_failure("encode nothing.txt " + out, "neither .npy nor .fvecs nor .bvecs");
    expect_failure("encode " + vectors + " " + out + " --bits 9", "not in range");
    expect_failure("encode " + vectors + " " + out + " --estimator best", "best");
    expect_failure("encode " + vectors + " " + out + " --trellis --bits 5", "1 to 4 bits, but 5");
    expect_failure("encode " + vectors + " " + out + " --trellis --estimator turbo",
                   "trellis codes have the scales");
    expect_failure("encode " + vectors + " /no/such/folder/x.tq", "No such file or directory");
    expect_failure("decode " + vectors + " " + out, "not a TurboQuant file");
    expect_failure("decode " + codes + " " + temporary("out.txt"), "decoded vectors are written as .npy");
    expect_failure("decode " + codes + " " + out + " --original " + words(),
                   "expected 40 vectors of dimension 24");
    expect_failure("search " + codes + " " + vectors, "holds no search index");
    expect_failure("search " + vectors + " " + words(), "24");
    expect_failure("info " + vectors, "not a TurboQuant file");

    // A flipped bit in the middle; a file that was cut off; vectors cut off.
    std::ifstream in(codes, std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(in), {}};
    bytes[200] = static_cast<char>(bytes[200] ^ 4);
    std::ofstream(bad, std::ios::binary) << bytes;
    expect_failure("info " + bad, "checksum mismatch in block 0 of 1");
    expect_failure("decode " + bad + " " + out, "the file is damaged");
    std::ofstream(bad, std::ios::binary | std::ios::trunc) << bytes.substr(0, 150);
    expect_failure("info " + bad, "truncated");
    std::ofstream(short_file, std::ios::binary) << std::string("\x02\0\0\0abc", 7);
    expect_failure("encode " + short_file + " " + out, "not a file of vectors of one dimension");

    Eigen::MatrixXf broken = Eigen::MatrixXf::Random(24, 40);
    broken(3, 7) = std::numeric_limits<float>::quiet_NaN();
    examples::write_npy<float>(vectors, broken);
    expect_failure("encode " + vectors + " " + out, "column 7");
}

}  // namespace

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    if (argc != 3) {
        std::fprintf(stderr, "usage: tools_test TURBOQUANT DATA\n");
        return 2;
    }
    program = argv[1];
    data = argv[2];
    return RUN_ALL_TESTS();
}
