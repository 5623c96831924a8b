#!/usr/bin/env bash
# Builds the examples in build/demo and runs two of them on the data that comes with them: the word search, to which
# arguments go, and a language model with quantized keys and values (a quick run; build/demo/bin/tiny_lm is the whole).
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
caller_directory=$PWD
extra_packages=(libcli11-dev)
source "$here/build_environment.sh"

cmake -S . -B build/demo -DCMAKE_BUILD_TYPE=Release -DTURBOQUANT_BUILD_EXAMPLES=ON -DTURBOQUANT_BUILD_TESTS=OFF \
      -DTURBOQUANT_BUILD_BENCHMARKS=OFF
cmake --build build/demo --parallel "$jobs"

programs=$PWD/build/demo/bin
cd "$caller_directory"  # file names among the arguments are the caller's
"$programs/word_search" "$@"
printf '\n'
"$programs/tiny_lm" --quick
