// Encoding with a search for better indices than the nearest (Refinement::scale_search).
//
// The cosine of z with the centroids is to be largest. Whatever indices make it so, some factor t takes them for the nearest of
// t·z: with λ = <z, c>/‖c‖² they minimise ‖z − λc‖², coordinate by coordinate. So a search over t misses nothing but what lies
// between its steps.

// t = 1 + (i − kPlainFactor)/32: .78 … 1.25, exact in float. Steps half as wide give another .3 % at 4 bits, d = 128.
inline constexpr int kScaleFactors = 16, kPlainFactor = 7;
// As many of them at a time as there are registers for their sums.
inline constexpr int kFactorsTogether = kLanes == 16 ? 4 : 1;

// What the nearest codes of z·steps[f] add up to, for each f.
struct CentroidSums {
    float dot, squares;  // ⟨z, c⟩ and ‖c‖²
};
template <int Bits>
TURBOQUANT_NOINLINE void nearest_sums(const CodebookTable& codebook, const float* z, int dim,
                                      const float* steps, CentroidSums* sums) noexcept {
    constexpr int kFactors = kFactorsTogether;
    constexpr int kRegisters = kSums < 4 ? 4 : kSums;  // whole steps of Nearest, and of 32 coordinates
    const Nearest<Bits> nearest(codebook);
    const Centroids<Bits> centroids(codebook.centroids);
    Floats factors[kFactors], dots[kFactors][kSums], squares[kFactors][kSums];
    TURBOQUANT_UNROLL
    for (int f = 0; f < kFactors; ++f) {
        factors[f] = broadcast(steps[f]);
        clear(dots[f]);
        clear(squares[f]);
    }
    for (int i = 0; i < dim; i += kRegisters * kLanes) {
        Floats r[kRegisters];
        load_step(z + i, r);
        TURBOQUANT_UNROLL
        for (int f = 0; f < kFactors; ++f) {
            Bytes blocks[kRegisters / 4];
            TURBOQUANT_UNROLL
            for (int k = 0; k < kRegisters; k += 4)
                blocks[k / 4] = nearest({mul(r[k], factors[f]), mul(r[k + 1], factors[f]),
                                         mul(r[k + 2], factors[f]), mul(r[k + 3], factors[f])});
            TURBOQUANT_UNROLL
            for (int k = 0; k < kRegisters; ++k) {
                Floats c = centroids(codes_of(blocks[k / 4], k % 4));
                if (dim - i < kRegisters * kLanes) c = keep(c, first_lanes(dim - i - k * kLanes));
                dots[f][k % kSums] = fused(r[k], c, dots[f][k % kSums]);
                squares[f][k % kSums] = fused(c, c, squares[f][k % kSums]);
            }
        }
    }
    TURBOQUANT_UNROLL
    for (int f = 0; f < kFactors; ++f) sums[f] = {reduce(dots[f]), reduce(squares[f])};
}

// What z is multiplied by, so that the nearest codes have the largest cosine with it; and their sums. `steps`: what the plain
// encoder multiplies by, which stays unless another factor gains.
template <int Bits>
TURBOQUANT_INLINE float best_steps(const CodebookTable& codebook, const float* z, int dim, float steps,
                                   CentroidSums& best_sums) noexcept {
    float tried[kScaleFactors];
    CentroidSums sums[kScaleFactors];
    for (int i = 0; i < kScaleFactors; ++i)
        tried[i] = steps * (1.0f + 0.03125f * static_cast<float>(i - kPlainFactor));
    for (int i = 0; i < kScaleFactors; i += kFactorsTogether)
        nearest_sums<Bits>(codebook, z, dim, tried + i, sums + i);
    const auto gain = [&](int i, int against) {  // <z, c>²·‖c'‖²
        const double dot = static_cast<double>(sums[i].dot);
        return dot * dot * static_cast<double>(sums[against].squares);
    };
    int best = kPlainFactor;
    for (int i = 0; i < kScaleFactors; ++i)
        if (gain(i, best) > gain(best, i)) best = i;
    best_sums = sums[best];
    return tried[best];
}

// encode() of a quantizer without a sketch, with the search.
template <int Bits>
EncodeResult encode_refined(const CodecPlan& plan, const InputColumns& in, std::uint8_t* out,
                            float* scratch) noexcept {
    return encode_each(
        plan, in, out, scratch, [&](const Scales<double>& scales, float* z, float*, std::uint8_t* record) {
            CentroidSums sums;
            const float steps =
                best_steps<Bits>(*plan.codebook, z, plan.dim, static_cast<float>(scales.steps), sums);
            Floats unused[2];
            encode_indices<Bits, false>(*plan.codebook, 0, z, plan.dim, steps, 0.0f, record, unused[0],
                                        unused[1]);
            return store_scale(
                record + plan.scale_offset(), plan.scale_type,
                static_cast<float>(scales.index_scale(plan.scale_rule, static_cast<double>(sums.dot),
                                                      static_cast<double>(sums.squares))));
        });
}
