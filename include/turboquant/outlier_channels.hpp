// Which channels of a SplitQuantizer are outliers: those that carry the most energy.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "turboquant/columns.hpp"
#include "turboquant/config.hpp"

TURBOQUANT_NAMESPACE_BEGIN

// The `count` channels (rows) of the sample whose mean square is largest, ascending: what SplitQuantizer takes. Equal ones: the
// lower channel. Throws std::invalid_argument unless 0 <= count <= rows, or when the sample is empty or not finite.
template <class X>
std::vector<Index> outlier_channels(const Eigen::MatrixBase<X>& sample, Index count) {
    const Eigen::MatrixXd x = sample.template cast<double>();
    if (count < 0 || count > x.rows() || x.cols() == 0)
        detail::throw_invalid_argument("outlier_channels: " + std::to_string(count) + " channels of a " +
                                       std::to_string(x.rows()) + " × " + std::to_string(x.cols()) +
                                       " sample were asked for");
    std::vector<double> energies(static_cast<std::size_t>(x.rows()));
    std::vector<Index> channels(energies.size());
    for (Index i = 0; i < x.rows(); ++i) {
        double sum = 0;
        for (Index j = 0; j < x.cols(); ++j) {
            if (!(x(i, j) - x(i, j) == 0)) detail::throw_not_finite("outlier_channels", "sample", j);
            sum += x(i, j) * x(i, j);
        }
        energies[static_cast<std::size_t>(i)] = sum;
        channels[static_cast<std::size_t>(i)] = i;
    }
    std::stable_sort(channels.begin(), channels.end(), [&](Index a, Index b) {
        return energies[static_cast<std::size_t>(a)] > energies[static_cast<std::size_t>(b)];
    });
    channels.resize(static_cast<std::size_t>(count));
    std::sort(channels.begin(), channels.end(), detail::Less());
    return channels;
}

namespace detail {

// Which channels go where: first the outliers, ascending, then the rest, ascending. Immutable, shared by copies.
struct ChannelSplit {
    std::vector<std::int32_t> order;
    Index outliers;
};

// Throws std::invalid_argument unless channels are within dim, differ, and leave some to either part.
inline std::shared_ptr<const ChannelSplit> make_channel_split(const char* where, Index dim,
                                                              const std::vector<Index>& outliers) {
    std::vector<char> taken(static_cast<std::size_t>(dim), 0);
    for (const Index channel : outliers) {
        if (channel < 0 || channel >= dim || taken[static_cast<std::size_t>(channel)] != 0)
            throw_invalid_argument(std::string(where) + ": outlier channel " + std::to_string(channel) +
                                   (channel < 0 || channel >= dim
                                        ? " is not one of 0 to " + std::to_string(dim - 1)
                                        : " is given twice"));
        taken[static_cast<std::size_t>(channel)] = 1;
    }
    const auto count = static_cast<Index>(outliers.size());
    if (count < 1 || count >= dim)
        throw_invalid_argument(std::string(where) + ": expected 1 to " + std::to_string(dim - 1) +
                               " outlier channels of " + std::to_string(dim) + ", but there are " +
                               std::to_string(count));
    auto split = std::make_shared<ChannelSplit>();
    split->outliers = count;
    for (const int part : {1, 0})
        for (Index i = 0; i < dim; ++i)
            if (taken[static_cast<std::size_t>(i)] == part)
                split->order.push_back(static_cast<std::int32_t>(i));
    return split;
}

}  // namespace detail
TURBOQUANT_NAMESPACE_END
