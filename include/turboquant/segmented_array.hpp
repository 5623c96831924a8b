// Memory that grows by segments: what is there never moves, and little is ever unused.
//
// Elements of a fixed number of bytes; a full segment holds a fixed number of them. Only the last segment is ever grown
// (by doubling, until it is full), so that a large array wastes less than one segment and a small one less than its size.
//
// Segments may lie in memory of others, a file that is mapped: they are read there, and copied when they are written to.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "turboquant/aligned_bytes.hpp"
#include "turboquant/config.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace detail {

class SegmentedArray {
public:
    // per_segment: a power of two.
    SegmentedArray(std::size_t element_bytes, Index per_segment)
        : element_bytes_(element_bytes), per_segment_(per_segment), shift_(0) {
        while (Index{1} << shift_ < per_segment) ++shift_;
    }
    SegmentedArray(SegmentedArray&&) noexcept = default;
    SegmentedArray& operator=(SegmentedArray&&) noexcept = default;
    SegmentedArray(const SegmentedArray& other) : SegmentedArray(other.element_bytes_, other.per_segment_) {
        segments_.reserve(other.segments_.size());
        for (Index i = 0; i < other.size_; i += per_segment_) {
            const Index some = std::min(per_segment_, other.size_ - i);
            if (other.segments_[segment(i)].borrowed) {
                borrow(other.at(i), some);
            } else {
                resize(i + some);
                std::memcpy(at(i), other.at(i), bytes_of(some));
            }
        }
    }
    SegmentedArray& operator=(const SegmentedArray& other) { return *this = SegmentedArray(other); }

    Index size() const noexcept { return size_; }
    Index per_segment() const noexcept { return per_segment_; }
    std::size_t element_bytes() const noexcept { return element_bytes_; }
    // To write to, once own() has been called for an element that was there before.
    std::uint8_t* at(Index i) noexcept {
        own(i);  // allocates nothing then
        return segments_[segment(i)].data.get() + offset(i);
    }
    const std::uint8_t* at(Index i) const noexcept { return segments_[segment(i)].data.get() + offset(i); }

    // Appends elements that stay where they are. Whole segments only, but for the last.
    void borrow(const std::uint8_t* data, Index n) {
        for (; n > 0; n -= per_segment_, data += bytes_of(per_segment_)) {
            Segment part;
            part.capacity = std::min(per_segment_, n);
            part.data = Memory(Memory(), const_cast<std::uint8_t*>(data));
            part.borrowed = true;
            segments_.push_back(std::move(part));
            size_ += segments_.back().capacity;
        }
    }
    // A copy of its own of the segment of element i, where that is borrowed.
    void own(Index i) {
        const std::size_t s = segment(i);
        if (segments_[s].borrowed) grow(s, segments_[s].capacity);
    }

    // Memory taken, in bytes, without what is borrowed.
    std::size_t bytes() const noexcept {
        Index elements = 0;
        for (const Segment& part : segments_) elements += part.borrowed ? 0 : part.capacity;
        return bytes_of(elements) + segments_.capacity() * sizeof(Segment);
    }

    // Room for n elements in all, so that growing to n allocates nothing.
    void reserve(Index n) {
        if (n <= 0) return;
        segments_.reserve(segment(n - 1) + 1);
        const std::size_t whole = static_cast<std::size_t>(n / per_segment_);
        if (whole > segments_.size() && bytes_of(per_segment_) * (whole - segments_.size()) >= kHugePage)
            append_whole(whole - segments_.size());
        for (Index first = 0; first < n; first += per_segment_)
            if (!fits(segment(first), std::min(per_segment_, n - first)))
                grow(segment(first), std::min(per_segment_, n - first));
    }

    // New elements are zero.
    void resize(Index n) {
        for (Index first = size_ / per_segment_ * per_segment_; first < n; first += per_segment_) {
            const Index wanted = std::min(per_segment_, n - first), there = std::max<Index>(0, size_ - first);
            if (!fits(segment(first), wanted))
                grow(segment(first), std::min(per_segment_, std::max(wanted, 2 * there)));
            if (there < wanted) {
                own(first);
                std::memset(segments_[segment(first)].data.get() + bytes_of(there), 0,
                            bytes_of(wanted - there));
            }
        }
        size_ = n;
    }

private:
    using Memory = std::shared_ptr<std::uint8_t[]>;
    struct Segment {
        Memory data;
        Index capacity = 0;
        bool borrowed = false;
    };

    std::size_t bytes_of(Index elements) const noexcept {
        return static_cast<std::size_t>(elements) * element_bytes_;
    }
    std::size_t segment(Index i) const noexcept { return static_cast<std::size_t>(i >> shift_); }
    std::size_t offset(Index i) const noexcept { return bytes_of(i & (per_segment_ - 1)); }

    bool fits(std::size_t s, Index capacity) const noexcept {
        return s < segments_.size() && segments_[s].capacity >= capacity;
    }

    // Segments that share one allocation.
    void append_whole(std::size_t count) {
        const Memory all(allocate_bytes(bytes_of(per_segment_) * count));
        for (std::size_t i = 0; i < count; ++i)
            segments_.push_back({Memory(all, all.get() + bytes_of(per_segment_) * i), per_segment_, false});
    }

    // New memory for segment `s`, which is there or the next one.
    void grow(std::size_t s, Index capacity) {
        if (s == segments_.size()) segments_.emplace_back();
        Segment& part = segments_[s];
        Segment larger;
        larger.data = Memory(allocate_bytes(bytes_of(capacity)));
        larger.capacity = capacity;
        const Index first = static_cast<Index>(s) * per_segment_,
                    used = std::min(part.capacity, size_ - first);
        if (used > 0) std::memcpy(larger.data.get(), part.data.get(), bytes_of(used));
        part = std::move(larger);
    }

    std::size_t element_bytes_;
    Index per_segment_;
    int shift_;
    Index size_ = 0;
    std::vector<Segment> segments_;
};

}  // namespace detail
TURBOQUANT_NAMESPACE_END
