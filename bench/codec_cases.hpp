// Every operation of the codec at every dimension, width and target, and the baselines on the same vectors.
#pragma once

#include <vector>

#include "workload.hpp"

namespace bench {

// rotate/{apply,apply_transpose}/d<dim>/<target>
std::vector<Case> rotation_cases();

// {encode,decode}/{mse,mse_unbiased,mse_least_squares}/d<dim>/b<bits>/<target>: Dynamic quantizers, one per scale rule
// (decoding does not depend on the rule: mse alone), and {encode,decode}/mse_fixed/… for the dimensions known to the compiler.
std::vector<Case> mse_cases();

// {encode,decode}/{turbo,turbo_fixed}/d<dim>/b<bits>/<target>
std::vector<Case> turbo_cases();

// baseline/{memcpy,fp16,absmax4,absmax8,dense_rotation}/d<dim>/<target>
std::vector<Case> baseline_cases();

// All of them.
std::vector<Case> codec_cases();

}  // namespace bench
