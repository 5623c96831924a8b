// Saving into a file that stands there: a crash or a failure leaves the old one.
#pragma once

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <ostream>
#include <string>
#include <system_error>
#include <utility>

#include "turboquant/config.hpp"
#include "turboquant/file_error.hpp"

#if TURBOQUANT_POSIX
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

TURBOQUANT_NAMESPACE_BEGIN
namespace detail {

// A file that takes its final name only when it is complete: until then, and whatever fails, what stood there stays.
class ReplacementFile {
public:
    // Creates the temporary file, beside the target: renaming is atomic within one file system only. A symbolic link is
    // followed. Throws std::runtime_error when it cannot, or when the target is a directory or a device.
    ReplacementFile(std::string where, const std::string& path) : where_(std::move(where)), target_(path) {
        find_target();
        for (int attempt = 0; temporary_.empty(); ++attempt) create(attempt);
        stream_.open(temporary_, std::ios::binary | std::ios::out | std::ios::trunc);
        if (!stream_) fail("cannot open the temporary file", errno);
    }
    ReplacementFile(const ReplacementFile&) = delete;
    ReplacementFile& operator=(const ReplacementFile&) = delete;
    ~ReplacementFile() { discard(); }

    std::ostream& stream() noexcept { return stream_; }

    // Flushes, synchronizes with the disk and renames.
    void commit() {
        errno = 0;
        stream_.close();
        if (!stream_) fail("cannot write", errno);
        synchronize();
        if (!rename()) fail("cannot rename the temporary file", errno);
        temporary_.clear();
        synchronize_directory();
    }

    // Removes the temporary file, then throws.
    [[noreturn]] void fail(const std::string& what, int error) {
        discard();
        throw_bad_file(where_,
                       what + (error != 0 ? ": " + std::system_category().message(error) : std::string()));
    }

private:
    void find_target() {
#if TURBOQUANT_POSIX
        struct stat status;
        if (::lstat(target_.c_str(), &status) == 0 && S_ISLNK(status.st_mode))
            if (char* real = ::realpath(target_.c_str(), nullptr); real != nullptr) {
                target_ = real;
                std::free(real);
            }
        if (::stat(target_.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
            throw_bad_file(where_, "it is not a regular file");
#endif
    }

    // Where the target's own name begins.
    std::size_t name() const { return target_.find_last_of(TURBOQUANT_POSIX ? "/" : "/\\:") + 1; }

    std::string directory() const {
        if (name() == 0) return ".";
        const std::size_t last = target_.find_last_not_of('/', name() - 1);
        return last == std::string::npos ? "/" : target_.substr(0, last + 1);
    }

    // Sets temporary_, or leaves it empty when the name is taken.
    void create(int attempt) {
        const std::string number = std::to_string(attempt) + ".tmp";
#if TURBOQUANT_POSIX
        std::string path =
            target_.substr(0, name()) + ".turboquant-" + std::to_string(::getpid()) + "-" + number;
        descriptor_ = ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
        if (descriptor_ >= 0)
            temporary_ = std::move(path);
        else if (errno != EEXIST || attempt == 1000)
            fail("cannot create a file in \"" + directory() + "\"", errno);
#else
        std::string path = target_.substr(0, name()) + "turboquant-" + number;
        if (!std::ifstream(path)) temporary_ = std::move(path);
#endif
    }

    // False, and errno says why, when it fails.
    bool rename() const {
        if (std::rename(temporary_.c_str(), target_.c_str()) == 0) return true;
#if !TURBOQUANT_POSIX
        // Elsewhere a taken name may be an error: the old file steps aside, and back when that did not help.
        const std::string old = temporary_ + ".old";
        if (!std::fstream(target_, std::ios::in | std::ios::out)) return false;
        if (std::rename(target_.c_str(), old.c_str()) != 0) return false;
        const bool renamed = std::rename(temporary_.c_str(), target_.c_str()) == 0;
        (void)(renamed ? std::remove(old.c_str()) : std::rename(old.c_str(), target_.c_str()));
        return renamed;
#else
        return false;
#endif
    }

    void synchronize() {
#if TURBOQUANT_POSIX
        struct stat old, now;
        if (::stat(target_.c_str(), &old) == 0 && ::fstat(descriptor_, &now) == 0 &&
            old.st_mode != now.st_mode && ::fchmod(descriptor_, old.st_mode & 0777) != 0)
            fail("cannot keep the permissions", errno);
        if (::fsync(descriptor_) != 0) fail("cannot write to the disk", errno);
#endif
    }

    // So that the new name survives a crash too. Some file systems cannot; the file is whole all the same.
    void synchronize_directory() const {
#if TURBOQUANT_POSIX
        const int descriptor = ::open(directory().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (descriptor < 0) return;
        (void)::fsync(descriptor);
        (void)::close(descriptor);
#endif
    }

    void discard() noexcept {
#if TURBOQUANT_POSIX
        if (descriptor_ >= 0) (void)::close(descriptor_);
        descriptor_ = -1;
#else
        stream_.close();  // open files cannot be removed everywhere
#endif
        if (!temporary_.empty()) (void)std::remove(temporary_.c_str());
        temporary_.clear();
    }

    std::string where_, target_, temporary_;
    std::ofstream stream_;
    int descriptor_ = -1;
};

}  // namespace detail
TURBOQUANT_NAMESPACE_END
