// The rotation, forward and transposed: growth·Πx and growth·Πᵀy. See rotation.hpp for the construction.
//
// Every Hadamard transform takes its stages in ascending order (distance 1, 2, 4, …), whatever the width of a vector and
// however many stages one pass over memory covers; each output is one addition or subtraction of the same two numbers on
// every target, hence the same bits.

// --- Where a pass reads its registers ---------------------------------------------------------------------------------
// A register index counts vectors of kLanes floats; kGroup of them make the group of 16 floats that is permuted as one.

inline constexpr int kGroup = 16 / kLanes;

struct LoadPlain {
    const float* p;
    TURBOQUANT_INLINE Floats operator()(int i) const noexcept { return load(p + kLanes * i); }
};

struct LoadFactored {
    const float* p;
    const float* factors;
    TURBOQUANT_INLINE Floats operator()(int i) const noexcept {
        return mul(load(p + kLanes * i), load(factors + kLanes * i));
    }
};

// Starts of a transform: what is loaded, with signs (masks) or from permuted groups of 16 with factors, goes through the
// stages inside a vector.
struct LoadSignedLanes {
    const float* p;
    const float* signs;
    TURBOQUANT_INLINE Floats operator()(int i) const noexcept {
        return hadamard_lanes(flip(load(p + kLanes * i), load(signs + kLanes * i)));
    }
};

struct LoadPermutedLanes {
    const float* p;
    const float* factors;
    const std::int32_t* order;
    TURBOQUANT_INLINE Floats operator()(int i) const noexcept {
        const float* from = p + order[i / kGroup] + kLanes * (i % kGroup);
        return hadamard_lanes(mul(load(from), load(factors + kLanes * i)));
    }
};

// --- Hadamard transforms over registers ---------------------------------------------------------------------------------

template <int Radix>
TURBOQUANT_INLINE void butterflies(Floats (&r)[Radix]) noexcept {
    TURBOQUANT_UNROLL
    for (int h = 1; h < Radix; h *= 2) {
        TURBOQUANT_UNROLL
        for (int i = 0; i < Radix; ++i) {
            if ((i & h) == 0) {
                const Floats a = r[i], b = r[i + h];
                r[i] = add(a, b);
                r[i + h] = sub(a, b);
            }
        }
    }
}

// log2(Radix) stages, between registers at distance step, 2·step, …; results go to x.
template <int Radix, class Load>
TURBOQUANT_INLINE void butterfly_pass(float* x, int registers, int step, Load from) noexcept {
    for (int block = 0; block < registers; block += Radix * step) {
        for (int first = block; first < block + step; ++first) {
            Floats r[Radix];
            TURBOQUANT_UNROLL
            for (int i = 0; i < Radix; ++i) r[i] = from(first + i * step);
            butterflies<Radix>(r);
            TURBOQUANT_UNROLL
            for (int i = 0; i < Radix; ++i) store(x + kLanes * (first + i * step), r[i]);
        }
    }
}

// The stages at distance `step` registers and above, in place; registers / step is a power of 8.
TURBOQUANT_NOINLINE inline void radix8_passes(float* x, int registers, int step) noexcept {
    for (; step < registers; step *= 8) butterfly_pass<8>(x, registers, step, LoadPlain{x});
}

// The stages at distance `step` registers and above among `registers` registers (powers of two), from what `from` reads
// to x. The first pass takes as many stages as leave a multiple of three.
template <class Load>
TURBOQUANT_NOINLINE void hadamard(float* x, int registers, int step, Load from) noexcept {
    int stages = 0;
    while (step << stages < registers) ++stages;
    if (stages == 0) return butterfly_pass<1>(x, registers, step, from);
    switch (stages % 3) {
        case 0:
            butterfly_pass<8>(x, registers, step, from);
            return radix8_passes(x, registers, 8 * step);
        case 1:
            butterfly_pass<2>(x, registers, step, from);
            return radix8_passes(x, registers, 2 * step);
        default:
            butterfly_pass<4>(x, registers, step, from);
            return radix8_passes(x, registers, 4 * step);
    }
}

// --- The tilt -------------------------------------------------------------------------------------------------------------

// Coordinates 0…15 and 16…31 become (.8a + .6b, .6a − .8b): before every round but the first. Signs and Hadamards alone
// send a few equal spikes to a coarse lattice, on which the distortion of a fine codebook is off (3 rounds, 4 bits: 31 %
// at d = 32, 8 % at 64, 3 % at 128); an angle that is no multiple of π/4 spreads it, and 32 coordinates are enough to.
template <int Registers>
TURBOQUANT_INLINE void tilt_registers(Floats (&r)[Registers]) noexcept {
    const Floats c = broadcast(0.8f), s = broadcast(0.6f);
    TURBOQUANT_UNROLL
    for (int k = 0; k < kGroup; ++k) {
        const Floats a = r[k], b = r[kGroup + k];
        r[k] = fused(a, c, mul(b, s));
        r[kGroup + k] = fused_sub(a, s, mul(b, c));
    }
}

TURBOQUANT_INLINE void tilt(float* x) noexcept {
    Floats r[2 * kGroup];
    TURBOQUANT_UNROLL
    for (int k = 0; k < 2 * kGroup; ++k) r[k] = load(x + kLanes * k);
    tilt_registers(r);
    TURBOQUANT_UNROLL
    for (int k = 0; k < 2 * kGroup; ++k) store(x + kLanes * k, r[k]);
}

// --- d a power of two: rounds of signs and one Hadamard transform, in place -----------------------------------------------

TURBOQUANT_INLINE void signed_hadamard_forward(const RotationPlan& plan, float* x) noexcept {
    for (int round = 0; round < plan.rounds; ++round) {
        if (round > 0) tilt(x);
        hadamard(x, kGroup * plan.registers, 1, LoadSignedLanes{x, plan.signs + plan.dim * round});
    }
}

TURBOQUANT_INLINE void signed_hadamard_transpose(const RotationPlan& plan, float* x) noexcept {
    for (int round = plan.rounds - 1; round >= 0; --round) {
        const float* signs = plan.signs + plan.dim * round;
        hadamard(x, kGroup * plan.registers, 1, LoadSignedLanes{x, plan.signs + plan.dim * plan.rounds});
        for (int i = 0; i < plan.dim; i += kLanes) store(x + i, flip(load(x + i), load(signs + i)));
        if (round > 0) tilt(x);
    }
}

// --- The same in registers ------------------------------------------------------------------------------------------------

// growth·Πz in registers, for d = kLanes·Registers a power of two; several vectors at once hide the latencies.
template <int Vectors, int Registers>
TURBOQUANT_INLINE void rotate_registers(const RotationPlan& plan, Floats (&r)[Vectors][Registers]) noexcept {
    for (int round = 0; round < kSignedRounds; ++round) {  // not unrolled: a third of the code, no slower
        const float* signs = plan.signs + kLanes * Registers * round;
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            if (round > 0) tilt_registers(r[v]);
            TURBOQUANT_UNROLL
            for (int i = 0; i < Registers; ++i)
                r[v][i] = hadamard_lanes(flip(r[v][i], load(signs + kLanes * i)));
        }
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) butterflies<Registers>(r[v]);
    }
}

// growth·Πᵀz, likewise.
template <int Vectors, int Registers>
TURBOQUANT_INLINE void rotate_transpose_registers(const RotationPlan& plan,
                                                  Floats (&r)[Vectors][Registers]) noexcept {
    for (int round = kSignedRounds - 1; round >= 0; --round) {
        const float* signs = plan.signs + kLanes * Registers * round;
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            TURBOQUANT_UNROLL
            for (int i = 0; i < Registers; ++i) r[v][i] = hadamard_lanes(r[v][i]);
        }
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            butterflies<Registers>(r[v]);
            TURBOQUANT_UNROLL
            for (int i = 0; i < Registers; ++i) r[v][i] = flip(r[v][i], load(signs + kLanes * i));
            if (round > 0) tilt_registers(r[v]);
        }
    }
}

// --- Other d: windows -----------------------------------------------------------------------------------------------------

// What the coordinates that a round passes over are multiplied by, to keep pace with its unnormalised transform: √(16P).
TURBOQUANT_INLINE float window_growth(int window) noexcept {
    float growth = 4;
    for (; window >= 4; window /= 4) growth *= 2;
    return window == 2 ? growth * 1.41421356237309505f : growth;
}

// One round's tables: the factors of the first window and of the registers outside it (signs, times √P outside), those
// of the second window (1 before it, signs/√P in it), where each register comes from, and what the tail is exchanged with.
struct WindowRound {
    const float* first;
    const float* second;
    const std::int32_t* order;
    int exchanged;
    TURBOQUANT_INLINE WindowRound(const RotationPlan& plan, int round) noexcept
        : first(plan.signs + static_cast<std::ptrdiff_t>(round) * plan.factors_per_round()),
          second(first + 16 * plan.registers),
          order(plan.order + static_cast<std::ptrdiff_t>(round) * (plan.registers + 1)),
          exchanged(order[plan.registers]) {}
};

// All bits in the first `count` lanes, none in the others.
TURBOQUANT_INLINE Floats first_lanes(int count) noexcept {
    static constexpr std::uint32_t kMasks[32] = {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u,
                                                 ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u};
    const int kept = count < 0 ? 0 : count < kLanes ? count : kLanes;
    float masks[kLanes];
    std::memcpy(masks, kMasks + 16 - kept, sizeof masks);
    return load(masks);
}

// What joins the coordinates that a round passes over to the rest: between rounds the tilt, and an exchange of the tail
// with the start of a register. Its own inverse, taken in the other order.
TURBOQUANT_INLINE void exchange_tail(const RotationPlan& plan, const WindowRound& round, float* x) noexcept {
    float* other = x + round.exchanged;
    float* tail = x + 16 * plan.registers;
    for (int k = 0; k < plan.tail(); k += kLanes) {
        const Floats a = load(other + k), b = load(tail + k);
        const Floats change = keep(flip(a, b), first_lanes(plan.tail() - k));
        store(other + k, flip(a, change));
        store(tail + k, flip(b, change));
    }
}

TURBOQUANT_INLINE void pass_tail(const RotationPlan& plan, const float* src, float* dst) noexcept {
    const Floats growth = broadcast(window_growth(plan.window));
    const int end = 16 * plan.registers;
    for (int k = 0; k < plan.tail(); k += kLanes) store(dst + end + k, mul(load(src + end + k), growth));
}

TURBOQUANT_INLINE void window_round_forward(const RotationPlan& plan, int index, float* src,
                                            float* dst) noexcept {
    const int n = plan.registers, window = plan.window;
    const WindowRound round(plan, index);
    if (index > 0) {
        tilt(src);
        exchange_tail(plan, round, src);
    }
    hadamard(dst, kGroup * window, 1, LoadPermutedLanes{src, round.first, round.order});
    if (window < n) {
        butterfly_pass<kGroup>(dst + 16 * window, kGroup * (n - window), 1,
                               LoadPermutedLanes{src, round.first + 16 * window, round.order + window});
        float* last = dst + 16 * (n - window);
        hadamard(last, kGroup * window, kGroup, LoadFactored{last, round.second + 16 * (n - window)});
    }
    pass_tail(plan, src, dst);
}

TURBOQUANT_INLINE void window_round_transpose(const RotationPlan& plan, int index, float* src,
                                              float* dst) noexcept {
    const int n = plan.registers, window = plan.window;
    const WindowRound round(plan, index);
    if (window < n) {
        float* last = src + 16 * (n - window);
        hadamard(last, kGroup * window, kGroup, LoadPlain{last});
    }
    hadamard(src, kGroup * window, 1, LoadPermutedLanes{src, round.second, plan.identity()});
    if (window < n)
        butterfly_pass<kGroup>(src + 16 * window, kGroup * (n - window), 1,
                               LoadPermutedLanes{src, round.second + 16 * window, plan.identity() + window});
    for (int i = 0; i < n; ++i)
        for (int k = 0; k < 16; k += kLanes)
            store(dst + round.order[i] + k, mul(load(src + 16 * i + k), load(round.first + 16 * i + k)));
    pass_tail(plan, src, dst);
    if (index > 0) {
        exchange_tail(plan, round, dst);
        tilt(dst);
    }
}

// --- The dense rotation ---------------------------------------------------------------------------------------------------

// y = Σ_j x_j · column_j, j ascending: the order of additions is the same on every target.
TURBOQUANT_NOINLINE inline void dense_product(const float* columns, int dim, const float* x,
                                              float* y) noexcept {
    const std::ptrdiff_t stride = padded(dim);
    for (int i = 0; i < dim; i += 4 * kLanes) {
        Floats sums[4] = {zero(), zero(), zero(), zero()};
        for (int j = 0; j < dim; ++j) {
            const Floats factor = broadcast(x[j]);
            TURBOQUANT_UNROLL
            for (int k = 0; k < 4; ++k)
                sums[k] = fused(factor, load(columns + j * stride + i + k * kLanes), sums[k]);
        }
        TURBOQUANT_UNROLL
        for (int k = 0; k < 4; ++k) store(y + i + k * kLanes, sums[k]);
    }
}

// --- Any rotation ---------------------------------------------------------------------------------------------------------

// growth·Πx. x and `other` are buffers of padded(dim) floats, both overwritten; returns the one that holds the result.
TURBOQUANT_NOINLINE inline float* rotate(const RotationPlan& plan, float* x, float* other) noexcept {
    if (plan.matrix != nullptr) {
        dense_product(plan.matrix, plan.dim, x, other);
        return other;
    }
    if (plan.order == nullptr) {
        signed_hadamard_forward(plan, x);
        return x;
    }
    for (int round = 0; round < plan.rounds; ++round) {
        window_round_forward(plan, round, x, other);
        float* result = other;
        other = x;
        x = result;
    }
    return x;
}

// growth·Πᵀx, likewise.
TURBOQUANT_NOINLINE inline float* rotate_transpose(const RotationPlan& plan, float* x,
                                                   float* other) noexcept {
    if (plan.matrix != nullptr) {
        dense_product(plan.transpose, plan.dim, x, other);
        return other;
    }
    if (plan.order == nullptr) {
        signed_hadamard_transpose(plan, x);
        return x;
    }
    for (int round = plan.rounds - 1; round >= 0; --round) {
        window_round_transpose(plan, round, x, other);
        float* result = other;
        other = x;
        x = result;
    }
    return x;
}
