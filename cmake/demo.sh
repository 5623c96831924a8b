#!/usr/bin/env bash
# Builds two of the examples and runs them on the data that comes with them: the word search, to which arguments go, and a
# language model with quantized keys and values (a quick run; build/main/bin/tiny_lm is the whole).
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
caller_directory=$PWD
extra_packages=(libcli11-dev)
source "$here/build_environment.sh"

configure_main -DTURBOQUANT_BUILD_TESTS=OFF
cmake --build "$main_build" --parallel "$jobs" --target word_search tiny_lm

programs=$PWD/$main_build/bin
cd "$caller_directory"  # file names among the arguments are the caller's
"$programs/word_search" "$@"
printf '\n'
"$programs/tiny_lm" --quick
