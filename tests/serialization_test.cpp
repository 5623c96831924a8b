// Saved codes: round trips, the bytes of the format, streams and paths. serialization_damage_test.cpp: files refused.
//
// Everything here is exact. Most codes are made of arbitrary bytes: files do not depend on what records mean.
#include "turboquant/serialization.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "saved_files.hpp"

#if TURBOQUANT_POSIX
#include <csignal>
#include <sys/resource.h>
#endif

using namespace saved_files;

namespace {

// --- The checksum --------------------------------------------------------------------------------------------------

TEST(Checksum, IsCrc64Xz) {
    EXPECT_EQ(tq::detail::crc64("123456789", 9),
              0x995DC9BBDF1939FAu);  // the check value of the catalogue of CRCs
    EXPECT_EQ(tq::detail::crc64("", 0), 0u);
}

TEST(Checksum, EqualsTheDefinitionAtEveryLengthAndSplit) {
    std::vector<std::uint8_t> bytes(300);
    const tq::RandomBits random(3, tq::RandomStream::rotation);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(random.word(i));
    std::uint64_t crc = ~std::uint64_t{0};
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        ASSERT_EQ(tq::detail::crc64(bytes.data(), size), ~crc) << size;
        const std::size_t part = size / 3;
        ASSERT_EQ(tq::detail::crc64(bytes.data() + part, size - part, tq::detail::crc64(bytes.data(), part)),
                  ~crc);
        crc ^= bytes[size];
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0xC96C5795D7870F42u : 0u);
    }
}

// --- Round trips ---------------------------------------------------------------------------------------------------

template <class Quantizer>
void check_round_trip(const Quantizer& quantizer) {
    // Around the edges of a 65536-byte block too.
    const auto block = static_cast<tq::Index>(tq::detail::kBlockBytes / quantizer.bytes_per_vector());
    for (tq::Index n : {tq::Index{0}, tq::Index{1}, tq::Index{7}, block, block + 1, 3 * block + 5}) {
        const tq::Codes codes = arbitrary_codes(quantizer, n);
        const std::string file = saved(quantizer, codes);
        EXPECT_EQ(file.size() % 64, 0u);
        for (int from_pipe = 0; from_pipe < 2; ++from_pipe) {
            const auto [q, c] = from_pipe ? loaded_from_pipe<Quantizer>(file) : loaded<Quantizer>(file);
            EXPECT_EQ(q.id(), quantizer.id());
            expect_equal(c, codes);
        }
        const auto [q, view] = tq::view_of_bytes<Quantizer>(file.data(), file.size());
        EXPECT_EQ(q.id(), quantizer.id());
        expect_equal(view, codes);
        EXPECT_EQ(saved(q, view), file);
    }
}

TEST(RoundTrip, EveryKind) {
    check_round_trip(Turbo(7));
    check_round_trip(tq::TurboQuantizer<tq::Dynamic, 1>(100, 0));
    check_round_trip(
        tq::TurboQuantizer<48, 8, tq::SketchKind::gaussian, tq::Rotation<48, tq::RotationKind::haar>>(
            ~std::uint64_t{0}));
    check_round_trip(Mse(1, 3));
    check_round_trip(tq::MseQuantizer<33, 8, tq::Rotation<33>, Eigen::half>(5));
    check_round_trip(tq::MseQuantizer<tq::Dynamic, 1, tq::Rotation<tq::Dynamic>, Eigen::bfloat16>(1536, 5));
    check_round_trip(tq::ResidualSignQuantizer<tq::Dynamic>(65, 9));
    check_round_trip(tq::ResidualSignQuantizer<20, tq::SketchKind::gaussian>(9));
}

TEST(RoundTrip, LoadedQuantizerDecodesTheSame) {
    // Haar and gaussian: the matrices are not in the file.
    using Quantizer =
        tq::TurboQuantizer<24, 4, tq::SketchKind::gaussian, tq::Rotation<24, tq::RotationKind::haar>>;
    const Quantizer quantizer(7);
    const Eigen::MatrixXf x = Eigen::MatrixXf::Random(24, 10);
    const tq::Codes codes = quantizer.encode(x);
    auto [q, c] = loaded<Quantizer>(saved(quantizer, codes));
    EXPECT_EQ(q.decode(c), quantizer.decode(codes));
    quantizer.append(x, c);
    q.append(x, c);
    EXPECT_EQ(c.size(), 30);
}

TEST(RoundTrip, ScaleRuleIsKept) {
    for (tq::ScaleRule rule : {tq::ScaleRule::norm, tq::ScaleRule::unbiased, tq::ScaleRule::least_squares}) {
        const Mse quantizer(30, 7, rule);
        EXPECT_EQ(loaded<Mse>(saved(quantizer, arbitrary_codes(quantizer, 2))).quantizer.scale_rule(), rule);
    }
}

TEST(RoundTrip, DynamicLoadsFixedAndBack) {
    using Any = tq::TurboQuantizer<tq::Dynamic, 4>;
    const Turbo quantizer(7);
    const tq::Codes codes = arbitrary_codes(quantizer, 5);
    const std::string file = saved(quantizer, codes);
    const auto [any, any_codes] = loaded<Any>(file);
    EXPECT_EQ(any.dim(), 16);
    expect_equal(any_codes, codes);
    EXPECT_EQ(saved(any, any_codes), file);
    expect_equal(loaded<Turbo>(saved(any, any_codes)).codes, codes);
}

TEST(RoundTrip, CodesOfNoQuantizerYetAreEmptyCodesOfAny) {
    const auto [q, c] = loaded<Turbo>(saved(Turbo(3), tq::Codes()));
    EXPECT_EQ(c.size(), 0);
    EXPECT_EQ(c.id(), q.id());
}

TEST(RoundTrip, RangesAreSavedAlone) {
    const Turbo quantizer(7);
    const tq::Codes codes = arbitrary_codes(quantizer, 20);
    expect_equal(loaded<Turbo>(saved(quantizer, codes.range(3, 9))).codes, codes.range(3, 9));
}

TEST(RoundTrip, RecordsFollowOneAnotherInAStream) {
    const Turbo turbo(7);
    const Mse mse(40, 8, tq::ScaleRule::unbiased);
    const tq::Codes a = arbitrary_codes(turbo, 5), b = arbitrary_codes(mse, 9000);
    const std::string both = saved(turbo, a) + saved(mse, b) + "tail";
    std::istringstream seekable(both);
    Pipe pipe(both);
    std::istream unseekable(&pipe);
    for (std::istream* is : {static_cast<std::istream*>(&seekable), &unseekable}) {
        expect_equal(tq::load<Turbo>(*is).codes, a);
        expect_equal(tq::load<Mse>(*is).codes, b);
        std::string rest;
        *is >> rest;
        EXPECT_EQ(rest, "tail");
    }
}

TEST(RoundTrip, ViewIsAlignedWhereTheMemoryIs) {
    const Turbo quantizer(7);
    const tq::Codes codes = quantizer.encode(Eigen::MatrixXf::Random(16, 50));
    const std::string file = saved(quantizer, codes);
    std::vector<std::uint8_t> memory(file.size() + 128);
    std::uint8_t* base = memory.data() + (64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64);
    for (std::size_t shift : {0u, 1u, 7u}) {
        std::memcpy(base + shift, file.data(), file.size());
        const auto [q, view] = tq::view_of_bytes<Turbo>(base + shift, file.size());
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(view.data()) % 64, shift);
        EXPECT_EQ(view.data(), base + shift + 128);
        expect_equal(view, codes);
        EXPECT_EQ(q.decode(view), q.decode(codes));
    }
}

// --- The format ----------------------------------------------------------------------------------------------------

TEST(Format, Bytes) {
    const tq::MseQuantizer<20, 5, tq::Rotation<20, tq::RotationKind::haar>, Eigen::half> quantizer(
        0x0123456789ABCDEFu, tq::ScaleRule::least_squares);
    const std::string file = saved(quantizer, arbitrary_codes(quantizer, 3));
    EXPECT_EQ(file.substr(0, 8), "\x89TQC\r\n\x1A\n");
    const std::uint64_t words[] = {1, 128, 1, 20, 5, 2, 1, 1, 0, 65536};
    for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(get(file, 8 + 4 * i, 4), words[i]) << i;
    const std::uint64_t longs[] = {0x0123456789ABCDEFu, 3, 15, quantizer.fingerprint(), 192, 0, 0, 0, 0};
    for (std::size_t i = 0; i < 9; ++i) EXPECT_EQ(get(file, 48 + 8 * i, 8), longs[i]) << i;
    EXPECT_EQ(file.size(), 192u);
    EXPECT_EQ(get(file, 173, 8), tq::detail::crc64(&file[128], 45));
    // Frozen: a change here is a new format version.
    EXPECT_EQ(tq::detail::crc64(file.data(), file.size()), 14887143817139524590u);
}

// --- Streams -------------------------------------------------------------------------------------------------------

TEST(Save, RefusesCodesOfAnotherQuantizer) {
    const Turbo quantizer(7);
    std::ostringstream os;
    const std::string message =
        message_of<std::invalid_argument>([&] { tq::save(os, quantizer, arbitrary_codes(Turbo(8), 1)); });
    expect_contains(message, "seed 8");
    expect_contains(message, "seed 7");
    const tq::CodesView nowhere(nullptr, 3, quantizer.bytes_per_vector(), quantizer.id());
    const tq::CodesView short_records("abc", 1, 3, quantizer.id());
    expect_contains(message_of<std::invalid_argument>([&] { tq::save(os, quantizer, nowhere); }), "3 codes");
    expect_contains(message_of<std::invalid_argument>([&] { tq::save(os, quantizer, short_records); }),
                    "3 bytes per vector");
    EXPECT_EQ(os.str(), "");
}

// A stream that takes `room` bytes.
class FullDisk : public std::stringbuf {
public:
    explicit FullDisk(std::streamsize room) : room_(room) {}

protected:
    std::streamsize xsputn(const char* bytes, std::streamsize size) override {
        const std::streamsize fits = std::min(size, room_);
        room_ -= fits;
        return std::stringbuf::xsputn(bytes, fits);
    }

private:
    std::streamsize room_;
};

TEST(Save, ReportsAStreamThatFails) {
    const Turbo quantizer(7);
    const tq::Codes codes = arbitrary_codes(quantizer, 10000);
    const std::size_t total = saved(quantizer, codes).size();
    for (std::size_t room :
         {std::size_t{0}, std::size_t{100}, std::size_t{128}, std::size_t{100000}, total - 1}) {
        FullDisk disk(static_cast<std::streamsize>(room));
        std::ostream os(&disk);
        expect_contains(message_of([&] { tq::save(os, quantizer, codes); }),
                        "save: writing " + std::to_string(total) + " bytes to the stream failed");
    }
}

// --- Paths ---------------------------------------------------------------------------------------------------------

TEST(Path, RoundTripAndOverwrite) {
    const Directory directory;
    const fs::path path = directory / "codes.tq";
    const Turbo quantizer(7);
    for (tq::Index n : {5, 20000, 0, 3}) {
        const tq::Codes codes = arbitrary_codes(quantizer, n);
        tq::save(path, quantizer, codes);
        expect_equal(tq::load<Turbo>(path).codes, codes);
        EXPECT_EQ(content_of(path), saved(quantizer, codes));
        EXPECT_EQ(directory.entries(), 1);
    }
    tq::save(path.string(), quantizer, tq::Codes());
    EXPECT_EQ(tq::load<Turbo>(path.string().c_str()).codes.size(), 0);
    fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
    tq::save(path, quantizer, arbitrary_codes(quantizer, 1));
    EXPECT_EQ(fs::status(path).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

// Literals, strings and paths, lvalues and temporaries, are paths; none is mistaken for a stream.
TEST(Path, AnySpelling) {
    const Directory directory;
    const fs::path before = fs::current_path();
    fs::current_path(directory / ".");
    const Turbo quantizer(7);
    const tq::Codes codes = arbitrary_codes(quantizer, 5);
    const std::string file = saved(quantizer, codes);
    tq::save("literal", quantizer, codes);
    tq::save(std::filesystem::path("path"), quantizer, codes);
    tq::save(std::string("./string"), quantizer, codes);
    fs::create_directory("folder");
    tq::save("folder//slashes", quantizer, codes);
    expect_equal(tq::load<Turbo>("literal").codes, codes);
    expect_equal(tq::load<Turbo>(std::filesystem::path("path")).codes, codes);
    expect_equal(tq::load<Turbo>(std::string("./string")).codes, codes);
    EXPECT_EQ(content_of("folder/slashes"), file);
    EXPECT_EQ(directory.entries(), 4);
    fs::current_path(before);
}

TEST(Path, ErrorsNameThePathAndTheReason) {
    const Directory directory;
    const Turbo quantizer(7);
    const tq::Codes codes = arbitrary_codes(quantizer, 5);
    const std::string missing = message_of([&] { tq::save(directory / "none/codes.tq", quantizer, codes); });
    expect_contains(missing, "none/codes.tq");
    expect_contains(missing, "No such file or directory");
    fs::create_directory(directory / "folder");
    expect_contains(message_of([&] { tq::save(directory / "folder", quantizer, codes); }),
                    "not a regular file");
    expect_contains(message_of([&] { tq::load<Turbo>(directory / "folder"); }), "load(\"");
    expect_contains(message_of([&] { tq::load<Turbo>(directory / "absent"); }), "No such file or directory");
    EXPECT_EQ(directory.entries(), 1);
    expect_contains(message_of<std::invalid_argument>([&] { tq::save(directory / "x", Turbo(1), codes); }),
                    "seed 1");
    EXPECT_EQ(directory.entries(), 1);
}

#if TURBOQUANT_POSIX
TEST(Path, AFailedWriteKeepsTheOldFile) {
    const Directory directory;
    const fs::path path = directory / "codes.tq";
    const Turbo quantizer(7);
    tq::save(path, quantizer, arbitrary_codes(quantizer, 5));
    const std::string before = content_of(path);
    rlimit old_limit;
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old_limit), 0);
    const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
    for (rlim_t limit : {rlim_t{0}, rlim_t{64}, rlim_t{100000}}) {
        rlimit small = old_limit;
        small.rlim_cur = limit;
        ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
        const std::string message =
            message_of([&] { tq::save(path, quantizer, arbitrary_codes(quantizer, 20000)); });
        ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old_limit), 0);
        expect_contains(message, "codes.tq");
        expect_contains(message, "File too large");
        EXPECT_EQ(content_of(path), before);
        EXPECT_EQ(directory.entries(), 1);
    }
    std::signal(SIGXFSZ, old_handler);
}

TEST(Path, TheDirectoryThatTakesNoFileIsNamed) {
    const Directory directory;
    EXPECT_EQ(message_of([&] { tq::save(directory / "none//x", Turbo(7), tq::Codes()); }),
              "turboquant: save(\"" + (directory / "none//x").string() + "\"): cannot create a file in \"" +
                  (directory / "none").string() + "\": No such file or directory");
}

TEST(Path, LinksAreFollowedAndDevicesLeftAlone) {
    const Directory directory;
    const Turbo quantizer(7);
    const tq::Codes codes = arbitrary_codes(quantizer, 5);
    tq::save(directory / "codes.tq", quantizer, tq::Codes());
    fs::create_symlink("codes.tq", directory / "link");
    tq::save(directory / "link", quantizer, codes);
    EXPECT_TRUE(fs::is_symlink(directory / "link"));
    expect_equal(tq::load<Turbo>(directory / "codes.tq").codes, codes);
    // A relative chain through another directory; and a link to nothing, which gives way to the file.
    fs::create_directory(directory / "folder");
    fs::create_symlink("../link", directory / "folder/chain");
    tq::save(directory / "folder/chain", quantizer, tq::Codes());
    EXPECT_EQ(tq::load<Turbo>(directory / "codes.tq").codes.size(), 0);
    fs::create_symlink("absent", directory / "dangling");
    tq::save(directory / "dangling", quantizer, codes);
    EXPECT_TRUE(!fs::is_symlink(directory / "dangling") && !fs::exists(directory / "absent"));
    EXPECT_EQ(directory.entries(), 4);
    expect_contains(message_of([&] { tq::save("/dev/null", quantizer, codes); }), "not a regular file");
}
#endif

}  // namespace
