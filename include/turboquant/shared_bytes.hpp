// Memory that copies share until one of them writes: the blocks and the exact tokens of a KvCache.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

#include "turboquant/config.hpp"

TURBOQUANT_NAMESPACE_BEGIN
namespace detail {

// Asks for memory that is read soon. Blocks lie anywhere, so that the processor does not foresee the next one: at 256k tokens
// this halves the time of attend (Zen 5).
inline void prefetch(const std::uint8_t* data, std::size_t size) noexcept {
#if defined(__GNUC__) || defined(__clang__)
    for (std::size_t at = 0; at < size; at += 64) __builtin_prefetch(data + at);
#else
    (void)data, (void)size;
#endif
}

// A reference-counted pointer to `size` bytes at an address that is a multiple of 64; the count lies behind them. Counting is
// safe between threads that hold copies of their own.
class SharedBytes {
public:
    SharedBytes() = default;
    explicit SharedBytes(std::size_t size, bool zeroed = true)
        : data_(static_cast<std::uint8_t*>(::operator new[](allocated(size), kAlignment))), size_(size) {
        new (data_ + owners_at(size)) Owners{1};
        if (zeroed) std::memset(data_, 0, size);
    }
    SharedBytes(const SharedBytes& other) noexcept : data_(other.data_), size_(other.size_) {
        if (data_ != nullptr) owners().fetch_add(1, std::memory_order_relaxed);
    }
    SharedBytes(SharedBytes&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    SharedBytes& operator=(SharedBytes other) noexcept {
        swap(other);
        return *this;
    }
    ~SharedBytes() {
        if (data_ == nullptr || owners().fetch_sub(1, std::memory_order_acq_rel) != 1) return;
        owners().~Owners();
        ::operator delete[](static_cast<void*>(data_), kAlignment);
    }

    std::size_t size() const noexcept { return size_; }
    // What the allocation takes.
    std::size_t bytes() const noexcept { return data_ == nullptr ? 0 : allocated(size_); }
    const std::uint8_t* data() const noexcept { return data_; }
    std::uint8_t* data() noexcept { return data_; }

    // Before writing: a copy of its own where others look at the memory too.
    void make_unique() {
        if (data_ == nullptr || owners().load(std::memory_order_acquire) == 1) return;
        SharedBytes copy(size_, /*zeroed=*/false);
        std::memcpy(copy.data_, data_, size_);
        swap(copy);
    }

private:
    using Owners = std::atomic<std::size_t>;
    static constexpr std::align_val_t kAlignment{64};

    static std::size_t owners_at(std::size_t size) noexcept {
        return (size + alignof(Owners) - 1) / alignof(Owners) * alignof(Owners);
    }
    static std::size_t allocated(std::size_t size) noexcept { return owners_at(size) + sizeof(Owners); }
    Owners& owners() const noexcept {
        return *std::launder(reinterpret_cast<Owners*>(data_ + owners_at(size_)));
    }
    void swap(SharedBytes& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
    }

    std::uint8_t* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace detail
TURBOQUANT_NAMESPACE_END
