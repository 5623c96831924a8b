// A process that is killed while it saves leaves the file that was there, or the new one, whole: 200 times, at random moments,
// a child that saves over the same file again and again gets SIGKILL.
#include <chrono>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "saved_files.hpp"
#include "test_vectors.hpp"
#include "turboquant/turboquant.hpp"

#if defined(__unix__) || defined(__APPLE__)

#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

using namespace saved_files;

namespace {

// `save` writes state 0, or a larger state 1, to the path; `state` loads the file and says which it is.
template <class Save, class State>
void kill_while_saving(const char* name, std::uint64_t seed, Save&& save, State&& state) {
    const Directory directory;
    const std::string path = (directory / name).string();
    const auto start = std::chrono::steady_clock::now();
    save(1, path);
    save(0, path);
    const std::chrono::microseconds both =
        std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start);
    const auto longest = static_cast<std::uint64_t>(4 * both.count() + 1000);
    const tq::RandomBits random(seed, tq::RandomStream::rotation);
    int seen[2] = {0, 0};
    for (std::uint64_t i = 0; i < 200; ++i) {
        const pid_t child = ::fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            for (int next = 1;; next = 1 - next) save(next, path);
        }
        ::usleep(static_cast<useconds_t>(random.word(i) % longest));
        ::kill(child, SIGKILL);
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself";
        const int found = state(path);  // throws where the file is damaged
        ASSERT_TRUE(found == 0 || found == 1);
        ++seen[found];
    }
    EXPECT_GT(seen[0], 0);
    EXPECT_GT(seen[1], 0);
    // What the last children left unfinished stands beside the file, never in its place, and hinders nobody.
    save(1, path);
    EXPECT_EQ(state(path), 1);
}

TEST(KilledWhileSaving, Codes) {
    const tq::MseQuantizer<64, 4> quantizer;
    const tq::Codes states[2] = {arbitrary_codes(quantizer, 2000), arbitrary_codes(quantizer, 9000)};
    kill_while_saving(
        "codes", 1, [&](int i, const std::string& path) { tq::save(path, quantizer, states[i]); },
        [&](const std::string& path) {
            const auto loaded = tq::load<tq::MseQuantizer<64, 4>>(path);
            const int found = loaded.codes.size() == 2000 ? 0 : 1;
            expect_equal(loaded.codes, states[found]);
            return found;
        });
}

TEST(KilledWhileSaving, Index) {
    tq::FlatIndex<64, 4> states[2];
    states[0].add(test_vectors::gaussian(64, 2000, 1));
    states[1].add(test_vectors::gaussian(64, 9000, 2));
    const Eigen::MatrixXf queries = test_vectors::gaussian(64, 3, 3);
    kill_while_saving(
        "index", 2, [&](int i, const std::string& path) { states[i].save(path); },
        [&](const std::string& path) {
            const auto loaded = tq::FlatIndex<64, 4>::load(path);
            const int found = loaded.size() == 2000 ? 0 : 1;
            EXPECT_EQ(loaded.search(queries, 5).ids, states[found].search(queries, 5).ids);
            return found;
        });
}

TEST(KilledWhileSaving, Cache) {
    tq::KvCache<64, 4> states[2];
    for (int i = 0; i < 2; ++i) {
        const tq::Index tokens = i == 0 ? 1000 : 5000;
        states[i].append(test_vectors::gaussian(64, tokens, 4), test_vectors::gaussian(64, tokens, 5));
    }
    const auto bytes_of = [](const tq::KvCache<64, 4>& cache) {
        std::ostringstream os;
        cache.save(os);
        return os.str();
    };
    kill_while_saving(
        "cache", 3, [&](int i, const std::string& path) { states[i].save(path); },
        [&](const std::string& path) {
            const auto loaded = tq::KvCache<64, 4>::load(path);
            const int found = loaded.size() == 1000 ? 0 : 1;
            EXPECT_TRUE(bytes_of(loaded) == bytes_of(states[found]));
            return found;
        });
}

}  // namespace

#endif
