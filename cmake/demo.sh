#!/usr/bin/env bash
# Builds the examples in build/demo and runs the word search on the data that comes with them. Arguments go to the word
# search.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
caller_directory=$PWD
extra_packages=()
source "$here/build_environment.sh"

cmake -S . -B build/demo -DCMAKE_BUILD_TYPE=Release -DTURBOQUANT_BUILD_EXAMPLES=ON -DTURBOQUANT_BUILD_TESTS=OFF \
      -DTURBOQUANT_BUILD_BENCHMARKS=OFF
cmake --build build/demo --parallel "$jobs"

word_search=$PWD/build/demo/bin/word_search
cd "$caller_directory"  # file names among the arguments are the caller's
"$word_search" "$@"
