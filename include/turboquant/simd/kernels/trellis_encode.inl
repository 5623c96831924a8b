// Encoding with trellis codes: rotated vectors are collected until there is one for each lane (trellis.inl).

// Vectors that wait for others, and then for their records, which are made when there is one for each lane.
template <int Bits, int Window>
class TrellisBatch {
public:
    // room: (kMostWaiting + 1)·padded(d) floats, or padded(d) where vectors do not wait.
    TURBOQUANT_INLINE TrellisBatch(const CodecPlan& plan, float* room) noexcept
        : plan_(plan), centroids_(room), waiting_(room + padded(plan.dim)) {}

    // z = growth·Πx, whose tail is zero. False where finish() is.
    TURBOQUANT_INLINE bool add(const Scales<double>& scales, const float* z, std::uint8_t* record) noexcept {
        const bool waits = plan_.dim <= kLargestWaitingDim;
        if (waits) {
            float* const kept = waiting_ + count_ * padded(plan_.dim);
            std::memcpy(kept, z, sizeof(float) * static_cast<std::size_t>(padded(plan_.dim)));
            z = kept;
        }
        vectors_[count_++] = {z, scales.squared_norm, scales.power, record};
        return count_ < (waits ? kLanes : 1) || finish();
    }

    // The records of those that wait. False where the scale of one overflows: failure().
    TURBOQUANT_NOINLINE bool finish() noexcept {
        // Fewer states than lanes make room for several vectors.
        constexpr int kStates = 1 << (Window - Bits), kFew = kStates < kLanes ? kLanes / kStates : 1;
        for (int v = 0; v < count_;) {
            const bool many = count_ - v > kLanes / 2 && (Window < 8 || plan_.dim <= kRowsOfLanes);
            v += many ? find<kLanes>(v) : find<kFew>(v);
        }
        for (int v = 0; v < count_; ++v)
            if (!write_scale(vectors_[v])) {
                failed_ = vectors_[v];
                return false;
            }
        count_ = 0;
        return true;
    }

    // The error of the vector whose record could not be written.
    TURBOQUANT_INLINE EncodeResult failure(const std::uint8_t* first_record) const noexcept {
        return {(failed_.record - first_record) / static_cast<std::ptrdiff_t>(plan_.record_bytes()),
                EncodeError::scale_overflow, std::sqrt(failed_.squared_norm) * failed_.power};
    }

private:
    struct Vector {
        const float* z;
        double squared_norm, power;
        std::uint8_t* record;
    };

    // Codes of up to `Vectors` of them, from one on. Returns how many.
    template <int Vectors>
    TURBOQUANT_INLINE int find(int first) noexcept {
        const int some = count_ - first < Vectors ? count_ - first : Vectors;
        TrellisVectors<Vectors> vectors;
        vectors.count = some;
        for (int v = 0; v < Vectors; ++v) {
            const Vector& vector = vectors_[first + (v < some ? v : 0)];
            vectors.z[v] = vector.z;
            vectors.steps[v] = static_cast<float>(scales(vector).steps);
            vectors.out[v] = vector.record;
        }
        find_codes<TrellisSearch<Bits, Window, Vectors>>(*plan_.trellis, vectors, plan_.dim);
        return some;
    }

    TURBOQUANT_INLINE Scales<double> scales(const Vector& vector) const noexcept {
        return Scales<double>(plan_, vector.squared_norm, vector.power);
    }

    TURBOQUANT_INLINE bool write_scale(const Vector& vector) noexcept {
        std::uint8_t* const record = vector.record;
        double dot = 0.0, square = 0.0;
        if (plan_.scale_rule != 0) {
            load_trellis<Bits>(plan_, record, record + plan_.index_bytes(), centroids_);
            Floats dots[kSums], squares[kSums];
            clear(dots);
            clear(squares);
            for (int i = 0; i < plan_.dim; i += 32) {
                TURBOQUANT_UNROLL
                for (int k = 0; k < kSums; ++k) {
                    const Floats c = load(centroids_ + i + k * kLanes);
                    dots[k] = fused(load(vector.z + i + k * kLanes), c, dots[k]);
                    squares[k] = fused(c, c, squares[k]);
                }
            }
            dot = static_cast<double>(reduce(dots));
            square = static_cast<double>(reduce(squares));
        }
        const double scale = scales(vector).index_scale(plan_.scale_rule, dot, square);
        return store_scale(record + plan_.scale_offset(), plan_.scale_type, static_cast<float>(scale));
    }

    const CodecPlan& plan_;
    float *centroids_, *waiting_;
    static_assert(kLanes <= kMostWaiting, "turboquant: there is room for a vector to each lane");
    Vector vectors_[kLanes], failed_{};
    int count_ = 0;
};

// encode() with trellis codes. scratch: plan.encode_floats().
template <int Bits, int Window>
EncodeResult encode_trellis(const CodecPlan& plan, const InputColumns& in, std::uint8_t* out,
                            float* scratch) noexcept {
    TrellisBatch<Bits, Window> batch(plan, scratch + 2 * vectors_together<Dynamic>(plan) * padded(plan.dim));
    bool good = true;
    const EncodeResult result =
        encode_each(plan, in, out, scratch,
                    [&](const Scales<double>& scales, const float* z, float*, std::uint8_t* record) {
                        return good = batch.add(scales, z, record);
                    });
    // Those that still wait come before a column that is not finite.
    return good && batch.finish() ? result : batch.failure(out);
}
