#!/usr/bin/env bash
# Regenerates the experiments of bench/paper in build/paper: tables on standard output, CSV files and plots. Real vectors come from
# the folder that is given, or from ../shared/data where it exists; else there are Gaussian vectors alone.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
data=$(realpath "${1:-$here/../../shared/data}" 2>/dev/null || true)
extra_packages=(gnuplot-nox)
source "$here/build_environment.sh"

cmake -S . -B build/bench -DCMAKE_BUILD_TYPE=Release -DTURBOQUANT_BUILD_TESTS=OFF -DTURBOQUANT_BUILD_EXAMPLES=OFF
cmake --build build/bench --parallel "$jobs" --target paper
mkdir -p build/paper
if [[ -d $data ]]; then build/bench/bench/bin/paper build/paper "$data"; else build/bench/bench/bin/paper build/paper; fi
(cd build/paper && gnuplot ../../bench/paper/plots.gp)
echo "build/paper: $(ls build/paper | tr '\n' ' ')"
