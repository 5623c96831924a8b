# Sourced by the scripts beside it. Installs the dependencies and the Debian packages that the array extra_packages names
# (no arguments: a file sourced without any sees those of its caller), goes to the repository's root, and sets:
#   jobs             parallel compilations
#   CMAKE_GENERATOR  Ninja, on machines without make, CMake's default
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
