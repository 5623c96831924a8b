#!/usr/bin/env bash
# One program (tests/old_cpus: codes, files, search, attention) under many compilers' flags, in build/flags. It prints a digest of
# all codes, files and search scores, which must be the same everywhere; under -ffast-math it must run, no more. Also without
# exceptions, with the standard library's assertions, and under valgrind. COMPILERS names compilers to try beside g++ and
# clang++; those that are not installed are left out.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck disable=SC2034  # for build_environment.sh
extra_packages=(clang valgrind pkg-config)
source "$here/build_environment.sh"

build=build/flags
mkdir -p "$build"
eigen=$(pkg-config --cflags-only-I eigen3 | sed 's/-I/-isystem /g')
warnings="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"

expected=
check() {  # <compiler> <flags>
    echo "-- $1 $2"
    # shellcheck disable=SC2086  # words on purpose
    $1 -std=c++17 $2 -Iinclude $eigen -DSEARCH -DPART=plain_part -c tests/old_cpus/part.cpp -o "$build/part.o"
    # shellcheck disable=SC2086
    $1 $2 -DONE_PART -c tests/old_cpus/main.cpp -o "$build/main.o"
    # shellcheck disable=SC2086
    $1 $2 "$build/main.o" "$build/part.o" -o "$build/program"
    found=$("$build/program" plain)
    expected=${expected:-$found}
    if [[ "$found" != "$expected" && "$2" != *fast-math* ]]; then
        echo "check_flags.sh: $found instead of $expected" >&2
        exit 1
    fi
}

check g++ "-O2 $warnings"
valgrind --quiet --error-exitcode=1 "$build/program" plain
check g++ "-O0"
check g++ "-O3 -march=native $warnings"
check g++ "-O2 -D_GLIBCXX_ASSERTIONS -D_FORTIFY_SOURCE=2"
check g++ "-O2 -fno-exceptions $warnings"
check g++ "-O2 -ffast-math"
check g++ "-O2 -std=c++20 $warnings"
for compiler in clang++ ${COMPILERS:-g++-11 clang++-16 clang++-19}; do
    if command -v "$compiler" >/dev/null; then
        check "$compiler" "-O2 $warnings"
    else
        echo "-- $compiler: not installed"
    fi
done
check clang++ "-O2 -fno-exceptions $warnings"
check clang++ "-O3 -march=native -ffp-contract=fast"
check clang++ "-O2 -ffast-math"
