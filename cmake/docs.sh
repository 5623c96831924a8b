#!/usr/bin/env bash
# Checks that relative links of every Markdown file resolve; builds the guide (examples/guide) and the reference of every class
# with Doxygen, into build/docs/html. A warning is an error.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
extra_packages=(doxygen doxygen-awesome-css)
source "$here/build_environment.sh"

mapfile -t pages < <(find . -name '*.md' -not -path './build/*' -not -path './.*' -printf '%P\n' | sort)
awk -f cmake/check_links.awk "${pages[@]}" "${pages[@]}"

mkdir -p build/docs
doxygen cmake/Doxyfile
echo "build/docs/html/index.html"
