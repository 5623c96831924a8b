#!/usr/bin/env bash
# Builds the fuzz targets in tests/fuzz with clang's libFuzzer and the address and undefined-behaviour sanitizers, in
# build/fuzz, and runs each for as many seconds as the first argument says (20), from the inputs in tests/fuzz/corpus. The second
# is the seed of what is tried, by default another one each time. What makes a target fail is kept in
# build/fuzz/<target>.failures: pass such a file to the target to run it again.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
seconds=${1:-20}
seed=${2:-0}
# shellcheck disable=SC2034  # for build_environment.sh
extra_packages=(clang libclang-rt-14-dev pkg-config)
source "$here/build_environment.sh"

mkdir -p build/fuzz
eigen=$(pkg-config --cflags-only-I eigen3 | sed 's/-I/-isystem /g')
# Pointers that are null or overflow are met by the address sanitizer where they are used; checks of the arithmetic itself, which
# the asan preset has, take three quarters of the time to compile.
flags=(-std=c++17 -O1 -g1 -fsanitize=fuzzer,address,undefined -fno-sanitize=null,pointer-overflow -fno-sanitize-recover=all
       -Iinclude)
# shellcheck disable=SC2086  # words on purpose
printf '%s\n' tests/fuzz/fuzz_*.cpp | xargs -P "$jobs" -I{} sh -c \
    'clang++ "$@" "$0" -o build/fuzz/$(basename "$0" .cpp)' {} "${flags[@]}" $eigen

for source in tests/fuzz/fuzz_*.cpp; do
    name=$(basename "$source" .cpp)
    mkdir -p "build/fuzz/$name.corpus" "build/fuzz/$name.failures"
    echo "-- $name"
    # No allocation beyond 64 MB: files and vectors here are small, whatever their headers say.
    "build/fuzz/$name" -max_total_time="$seconds" -seed="$seed" -max_len=600 -malloc_limit_mb=64 -verbosity=0 \
        -print_final_stats=1 -artifact_prefix="build/fuzz/$name.failures/" "build/fuzz/$name.corpus" "tests/fuzz/corpus/$name"
done
