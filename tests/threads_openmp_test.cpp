// The `threads` argument in a program with OpenMP.
#include <omp.h>

#include "threads_cases.hpp"

// That the cases are worth their name: parts run on threads of their own.
TEST(Threads, AreSeveral) {
    int seen[4] = {-1, -1, -1, -1};
    turboquant::detail::for_each_part(
        1000, turboquant::detail::part_count(1000, 4),
        [&](int part, turboquant::Index, turboquant::Index) { seen[part] = omp_get_thread_num(); });
    for (int part = 0; part < 4; ++part) EXPECT_EQ(seen[part], part);
}
