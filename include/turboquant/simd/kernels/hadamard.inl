// The Hadamard transform over registers, in passes over memory.
//
// Every transform takes its stages in ascending order (distance 1, 2, 4, …), whatever the width of a vector and however
// many stages one pass over memory covers; each output is one addition or subtraction of the same two numbers on every
// target, hence the same bits.

// --- Passes over registers ------------------------------------------------------------------------------------------------
// A register index counts vectors of kLanes floats; kGroup of them make the group of 16 floats that is permuted as one.

inline constexpr int kGroup = 16 / kLanes;

// log2(Radix) stages between Radix neighbours, the first of them r[First].
template <int Radix, int First = 0, int Registers>
TURBOQUANT_INLINE void butterflies(Floats (&r)[Registers]) noexcept {
    TURBOQUANT_UNROLL
    for (int h = 1; h < Radix; h *= 2) {
        TURBOQUANT_UNROLL
        for (int i = 0; i < Radix; ++i) {
            if ((i & h) == 0) {
                const Floats a = r[First + i], b = r[First + i + h];
                r[First + i] = add(a, b);
                r[First + i + h] = sub(a, b);
            }
        }
    }
}

// Where the vectors of a transform end: `stride` floats apart; where scaled, each times `normalised`, then times its own of
// `factors`.
struct Destination {
    float* to;
    std::ptrdiff_t stride;
    float normalised;
    const float* factors;
};
TURBOQUANT_INLINE Floats scaled(const Destination& dst, int vector, Floats a) noexcept {
    return mul(mul(a, broadcast(dst.normalised)), broadcast(dst.factors[vector]));
}

// What a transform does with its groups of 16: leave them at x, or put group i, times `out`, at scatter[i] of the destination,
// or put it there scaled.
enum class Ending { stay, scatter, scale };

// Group i comes from src + gather[i], times `in`. Vectors lie src_stride floats apart at src, `stride` in x.
struct Ends {
    const float* src;
    std::ptrdiff_t src_stride;
    const std::int32_t* gather;
    const float* in;
    float* x;
    std::ptrdiff_t stride;
    Destination dst;
    const std::int32_t* scatter;
    const float* out;
    int bend;  // scatter[i] advances evenly up to here, and from here on
};

template <Ending E>
TURBOQUANT_INLINE void put(const Destination& dst, int vector, float* to, Floats a) noexcept {
    store(to + vector * dst.stride, E == Ending::scale ? scaled(dst, vector, a) : a);
}

// The first pass: from the source, through the stages inside a group and between Radix registers, to x or
// to the destination. Pointers are copied and advanced: left to itself g++ computes each address anew.
template <int Radix, Ending E, int Vectors = 1>
TURBOQUANT_NOINLINE void first_pass(const Ends& ends, std::ptrdiff_t registers) noexcept {
    const float *src = ends.src, *in = ends.in, *out = ends.out;
    float* x = ends.x;
    const Destination dst = ends.dst;
    const std::int32_t *gather = ends.gather, *scatter = ends.scatter;
    const std::ptrdiff_t src_stride = ends.src_stride, stride = ends.stride;
    for (; registers > 0; registers -= Radix) {
        Floats r[Vectors][Radix];
        TURBOQUANT_UNROLL
        for (int i = 0; i < Radix; ++i) {
            const float* from = src + gather[i / kGroup] + kLanes * (i % kGroup);
            const Floats factor = load(in + kLanes * i);
            TURBOQUANT_UNROLL
            for (int v = 0; v < Vectors; ++v) r[v][i] = mul(load(from + v * src_stride), factor);
        }
        hadamard_lanes(r);
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) butterflies<Radix>(r[v]);
        TURBOQUANT_UNROLL
        for (int i = 0; i < Radix; ++i) {
            if constexpr (E != Ending::stay) {
                float* to = dst.to + scatter[i / kGroup] + kLanes * (i % kGroup);
                const Floats factor = load(out + kLanes * i);
                TURBOQUANT_UNROLL
                for (int v = 0; v < Vectors; ++v) put<E>(dst, v, to, mul(r[v][i], factor));
            } else {
                TURBOQUANT_UNROLL
                for (int v = 0; v < Vectors; ++v) store(x + v * stride + kLanes * i, r[v][i]);
            }
        }
        in += kLanes * Radix, out += kLanes * Radix, x += kLanes * Radix;
        gather += Radix / kGroup, scatter += Radix / kGroup;
    }
}

// log2(Radix) stages between registers at distance step, 2·step, …, in place; where Factored, of x times `in`.
template <int Radix, bool Factored, int Vectors = 1>
TURBOQUANT_NOINLINE void inner_pass(float* x, const float* in, std::ptrdiff_t registers, std::ptrdiff_t step,
                                    std::ptrdiff_t vector_stride = 0) noexcept {
    const std::ptrdiff_t stride = kLanes * step, skip = (Radix - 1) * stride;
    for (; registers > 0; registers -= Radix * step, x += skip, in += skip) {
        for (std::ptrdiff_t i = 0; i < step; ++i, x += kLanes, in += kLanes) {
            Floats r[Vectors][Radix];
            TURBOQUANT_UNROLL
            for (int v = 0; v < Vectors; ++v) {
                TURBOQUANT_UNROLL
                for (int k = 0; k < Radix; ++k) {
                    r[v][k] = load(x + v * vector_stride + k * stride);
                    if (Factored) r[v][k] = mul(r[v][k], load(in + k * stride));
                }
                butterflies<Radix>(r[v]);
            }
            TURBOQUANT_UNROLL
            for (int v = 0; v < Vectors; ++v) {
                TURBOQUANT_UNROLL
                for (int k = 0; k < Radix; ++k) store(x + v * vector_stride + k * stride, r[v][k]);
            }
        }
    }
}

// The last kRadix stages, from x to the destination. Where each group goes is looked up no more often than need be: stores to
// looked-up addresses take half as long again.
template <Ending E>
TURBOQUANT_NOINLINE void last_pass(const Ends& ends, std::ptrdiff_t step) noexcept {
    const std::ptrdiff_t stride = kLanes * step, groups = step / kGroup;
    const float *x = ends.x, *out = ends.out;
    const Destination dst = ends.dst;
    const std::ptrdiff_t bend = ends.bend % groups;
    for (std::ptrdiff_t first = 0, last = bend > 0 ? bend : groups; first < groups;
         first = last, last = groups) {
        const std::int32_t* const to = ends.scatter + first;
        float* at[kRadix];
        TURBOQUANT_UNROLL
        for (int k = 0; k < kRadix; ++k) at[k] = dst.to + to[k * groups];
        const std::ptrdiff_t advance = last - first > 1 ? to[1] - to[0] : 0;
        std::ptrdiff_t here = 0;
        for (std::ptrdiff_t i = first; i < last; ++i, here += advance) {
            for (int lanes = 0; lanes < kGroup * kLanes; lanes += kLanes, x += kLanes, out += kLanes) {
                Floats r[kRadix];
                TURBOQUANT_UNROLL
                for (int k = 0; k < kRadix; ++k) r[k] = load(x + k * stride);
                butterflies<kRadix>(r);
                TURBOQUANT_UNROLL
                for (int k = 0; k < kRadix; ++k)
                    put<E>(dst, 0, at[k] + (here + lanes), mul(r[k], load(out + k * stride)));
            }
        }
    }
}

// The pass of the given radix: a power of two from kGroup (or 2) to Radix.
template <int Radix, Ending E>
TURBOQUANT_INLINE void first_pass_of(std::ptrdiff_t radix, const Ends& ends,
                                     std::ptrdiff_t registers) noexcept {
    if constexpr (Radix > kGroup && Radix > 2)
        if (radix < Radix) return first_pass_of<Radix / 2, E>(radix, ends, registers);
    first_pass<Radix, E>(ends, registers);
}
template <int Radix, bool Factored>
TURBOQUANT_INLINE void inner_pass_of(std::ptrdiff_t radix, float* x, const float* in,
                                     std::ptrdiff_t registers, std::ptrdiff_t step) noexcept {
    if constexpr (Radix > 2)
        if (radix < Radix) return inner_pass_of<Radix / 2, Factored>(radix, x, in, registers, step);
    inner_pass<Radix, Factored>(x, in, registers, step);
}

// The Hadamard transform of `registers` registers, a power of two: passes of kRadix after the first.
template <Ending E>
TURBOQUANT_NOINLINE void transform(const Ends& ends, std::ptrdiff_t registers) noexcept {
    constexpr bool kStay = E == Ending::stay;
    std::ptrdiff_t step = registers;
    while (step > kFirstRadix) step /= kRadix;
    if (!kStay && step == registers) return first_pass_of<kFirstRadix, E>(step, ends, registers);
    first_pass_of<kFirstRadix, Ending::stay>(step, ends, registers);
    for (; step * (kStay ? 1 : kRadix) < registers; step *= kRadix)
        inner_pass<kRadix, false>(ends.x, ends.x, registers, step);
    if constexpr (!kStay) last_pass<E>(ends, step);
}

// Its stages at distance 16 coordinates and above alone, in place; where Factored, of x times `in`.
template <bool Factored>
TURBOQUANT_NOINLINE void transform_groups(float* x, const float* in, std::ptrdiff_t registers) noexcept {
    std::ptrdiff_t radix = registers / kGroup, step = kGroup;
    while (radix > kRadix) radix /= kRadix;
    inner_pass_of<kRadix, Factored>(radix, x, in, registers, step);
    for (step *= radix; step < registers; step *= kRadix) inner_pass<kRadix, false>(x, x, registers, step);
}
