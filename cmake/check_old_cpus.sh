#!/usr/bin/env bash
# Runs programs on older x86-64 processors than the one at hand, emulated by qemu's user mode, in build/old_cpus:
#
# 1. The golden codes and files on a Nehalem (no AVX) and a Haswell (AVX2, no AVX-512): no illegal instruction, the same bytes,
#    and the target that fits.
# 2. Two halves of a program (tests/old_cpus), one of them compiled for a newer processor, linked in both orders: the half
#    compiled without flags runs on the Nehalem and gives what it gives here. With search (-DSEARCH), whose options and results
#    hold Eigen matrices, GNU ld refuses: Eigen's allocators would be mixed (config.hpp).
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
if [[ "$(uname -m)" != x86_64 ]]; then
    echo "check_old_cpus.sh: this machine is not x86-64"
    exit 0
fi
# shellcheck disable=SC2034  # for build_environment.sh
extra_packages=(qemu-user clang pkg-config)
source "$here/build_environment.sh"

build=build/old_cpus
mkdir -p "$build"
eigen=$(pkg-config --cflags-only-I eigen3 | sed 's/-I/-isystem /g')

fail() {
    echo "check_old_cpus.sh: $*" >&2
    exit 1
}
on() {  # <processor> <program> <arguments...>; qemu warns of what it does not emulate
    qemu-x86_64 -cpu "$1" "${@:2}" 2> >(grep -v "warning: TCG" >&2)
}

echo "-- golden codes and files"
gathers=0
g++ -O2 tests/old_cpus/gather.cpp -o "$build/gather"
on Haswell "$build/gather" || gathers=$?
for name in golden_codes golden_files; do
    # shellcheck disable=SC2086  # words on purpose
    g++ -std=c++17 -O2 -DTURBOQUANT_SOURCE_DIR="\"$PWD\"" -Iinclude $eigen "tests/${name}_test.cpp" \
        -o "$build/$name" -lgtest -lgtest_main -pthread
    for cpu in Nehalem Haswell; do
        echo "$name on $cpu"
        if on $cpu "$build/$name" --gtest_brief=1 >"$build/log" 2>&1; then continue; fi
        # What an emulator that gathers wrongly cannot show: indices of 6 to 8 bits look their centroids up by gathers.
        if [[ $cpu == Haswell ]] && ((gathers != 0)) && grep -q "avx2$" "$build/log" &&
           ! grep "avx2$" "$build/log" | grep -qv "mse<[678]>\|turbo<[78]>" && grep -q "FAILED" "$build/log"; then
            echo "qemu's AVX2 gathers are wrong: indices of 6 to 8 bits differ, all others are right"
            continue
        fi
        tail -20 "$build/log" >&2
        fail "$name on $cpu"
    done
done

# Forcing what the processor lacks is refused, not tried.
if TURBOQUANT_TARGET=avx2 on Nehalem "$build/golden_files" --gtest_brief=1 >/dev/null 2>&1; then
    fail "AVX2 kernels were accepted on a Nehalem"
fi

compile() {  # <compiler> <object> <name of the half> <flags...>
    # shellcheck disable=SC2086
    "$1" -std=c++17 -Iinclude $eigen "${@:4}" -DPART="$3" -c tests/old_cpus/part.cpp -o "$2"
}
g++ -c tests/old_cpus/main.cpp -o "$build/main.o"
for compiler in g++ clang++; do
    for search in "" -DSEARCH; do
        # shellcheck disable=SC2086
        compile $compiler "$build/plain.o" plain_part -O2 $search
        for march in x86-64-v3 x86-64-v4; do
            # shellcheck disable=SC2086
            compile $compiler "$build/newer.o" newer_part -O2 -march=$march $search
            for order in "plain newer" "newer plain"; do
                # shellcheck disable=SC2086
                set -- $order
                echo "-- $compiler $march $search, $1 before $2"
                if ! g++ "$build/main.o" "$build/$1.o" "$build/$2.o" -o "$build/halves" 2>"$build/link.log"; then
                    grep -q one_EIGEN_DEFAULT_ALIGN_BYTES "$build/link.log" || fail "$(<"$build/link.log")"
                    [[ -n "$search" ]] || fail "the linker refused halves that hold no matrices"
                    echo "refused by the linker"
                    continue
                fi
                [[ -z "$search" ]] || fail "the linker accepted two of Eigen's allocators"
                expected=$("$build/halves" plain)
                for cpu in Nehalem Haswell; do
                    got=$(on $cpu "$build/halves" plain) || fail "the plain half does not run on $cpu"
                    [[ "$got" == "$expected" ]] || fail "$cpu gives $got instead of $expected"
                done
                if grep -qw avx512bw /proc/cpuinfo || { [[ $march == x86-64-v3 ]] && grep -qw avx2 /proc/cpuinfo; }; then
                    [[ "$("$build/halves" newer)" == "$expected" ]] || fail "the newer half differs"
                fi
                echo "runs: $expected"
            done
        done
    done
done
