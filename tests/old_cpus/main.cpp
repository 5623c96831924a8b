// Calls the halves that the arguments name, and prints what each gives. ONE_PART: there is only the plain one.
#include <cstdint>
#include <cstdio>
#include <cstring>

std::uint64_t plain_part();
#ifdef ONE_PART
static std::uint64_t newer_part() { return 0; }
#else
std::uint64_t newer_part();
#endif

int main(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        const bool plain = std::strcmp(argv[i], "plain") == 0;
        std::printf("%016llx\n", static_cast<unsigned long long>(plain ? plain_part() : newer_part()));
    }
}
