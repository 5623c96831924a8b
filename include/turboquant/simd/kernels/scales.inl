// Stored scales.

TURBOQUANT_INLINE float load_scale(const std::uint8_t* p, ScaleType type) noexcept {
    float scale;
    if (type == ScaleType::float32) {
        std::memcpy(&scale, p, 4);
        return scale;
    }
    std::uint16_t lanes[16] = {};
    std::memcpy(lanes, p, 2);
    float values[kLanes];
    store(values, type == ScaleType::float16 ? load_float16(lanes) : load_bfloat16(lanes));
    return values[0];
}

// What the sketch's stored scale is multiplied by, for ±1 vectors sketched back by the normalised Sᵀ.
TURBOQUANT_INLINE double sketch_factor(const CodecPlan& plan) noexcept {
    return plan.gaussian ? 1.2533141373155003 / plan.dim : 1.0;  // √(π/2)/d, QJL, Definition 1
}

// The two scales of a record, the second with its factor; zero where there is none.
struct RecordScales {
    float scale, sketch_scale;
};
TURBOQUANT_INLINE RecordScales load_scales(const CodecPlan& plan, const std::uint8_t* record) noexcept {
    RecordScales scales{0.0f, 0.0f};
    if (plan.bits > 0) scales.scale = load_scale(record + plan.scale_offset(), plan.scale_type);
    if (plan.sketch != nullptr)
        scales.sketch_scale = static_cast<float>(
            static_cast<double>(load_scale(record + plan.sketch_scale_offset(), ScaleType::float32)) *
            sketch_factor(plan));
    return scales;
}
