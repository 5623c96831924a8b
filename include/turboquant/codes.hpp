// Encoded vectors: `Codes` owns them, `CodesView` looks at them wherever they lie.
//
// Vector i is one record of bytes_per_vector() bytes at data() + i·bytes_per_vector(), little-endian throughout:
//
//   bytes                       content
//   ⌈b·d/8⌉                     index of coordinate j in bits [b·j, b·j + b), least significant bit first (none for a
//                               pure sketch; b is one less than Bits in a TurboQuantizer)
//   ⌈d/8⌉                       sketch sign of coordinate j in bit j, 1 = negative (sketches only)
//   4 (or 2)                    scale of the centroids, float (or a 16-bit float)
//   4                           scale of the sketch, float (sketches only)
//
// The indices of a TrellisQuantizer are a stream of bits, most significant first (simd/trellis_table.hpp).
// That of a SplitQuantizer is the outliers' record, then the rest's.
//
// Unused bits are zero. Codes carry the identity of the quantizer that made them (CodecId); every call compares it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "turboquant/aligned_bytes.hpp"
#include "turboquant/config.hpp"
#include "turboquant/random.hpp"
#include "turboquant/rotation.hpp"

TURBOQUANT_NAMESPACE_BEGIN

enum class QuantizerKind : int { none = 0, mse, residual_sign, turbo, split, trellis };
enum class SketchKind : int { orthogonal, gaussian };

// Everything that decoding depends on. Two quantizers of equal id read each other's codes.
struct CodecId {
    QuantizerKind kind = QuantizerKind::none;
    std::int32_t dim = 0;
    std::int32_t bits = 0;
    RotationKind rotation = RotationKind::hadamard;
    SketchKind sketch = SketchKind::orthogonal;
    simd::ScaleType scale = simd::ScaleType::float32;
    std::uint64_t seed = 0;
    std::uint64_t parts = 0;  // of a SplitQuantizer: a hash of its channels and of its parts' fingerprints
    std::int32_t window =
        8;  // of a TrellisQuantizer: bits of a window, so that it has 2^(window − bits) states

    friend bool operator==(const CodecId& a, const CodecId& b) noexcept {
        return a.kind == b.kind && a.dim == b.dim && a.bits == b.bits && a.rotation == b.rotation &&
               a.sketch == b.sketch && a.scale == b.scale && a.seed == b.seed && a.parts == b.parts &&
               a.window == b.window;
    }
    friend bool operator!=(const CodecId& a, const CodecId& b) noexcept { return !(a == b); }

    // 64 bits of the whole, zero for no quantizer.
    std::uint64_t fingerprint() const noexcept {
        if (kind == QuantizerKind::none) return 0;
        std::uint64_t hash = seed;
        for (int part : {static_cast<int>(kind), static_cast<int>(dim), static_cast<int>(bits),
                         static_cast<int>(rotation), static_cast<int>(sketch), static_cast<int>(scale)})
            hash = RandomBits(hash, RandomStream::rotation).word(static_cast<std::uint64_t>(part));
        if (kind == QuantizerKind::split) hash = RandomBits(hash, RandomStream::rotation).word(parts);
        if (window != 8)
            hash = RandomBits(hash, RandomStream::rotation).word(static_cast<std::uint64_t>(window));
        return hash;
    }

    // For messages: "TurboQuantizer of dimension 128, 4 bits, hadamard rotation, orthogonal sketch, seed 7".
    TURBOQUANT_COLD std::string description() const {
        if (kind == QuantizerKind::none) return "no quantizer";
        if (kind == QuantizerKind::split)
            return "SplitQuantizer of dimension " + std::to_string(dim) + ", " + std::to_string(bits) +
                   (bits == 1 ? " bit" : " bits") + " for outliers, parts and channels " +
                   std::to_string(parts) + ", seed " + std::to_string(seed);
        std::string text = kind == QuantizerKind::mse       ? "MseQuantizer"
                           : kind == QuantizerKind::trellis ? "TrellisQuantizer"
                           : kind == QuantizerKind::turbo   ? "TurboQuantizer"
                                                            : "ResidualSignQuantizer";
        text += " of dimension " + std::to_string(dim) + ", " + std::to_string(bits) +
                (bits == 1 ? " bit" : " bits");
        if (kind == QuantizerKind::trellis)
            text += ", " + std::to_string(std::int64_t{1} << std::max(window - bits, 0)) + " states";
        if (kind != QuantizerKind::residual_sign)
            text += rotation == RotationKind::haar ? ", haar rotation" : ", hadamard rotation";
        if (kind != QuantizerKind::mse && kind != QuantizerKind::trellis)
            text += sketch == SketchKind::gaussian ? ", gaussian sketch" : ", orthogonal sketch";
        if (scale != simd::ScaleType::float32)
            text += scale == simd::ScaleType::float16 ? ", float16 scales" : ", bfloat16 scales";
        return text + ", seed " + std::to_string(seed);
    }
};

namespace detail {

inline void check_range(const char* where, Index first, Index count, Index size) {
    if (first < 0 || count < 0 || first > size || count > size - first)
        throw_invalid_argument(
            std::string(where) + ": records " + std::to_string(first) + " to " +
            std::to_string(
                // as unsigned: what was asked for may be anything
                static_cast<Index>(static_cast<std::uint64_t>(first) + static_cast<std::uint64_t>(count))) +
            " were asked for, but there are " + std::to_string(size));
}

}  // namespace detail

// A non-owning view of records, by value. The memory must outlive it. A default view is empty and fits every quantizer.
class CodesView {
public:
    CodesView() = default;

    // size records of `id`, of bytes_per_vector bytes each, at data: a memory map, another library's buffer.
    // Quantizer::view(data, size) fills in the rest.
    CodesView(const void* data, Index size, std::size_t bytes_per_vector, const CodecId& id)
        : data_(static_cast<const std::uint8_t*>(data)), size_(size), stride_(bytes_per_vector), id_(id) {}

    Index size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    Index dim() const noexcept { return id_.dim; }
    std::size_t bytes_per_vector() const noexcept { return stride_; }
    std::size_t bytes() const noexcept { return static_cast<std::size_t>(size_) * stride_; }
    const std::uint8_t* data() const noexcept { return data_; }
    const CodecId& id() const noexcept { return id_; }
    std::uint64_t fingerprint() const noexcept { return id_.fingerprint(); }

    // Records first … first + count − 1. Throws std::invalid_argument when they are not all there.
    CodesView range(Index first, Index count) const {
        detail::check_range("CodesView::range", first, count, size_);
        CodesView part = *this;
        if (data_ != nullptr) part.data_ = data_ + static_cast<std::size_t>(first) * stride_;
        part.size_ = count;
        return part;
    }
    CodesView operator[](Index i) const { return range(i, 1); }

private:
    const std::uint8_t* data_ = nullptr;
    Index size_ = 0;
    std::size_t stride_ = 0;
    CodecId id_;
};

// Positions of records, in any order, with repetition: the candidates of a graph or an inverted list. A view: a
// std::vector or Eigen vector of Index converts to it.
class Positions {
public:
    Positions(const Index* data, Index size) noexcept : data_(data), size_(size) {}
    Positions(const std::vector<Index>& positions) noexcept  // NOLINT: conversion is its purpose
        : data_(positions.data()), size_(static_cast<Index>(positions.size())) {}
    Positions(const Eigen::Ref<const Eigen::Matrix<Index, Eigen::Dynamic, 1>>& positions) noexcept  // NOLINT
        : data_(positions.data()), size_(positions.size()) {}
    const Index* data() const noexcept { return data_; }
    Index size() const noexcept { return size_; }

private:
    const Index* data_;
    Index size_;
};

// Owns records, contiguously. It belongs to no quantizer until the first encode, and again after clear().
class Codes {
public:
    Codes() = default;
    Codes(const Codes& other) { *this = other; }
    Codes(Codes&& other) noexcept { swap(other); }
    Codes& operator=(const Codes& other) {
        if (this == &other) return *this;
        Codes copy;
        if (other.bytes() > 0)
            std::memcpy(copy.room(other.stride_, other.size_), other.data(), other.bytes());
        copy.commit(other.id_, other.stride_, other.size_);
        swap(copy);
        return *this;
    }
    Codes& operator=(Codes&& other) noexcept {
        swap(other);
        return *this;
    }
    ~Codes() = default;

    void swap(Codes& other) noexcept {
        std::swap(buffer_, other.buffer_);
        std::swap(capacity_, other.capacity_);
        std::swap(size_, other.size_);
        std::swap(stride_, other.stride_);
        std::swap(reserved_, other.reserved_);
        std::swap(id_, other.id_);
    }

    Index size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    // Zero before the first encode.
    Index dim() const noexcept { return id_.dim; }
    std::size_t bytes_per_vector() const noexcept { return stride_; }
    // Bytes of the records, size()·bytes_per_vector().
    std::size_t bytes() const noexcept { return static_cast<std::size_t>(size_) * stride_; }
    // Records that fit without another allocation.
    Index capacity() const noexcept {
        return stride_ == 0 ? reserved_ : static_cast<Index>(capacity_ / stride_);
    }
    const std::uint8_t* data() const noexcept { return buffer_.get(); }
    const CodecId& id() const noexcept { return id_; }
    std::uint64_t fingerprint() const noexcept { return id_.fingerprint(); }

    CodesView view() const noexcept { return CodesView(data(), size_, stride_, id_); }
    operator CodesView() const noexcept { return view(); }  // NOLINT: conversion is its purpose
    CodesView range(Index first, Index count) const { return view().range(first, count); }
    CodesView operator[](Index i) const { return view().range(i, 1); }

    // Room for n records in all. Before the first encode it takes effect then.
    void reserve(Index n) {
        reserved_ = std::max(reserved_, n);
        if (stride_ != 0) room(stride_, n);
    }

    // Forgets the records and the quantizer; keeps the memory.
    void clear() noexcept {
        size_ = 0;
        stride_ = 0;
        id_ = CodecId();
    }

    // Removes record i; those after it move up by one. Throws std::invalid_argument when there is none.
    void erase(Index i) {
        detail::check_range("Codes::erase", i, 1, size_);
        std::uint8_t* at = buffer_.get() + static_cast<std::size_t>(i) * stride_;
        std::memmove(at, at + stride_, static_cast<std::size_t>(size_ - i - 1) * stride_);
        --size_;
    }

    // For quantizers and loaders: memory for n records of `stride` bytes, of which those already here keep their place;
    // nothing else changes until commit() says what they are and that there are n.
    std::uint8_t* room(std::size_t stride, Index n) {
        const std::size_t wanted = static_cast<std::size_t>(n) * stride;
        if (wanted > capacity_)
            grow_bytes(
                std::max({wanted, bytes() + bytes() / 2, static_cast<std::size_t>(reserved_) * stride}));
        return buffer_.get();
    }
    void commit(const CodecId& id, std::size_t stride, Index n) noexcept {
        id_ = id;
        stride_ = stride;
        size_ = n;
    }

private:
    void grow_bytes(std::size_t wanted) {
        detail::AlignedBytes larger = detail::allocate_bytes(wanted);
        if (bytes() > 0) std::memcpy(larger.get(), buffer_.get(), bytes());
        buffer_ = std::move(larger);
        capacity_ = wanted;
    }

    detail::AlignedBytes buffer_;
    std::size_t capacity_ = 0;
    Index size_ = 0;
    std::size_t stride_ = 0;
    Index reserved_ = 0;
    CodecId id_;
};

TURBOQUANT_NAMESPACE_END
