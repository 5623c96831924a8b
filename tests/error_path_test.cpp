// Messages that no other test reads: streams and disks that fail, numbers that lie under checksums that fit.
#include <cstdint>
#include <fstream>
#include <limits>
#include <sstream>
#include <streambuf>
#include <string>

#include <gtest/gtest.h>

#include "saved_files.hpp"
#include "test_vectors.hpp"
#include "turboquant/turboquant.hpp"

#if TURBOQUANT_POSIX
#include <csignal>
#include <sys/resource.h>
#endif

namespace {

namespace tq = turboquant;
using saved_files::Directory;
using saved_files::expect_contains;
using saved_files::message_of;
using saved_files::saved;
using test_vectors::gaussian;
using tq::Dynamic;
using tq::Index;

using Mse = tq::MseQuantizer<16, 4>;
using FlatIndex = tq::FlatIndex<16, 4>;
using KvCache = tq::KvCache<16, 4>;

FlatIndex some_index(Index n = 40) {
    FlatIndex index;
    index.add(gaussian(16, n, 1));
    return index;
}
KvCache some_cache(Index n = 100) {
    KvCache cache;
    cache.append(gaussian(16, n, 1), gaussian(16, n, 2));
    return cache;
}

// A device that fails: as a source after some bytes, as a sink at once.
class Broken : public std::streambuf {
public:
    explicit Broken(std::string bytes = {}) : bytes_(std::move(bytes)) {
        setg(&bytes_[0], &bytes_[0], &bytes_[0] + bytes_.size());
    }

protected:
    int_type underflow() override { throw 1; }  // istream turns it into badbit

private:
    std::string bytes_;
};

TEST(ErrorPaths, StreamsThatHadFailed) {
    std::istringstream failed("text");
    failed.setstate(std::ios::failbit);
    for (const std::string& message : {message_of([&] { (void)tq::load<Mse>(failed); }),
                                       message_of([&] { (void)FlatIndex::load(failed); }),
                                       message_of([&] { (void)KvCache::load(failed); })})
        expect_contains(message, "the stream had failed before");
}

TEST(ErrorPaths, SourcesThatFail) {
    const Mse quantizer;
    const std::string codes = saved(quantizer, saved_files::arbitrary_codes(quantizer, 3));
    const std::string index = saved(some_index()), cache = saved(some_cache());
    for (const std::size_t size : {0u, 50u, 128u, 150u, 340u}) {
        const auto of = [&](const std::string& file, auto load) {
            Broken broken(file.substr(0, std::min(size, file.size() - 1)));
            std::istream is(&broken);
            expect_contains(message_of([&] { load(is); }), "the stream could not be read");
        };
        of(codes, [](std::istream& is) { (void)tq::load<Mse>(is); });
        of(index, [](std::istream& is) { (void)FlatIndex::load(is); });
        of(cache, [](std::istream& is) { (void)KvCache::load(is); });
    }
}

TEST(ErrorPaths, SinksThatFail) {
    Broken broken;
    std::ostream os(&broken);
    const Mse quantizer;
    const tq::Codes codes = saved_files::arbitrary_codes(quantizer, 3);
    expect_contains(message_of([&] { tq::save(os, quantizer, codes); }),
                    "save: writing 192 bytes to the stream failed");
    os.clear();
    expect_contains(message_of([&] { some_index().save(os); }),
                    "FlatIndex::save: writing to the stream failed");
    os.clear();
    expect_contains(message_of([&] { some_cache().save(os); }),
                    "KvCache::save: writing to the stream failed");
}

#if TURBOQUANT_POSIX
// A disk that is full: files of this process may not grow beyond a limit.
class SmallDisk {
public:
    explicit SmallDisk(rlim_t bytes) {
        ::getrlimit(RLIMIT_FSIZE, &before_);
        handler_ = std::signal(SIGXFSZ, SIG_IGN);
        rlimit small = before_;
        small.rlim_cur = bytes;
        ::setrlimit(RLIMIT_FSIZE, &small);
    }
    ~SmallDisk() {
        ::setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, handler_);
    }
    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;

private:
    rlimit before_;
    void (*handler_)(int);
};

TEST(ErrorPaths, FullDisksLeaveTheOldFile) {
    const Directory directory;
    const Mse quantizer;
    const tq::Codes codes = saved_files::arbitrary_codes(quantizer, 100000);  // more than any buffer
    const FlatIndex index = some_index(40000);
    const KvCache cache = some_cache(20000);
    const auto fails = [&](const char* name, const char* what, auto save) {
        const std::string path = (directory / name).string();
        std::ofstream(path) << "before";
        const SmallDisk disk(1000);
        const std::string message = message_of([&] { save(path); });
        expect_contains(message, "(\"" + path + "\"): " + what);
        expect_contains(message, "File too large");
        EXPECT_EQ(saved_files::content_of(path), "before");
    };
    fails("codes", "writing ", [&](const std::string& path) { tq::save(path, quantizer, codes); });
    fails("index", "writing failed: ", [&](const std::string& path) { index.save(path); });
    fails("cache", "writing failed: ", [&](const std::string& path) { cache.save(path); });
    // What a stream still holds meets the disk when the file is closed.
    fails("unflushed", "cannot write: ", [](const std::string& path) {
        tq::detail::ReplacementFile file(tq::detail::quoted("save", path), path);
        for (int i = 0; i < 5000; ++i) file.stream() << 'x';  // one by one: nothing goes past the buffer
        file.commit();
    });
    EXPECT_EQ(directory.entries(), 4);  // and no temporary file stays
}
#endif

TEST(ErrorPaths, NamesThatCannotBeTaken) {
    const Directory directory;
    const std::string path = (directory / "file").string();
    tq::detail::ReplacementFile file("save", path);
    file.stream() << "text";
    saved_files::fs::create_directory(path);
    saved_files::fs::create_directory(path + "/inside");
    expect_contains(message_of([&] { file.commit(); }), "save: cannot rename the temporary file: ");
    EXPECT_EQ(directory.entries(), 1);
}

// --- Files that contradict themselves under checksums that fit ------------------------------------------------------------

TEST(ErrorPaths, PaddingIsZero) {
    const Mse quantizer;
    std::string codes = saved(quantizer, saved_files::arbitrary_codes(quantizer, 1));
    codes.back() = 1;
    expect_contains(message_of([&] { (void)saved_files::loaded<Mse>(codes); }),
                    "byte 191 of the padding: expected 0, but got 1");
    std::string index = saved(some_index());
    index.back() = 2;
    std::istringstream is(index);
    expect_contains(message_of([&] { (void)FlatIndex::load(is); }),
                    "byte " + std::to_string(index.size() - 1) + " of the padding: expected 0, but got 2");
}

TEST(ErrorPaths, BlocksOfOtherSizes) {
    std::string file = saved(some_cache(3));  // no block yet, so that their size changes no length
    const std::size_t payload = 128;
    const std::uint64_t bytes = saved_files::get(file, payload + 80, 8);
    saved_files::put(file, payload + 80, 8, bytes + 4);
    saved_files::repair_payload(file);
    std::istringstream is(file);
    expect_contains(message_of([&] { (void)KvCache::load(is); }),
                    "the file's blocks have " + std::to_string(bytes + 4) + ", " + std::to_string(bytes) +
                        " and 28 bytes; expected " + std::to_string(bytes) + ", " + std::to_string(bytes) +
                        " and 28");
}

// Eight bytes of a header, under a checksum that fits, and what is then said.
struct Forgery {
    std::size_t at;
    std::uint64_t value;
    const char* message;
};
template <class Container>
void expect_refused(std::string file, const Forgery& wrong) {
    saved_files::put(file, wrong.at, 8, wrong.value);
    saved_files::repair_header(file);
    std::istringstream is(file);
    expect_contains(message_of([&] { (void)Container::load(is); }), wrong.message);
}

TEST(ErrorPaths, NumbersOfAnIndex) {
    const std::string good = saved(some_index());
    const Forgery cases[] = {
        {32, 3, "number 0 of the index: expected at most 2, but the header says 3"},
        {96, 1, "number 8 of the index: expected at most 0, but the header says 1"},
        {56, 5000, "vectors before the mean is known, at most: expected 1023, but got 5000"},
        {56, 41, "the header names 41 vectors, which do not fill "},
        {16, std::uint64_t{1} << 63, "bytes of the container, at least: expected "}};
    for (const Forgery& wrong : cases) expect_refused<FlatIndex>(good, wrong);
}

TEST(ErrorPaths, NumbersOfACache) {
    const std::string good = saved(some_cache());
    const Forgery cases[] = {{88, 8, "reserved byte of the header: expected 0, but got 8"},
                             {64, 2, "bytes per vector: expected 1, but got 2"},
                             {72, 5, "fingerprint: expected "},
                             {56, 8, "bytes of the payload, at least: expected "},
                             {80, 64, "bytes of the record: expected "}};
    for (const Forgery& wrong : cases) expect_refused<KvCache>(good, wrong);
    const Directory directory;
    const std::string path = (directory / "cache").string();
    std::ofstream(path, std::ios::binary) << good << '!';
    expect_contains(
        message_of([&] { (void)KvCache::load(path); }),
        "expected " + std::to_string(good.size()) + " bytes, but got " + std::to_string(good.size() + 1));
}

// Only split quantizers have a preamble: the channels.
TEST(ErrorPaths, SizesOfAPreamble) {
    using Split = tq::SplitQuantizer<tq::MseQuantizer<Dynamic, 4>, tq::MseQuantizer<Dynamic, 2>>;
    const Split split(16, 7, {1, 5});
    std::string codes = saved(split, split.encode(gaussian(16, 3, 1)));
    saved_files::put(codes, 88, 8, 8);
    saved_files::repair_header(codes);
    expect_contains(message_of([&] { (void)saved_files::loaded<Split>(codes); }),
                    "bytes of the preamble: expected ");
    expect_refused<tq::BasicKvCache<Split>>(
        saved(tq::BasicKvCache<Split>(split, split)),
        {88, 8, "bytes of a preamble outside of the payload: expected 0, but got 8"});
}

// --- Calls ----------------------------------------------------------------------------------------------------------------

TEST(ErrorPaths, ScalesOfAttention) {
    const KvCache cache = some_cache();
    const Eigen::MatrixXf q = gaussian(16, 2, 3);
    const auto message = [&](float scale, float softcap) {
        tq::AttendOptions options;
        options.scale = scale;
        options.softcap = softcap;
        return message_of<std::invalid_argument>([&] { (void)cache.attend(q, options); });
    };
    const std::string expected = "scale must be finite and softcap finite and not negative, but they are ";
    expect_contains(message(std::numeric_limits<float>::infinity(), 0), expected + "inf and 0");
    expect_contains(message(.5f, -1), expected + "0.5 and -1");
    expect_contains(message(std::numeric_limits<float>::quiet_NaN(), 2), expected);
}

TEST(ErrorPaths, ShapesOfACache) {
    KvCache cache = some_cache();
    const Eigen::MatrixXf tall = gaussian(17, 2, 3), good = gaussian(16, 2, 3);
    const auto message = [](auto&& call) { return message_of<std::invalid_argument>(call); };
    expect_contains(message([&] { cache.append(tall, good); }),
                    "KvCache::append: keys: expected vectors of dimension 16");
    expect_contains(message([&] { cache.append(good, tall); }),
                    "KvCache::append: values: expected vectors of dimension 16");
    expect_contains(message([&] { cache.append(good, good.leftCols(1)); }),
                    "KvCache::append: 2 keys, but 1 values");
    Eigen::MatrixXf out(16, 3), scores(100, 3);
    expect_contains(message([&] { cache.attend(good, out); }),
                    "KvCache::attend: the output must be 16 × 2, but is 16 × 3");
    expect_contains(message([&] { cache.scores(good, scores); }),
                    "KvCache::scores: the output must be 100 × 2, but is 100 × 3");
    EXPECT_EQ(cache.size(), 100);
}

TEST(ErrorPaths, ShapesOfAttention) {
    const auto message = [](auto&& call) { return message_of<std::invalid_argument>(call); };
    tq::AttendState state;
    expect_contains(message([&] { state.reset(0, 2); }),
                    "AttendState::reset: expected a dimension of at least 1 and columns of at least 0, but "
                    "they are 0 and 2");
    Eigen::MatrixXf out(16, 2), other(16, 3);
    float lse[3] = {};
    expect_contains(message([&] { tq::merge_attention(out, lse, other, lse); }),
                    "merge_attention: the output must be 16 × 2, but is 16 × 3");
    const KvCache cache = some_cache();
    const Eigen::MatrixXf tokens = gaussian(16, 2, 3);
    state.reset(16, 2);
    expect_contains(message([&] { cache.codec().attend_exact(tokens, tokens.leftCols(1), tokens, state); }),
                    "KvBlockCodec::attend_exact: 2 keys, but 1 values");
    using Large = tq::MseQuantizer<Dynamic, 4>;
    expect_contains(message([] { (void)tq::KvBlockCodec<Large>(Large(65537, 1), Large(16, 1)); }),
                    "KvBlockCodec: heads have at most 65536 dimensions, but these are 65537 and 16");
}

TEST(ErrorPaths, OptionsOfAnIndex) {
    FlatIndex index = some_index();
    expect_contains(message_of<std::invalid_argument>([&] { index.set_threads(0); }),
                    "FlatIndex::set_threads: threads must be at least 1, but is 0");
}

TEST(ErrorPaths, OutputsOfASplitQuantizer) {
    using Part = tq::MseQuantizer<Dynamic, 3>;
    const tq::SplitQuantizer<Part, Part> split(16, 7, {1, 5});
    const tq::Codes codes = split.encode(gaussian(16, 3, 1));
    Eigen::MatrixXf out(16, 2);
    expect_contains(message_of<std::invalid_argument>([&] { split.decode(codes, out); }),
                    "decode: the output must be 16 × 3, but is 16 × 2");
}

TEST(ErrorPaths, PartsThatOverflow) {
    using Half = tq::MseQuantizer<Dynamic, 3, tq::Rotation<Dynamic>, Eigen::half>;
    const tq::SplitQuantizer<Half, Half> split(16, 7, {1, 5});
    Eigen::MatrixXf x = gaussian(16, 3, 1);
    x.col(2) *= 1e6f;
    expect_contains(message_of<std::invalid_argument>([&] { (void)split.encode(x); }),
                    "column 2 has a part of norm ");
}

TEST(ErrorPaths, CodesOfAnotherQuantizer) {
    const Mse quantizer(1);
    const tq::Codes codes = Mse(2).encode(gaussian(16, 2, 1));
    expect_contains(message_of<std::invalid_argument>([&] { (void)quantizer.decode(codes); }),
                    ": the codes were made by MseQuantizer of dimension 16, 4 bits, hadamard rotation, seed "
                    "2, but this is "
                    "MseQuantizer of dimension 16, 4 bits, hadamard rotation, seed 1");
}

}  // namespace
