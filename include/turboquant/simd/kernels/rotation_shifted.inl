// The structured rotation of d = 16n + t, 0 < t < 16, where a register holds a group of 16 coordinates and a window fits the
// registers. The last window begins inside a register; stored by the first one and loaded at once from between, it would
// wait for the stores to reach the cache. So registers are shifted by t lanes as they pass from one window to the other, and
// everything is loaded as it was stored: "pieces" of 16 coordinates from t on, after the first t coordinates, the tail.

// hadamard of one window of every vector.
template <int P, int Vectors>
TURBOQUANT_INLINE void transform_registers(Floats (&r)[Vectors][P]) noexcept {
    hadamard_lanes(r);
    TURBOQUANT_UNROLL
    for (int v = 0; v < Vectors; ++v) butterflies<P>(r[v]);
}

template <int P, int Vectors>
TURBOQUANT_INLINE void multiply_registers(Floats (&r)[Vectors][P], const float* factors) noexcept {
    TURBOQUANT_UNROLL
    for (int i = 0; i < P; ++i) {
        const Floats factor = load(factors + kLanes * i);
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) r[v][i] = mul(r[v][i], factor);
    }
}

// A round. The tails stay in registers, since memory has the first piece over their end.
template <int P, int Vectors>
TURBOQUANT_INLINE void shifted_round(const RotationPlan& plan, int index, const Buffers& buffers,
                                     Floats (&tails)[Vectors]) noexcept {
    const float* const src = buffers.src;
    float* const other = buffers.dst.to;
    const std::ptrdiff_t src_stride = buffers.src_stride, stride = buffers.stride;
    const Round round(plan, index);
    const int n = plan.registers, t = plan.tail();
    const LaneShift shift(t);
    Floats r[Vectors][P];
    TURBOQUANT_UNROLL
    for (int v = 0; v < Vectors; ++v) {
        TURBOQUANT_UNROLL
        for (int i = 0; i < P; ++i) r[v][i] = load(src + v * src_stride + round.order[i]);
        if (index > 0) tilt_registers(r[v]);
    }
    multiply_registers(r, round.first);
    transform_registers(r);
    TURBOQUANT_UNROLL
    for (int v = 0; v < Vectors; ++v) {
        const float* from = src + v * src_stride;
        float* to = other + v * stride;
        store(to, r[v][0]);
        TURBOQUANT_UNROLL
        for (int i = 0; i + 1 < P; ++i) store(to + t + kLanes * i, shifted(shift, r[v][i], r[v][i + 1]));
        Floats before = r[v][P - 1];
        for (int i = P; i < n; ++i) {
            const Floats here = load(from + round.order[i]);
            store(to + t + kLanes * (i - 1), shifted(shift, before, here));
            before = here;
        }
        store(to + t + kLanes * (n - 1), shifted(shift, before, tails[v]));
        tails[v] = r[v][0];
    }
    float* last = other + plan.dim - kLanes * P;
    TURBOQUANT_UNROLL
    for (int i = 0; i < P; ++i) {
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) r[v][i] = load(last + v * stride + kLanes * i);
    }
    multiply_registers(r, round.last);
    transform_registers(r);
    TURBOQUANT_UNROLL
    for (int i = 0; i < P; ++i) {
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) store(last + v * stride + kLanes * i, r[v][i]);
    }
}

// Its inverse, times 16P.
template <int P, Ending E, int Vectors>
TURBOQUANT_INLINE void shifted_round_transpose(const RotationPlan& plan, int index, const Buffers& buffers,
                                               Floats (&tails)[Vectors]) noexcept {
    float* const x = buffers.x;
    const Destination dst = buffers.dst;
    const std::ptrdiff_t stride = buffers.stride;
    const Round round(plan, index);
    const int n = plan.registers, t = plan.tail();
    const LaneShift shift(t), back(kLanes - t);
    float* last = x + plan.dim - kLanes * P;
    Floats r[Vectors][P];
    TURBOQUANT_UNROLL
    for (int i = 0; i < P; ++i) {
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) r[v][i] = load(last + v * stride + kLanes * i);
    }
    transform_registers(r);
    multiply_registers(r, round.last);
    TURBOQUANT_UNROLL
    for (int i = 0; i < P; ++i) {
        TURBOQUANT_UNROLL
        for (int v = 0; v < Vectors; ++v) store(last + v * stride + kLanes * i, r[v][i]);
    }
    TURBOQUANT_UNROLL
    for (int v = 0; v < Vectors; ++v) {
        const float* pieces = x + v * stride + t;
        Floats before = shifted(shift, tails[v], tails[v]);  // the tail in the last lanes
        TURBOQUANT_UNROLL
        for (int i = 0; i < P; ++i) {
            const Floats piece = load(pieces + kLanes * i);
            r[v][i] = shifted(back, before, piece);
            before = piece;
        }
        tails[v] = shifted(back, load(pieces + kLanes * (n - 1)), before);
        put<E>(dst, v, dst.to, tails[v]);
        for (int i = P; i < n; ++i) {
            const Floats piece = load(pieces + kLanes * i);
            put<E>(dst, v, dst.to + round.order[i], shifted(back, before, piece));
            before = piece;
        }
    }
    transform_registers(r);
    multiply_registers(r, round.first);
    TURBOQUANT_UNROLL
    for (int v = 0; v < Vectors; ++v) {
        if (index > 0) tilt_registers(r[v]);
        TURBOQUANT_UNROLL
        for (int i = 0; i < P; ++i) put<E>(dst, v, dst.to + round.order[i], r[v][i]);
    }
}

template <int P, Ending E, int Vectors>
TURBOQUANT_NOINLINE void rotate_shifted(const RotationPlan& plan, const float* src, std::ptrdiff_t src_stride,
                                        float* x, float* other, std::ptrdiff_t stride,
                                        const Destination& end) noexcept {
    Floats tails[Vectors];
    TURBOQUANT_UNROLL
    for (int v = 0; v < Vectors; ++v) tails[v] = load(src + v * src_stride);
    each_round<E>(src, src_stride, x, other, stride, end, [&](auto ending, int i, const Buffers& buffers) {
        if constexpr (is_transpose(E))
            shifted_round_transpose<P, decltype(ending)::value>(plan, kRounds - 1 - i, buffers, tails);
        else
            shifted_round<P>(plan, i, buffers, tails);
    });
}
