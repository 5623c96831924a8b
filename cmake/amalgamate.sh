#!/usr/bin/env bash
# Writes the whole library as one header, to the file that the argument names: what turboquant/turboquant.hpp includes, in
# order. It needs Eigen and the standard library, like the headers that it is made of.
set -euo pipefail
if (($# != 1)); then
    echo "usage: amalgamate.sh <file to write>" >&2
    exit 2
fi
include=$(cd "$(dirname "${BASH_SOURCE[0]}")/../include" && pwd)
mkdir -p "$(dirname "$1")"

# Headers once; kernels (*.inl) as often as they are included, once for each target.
awk -v include="$include" '
    function emit(name,    path, line) {
        path = include "/" name
        while ((status = (getline line < path)) > 0) {
            if (match(line, /^#include "turboquant\/[^"]+"/)) {
                split(line, parts, "\"")
                if (parts[2] ~ /\.inl$/ || !(parts[2] in seen)) {
                    seen[parts[2]] = 1
                    emit(parts[2])
                }
            } else if (line != "#pragma once") {
                print line
            }
        }
        if (status < 0) {
            print "amalgamate.sh: cannot read " path > "/dev/stderr"
            exit 1
        }
        close(path)
    }
    BEGIN {
        print "// TurboQuant for C++ in one header, made by cmake/amalgamate.sh. SPDX-License-Identifier: Apache-2.0"
        print "#pragma once"
        emit("turboquant/turboquant.hpp")
    }' >"$1.part"
mv "$1.part" "$1"
