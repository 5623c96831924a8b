// No damaged, truncated or foreign file is accepted, and none makes load allocate more than arrives.
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <new>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "saved_files.hpp"
#include "turboquant/serialization.hpp"

using namespace saved_files;

namespace {

std::atomic<std::size_t> allocated{0};  // bytes through operator new, of any form

void* allocate(std::size_t size, std::size_t alignment) {
    allocated += size;
    void* memory = std::aligned_alloc(alignment, (size + alignment) / alignment * alignment);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}

// Not inlined: g++ would see memory of operator new in std::free.
TURBOQUANT_NOINLINE void release(void* memory) noexcept { std::free(memory); }
}  // namespace

void* operator new(std::size_t size) { return allocate(size, 16); }
void* operator new(std::size_t size, std::align_val_t alignment) {
    return allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }

namespace {

// --- Damage --------------------------------------------------------------------------------------------------------

TEST(Damage, EveryFlippedBitIsDetected) {
    const Turbo quantizer(7);
    for (tq::Index n : {0, 3}) {
        std::string file = saved(quantizer, arbitrary_codes(quantizer, n));
        for (std::size_t bit = 0; bit < 8 * file.size(); ++bit) {
            const auto mask = static_cast<char>(1 << bit % 8);
            file[bit / 8] = static_cast<char>(file[bit / 8] ^ mask);
            EXPECT_TRUE(refused<Turbo>(file)) << "bit " << bit % 8 << " of byte " << bit / 8;
            file[bit / 8] = static_cast<char>(file[bit / 8] ^ mask);
        }
        EXPECT_FALSE(refused<Turbo>(file));
    }
}

TEST(Damage, RandomFlipsInALargerFileAreDetected) {
    const Turbo quantizer(7);
    std::string file = saved(quantizer, arbitrary_codes(quantizer, 10000));  // three blocks
    const tq::RandomBits random(1, tq::RandomStream::rotation);
    for (std::uint64_t i = 0; i < 2000; ++i) {
        const std::size_t bit = random.word(i) % (8 * file.size());
        const char before = file[bit / 8];
        file[bit / 8] = static_cast<char>(before ^ (1 << bit % 8));
        if (i % 20 == 0) {
            EXPECT_TRUE(refused<Turbo>(file)) << bit;
        } else {
            expect_contains(message_of([&] { tq::view_of_bytes<Turbo>(file.data(), file.size()); }),
                            "turboquant: view_of_bytes: ");
        }
        file[bit / 8] = before;
    }
    EXPECT_FALSE(refused<Turbo>(file));
}

TEST(Damage, TheBlockIsNamed) {
    const Turbo quantizer(7);
    std::string file = saved(quantizer, arbitrary_codes(quantizer, 10000));
    file[128 + 65536 + 5] ^= 1;
    expect_contains(message_of([&] { loaded<Turbo>(file); }),
                    "checksum mismatch in block 1 of 3 (bytes 65664 to 131199)");
    std::string other = saved(quantizer, arbitrary_codes(quantizer, 3));
    other[130] ^= 1;
    expect_contains(message_of([&] { loaded<Turbo>(other); }),
                    "checksum mismatch in block 0 of 1 (bytes 128 to 175)");
    other[180] ^= 1;
    expect_contains(message_of([&] { loaded<Turbo>(other); }), "checksum mismatch in the table of checksums");
    other[25] ^= 1;
    expect_contains(message_of([&] { loaded<Turbo>(other); }), "checksum mismatch in the header");
}

TEST(Damage, HalvesOfTwoFilesDoNotFit) {
    const std::string a = saved(Turbo(7), arbitrary_codes(Turbo(7), 3));
    const std::string b = saved(Turbo(8), arbitrary_codes(Turbo(8), 3));
    EXPECT_TRUE(refused<Turbo>(a.substr(0, 128) + b.substr(128)));
}

TEST(Damage, EveryTruncationIsDetected) {
    const Turbo quantizer(7);
    const std::string file = saved(quantizer, arbitrary_codes(quantizer, 5));
    for (std::size_t size = 0; size < file.size(); ++size) {
        const std::string part = file.substr(0, size);
        EXPECT_TRUE(refused<Turbo>(part)) << size;
        const std::string expected = "truncated: expected " + std::to_string(size < 128 ? 128 : file.size()) +
                                     " bytes, but got " + std::to_string(size);
        expect_contains(message_of([&] { loaded<Turbo>(part); }), expected);
        expect_contains(message_of([&] { loaded_from_pipe<Turbo>(part); }), expected);
        expect_contains(message_of([&] { tq::view_of_bytes<Turbo>(part.data(), size); }), expected);
    }
    expect_contains(message_of([] { tq::view_of_bytes<Turbo>(nullptr, 0); }), "truncated");
}

TEST(Damage, TrailingBytesAreDetected) {
    const Directory directory;
    const Turbo quantizer(7);
    const std::string file = saved(quantizer, arbitrary_codes(quantizer, 5));
    const std::string longer = file + '\0';
    std::ofstream(directory / "longer", std::ios::binary) << longer;
    const std::string expected = "trailing bytes: expected " + std::to_string(file.size()) +
                                 " bytes, but got " + std::to_string(longer.size());
    expect_contains(message_of([&] { tq::view_of_bytes<Turbo>(longer.data(), longer.size()); }), expected);
    expect_contains(message_of([&] { tq::load<Turbo>(directory / "longer"); }), expected);
}

TEST(Damage, ImpossibleFieldsAreRefusedEvenWithAGoodChecksum) {
    const struct {
        std::size_t at;
        int bytes;
        std::uint64_t value;
        const char* message;
    } cases[] = {
        {8, 4, 2, "format version 2, but this library reads version 1: the file is from a newer one"},
        {12, 4, 256, "bytes of the header: expected 128, but the header says 256"},
        {16, 4, 9, "quantizer kind: expected 1 to 5, but the header says 9"},
        {20, 4, 0xFFFFFFFFu, "dimension: expected 1 to 16777216, but the header says 4294967295"},
        {24, 4, 0, "number of bits: expected 1 to 8, but the header says 0"},
        {28, 4, 3, "scale rule: expected 0 to 2"},
        {28, 4, 1, "scale rule of a quantizer that has none: expected 0, but got 1"},
        {32, 4, 7, "scale type: expected 0 to 2"},
        {36, 4, 2, "rotation kind: expected 0 to 1"},
        {40, 4, 2, "sketch kind: expected 0 to 1"},
        {44, 4, 0, "block size: expected 65536, but the header says 0"},
        {48, 8, 8, "fingerprint: expected "},
        {56, 8, 4, "bytes of the record: expected 256, but got 192"},
        {56, 8, ~std::uint64_t{0}, "18446744073709551615 vectors of 16 bytes are more than memory can"},
        {64, 8, 17, "bytes per vector: expected 16, but got 17"},
        {80, 8, 64, "bytes of the record: expected 192, but got 64"},
        {119, 1, 1, "reserved byte of the header: expected 0, but got 1"}};
    const std::string file = saved(Turbo(7), arbitrary_codes(Turbo(7), 3));
    for (const auto& wrong : cases) {
        std::string changed = file;
        put(changed, wrong.at, wrong.bytes, wrong.value);
        repair_header(changed);
        expect_contains(message_of([&] { loaded<Turbo>(changed); }), wrong.message);
        EXPECT_TRUE(refused<Turbo>(changed)) << wrong.message;
    }
}

// A header of `count` vectors that is right in itself, and little behind it.
std::string absurd_file(tq::CodecId id, tq::Index count) {
    tq::detail::RecordHeader header;
    header.id = id;
    header.count = count;
    header.bytes_per_vector = tq::detail::record_bytes(id);
    const tq::detail::HeaderBytes bytes = tq::detail::write_header(header);
    return std::string(bytes.begin(), bytes.end()) + std::string(300, 'x');
}

TEST(Damage, AbsurdSizesAllocateNoMoreThanArrives) {
    using Any = tq::TurboQuantizer<tq::Dynamic, 4>;
    tq::CodecId wide = Any(16, 7).id();
    wide.dim = 1 << 24;
    const tq::CodecId narrow = Any(16, 7).id();
    for (const std::string& file :
         {absurd_file(narrow, tq::Index{1} << 40), absurd_file(narrow, tq::Index{1} << 57),
          absurd_file(narrow, 100), absurd_file(wide, 1), absurd_file(wide, tq::Index{1} << 36)}) {
        std::istringstream seekable(file);
        Pipe pipe(file);
        std::istream unseekable(&pipe);
        // 4 KiB: the text of the message. A pipe is read into memory of one block.
        std::size_t before = allocated;
        expect_contains(message_of([&] { tq::load<Any>(seekable); }), "truncated: expected");
        EXPECT_LE(allocated - before, 4096u);
        before = allocated;
        expect_contains(message_of([&] { tq::view_of_bytes<Any>(file.data(), file.size()); }), "truncated");
        EXPECT_LE(allocated - before, 4096u);
        before = allocated;
        expect_contains(message_of([&] { tq::load<Any>(unseekable); }), "truncated: expected");
        EXPECT_LE(allocated - before, 65536u + 4096u);
    }
}

TEST(Damage, DenseMatricesOfAbsurdDimensionAreNotBuilt) {
    using Quantizer = tq::ResidualSignQuantizer<tq::Dynamic, tq::SketchKind::gaussian>;
    tq::CodecId id = Quantizer(16, 7).id();
    id.dim = 1 << 20;
    expect_contains(message_of([&] { loaded<Quantizer>(absurd_file(id, 0)); }), "up to dimension 16384");
}

// --- Other files ---------------------------------------------------------------------------------------------------

TEST(WrongType, SaysWhatTheFileHoldsAndWhatWasAskedFor) {
    const tq::MseQuantizer<128, 4> mse(7);
    const std::string file = saved(mse, arbitrary_codes(mse, 2));
    const std::string held =
        "the file holds codes of a MseQuantizer of dimension 128, 4 bits, hadamard rotation, seed 7, ";
    expect_contains(message_of([&] { loaded<tq::TurboQuantizer<128, 4>>(file); }),
                    held +
                        "but a TurboQuantizer of dimension 128, 4 bits, hadamard rotation, orthogonal sketch "
                        "was asked for");
    expect_contains(message_of([&] { loaded<Mse>(file); }),
                    held + "but a MseQuantizer of any dimension, 3 bits, hadamard rotation was asked for");
    expect_contains(message_of([&] { loaded<tq::MseQuantizer<64, 4>>(file); }),
                    held + "but a MseQuantizer of dimension 64, 4 bits, hadamard rotation was asked for");
    using Haar = tq::MseQuantizer<128, 4, tq::Rotation<128, tq::RotationKind::haar>>;
    EXPECT_TRUE(refused<Haar>(file));
    using Half = tq::MseQuantizer<128, 4, tq::Rotation<128>, Eigen::half>;
    expect_contains(message_of([&] { tq::view_of_bytes<Half>(file.data(), file.size()); }),
                    "float16 scales was asked");
    EXPECT_TRUE(refused<tq::ResidualSignQuantizer<128>>(file));
}

TEST(WrongType, OtherFilesAreNotTurboQuantFiles) {
    for (const char* text : {"x", "PK\x03\x04", "a text of more than eight bytes"}) {
        expect_contains(message_of([&] { loaded<Turbo>(text); }), "load: not a TurboQuant file");
        EXPECT_TRUE(refused<Turbo>(text));
    }
    EXPECT_TRUE(refused<Turbo>(std::string(1000, '\0')));
}

}  // namespace
