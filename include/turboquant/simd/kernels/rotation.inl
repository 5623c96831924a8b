// The rotation, forward and transposed: growth·Πx and growth·Πᵀy. See rotation.hpp for the construction, hadamard.inl for
// the order of operations.

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

TURBOQUANT_INLINE void tilt(float* a, float* b) noexcept {
    Floats r[2 * kGroup];
    TURBOQUANT_UNROLL
    for (int k = 0; k < kGroup; ++k) {
        r[k] = load(a + kLanes * k);
        r[kGroup + k] = load(b + kLanes * k);
    }
    tilt_registers(r);
    TURBOQUANT_UNROLL
    for (int k = 0; k < kGroup; ++k) {
        store(a + kLanes * k, r[k]);
        store(b + kLanes * k, r[kGroup + k]);
    }
}

// --- In registers -----------------------------------------------------------------------------------------------------------

// growth·Πz in registers, for d = kLanes·Registers a power of two; several vectors at once hide the latencies.
template <int Vectors, int Registers>
TURBOQUANT_INLINE void rotate_registers(const RotationPlan& plan, Floats (&r)[Vectors][Registers]) noexcept {
    for (int round = 0; round < kRounds; ++round) {  // not unrolled: a third of the code, no slower
        const float* signs = plan.factors + plan.factors_per_round() * round;
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            if (round > 0) tilt_registers(r[v]);
            TURBOQUANT_UNROLL
            for (int i = 0; i < Registers; ++i) r[v][i] = flip_sign(r[v][i], load(signs + kLanes * i));
        }
        hadamard_lanes(r);
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) butterflies<Registers>(r[v]);
    }
}

// growth·Πᵀz, likewise.
template <int Vectors, int Registers>
TURBOQUANT_INLINE void rotate_transpose_registers(const RotationPlan& plan,
                                                  Floats (&r)[Vectors][Registers]) noexcept {
    for (int round = kRounds - 1; round >= 0; --round) {
        const float* signs = plan.factors + plan.factors_per_round() * round;
        hadamard_lanes(r);
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            butterflies<Registers>(r[v]);
            TURBOQUANT_UNROLL
            for (int i = 0; i < Registers; ++i) r[v][i] = flip_sign(r[v][i], load(signs + kLanes * i));
            if (round > 0) tilt_registers(r[v]);
        }
    }
}

// --- In memory --------------------------------------------------------------------------------------------------------------

// One round's tables (see RotationPlan), and the two registers that are tilted before it.
struct Round {
    const float* first;
    const float* last;
    const std::int32_t* order;
    int bend;  // of the order, see Ends
    int tilted[2];
    TURBOQUANT_INLINE Round(const RotationPlan& plan, int round) noexcept
        : first(plan.factors + static_cast<std::ptrdiff_t>(round) * plan.factors_per_round()),
          last(first + plan.factors_per_window()),
          order(plan.order + static_cast<std::ptrdiff_t>(round) * plan.registers),
          bend((plan.registers + (round & 1)) / 2),
          tilted{plan.tail() > 0 ? order[0] : 0, plan.tail() > 0 ? order[1] : 16} {}
};

// Vectors that a round takes from src and leaves in dst, by way of x (padded(dim) floats each). Πᵀ overwrites src: it is then
// x. The destination of Π is as long and as far apart as x.
struct Buffers {
    const float* src;
    std::ptrdiff_t src_stride;
    float* x;
    std::ptrdiff_t stride;  // of x
    Destination dst;
};
TURBOQUANT_INLINE Destination unscaled(float* to, std::ptrdiff_t stride) noexcept {
    return {to, stride, 1.0f, nullptr};
}

// Πᵀ scatters, and Π does not.
constexpr bool is_transpose(Ending ending) noexcept { return ending != Ending::stay; }
template <Ending E>
using EndingConstant = std::integral_constant<Ending, E>;

// The rounds of a rotation: round(ending, i, buffers) for each of them, the last one with the ending that is asked for. Each
// takes the vectors to the other buffer.
template <Ending E, class RoundOf>
TURBOQUANT_INLINE void each_round(const float* src, std::ptrdiff_t src_stride, float* x, float* other,
                                  std::ptrdiff_t stride, const Destination& end,
                                  const RoundOf& round) noexcept {
    static_assert(kRounds % 2 == 1, "`other` is where the vectors end, or free");
    constexpr Ending kBefore = E == Ending::scale ? Ending::scatter : E;
    for (int i = 0; i + 1 < kRounds; ++i) {
        round(EndingConstant<kBefore>{}, i, Buffers{src, src_stride, x, stride, unscaled(other, stride)});
        float* const to = other;
        other = x, x = to, src = to, src_stride = stride;
    }
    round(EndingConstant<E>{}, kRounds - 1, Buffers{src, src_stride, x, stride, end});
}

// Both windows of `Vectors` vectors where 16 | d: they share whole registers, and the last one has the stages between
// registers only. Window: P where it is known to be so small that a window of all the vectors fits the registers, else 0.
template <int Window, Ending E, int Vectors>
TURBOQUANT_INLINE void windows(const RotationPlan& plan, const Round& round,
                               const Buffers& buffers) noexcept {
    constexpr bool kTranspose = is_transpose(E);
    const int window = Window > 0 ? Window : plan.window, outside = plan.registers - window;
    const std::ptrdiff_t registers = kGroup * window, stride = buffers.stride;
    float* last = (kTranspose ? buffers.x : buffers.dst.to) + 16 * outside;
    const float* in = round.last + 16 * outside;
    Ends ends = kTranspose
                    ? Ends{buffers.x, stride,      plan.identity(), round.last,  buffers.x,
                           stride,    buffers.dst, round.order,     round.first, round.bend}
                    : Ends{buffers.src, buffers.src_stride, round.order,     round.first, buffers.dst.to,
                           stride,      buffers.dst,        plan.identity(), round.first, 0};
    if constexpr (Window > 0) {
        if (kTranspose) inner_pass<Window, false, Vectors>(last, in, registers, kGroup, stride);
        first_pass<kGroup * Window, E, Vectors>(ends, registers);
    } else {
        if (kTranspose) transform_groups<false>(last, in, registers);
        transform<E>(ends, registers);
    }
    if (outside == 0) return;
    ends.gather += window, ends.scatter += window;
    ends.in += 16 * window, ends.out += 16 * window, ends.x += 16 * window;
    first_pass<kGroup, E, Vectors>(ends, kGroup * outside);
    if constexpr (!kTranspose && Window > 0)
        inner_pass<Window, true, Vectors>(last, in, registers, kGroup, stride);
    if constexpr (!kTranspose && Window == 0) transform_groups<true>(last, in, registers);
}

// Both windows where 16 does not divide d: the last one begins inside a register. The registers and the tail that the first
// window has not are moved to or from their places.
template <int Window, Ending E, int Vectors>
TURBOQUANT_INLINE void unaligned_windows(const RotationPlan& plan, const Round& round,
                                         const Buffers& buffers) noexcept {
    constexpr bool kTranspose = is_transpose(E);
    const int window = Window > 0 ? Window : plan.window;
    const std::ptrdiff_t src_stride = buffers.src_stride, stride = buffers.stride;
    const float* const src = buffers.src;
    const Destination dst = buffers.dst;
    float* const last = (kTranspose ? buffers.x : dst.to) + (plan.dim - 16 * window);
    const std::int32_t* own = plan.identity();
    const auto transform_window = [&](auto ending, const Ends& ends) {
        constexpr Ending kEnding = decltype(ending)::value;
        if constexpr (Window > 0)
            first_pass<kGroup * Window, kEnding, Vectors>(ends, kGroup * window);
        else
            transform<kEnding>(ends, kGroup * window);
    };
    constexpr EndingConstant<E> kLast{};
    const auto move = [&](int ordered, int there) {
        const float* from = src + (kTranspose ? there : ordered);
        float* to = dst.to + (kTranspose ? ordered : there);
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) {
            TURBOQUANT_UNROLL
            for (int k = 0; k < kGroup; ++k) {
                const Floats value = load(from + v * src_stride + kLanes * k);
                put<E>(dst, v, to + kLanes * k, value);
            }
        }
    };
    const auto move_outside = [&] {
        move(0, 16 * plan.registers);  // the tail, and what follows it: first, since that is overwritten
        for (int i = window; i < plan.registers; ++i) move(round.order[i], 16 * i);
    };
    if constexpr (kTranspose) {
        float* const x = buffers.x;
        transform_window(EndingConstant<Ending::scatter>{}, {last, stride, own, plan.ones(), last, stride,
                                                             unscaled(last, stride), own, round.last, 0});
        move_outside();
        transform_window(kLast,
                         {x, stride, own, plan.ones(), x, stride, dst, round.order, round.first, round.bend});
    } else {
        move_outside();
        transform_window(
            kLast, {src, src_stride, round.order, round.first, dst.to, stride, dst, own, round.first, 0});
        transform_window(kLast, {last, stride, own, round.last, last, stride, dst, own, round.last, 0});
    }
}

// windows() of n = N groups of one register each, in registers.
template <int N, Ending E, int Vectors>
TURBOQUANT_INLINE void register_windows(const Round& round, const Buffers& buffers) noexcept {
    constexpr bool kTranspose = is_transpose(E);
    constexpr int kWindow = window_of(N), kOutside = N - kWindow;
    Floats r[Vectors][N];
    TURBOQUANT_UNROLL
    for (int i = 0; i < N; ++i) {
        const float* from = buffers.src + (kTranspose ? 16 * i : round.order[i]);
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) r[v][i] = load(from + v * buffers.src_stride);
    }
    const auto multiply = [&](const float* factors, int first) {
        TURBOQUANT_UNROLL
        for (int i = first; i < N; ++i) {
            const Floats factor = load(factors + 16 * i);
            TURBOQUANT_UNROLL
            for (int v = 0; v < Vectors; ++v) r[v][i] = mul(r[v][i], factor);
        }
    };
    if constexpr (kTranspose) {
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) butterflies<kWindow, kOutside>(r[v]);
        multiply(round.last, kOutside);
    } else {
        multiply(round.first, 0);
    }
    hadamard_lanes(r);
    TURBOQUANT_UNROLL
    for (int v = 0; v < Vectors; ++v) butterflies<kWindow>(r[v]);
    if constexpr (kTranspose) {
        multiply(round.first, 0);
    } else {
        multiply(round.last, kOutside);
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) butterflies<kWindow, kOutside>(r[v]);
    }
    TURBOQUANT_UNROLL
    for (int i = 0; i < N; ++i) {
        float* to = buffers.dst.to + (kTranspose ? round.order[i] : 16 * i);
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) put<E>(buffers.dst, v, to, r[v][i]);
    }
}

// growth·Πx to `end` by way of x and `other`, or growth·Πᵀx. Groups: n where all n are to be in registers, −P where a window
// is, else 0.
template <int Groups, Ending E, int Vectors>
TURBOQUANT_NOINLINE void rotate_structured(const RotationPlan& plan, const float* src,
                                           std::ptrdiff_t src_stride, float* x, float* other,
                                           std::ptrdiff_t stride, const Destination& end) noexcept {
    constexpr bool kTranspose = is_transpose(E);
    const auto round_of = [&](auto ending, int i, const Buffers& buffers) {
        constexpr Ending kEnding = decltype(ending)::value;
        const int index = kTranspose ? kRounds - 1 - i : i;
        const Round round(plan, index);
        const auto tilt_all = [&](float* y) {
            for (int v = 0; v < Vectors; ++v)
                tilt(y + v * stride + round.tilted[0], y + v * stride + round.tilted[1]);
        };
        if (!kTranspose && index > 0) tilt_all(buffers.x);
        if constexpr (Groups > 0)
            register_windows<Groups, kEnding, Vectors>(round, buffers);
        else if (plan.tail() > 0)
            unaligned_windows<-Groups, kEnding, Vectors>(plan, round, buffers);
        else
            windows<-Groups, kEnding, Vectors>(plan, round, buffers);
        if (kTranspose && index > 0) tilt_all(buffers.dst.to);
    };
    each_round<E>(src, src_stride, x, other, stride, end, round_of);
}

// growth·Πᵀx to `end` where there is one window, in place up to there. A round's signs are multiplied in as the next one
// begins, as Π does; only the coordinates that are tilted have them before.
template <Ending E>
TURBOQUANT_NOINLINE void rotate_plain_back(const RotationPlan& plan, float* x,
                                           const Destination& end) noexcept {
    const std::ptrdiff_t registers = std::ptrdiff_t{kGroup} * plan.window;
    const std::int32_t* const own = plan.identity();
    const float* signs = plan.ones();
    for (int index = kRounds - 1; index > 0; --index) {
        transform<Ending::stay>({x, 0, own, signs, x, 0, end, own, signs, 0}, registers);
        signs = Round(plan, index).first;
        Floats r[2 * kGroup];
        TURBOQUANT_UNROLL
        for (int k = 0; k < 2 * kGroup; ++k) r[k] = flip_sign(load(x + kLanes * k), load(signs + kLanes * k));
        tilt_registers(r);
        TURBOQUANT_UNROLL
        for (int k = 0; k < 2 * kGroup; ++k) store(x + kLanes * k, flip_sign(r[k], load(signs + kLanes * k)));
    }
    transform<E>({x, 0, own, signs, x, 0, end, own, plan.factors, 0}, registers);
}

// The same for dimensions that are no multiple of 16, where a register is a whole group: kernels/rotation_shifted.inl.
template <int P, Ending E, int Vectors>
void rotate_shifted(const RotationPlan& plan, const float* src, std::ptrdiff_t src_stride, float* x,
                    float* other, std::ptrdiff_t stride, const Destination& end) noexcept;

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

// The first dim coordinates of x, scaled.
TURBOQUANT_INLINE void store_scaled(const float* x, int dim, const Destination& end) noexcept {
    int i = 0;
    for (; i + kLanes <= dim; i += kLanes) store(end.to + i, scaled(end, 0, load(x + i)));
    if (i < dim) store_first(end.to + i, scaled(end, 0, load(x + i)), dim - i);
}

// --- Any rotation ---------------------------------------------------------------------------------------------------------

// How many vectors are rotated together: one alone waits for each operation to end before the next begins. Where the
// compiler knows n < 16 groups of one register each, as many as the registers hold entirely; else as many as they hold
// first windows of, P groups each. 1 where that is no more.
template <int Dim>
constexpr bool in_registers() noexcept {
    return kGroup == 1 && kRegisterPaths && Dim >= 48 && Dim < 256 && Dim % 16 == 0 &&
           !power_of_two(Dim / 16);
}
constexpr int vectors_of_groups(int n) noexcept { return n == 3 ? 4 : n <= 7 ? 3 : 2; }
constexpr int vectors_of_window(int window) noexcept {
    const int vectors = kFirstRadix / (kGroup * window);
    return vectors < 1 ? 1 : vectors > kTogether ? kTogether : vectors;
}
template <int Dim>
TURBOQUANT_INLINE int vectors_together(const RotationPlan& plan) noexcept {
    if constexpr (in_registers<Dim>()) return vectors_of_groups(Dim / 16);
    return plan.matrix != nullptr || plan.plain() ? 1 : vectors_of_window(plan.window);
}
template <int Dim>
TURBOQUANT_INLINE int vectors_together(const CodecPlan& plan) noexcept {
    const int first = plan.rotation != nullptr ? vectors_together<Dim>(*plan.rotation) : kTogether;
    const int second = plan.sketch != nullptr ? vectors_together<Dim>(*plan.sketch) : kTogether;
    return first < second ? first : second;
}

// Whether a quantizer of template argument Dim may stay in, or always stays in, so many registers a vector.
template <int Dim>
constexpr bool may_be_fused(int registers) noexcept {
    return kRegisterPaths && (Dim == Dynamic || Dim == registers * kLanes);
}
template <int Dim>
constexpr bool always_fused() noexcept {
    return kRegisterPaths && (Dim == 8 * kLanes || Dim == 16 * kLanes || (kLanes == 16 && Dim == 4 * kLanes));
}

// rotate_structured() with a window of P groups, all of whose vectors fit the registers.
template <int P, Ending E, int Dim>
TURBOQUANT_INLINE void rotate_window(const RotationPlan& plan, const float* src, std::ptrdiff_t src_stride,
                                     float* x, float* other, std::ptrdiff_t stride, const Destination& end,
                                     int count) noexcept {
    constexpr int kVectors = vectors_of_window(P);
    if constexpr (kGroup == 1 && may_be_unaligned<Dim>()) {
        if (!plan.aligned())
            return count > 1 ? rotate_shifted<P, E, kVectors>(plan, src, src_stride, x, other, stride, end)
                             : rotate_shifted<P, E, 1>(plan, src, src_stride, x, other, stride, end);
    }
    return count > 1 ? rotate_structured<-P, E, kVectors>(plan, src, src_stride, x, other, stride, end)
                     : rotate_structured<0, E, 1>(plan, src, src_stride, x, other, stride, end);
}

// growth·Πx, or growth·Πᵀx, of `count` vectors (1 or vectors_together()) from src, src_stride floats apart, to `end` by way of
// x and `other`, where vectors are padded(dim) floats long and `stride` apart; src may be x, and for Πᵀ must. Unless the ending
// is to scale, `end` is `other`. Dim: the dimension where it is fixed and the rotation not dense, so that only its path is compiled.
template <Ending E, int Dim>
TURBOQUANT_NOINLINE void rotate(const RotationPlan& plan, const float* src, std::ptrdiff_t src_stride,
                                float* x, float* other, std::ptrdiff_t stride, const Destination& end,
                                int count) noexcept {
    if constexpr (may_be_dense<Dim>()) {
        if (plan.matrix != nullptr) {
            dense_product(is_transpose(E) ? plan.transpose : plan.matrix, plan.dim, src, other);
            if constexpr (E == Ending::scale) store_scaled(other, plan.dim, end);
            return;
        }
    }
    if constexpr (is_transpose(E) && (Dim == Dynamic || power_of_two(Dim))) {
        if (plan.plain()) return rotate_plain_back<E>(plan, x, end);
    }
    if constexpr (in_registers<Dim>()) {
        constexpr int kGroups = Dim / 16, kVectors = vectors_of_groups(kGroups);
        return count > 1
                   ? rotate_structured<kGroups, E, kVectors>(plan, src, src_stride, x, other, stride, end)
                   : rotate_structured<kGroups, E, 1>(plan, src, src_stride, x, other, stride, end);
    } else {
        if constexpr (may_have_window<Dim>(2) && vectors_of_window(2) > 1)
            if (plan.window == 2)
                return rotate_window<2, E, Dim>(plan, src, src_stride, x, other, stride, end, count);
        if constexpr (may_have_window<Dim>(4) && vectors_of_window(4) > 1)
            if (plan.window == 4)
                return rotate_window<4, E, Dim>(plan, src, src_stride, x, other, stride, end, count);
        if constexpr (may_have_window<Dim>(8) && vectors_of_window(8) > 1)
            if (plan.window == 8)
                return rotate_window<8, E, Dim>(plan, src, src_stride, x, other, stride, end, count);
        (void)count;
        return rotate_structured<0, E, 1>(plan, src, src_stride, x, other, stride, end);
    }
}

// The same of any count, to `other`, which is returned.
template <bool Transpose, int Dim>
TURBOQUANT_INLINE float* rotate_all(const RotationPlan& plan, const float* src, std::ptrdiff_t src_stride,
                                    float* x, float* other, std::ptrdiff_t stride, int count) noexcept {
    const int together = count == vectors_together<Dim>(plan) ? count : 1;
    for (int v = 0; v < count; v += together)
        rotate<Transpose ? Ending::scatter : Ending::stay, Dim>(
            plan, src + v * src_stride, src_stride, x + v * stride, other + v * stride, stride,
            unscaled(other + v * stride, stride), together);
    return other;
}
// Of vectors at x.
template <bool Transpose, int Dim>
TURBOQUANT_INLINE float* rotate_all(const RotationPlan& plan, float* x, float* other, int count,
                                    std::ptrdiff_t stride) noexcept {
    return rotate_all<Transpose, Dim>(plan, x, stride, x, other, stride, count);
}

// growth·Πᵀx, scaled, to the user's memory: nothing is written but the vectors.
template <int Dim>
TURBOQUANT_INLINE void rotate_back(const RotationPlan& plan, float* x, float* other, std::ptrdiff_t stride,
                                   const Destination& end, int count) noexcept {
    const int together = count == vectors_together<Dim>(plan) ? count : 1;
    for (int v = 0; v < count; v += together)
        rotate<Ending::scale, Dim>(plan, x + v * stride, stride, x + v * stride, other + v * stride, stride,
                                   {end.to + v * end.stride, end.stride, end.normalised, end.factors + v},
                                   together);
}
