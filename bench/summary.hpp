// The table behind `codec_bench --summary`.
#pragma once

#include <iosfwd>

namespace bench {

// One Markdown table at 4 bits for d = 128 and 1536: time on each wide target, bytes and error of each operation, then of
// the baselines. Times are medians of 15 repetitions of at least 8 ms; every repetition goes once through all rows, so
// that a disturbance of the machine meets all of them alike. Takes about 10 s.
void print_summary(std::ostream& out);

}  // namespace bench
