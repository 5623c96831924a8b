#!/usr/bin/env bash
# Installs what the build needs and the machine lacks: a C++ compiler, CMake, make or ninja, Eigen, GoogleTest and Google
# Benchmark. Further Debian packages can be named as arguments:
#
#   cmake/install_dependencies.sh clang clang-format-14
#
# Does not touch the package manager when nothing is missing.
set -euo pipefail

# Tools count as present wherever they come from; the rest is asked of the package manager.
tools=()
[[ -n "${CXX:-}" ]] || command -v g++ >/dev/null || tools+=(g++)
command -v cmake >/dev/null || tools+=(cmake)
command -v make >/dev/null || command -v ninja >/dev/null || tools+=(make)
packages=(libeigen3-dev libgtest-dev libbenchmark-dev "$@")

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "install_dependencies.sh: no apt-get here, so nothing is installed. Needed: a C++17 compiler, CMake 3.16," \
         "make or ninja, Eigen 3.4 or 5, GoogleTest, Google Benchmark (Debian's names: ${packages[*]})." >&2
    if ((${#tools[@]})); then
        echo "install_dependencies.sh: missing: ${tools[*]}" >&2
        exit 1
    fi
    exit 0  # the libraries may well be there: configuring will tell
fi

missing=("${tools[@]}")
for package in "${packages[@]}"; do
    # The query fails for a package that dpkg has never heard of.
    [[ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" == installed ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0

as_root=(env DEBIAN_FRONTEND=noninteractive)
if ((EUID != 0)); then
    if ! command -v sudo >/dev/null; then
        echo "install_dependencies.sh: missing: ${missing[*]}. Install them as root; sudo is not available." >&2
        exit 1
    fi
    as_root=(sudo "${as_root[@]}")
fi
echo "install_dependencies.sh: installing ${missing[*]}"
# A broken third-party list must not stop us: whether our packages can be had, the next command says.
"${as_root[@]}" apt-get update -qq || echo "install_dependencies.sh: apt-get update failed, going on" >&2
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
