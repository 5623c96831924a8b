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
