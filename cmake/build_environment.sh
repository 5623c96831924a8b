# Sourced by the scripts beside it. Installs the dependencies and the Debian packages that the array extra_packages names
# (no arguments: a file sourced without any sees those of its caller), goes to the repository's root, and sets:
#   jobs             parallel compilations
#   CMAKE_GENERATOR  Ninja, on machines without make, CMake's default
#   main_build, configure_main <CMake options>  where demo.sh and test.sh build, and how
# shellcheck shell=bash
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
# shellcheck disable=SC2154  # set by the sourcing script
bash cmake/install_dependencies.sh "${extra_packages[@]}"

# A budget of 1 GB per compilation, so that a machine with many cores and little memory does not start to swap.
jobs=$(nproc)
if [[ -r /proc/meminfo ]]; then
    gigabytes=$(awk '/^MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo)
    if ((jobs > gigabytes)); then jobs=$((gigabytes > 1 ? gigabytes : 1)); fi
fi
# shellcheck disable=SC2034  # for the sourcing script
readonly jobs

if ! command -v make >/dev/null; then export CMAKE_GENERATOR=${CMAKE_GENERATOR:-Ninja}; fi

# -O2 without -DNDEBUG, so that Eigen's assertions watch over the tests. What demo.sh has compiled serves test.sh too.
readonly main_build=build/main
configure_main() {
    cmake -S . -B "$main_build" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O2 \
          -DTURBOQUANT_TEST_FLAGS=-O1 -DTURBOQUANT_BUILD_BENCHMARKS=OFF -DTURBOQUANT_BUILD_EXAMPLES=ON "$@"
}
