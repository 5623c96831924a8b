// 50 000 random flipped bits in a file of every kind, each found on load: from a stream, and where a file can be used in memory,
// there. (A CRC misses none: a single flip is found for certain. This shows that no byte is left out of the checks, and that
// none is used before them.)
#include <cstdint>
#include <cstring>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "saved_files.hpp"
#include "turboquant/turboquant.hpp"

namespace {

namespace tq = turboquant;
using saved_files::saved;
using tq::Dynamic;
using tq::Index;

constexpr int kFlips = 50000;

// Cheap arbitrary vectors: what is in the files does not matter.
Eigen::MatrixXf vectors(Index dim, Index n) {
    return Eigen::MatrixXf::NullaryExpr(
        dim, n, [](Index i, Index j) { return static_cast<float>((i * 7919 + j * 104729) % 101 - 50); });
}

// A stream over bytes that change, without a copy of them.
class Memory : public std::streambuf {
public:
    explicit Memory(std::string& bytes) { setg(&bytes[0], &bytes[0], &bytes[0] + bytes.size()); }

protected:
    pos_type seekoff(off_type offset, std::ios_base::seekdir from, std::ios_base::openmode) override {
        char* const base = from == std::ios_base::beg   ? eback()
                           : from == std::ios_base::cur ? gptr()
                                                        : egptr();
        setg(eback(), base + offset, egptr());
        return gptr() - eback();
    }
};

// How many flips `load` finds; it must throw an exception of ours.
template <class Load>
int flips_found(std::string& file, std::uint64_t seed, const Load& load) {
    const tq::RandomBits random(seed, tq::RandomStream::rotation);
    int found = 0;
    for (std::uint64_t i = 0; i < kFlips; ++i) {
        const std::size_t bit = random.word(i) % (8 * file.size());
        char& byte = file[bit / 8];
        const char before = byte;
        byte = static_cast<char>(before ^ (1 << bit % 8));
        try {
            load();
            ADD_FAILURE() << "bit " << bit << " went unnoticed";
        } catch (const std::runtime_error& error) {
            found += std::strncmp(error.what(), "turboquant: ", 12) == 0 ? 1 : 0;
        }
        byte = before;
    }
    load();  // undamaged
    return found;
}

template <class Quantizer>
void expect_codes_found(const Quantizer& quantizer, Index n) {
    std::string file = saved(quantizer, saved_files::arbitrary_codes(quantizer, n));
    EXPECT_EQ(flips_found(file, 1,
                          [&] {
                              Memory memory(file);
                              std::istream is(&memory);
                              (void)tq::load<Quantizer>(is);
                          }),
              kFlips);
    EXPECT_EQ(flips_found(file, 2, [&] { (void)tq::view_of_bytes<Quantizer>(file.data(), file.size()); }),
              kFlips);
}
template <class Container>
void expect_found(const Container& container) {
    std::string file = saved(container);
    EXPECT_EQ(flips_found(file, 3,
                          [&] {
                              Memory memory(file);
                              std::istream is(&memory);
                              (void)Container::load(is);
                          }),
              kFlips);
}

TEST(Flips, Codes) { expect_codes_found(tq::MseQuantizer<Dynamic, 3>(100, 7), 60); }
TEST(Flips, CodesOfTwoStages) { expect_codes_found(tq::TurboQuantizer<Dynamic, 4>(16, 7), 100); }
TEST(Flips, CodesInParts) {
    using Split = tq::SplitQuantizer<tq::MseQuantizer<Dynamic, 3>, tq::MseQuantizer<Dynamic, 3>>;
    expect_codes_found(Split(20, 7, {1, 5, 6, 11}), 50);
}

template <class IndexT>
IndexT filled(IndexT index, Index n, bool removed) {
    index.add(vectors(index.dim(), n));
    if (removed) index.remove(1);  // ids are stored then
    return index;
}
TEST(Flips, IndexOfBlocks) { expect_found(filled(tq::FlatIndex<Dynamic, 4>(16), 1060, true)); }
TEST(Flips, IndexOfVectorsAsTheyAre) { expect_found(filled(tq::FlatIndex<Dynamic, 4>(16), 20, false)); }
TEST(Flips, IndexOfRecords) {
    expect_found(filled(tq::BasicFlatIndex<tq::TurboQuantizer<Dynamic, 4>>(16), 1030, true));
}
TEST(Flips, IndexInMemory) {
    const std::string bytes = saved(filled(tq::FlatIndex<Dynamic, 4>(16), 1060, true));
    std::string file(bytes.size() + 64, '\0');
    const std::size_t at = (64 - reinterpret_cast<std::uintptr_t>(file.data()) % 64) % 64;
    file.replace(at, bytes.size(), bytes);
    const tq::RandomBits random(4, tq::RandomStream::rotation);
    int found = 0;
    for (std::uint64_t i = 0; i < kFlips; ++i) {
        const std::size_t bit = random.word(i) % (8 * bytes.size());
        char& byte = file[at + bit / 8];
        byte = static_cast<char>(byte ^ (1 << bit % 8));
        try {
            (void)tq::FlatIndex<Dynamic, 4>::view_of_bytes(file.data() + at, bytes.size());
        } catch (const std::runtime_error&) {
            ++found;
        }
        byte = static_cast<char>(byte ^ (1 << bit % 8));
    }
    EXPECT_EQ(found, kFlips);
}

TEST(Flips, Cache) {
    tq::KvCache<Dynamic, 4> cache(16);
    cache.append(vectors(16, 150), vectors(16, 150));
    expect_found(cache);
}
TEST(Flips, CacheInParts) {
    using Split = tq::SplitQuantizer<tq::MseQuantizer<Dynamic, 3>, tq::MseQuantizer<Dynamic, 3>>;
    tq::BasicKvCache<Split, Split> cache(Split(20, 7, {1, 5, 6, 11}), Split(20, 8, {0, 2}));
    cache.append(vectors(20, 140), vectors(20, 140));
    expect_found(cache);
}

}  // namespace
