#!/usr/bin/env bash
# Builds the tests for 64-bit Arm with a cross compiler, in build/aarch64, and runs them under qemu's user mode.
# TURBOQUANT_TEST_FILTER, a regular expression of names, builds some of them; arguments go to ctest, for instance -R rotation.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
if [[ "$(uname -m)" == aarch64 ]]; then
    echo "check_aarch64.sh: this machine is 64-bit Arm, its ordinary tests are the check"
    exit 0
fi
extra_packages=(g++-aarch64-linux-gnu qemu-user googletest)
source "$here/build_environment.sh"

build=$PWD/build/aarch64
toolchain=$PWD/cmake/aarch64-linux-gnu.cmake

# The host's GoogleTest is compiled for the host: build our own from Debian's copy of its sources.
cmake -S /usr/src/googletest -B "$build/googletest" -DCMAKE_TOOLCHAIN_FILE="$toolchain" -DCMAKE_BUILD_TYPE=Release \
      -DBUILD_GMOCK=OFF -DCMAKE_INSTALL_PREFIX="$build/prefix" -DCMAKE_INSTALL_LIBDIR=lib
cmake --build "$build/googletest" --parallel "$jobs" --target install

cmake -S . -B "$build/test" -DCMAKE_TOOLCHAIN_FILE="$toolchain" -DGTest_DIR="$build/prefix/lib/cmake/GTest" \
      -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O2" -DTURBOQUANT_TEST_FLAGS=-O1 \
      -DTURBOQUANT_BUILD_TESTS=ON -DTURBOQUANT_BUILD_BENCHMARKS=OFF -DTURBOQUANT_BUILD_EXAMPLES=OFF \
      -DTURBOQUANT_TEST_FILTER="${TURBOQUANT_TEST_FILTER:-}"
cmake --build "$build/test" --parallel "$jobs"
cd "$build/test"
ctest --output-on-failure -j2 "$@"
