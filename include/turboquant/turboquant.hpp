// TurboQuant: vectors in 1 to 8 bits per coordinate, at near-optimal distortion, without training.
#pragma once

#include "turboquant/attention.hpp"
#include "turboquant/codes.hpp"
#include "turboquant/config.hpp"
#include "turboquant/kv_block_codec.hpp"
#include "turboquant/kv_cache.hpp"
#include "turboquant/lloyd_max_codebook.hpp"
#include "turboquant/mse_quantizer.hpp"
#include "turboquant/quantizer.hpp"
#include "turboquant/random.hpp"
#include "turboquant/record_format.hpp"
#include "turboquant/residual_sign_quantizer.hpp"
#include "turboquant/rotation.hpp"
#include "turboquant/serialization.hpp"
#include "turboquant/simd/target.hpp"
#include "turboquant/turbo_quantizer.hpp"
#include "turboquant/version.hpp"
