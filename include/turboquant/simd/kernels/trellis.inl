// Trellis codes: the search for the path of least squared error, and windows to centroids (trellis_table.hpp).
//
// Of a window of W bits the lowest W − b are a state: w = state·2^b + code, and the next state is what remains of w when the
// oldest b bits drop out. Viterbi's algorithm: of the 2^b windows that lead to a state the cheapest survives. Costs are positive
// floats whose lowest b bits hold the window's oldest bits: the minimum brings along where it came from.

// Long vectors are decided in parts, kDecisionDelay coordinates late, by which time all paths have merged. Parts of 1024 are what
// windows of 8 bits began with, and their codes stay as they were.
template <int Window>
inline constexpr int kDecisionPart = Window == 8 ? 1024 : 128;
inline constexpr int kDecisionDelay = 64;
// With a vector to a lane so many coordinates' decisions are kept (12 to 48 KiB with 16 lanes): beyond them windows of 8 bits are
// searched for vector by vector.
inline constexpr int kRowsOfLanes = 128 + kDecisionDelay;
// How many coordinates on each side of a vector's ends find the state that joins them. More would gain less than half a percent,
// at d = 128; a state is made of the bits of up to seven coordinates at 1 bit, of one at 4 bits.
template <int Bits>
inline constexpr int kJunction = Bits == 1   ? 32
                                 : Bits == 4 ? 8
                                             : 16;

// The codes of eight coordinates, or the `bytes` of fewer that come first.
template <int Bits>
TURBOQUANT_INLINE void store_eight(std::uint32_t codes, int bytes, std::uint8_t* out) noexcept {
    for (int i = 0; i < bytes; ++i) out[i] = static_cast<std::uint8_t>(codes >> 8 * (Bits - 1 - i));
}

// The search for `Vectors` vectors at once. The lanes of the registers hold the first state of each vector, then the second, and so
// on. With a vector to a lane a register is a state, and nothing moves between lanes: the least time a vector, if there are as
// many. A vector alone is done sooner with its states side by side.
template <int Bits, int Window, int Vectors>
struct TrellisSearch {
    static constexpr int kBits = Bits, kWindow = Window, kVectors = Vectors;
    static constexpr int kStates = 1 << (Window - Bits), kBranches = 1 << Bits;
    static constexpr bool kVectorToALane = Vectors == kLanes;
    static constexpr int kRegisters = kStates * Vectors / kLanes, kStatesEach = kLanes / Vectors;
    static constexpr int kTimes = kBranches < kStatesEach ? kBranches : kStatesEach;
    // The decisions for a coordinate: words of kLanes integers, with a field for each of the registers that share a word.
    static constexpr int kField = Bits == 3 ? 4 : Bits, kFieldShift = Bits == 1 ? 0 : Bits == 2 ? 1 : 2;
    static constexpr int kInWord = 32 / kField < kRegisters ? 32 / kField : kRegisters;
    static constexpr int kWords = kRegisters / kInWord, kRow = kWords * kLanes;
    static_assert(kRegisters >= 1, "turboquant: the states of a few vectors fill a register");

    Floats costs[kVectorToALane ? 2 : 1][kRegisters];
    int now = 0;

    // starts: the states, or nullptr for any.
    TURBOQUANT_INLINE explicit TrellisSearch(const std::int32_t* starts) noexcept {
        float first[kStates * Vectors];
        for (float& cost : first) cost = starts == nullptr ? 1.0f : 1e30f;
        for (int v = 0; v < Vectors && starts != nullptr; ++v) first[starts[v] * Vectors + v] = 1.0f;
        TURBOQUANT_UNROLL
        for (int r = 0; r < kRegisters; ++r) costs[0][r] = load(first + r * kLanes);
    }

    TURBOQUANT_INLINE static Floats origin(const Floats* before, int k, int r) noexcept {
        const int from = (k * kStates + r * kStatesEach) >> Bits;
        if constexpr (kVectorToALane)
            return before[from];
        else
            return repeat<kTimes, Vectors>(before[from / kStatesEach],
                                           from % kStatesEach * kTimes / kStatesEach);
    }
    TURBOQUANT_INLINE static Floats value(const float* values, int k, int r) noexcept {
        if constexpr (kVectorToALane)
            return broadcast(values[k * kStates + r]);
        else
            return load(values + (k * kStates + r * kStatesEach) * Vectors);
    }
    TURBOQUANT_INLINE static Floats least_cost(const float* values, const Floats* before, Floats y,
                                               int r) noexcept {
        Floats cost[kBranches];
        TURBOQUANT_UNROLL
        for (int k = 0; k < kBranches; ++k) {
            const Floats error = sub(y, value(values, k, r));
            cost[k] = mark<Bits>(add(mul(error, error), origin(before, k, r)), k);
        }
        TURBOQUANT_UNROLL
        for (int half = kBranches / 2; half > 0; half /= 2) {
            TURBOQUANT_UNROLL
            for (int k = 0; k < half; ++k) cost[k] = minimum(cost[k], cost[k + half]);
        }
        return cost[0];
    }
    TURBOQUANT_INLINE static void step(const float* values, const Floats* before, Floats y, Floats* after,
                                       std::int32_t* decisions) noexcept {
        for (int word = 0; word < kWords; ++word, after += kInWord, decisions += kLanes) {
            TURBOQUANT_UNROLL
            for (int i = 0; i < kInWord; ++i) after[i] = least_cost(values, before, y, word * kInWord + i);
            Ints packed = marks<Bits>(after[0], 0);
            TURBOQUANT_UNROLL
            for (int i = 1; i < kInWord; ++i) packed = merge(packed, marks<Bits>(after[i], i * kField));
            store_ints(decisions, packed);
        }
    }
    // values: each of them `Vectors` times, unless there is one to a lane. y: a coordinate of each vector.
    TURBOQUANT_INLINE void advance(const float* values, const float* y, std::int32_t* decisions) noexcept {
        if constexpr (kVectorToALane) {
            step(values, costs[now], load(y), costs[1 - now], decisions);
            now = 1 - now;
        } else {
            Floats next[kRegisters];
            const Floats all = Vectors == 1 ? broadcast(*y) : repeat<kStatesEach, Vectors>(load(y), 0);
            step(values, costs[0], all, next, decisions);
            TURBOQUANT_UNROLL
            for (int r = 0; r < kRegisters; ++r) costs[0][r] = next[r];
        }
    }

    // Makes the least cost of each vector 1 again: sums must not outgrow the differences that count.
    TURBOQUANT_INLINE void lower() noexcept {
        Floats* const all = costs[kVectorToALane ? now : 0];
        Floats least = all[0];
        TURBOQUANT_UNROLL
        for (int r = 1; r < kRegisters; ++r) least = minimum(least, all[r]);
        float lanes[kLanes];
        store(lanes, least);
        for (int i = Vectors; i < kLanes; ++i)
            lanes[i % Vectors] = lanes[i] < lanes[i % Vectors] ? lanes[i] : lanes[i % Vectors];
        for (int i = 0; i < kLanes; ++i) lanes[i] = lanes[i % Vectors];
        const Floats excess = sub(load(lanes), broadcast(1.0f));
        TURBOQUANT_UNROLL
        for (int r = 0; r < kRegisters; ++r) all[r] = sub(all[r], excess);
    }

    TURBOQUANT_INLINE void cheapest(std::int32_t* states) const noexcept {
        float all[kStates * Vectors];
        TURBOQUANT_UNROLL
        for (int r = 0; r < kRegisters; ++r) store(all + r * kLanes, costs[kVectorToALane ? now : 0][r]);
        // With the vectors innermost compilers take them together.
        float least[Vectors];
        for (int v = 0; v < Vectors; ++v) {
            least[v] = all[v];
            states[v] = 0;
        }
        for (int s = 1; s < kStates; ++s)
            for (int v = 0; v < Vectors; ++v) {
                const bool less = all[s * Vectors + v] < least[v];
                least[v] = less ? all[s * Vectors + v] : least[v];
                states[v] = less ? s : states[v];
            }
    }

    // Of each vector the window that leads to its state.
    TURBOQUANT_INLINE static Ints windows(const std::int32_t* decisions, Ints states) noexcept {
        Ints word = load_ints(decisions);
        TURBOQUANT_UNROLL
        for (int w = 1; w < kWords; ++w)
            word = choose(states, w * kInWord, load_ints(decisions + w * kLanes), word);
        const Ints field = shift_left(both(states, kInWord - 1), kFieldShift);
        return merge(shift_left(both(shift_right(word, field), kBranches - 1), Window - Bits), states);
    }
    TURBOQUANT_INLINE static std::int32_t window(const std::int32_t* decisions, std::int32_t state,
                                                 int v) noexcept {
        const int at = state * Vectors + v, r = at / kLanes;
        const auto word = static_cast<std::uint32_t>(decisions[r / kInWord * kLanes + at % kLanes]);
        const std::uint32_t k = word >> (r % kInWord << kFieldShift) & (kBranches - 1);
        return static_cast<std::int32_t>(k << (Window - Bits)) + state;
    }

    // Back by `count` coordinates, whose decisions these are: the newest code goes to `shift`, those before it above.
    TURBOQUANT_INLINE static void trace_group(const std::int32_t* decisions, int count, int shift,
                                              int vectors, std::int32_t* states,
                                              std::int32_t* codes) noexcept {
        if constexpr (kVectorToALane) {
            Ints state = load_ints(states), found = both(state, 0);
            for (int i = count - 1; i >= 0; --i, shift += Bits) {
                const Ints all = windows(decisions + i * kRow, state);
                found = merge(found, shift_left(both(all, kBranches - 1), shift));
                state = shift_right(all, Bits);
            }
            store_ints(states, state);
            store_ints(codes, found);
        } else {
            for (int i = count - 1; i >= 0; --i, shift += Bits)
                for (int v = 0; v < vectors; ++v) {
                    const std::int32_t w = window(decisions + i * kRow, states[v], v);
                    codes[v] |= (w & (kBranches - 1)) << shift;
                    states[v] = w >> Bits;
                }
        }
    }
    // From the states after coordinate `end` − 1 back to those before `begin`, whose decisions come first, for the first `vectors`.
    // Codes go to `out`, where there is one; `begin` is then a multiple of 8.
    TURBOQUANT_INLINE static void trace(const std::int32_t* decisions, int begin, int end, int vectors,
                                        std::int32_t* states, std::uint8_t* const* out) noexcept {
        while (end > begin) {
            const int eight = (end - 1) & ~7, first = eight < begin ? begin : eight;
            std::int32_t codes[Vectors] = {};
            trace_group(decisions + (first - begin) * kRow, end - first, Bits * (eight + 8 - end), vectors,
                        states, codes);
            for (int v = 0; v < vectors && out != nullptr; ++v)
                store_eight<Bits>(static_cast<std::uint32_t>(codes[v]), (Bits * (end - first) + 7) / 8,
                                  out[v] + first / 8 * Bits);
            end = first;
        }
    }
};

// What a search is for: `count` rotated vectors z, which make coordinates in codebook steps, and where their codes go. The rest
// is the first again.
template <int Vectors>
struct TrellisVectors {
    int count;
    const float* z[Vectors];
    float steps[Vectors];
    std::uint8_t* out[Vectors];
    // n ≤ 64 coordinates from `first` on, going round at dim, those of all vectors side by side. z is read up to a register past dim.
    TURBOQUANT_INLINE void coordinates(int dim, int first, int n, float* y) const noexcept {
        for (int v = 0; v < Vectors; ++v) {
            float line[64 + kLanes] = {};
            const Floats factor = broadcast(steps[v]);
            for (int i = 0; i < n;) {
                const int from = (first + i) % dim, some = n - i < dim - from ? n - i : dim - from;
                for (int k = 0; k < some; k += kLanes)
                    store(line + i + k, mul(load(z[v] + from + k), factor));
                i += some;
            }
            for (int i = 0; i < n; i += 8) {
                TURBOQUANT_UNROLL
                for (int k = 0; k < 8; ++k) y[(i + k) * Vectors + v] = line[i + k];
            }
        }
    }
};

// Codes of the cheapest paths from `states`, to the same states where `cyclic`. Where `junction` > 0: instead, the states between
// the vectors' ends and beginnings, on the cheapest paths through so many coordinates of either.
template <class Search>
TURBOQUANT_NOINLINE void find_paths(const TrellisTable& table,
                                    const TrellisVectors<Search::kVectors>& vectors, int dim, int junction,
                                    bool cyclic, std::int32_t* states) noexcept {
    constexpr int kVectors = Search::kVectors, kPart = kDecisionPart<Search::kWindow>;
    constexpr int kKept = Search::kVectorToALane ? kRowsOfLanes : kPart + kDecisionDelay;
    alignas(64) std::int32_t decisions[kKept * Search::kRow];
    alignas(64) float y[64 * kVectors + kLanes];
    const float* values = table.values;
    constexpr bool kRepeated = kVectors > 1 && !Search::kVectorToALane;
    alignas(64) float repeated[kRepeated ? kVectors << Search::kWindow : 1];
    if constexpr (kRepeated) {
        for (int i = 0; i < kVectors << Search::kWindow; i += kLanes)
            store(repeated + i, repeat<kVectors, 1>(load(values + i / kVectors), 0));
        values = repeated;
    }
    const int begin = junction > 0 ? dim - junction : 0, count = junction > 0 ? 2 * junction : dim;
    std::uint8_t* const* const out = junction > 0 ? nullptr : vectors.out;
    Search search(junction > 0 ? nullptr : states);
    int first = 0;  // the coordinate whose decisions come first
    for (int i = 0; i < count; ++i) {
        if (i % 64 == 0) vectors.coordinates(dim, begin + i, count - i < 64 ? count - i : 64, y);
        if constexpr (kKept == kPart + kDecisionDelay) {
            if (i - first == kKept) {
                std::int32_t ends[kVectors];
                search.cheapest(ends);
                Search::trace(decisions, first, i, vectors.count, ends, out);
                std::memcpy(decisions, decisions + Search::kRow * kPart,
                            sizeof(std::int32_t) * Search::kRow * kDecisionDelay);
                first += kPart;
            }
        }
        search.advance(values, y + i % 64 * kVectors, decisions + Search::kRow * (i - first));
        if (i % 64 == 63) search.lower();
    }
    if (junction > 0 || !cyclic) search.cheapest(states);
    Search::trace(decisions + Search::kRow * junction, first + junction, count, vectors.count, states, out);
}

// Codes of vectors of dimension dim, whose paths end in the state in which they begin.
template <class Search>
TURBOQUANT_INLINE void find_codes(const TrellisTable& table, const TrellisVectors<Search::kVectors>& vectors,
                                  int dim) noexcept {
    constexpr int kBits = Search::kBits;
    std::int32_t states[Search::kVectors] = {};
    const bool cyclic = dim >= kLeastCyclicDim;
    if (cyclic)
        find_paths<Search>(table, vectors, dim, dim < kJunction<kBits> ? dim : kJunction<kBits>, true,
                           states);
    find_paths<Search>(table, vectors, dim, 0, cyclic, states);
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
