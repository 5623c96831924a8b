// A file as memory, read-only: what view_of_bytes (serialization.hpp) and FlatIndex::map look at.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>

#include "turboquant/config.hpp"
#include "turboquant/file_error.hpp"

#if TURBOQUANT_POSIX
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#else
#include <fstream>
#include <new>
#endif

TURBOQUANT_NAMESPACE_BEGIN

// Maps the file, so that its pages are read as they are touched, and shared by all processes that map it; on systems that
// are not POSIX it is read as a whole. The address is a multiple of 64, and stays where the object is moved.
//
// The file may be replaced meanwhile, as every save of this library does: the mapping keeps the old one. A program that
// changes or shortens it in place changes what is seen here; beyond a new end, reading ends the process (SIGBUS).
class MappedFile {
public:
    // Throws std::runtime_error, naming the path, when the file cannot be opened or mapped, or is not a regular file.
    explicit MappedFile(const std::string& path) : MappedFile(path, detail::quoted("MappedFile", path)) {}
    // The same; messages begin with `where`.
    MappedFile(const std::string& path, const std::string& where) {
#if TURBOQUANT_POSIX
        const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (descriptor < 0) fail(where, "cannot open it", errno);
        struct stat status;
        int error = ::fstat(descriptor, &status) == 0 ? 0 : errno;
        const bool regular = error == 0 && S_ISREG(status.st_mode);
        if (regular && status.st_size > 0) {
            size_ = static_cast<std::size_t>(status.st_size);
            void* const memory = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
            error = memory == MAP_FAILED ? errno : 0;
            data_ = error == 0 ? static_cast<const std::uint8_t*>(memory) : nullptr;
        }
        (void)::close(descriptor);
        if (error != 0) fail(where, "cannot map it", error);
        if (!regular) detail::throw_bad_file(where, "it is not a regular file");
#else
        errno = 0;
        std::ifstream file(path, std::ios::binary | std::ios::ate);
        if (!file) fail(where, "cannot open it", errno);
        size_ = static_cast<std::size_t>(file.tellg());
        if (size_ == 0) return;
        auto* const memory = static_cast<std::uint8_t*>(::operator new[](size_, std::align_val_t{64}));
        data_ = memory;
        file.seekg(0);
        if (!file.read(reinterpret_cast<char*>(memory), static_cast<std::streamsize>(size_))) {
            release();
            fail(where, "cannot read it", errno);
        }
#endif
    }
    MappedFile(MappedFile&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    MappedFile& operator=(MappedFile&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;
    ~MappedFile() { release(); }

    // nullptr for an empty file.
    const std::uint8_t* data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }

private:
    [[noreturn]] static void fail(const std::string& where, const char* what, int error) {
        detail::throw_bad_file(where, std::string(what) + ": " + std::system_category().message(error));
    }

    void release() noexcept {
        if (data_ == nullptr) return;
#if TURBOQUANT_POSIX
        (void)::munmap(const_cast<std::uint8_t*>(data_), size_);
#else
        ::operator delete[](const_cast<std::uint8_t*>(data_), std::align_val_t{64});
#endif
        data_ = nullptr;
    }

    const std::uint8_t* data_ = nullptr;
    std::size_t size_ = 0;
};

TURBOQUANT_NAMESPACE_END
