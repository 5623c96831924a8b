#!/usr/bin/env bash
# Builds the tests, those of the examples too, and runs them. Arguments go to CMake, for instance
# -DCMAKE_CXX_COMPILER=clang++.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
extra_packages=(libcli11-dev)
source "$here/build_environment.sh"

configure_main -DTURBOQUANT_BUILD_TESTS=ON "$@"
cmake --build "$main_build" --parallel "$jobs"
cd "$main_build"
ctest --output-on-failure -j2
