# Sourced by run and full. Installs the tools of their steps, goes to the repository's root, and defines what
# both use.
# shellcheck shell=bash
extra_packages=(clang libclang-rt-14-dev clang-format-14 pkg-config libcli11-dev g++-aarch64-linux-gnu qemu-user googletest)
source "$(dirname "${BASH_SOURCE[0]}")/../cmake/build_environment.sh"

chosen_steps=()  # names; none stands for all
steps_done=0

chosen() {  # <name>
    local name
    for name in "${chosen_steps[@]:-$1}"; do
        if [[ $name == "$1" ]]; then return 0; fi
    done
    return 1
}

step() {  # <name> <command...>: prints the name, and the elapsed time when the command has succeeded
    chosen "$1" || return 0
    local start=$SECONDS
    printf '\n=== %s\n' "$1"
    # Not in a condition and not in a subshell: the shell's -e must hold inside the command.
    "${@:2}"
    printf '=== %s: %d s (%d s in all)\n' "$1" $((SECONDS - start)) "$SECONDS"
    steps_done=$((steps_done + 1))
}

build_and_test() {  # <preset> <CMake options...>
    cmake --preset "$1" -DTURBOQUANT_TEST_FILTER= "${@:2}"
    cmake --build --preset "$1" --parallel "$jobs"
    ctest --preset "$1"
}

build_benchmarks() {  # <folder below build> <CMake options...>
    cmake -S . -B "build/$1" -DTURBOQUANT_BUILD_TESTS=OFF -DTURBOQUANT_BUILD_EXAMPLES=OFF "${@:2}"
    cmake --build "build/$1" --parallel "$jobs"
}
