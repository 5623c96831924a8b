// Memory for records and blocks: at multiples of 64 bytes; much of it at once on huge pages.
//
// The first touch of a page costs more than encoding what it takes: .1 to .3 µs for 4 KiB, in a virtual machine 5 to 12. A huge
// page is 512 of them at once. Linux gives them to who asks (transparent_hugepage: madvise, or always).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include "turboquant/config.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#endif

TURBOQUANT_NAMESPACE_BEGIN
namespace detail {

inline constexpr std::size_t kPage = 4096, kHugePage = std::size_t{1} << 21;

struct AlignedDelete {
    void operator()(std::uint8_t* p) const noexcept { ::operator delete[](p, std::align_val_t{64}); }
};
using AlignedBytes = std::unique_ptr<std::uint8_t[], AlignedDelete>;

// Not initialised. Throws std::bad_alloc.
inline AlignedBytes allocate_bytes(std::size_t size) {
    AlignedBytes bytes(static_cast<std::uint8_t*>(::operator new[](size, std::align_val_t{64})));
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (size >= kHugePage) {  // a hint: what cannot be had is had in small pages
        std::uint8_t* const first = bytes.get() - reinterpret_cast<std::uintptr_t>(bytes.get()) % kPage;
        (void)::madvise(first, size / kPage * kPage, MADV_HUGEPAGE);
    }
#endif
    return bytes;
}

}  // namespace detail
TURBOQUANT_NAMESPACE_END
