#!/usr/bin/env bash
# Builds and runs the user's project in tests/consumer in the four ways that the library can be had: installed and found by
# CMake, as a subdirectory (or FetchContent), installed and found by pkg-config, as one header. The installed tree is moved
# first: it must not remember where it was installed.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
extra_packages=(pkg-config)
source "$here/build_environment.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake -S . -B "$work/build" -DCMAKE_INSTALL_PREFIX="$work/first" -DTURBOQUANT_BUILD_TESTS=OFF \
      -DTURBOQUANT_BUILD_BENCHMARKS=OFF -DTURBOQUANT_BUILD_EXAMPLES=OFF >/dev/null
cmake --build "$work/build" --target install >/dev/null
mv "$work/first" "$work/prefix"

build_and_run() {  # <name> <cmake arguments>
    local build=$work/$1
    echo "-- consumer: $1"
    cmake -S tests/consumer -B "$build" -DCMAKE_BUILD_TYPE=Release "${@:2}" >/dev/null
    cmake --build "$build" --parallel "$jobs" >/dev/null
    "$build/consumer"
}
build_and_run find_package -DCMAKE_PREFIX_PATH="$work/prefix"
build_and_run add_subdirectory -DTURBOQUANT_SOURCE_DIR="$PWD"

echo "-- consumer: pkg-config"
export PKG_CONFIG_PATH=$work/prefix/share/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
read -ra flags <<<"$(pkg-config --cflags turboquant)"
"${CXX:-g++}" -std=c++17 -O2 "${flags[@]}" tests/consumer/main.cpp -o "$work/consumer"
"$work/consumer"

echo "-- consumer: one header"
bash cmake/amalgamate.sh "$work/single/turboquant/turboquant.hpp"
read -ra eigen <<<"$(pkg-config --cflags eigen3)"
"${CXX:-g++}" -std=c++17 -O2 -I "$work/single" "${eigen[@]}" tests/consumer/main.cpp -o "$work/consumer"
"$work/consumer"
