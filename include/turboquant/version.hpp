// Version of the library: semantic versioning, readable by the preprocessor.
//
// The build system parses the three numbers below, so they are written down once. They are also part of the name of the
// inline namespace that holds the library (config.hpp): objects built against two versions can be linked together.
#pragma once

#define TURBOQUANT_VERSION_MAJOR 0
#define TURBOQUANT_VERSION_MINOR 1
#define TURBOQUANT_VERSION_PATCH 0
