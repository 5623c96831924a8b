// The `threads` argument in a program without OpenMP: accepted, and one thread does everything.
#include "threads_cases.hpp"

#if defined(_OPENMP)
#error "this test is to be compiled without OpenMP"
#endif
