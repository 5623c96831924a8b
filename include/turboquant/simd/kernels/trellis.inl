// Trellis codes: the search for the path of least squared error, and windows to centroids (trellis_table.hpp).
//
// States are the lowest 8 − b bits of a window: w = state·2^b + code, and the next state is what remains of w when the oldest
// b bits drop out. Viterbi's algorithm: of the 2^b windows that lead to a state the cheapest survives. Costs are positive floats
// whose lowest b bits hold the window's oldest bits: the minimum brings along where it came from.

// Decisions are kept for so many coordinates, 16 bytes each; longer vectors are decided in parts, kDecisionDelay coordinates
// late, by which time all paths have merged.
inline constexpr int kDecisionPart = 1024, kDecisionDelay = 64;
// How many coordinates on each side of a vector's ends find the state that joins them. More would gain less than half a percent,
// at d = 128; a state is made of the bits of seven coordinates at 1 bit, of one at 4 bits.
template <int Bits>
inline constexpr int kJunction = Bits == 1   ? 32
                                 : Bits == 4 ? 8
                                             : 16;

template <int Bits>
struct TrellisSearch {
    static constexpr int kStates = kWindows >> Bits, kBranches = 1 << Bits;
    static constexpr int kVectors = kStates / kLanes, kHalves = 16 / kLanes;
    static constexpr int kTimes = kBranches < kLanes ? kBranches : kLanes;
    Floats costs[kVectors];

    // start: the state, or −1 for any.
    TURBOQUANT_INLINE explicit TrellisSearch(int start) noexcept {
        float first[kStates];
        for (int s = 0; s < kStates; ++s) first[s] = start < 0 || s == start ? 1.0f : 1e30f;
        TURBOQUANT_UNROLL
        for (int v = 0; v < kVectors; ++v) costs[v] = load(first + v * kLanes);
    }

    TURBOQUANT_INLINE void step(const float* values, float coordinate, std::uint8_t* decisions) noexcept {
        const Floats y = broadcast(coordinate);
        Floats next[kVectors];
        TURBOQUANT_UNROLL
        for (int v = 0; v < kVectors; ++v) {
            Floats cost[kBranches];
            TURBOQUANT_UNROLL
            for (int k = 0; k < kBranches; ++k) {
                const int from = k * (kStates >> Bits) + (v * kLanes >> Bits);
                const Floats error = sub(y, load(values + k * kStates + v * kLanes));
                const Floats before = repeat<kTimes>(costs[from / kLanes], from % kLanes * kTimes / kLanes);
                cost[k] = mark<Bits>(add(mul(error, error), before), k);
            }
            TURBOQUANT_UNROLL
            for (int half = kBranches / 2; half > 0; half /= 2) {
                TURBOQUANT_UNROLL
                for (int k = 0; k < half; ++k) cost[k] = minimum(cost[k], cost[k + half]);
            }
            next[v] = cost[0];
        }
        TURBOQUANT_UNROLL
        for (int half = 0; half < kHalves; ++half) {
            Ints packed = marks<Bits>(next[half], 0);
            TURBOQUANT_UNROLL
            for (int v = half + kHalves; v < kVectors; v += kHalves)
                packed = merge(packed, marks<Bits>(next[v], v / kHalves * Bits));
            store_low_bytes(decisions + half * kLanes, packed);
        }
        TURBOQUANT_UNROLL
        for (int v = 0; v < kVectors; ++v) costs[v] = next[v];
    }

    // Makes the least cost 1 again: sums must not outgrow the differences that count.
    TURBOQUANT_INLINE void lower() noexcept {
        float all[kStates];
        const float least = all[cheapest(all)];
        TURBOQUANT_UNROLL
        for (int v = 0; v < kVectors; ++v) costs[v] = sub(costs[v], broadcast(least - 1.0f));
    }

    TURBOQUANT_INLINE int cheapest(float* all) const noexcept {
        TURBOQUANT_UNROLL
        for (int v = 0; v < kVectors; ++v) store(all + v * kLanes, costs[v]);
        int best = 0;
        for (int s = 1; s < kStates; ++s) best = all[s] < all[best] ? s : best;
        return best;
    }

    // The windows of `count` coordinates of the path that ends in `state`.
    static TURBOQUANT_INLINE void trace(const std::uint8_t* decisions, int count, int state,
                                        std::uint8_t* windows) noexcept {
        for (int i = count - 1; i >= 0; --i) {
            const int k = decisions[16 * i + (state & 15)] >> (Bits * (state >> 4)) & (kBranches - 1);
            const int window = k * kStates + state;
            windows[i] = static_cast<std::uint8_t>(window);
            state = window >> Bits;
        }
    }
};

// Windows of the cheapest path for y; start, end: its states, or −1 for any.
template <int Bits>
TURBOQUANT_NOINLINE void find_windows(const TrellisTable& table, const float* y, int count, int start,
                                      int end, std::uint8_t* windows) noexcept {
    constexpr int kKept = kDecisionPart + kDecisionDelay;
    using Search = TrellisSearch<Bits>;
    alignas(64) std::uint8_t decisions[16 * kKept];
    float all[Search::kStates];
    Search search(start);
    int first = 0;  // the coordinate whose decisions come first
    for (int i = 0; i < count; ++i) {
        if (i - first == kKept) {
            Search::trace(decisions, kKept, search.cheapest(all), windows + first);
            std::memcpy(decisions, decisions + 16 * kDecisionPart, 16 * kDecisionDelay);
            first += kDecisionPart;
        }
        search.step(table.values, y[i], decisions + 16 * (i - first));
        if (i % 64 == 63) search.lower();
    }
    Search::trace(decisions, count - first, end >= 0 ? end : search.cheapest(all), windows + first);
}

// The stream of the windows' newest bits. `windows` has room for 8 more.
template <int Bits>
TURBOQUANT_INLINE void store_windows(std::uint8_t* windows, int dim, std::uint8_t* out) noexcept {
    // Where paths of two parts meet, and past the end, windows are made to follow from the codes.
    if (dim > kDecisionPart + kDecisionDelay)
        for (int j = 1; j < dim; ++j)
            windows[j] = static_cast<std::uint8_t>(windows[j - 1] << Bits | (windows[j] & ((1 << Bits) - 1)));
    for (int j = dim; j < dim + 8; ++j) windows[j] = static_cast<std::uint8_t>(windows[j - 1] << Bits);
    const int bytes = (Bits * dim + 7) / 8;
    for (int i = 0; i < bytes; ++i) {
        const int last =
            (8 * (i + 1) + Bits - 1) / Bits - 1;  // the window that ends with the byte, or just after it
        const int after = Bits * (last + 1) - 8 * (i + 1);
        const int pair =
            last == 0 ? windows[0] : windows[last - 1] << Bits | (windows[last] & ((1 << Bits) - 1));
        out[i] = static_cast<std::uint8_t>(pair >> after);
    }
}

// The centroids of a record, zeros from dim to the end of its block of 64. Memory may be read up to `end`.
template <int Bits>
TURBOQUANT_NOINLINE void load_trellis(const CodecPlan& plan, const std::uint8_t* record,
                                      const std::uint8_t* end, float* c) noexcept {
    const TrellisLookup<Bits> lookup(*plan.trellis);
    const Floats unit = broadcast(plan.trellis->unit);
    const int dim = plan.dim;
    std::uint8_t before = byte_before(record, Bits, dim);
    for (int i = 0; i < dim; i += 64, record += 8 * Bits) {
        std::uint8_t copy[TrellisLookup<Bits>::kReads], found[64];
        const std::uint8_t* const packed = readable(record, end, copy);
        store_row(found, lookup.find(lookup.windows(packed, before)));
        before = packed[8 * Bits - 1];
        TURBOQUANT_UNROLL
        for (int k = 0; k < 64; k += kLanes) store(c + i + k, mul(load_integers(found + k), unit));
    }
    clear_tail(c, dim);
}

// Indices and scale of the rotated vector z; `y`: a buffer as long. False where the scale overflows.
template <int Bits>
TURBOQUANT_NOINLINE bool encode_trellis_vector(const CodecPlan& plan, const Scales<double>& scales,
                                               const float* z, float* y, std::uint8_t* windows,
                                               std::uint8_t* out) noexcept {
    const TrellisTable& table = *plan.trellis;
    const int dim = plan.dim;
    const Floats steps = broadcast(static_cast<float>(scales.steps));
    for (int i = 0; i < dim; i += kLanes) store(y + i, mul(load(z + i), steps));
    int state = 0;
    const bool cyclic = dim >= kLeastCyclicDim;
    if (cyclic) {
        const int side = dim < kJunction<Bits> ? dim : kJunction<Bits>;
        float around[2 * kJunction<Bits>];
        std::uint8_t found[2 * kJunction<Bits>];
        std::memcpy(around, y + dim - side, sizeof(float) * static_cast<std::size_t>(side));
        std::memcpy(around + side, y, sizeof(float) * static_cast<std::size_t>(side));
        find_windows<Bits>(table, around, 2 * side, -1, -1, found);
        state = found[side] >> Bits;
    }
    find_windows<Bits>(table, y, dim, state, cyclic ? state : -1, windows);
    store_windows<Bits>(windows, dim, out);
    double dot = 0.0, square = 0.0;
    if (plan.scale_rule != 0) {
        load_trellis<Bits>(plan, out, out + plan.index_bytes(), y);
        Floats dots[kSums], squares[kSums];
        clear(dots);
        clear(squares);
        for (int i = 0; i < dim; i += 32) {
            TURBOQUANT_UNROLL
            for (int k = 0; k < kSums; ++k) {
                const Floats c = load(y + i + k * kLanes);
                dots[k] = fused(load(z + i + k * kLanes), c, dots[k]);
                squares[k] = fused(c, c, squares[k]);
            }
        }
        dot = static_cast<double>(reduce(dots));
        square = static_cast<double>(reduce(squares));
    }
    const double scale = scales.index_scale(plan.scale_rule, dot, square);
    return store_scale(out + plan.scale_offset(), plan.scale_type, static_cast<float>(scale));
}

// encode() with trellis codes. scratch: work_floats(3, d).
template <int Bits>
EncodeResult encode_trellis(const CodecPlan& plan, const InputColumns& in, std::uint8_t* out,
                            float* scratch) noexcept {
    auto* const windows =
        reinterpret_cast<std::uint8_t*>(scratch + 2 * vectors_together<Dynamic>(plan) * padded(plan.dim));
    return encode_each(plan, in, out, scratch,
                       [&](const Scales<double>& scales, const float* z, float* y, std::uint8_t* record) {
                           return encode_trellis_vector<Bits>(plan, scales, z, y, windows, record);
                       });
}
