#!/usr/bin/env bash
# Builds the tests, those of the examples too, in build/test and runs them. Arguments go to CMake, for instance
# -DCMAKE_CXX_COMPILER=clang++.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
extra_packages=(libcli11-dev)
source "$here/build_environment.sh"

# -O2 without -DNDEBUG, so that Eigen's assertions watch over the tests.
cmake -S . -B build/test -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O2" \
      -DTURBOQUANT_BUILD_TESTS=ON -DTURBOQUANT_BUILD_BENCHMARKS=OFF -DTURBOQUANT_BUILD_EXAMPLES=ON "$@"
cmake --build build/test --parallel "$jobs"
cd build/test
ctest --output-on-failure -j2
