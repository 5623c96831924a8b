// Calls the halves that the arguments name, and prints what each gives.
#include <cstdint>
#include <cstdio>
#include <cstring>

std::uint64_t plain_part();
std::uint64_t newer_part();

int main(int argc, char** argv) {
    for (int i = 1; i < argc; ++i)
        std::printf("%016llx\n", static_cast<unsigned long long>(
                                     std::strcmp(argv[i], "plain") == 0 ? plain_part() : newer_part()));
}
