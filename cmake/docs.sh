#!/usr/bin/env bash
# Builds the guide (examples/guide) and the reference of every class with Doxygen, into build/docs/html. A warning is an error.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
extra_packages=(doxygen doxygen-awesome-css)
source "$here/build_environment.sh"

mkdir -p build/docs
doxygen cmake/Doxyfile
echo "build/docs/html/index.html"
