// What several tests share: reproducible vectors, the message of an exception, a target for the length of a scope.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <Eigen/Core>
#include <gtest/gtest.h>

#include "turboquant/turboquant.hpp"

namespace test_vectors {

using turboquant::Codes;
using turboquant::CodesView;
using turboquant::Index;

// Independent N(0, 1) entries. Seeds are offset so that no test vector shares its bits with a quantizer's tables.
inline Eigen::MatrixXf gaussian(Index rows, Index cols, std::uint64_t seed) {
    std::vector<double> deviates(static_cast<std::size_t>(rows * cols));
    turboquant::detail::fill_standard_normal(
        turboquant::RandomBits(seed + 0x7e57000000000000u, turboquant::RandomStream::rotation),
        deviates.data(), deviates.size());
    return Eigen::Map<const Eigen::MatrixXd>(deviates.data(), rows, cols).cast<float>();
}

// The message of the std::invalid_argument that `call` throws; empty when it throws nothing.
template <class Call>
std::string message_of(Call&& call) {
    try {
        call();
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return {};
}

// Whether a message holds all these parts.
using Parts = std::vector<std::string>;
inline testing::AssertionResult mentions(const std::string& message, const Parts& parts) {
    for (const std::string& part : parts)
        if (message.find(part) == std::string::npos)
            return testing::AssertionFailure() << "'" << message << "' lacks '" << part << "'";
    return testing::AssertionSuccess();
}

inline std::vector<std::uint8_t> bytes_of(const CodesView& codes) {
    return codes.empty() ? std::vector<std::uint8_t>()
                         : std::vector<std::uint8_t>(codes.data(), codes.data() + codes.bytes());
}

// Forces a target and restores the one before.
class ScopedTarget {
public:
    explicit ScopedTarget(turboquant::Target target) : saved_(turboquant::active_target()) {
        turboquant::set_target(target);
    }
    ~ScopedTarget() { turboquant::set_target(saved_); }
    ScopedTarget(const ScopedTarget&) = delete;
    ScopedTarget& operator=(const ScopedTarget&) = delete;

private:
    turboquant::Target saved_;
};

}  // namespace test_vectors
