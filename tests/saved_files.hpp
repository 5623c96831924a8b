// What the tests of saved codes share: arbitrary codes, their files as strings, pipes, and directories of their own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "turboquant/serialization.hpp"

namespace saved_files {

namespace tq = turboquant;
namespace fs = std::filesystem;

using Turbo = tq::TurboQuantizer<16, 4>;
using Mse = tq::MseQuantizer<tq::Dynamic, 3>;

// Codes of n arbitrary records.
template <class Quantizer>
tq::Codes arbitrary_codes(const Quantizer& quantizer, tq::Index n) {
    tq::Codes codes;
    std::uint8_t* bytes = codes.room(quantizer.bytes_per_vector(), n);
    codes.commit(quantizer.id(), quantizer.bytes_per_vector(), n);
    const tq::RandomBits random(11, tq::RandomStream::rotation);
    for (std::size_t i = 0; i < codes.bytes(); ++i) bytes[i] = static_cast<std::uint8_t>(random.word(i));
    return codes;
}

template <class Quantizer>
std::string saved(const Quantizer& quantizer, tq::CodesView codes) {
    std::ostringstream os;
    tq::save(os, quantizer, codes);
    return os.str();
}

// Of an index or a cache.
template <class Container>
std::string saved(const Container& container) {
    std::ostringstream os;
    container.save(os);
    return os.str();
}

template <class Quantizer>
tq::Loaded<Quantizer> loaded(const std::string& file) {
    std::istringstream is(file);
    return tq::load<Quantizer>(is);
}

inline void expect_equal(const tq::CodesView& a, const tq::CodesView& b) {
    EXPECT_EQ(a.id(), b.id());
    ASSERT_EQ(a.size(), b.size());
    ASSERT_EQ(a.bytes_per_vector(), b.bytes_per_vector());
    if (a.bytes() > 0) {
        EXPECT_EQ(std::memcmp(a.data(), b.data(), a.bytes()), 0);
    }
}

// The message of the Exception that the call throws, or what it did instead.
template <class Exception = std::runtime_error, class Call>
std::string message_of(Call&& call) {
    try {
        call();
    } catch (const Exception& error) {
        return error.what();
    } catch (const std::exception& error) {
        return std::string("another exception: ") + error.what();
    }
    return "nothing was thrown";
}

inline void expect_contains(const std::string& message, const std::string& part) {
    EXPECT_NE(message.find(part), std::string::npos) << message << "\nlacks: " << part;
}

// A stream that cannot seek and does not know its length, like a pipe; it hands out `step` bytes at a time.
class Pipe : public std::streambuf {
public:
    explicit Pipe(std::string bytes, std::size_t step = 1000) : bytes_(std::move(bytes)), step_(step) {}

protected:
    int_type underflow() override {
        const std::size_t size = std::min(step_, bytes_.size() - at_);
        if (size == 0) return traits_type::eof();
        setg(&bytes_[at_], &bytes_[at_], &bytes_[at_] + size);
        at_ += size;
        return traits_type::to_int_type(*gptr());
    }

private:
    std::string bytes_;
    std::size_t at_ = 0, step_;
};

template <class Quantizer>
tq::Loaded<Quantizer> loaded_from_pipe(const std::string& file) {
    Pipe pipe(file);
    std::istream is(&pipe);
    return tq::load<Quantizer>(is);
}

// Stream, pipe and memory must all refuse the file, each with a message of ours.
template <class Quantizer>
bool refused(const std::string& file) {
    const std::string messages[] = {
        message_of([&] { loaded<Quantizer>(file); }), message_of([&] { loaded_from_pipe<Quantizer>(file); }),
        message_of([&] { tq::view_of_bytes<Quantizer>(file.data(), file.size()); })};
    for (const std::string& message : messages)
        if (message.rfind("turboquant: ", 0) != 0) return false;
    return true;
}

inline void put(std::string& file, std::size_t at, int bytes, std::uint64_t value) {
    tq::detail::put(reinterpret_cast<std::uint8_t*>(&file[at]), bytes, value);
}
inline std::uint64_t get(const std::string& file, std::size_t at, int bytes) {
    return tq::detail::get(reinterpret_cast<const std::uint8_t*>(&file[at]), bytes);
}
inline void repair_header(std::string& file) { put(file, 120, 8, tq::detail::crc64(file.data(), 120)); }
// Of codes and caches whose payload fits one block of 65536 bytes: its checksum, then the table's.
inline void repair_payload(std::string& file) {
    const std::size_t payload = 128, size = get(file, 56, 8), table = payload + size;
    put(file, table, 8, tq::detail::crc64(file.data() + payload, size));
    put(file, table + 8, 8, tq::detail::crc64(file.data() + table, 8, get(file, 120, 8)));
}

// A directory of this process, removed with all that is in it.
class Directory {
public:
    Directory() {
        std::string name = (fs::temp_directory_path() / "turboquant_serialization_").string();
        for (int i = 0; !fs::create_directory(path_ = name + std::to_string(i)); ++i) {
        }
    }
    ~Directory() { fs::remove_all(path_); }
    fs::path operator/(const char* name) const { return path_ / name; }
    std::ptrdiff_t entries() const {
        return std::distance(fs::directory_iterator(path_), fs::directory_iterator());
    }

private:
    fs::path path_;
};

inline std::string content_of(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream os;
    os << file.rdbuf();
    return os.str();
}

}  // namespace saved_files
