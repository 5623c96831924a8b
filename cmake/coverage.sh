#!/usr/bin/env bash
# Lines and branches of include/ that the tests run, by g++ and gcovr: builds the tests in build/coverage, runs them, and
# prints a table for each header and the totals (build/coverage/coverage.txt; every line in coverage.html). Arguments go to CMake,
# for instance -DTURBOQUANT_TEST_FILTER='^codes_test$'. Branches that only an exception takes out of a call are not counted.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck disable=SC2034  # for build_environment.sh
extra_packages=(gcovr)
source "$here/build_environment.sh"

# Tests that fork processes and kill them, and large statistics, add no lines.
cmake -S . -B build/coverage -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_COMPILER=g++ -DCMAKE_CXX_FLAGS_DEBUG="-O1" \
      -DCMAKE_CXX_FLAGS="--coverage -fprofile-update=atomic" -DTURBOQUANT_WARNINGS_AS_ERRORS=OFF \
      -DTURBOQUANT_BUILD_TESTS=ON -DTURBOQUANT_BUILD_BENCHMARKS=OFF -DTURBOQUANT_BUILD_EXAMPLES=OFF "$@"
cmake --build build/coverage --parallel "$jobs"
find build/coverage -name '*.gcda' -delete
(cd build/coverage && ctest --output-on-failure -j2 -L unit -E 'save_killed|search_quality|statistics|theorems|flat_index_memory')

report=(gcovr --root . --filter 'include/' --exclude-throw-branches --exclude-unreachable-branches build/coverage)
"${report[@]}" --html-details build/coverage/coverage.html --txt build/coverage/lines.txt
"${report[@]}" --branches --txt build/coverage/branches.txt
{
    echo "Lines"
    cat build/coverage/lines.txt
    echo "Branches"
    cat build/coverage/branches.txt
} >build/coverage/coverage.txt
cat build/coverage/coverage.txt
