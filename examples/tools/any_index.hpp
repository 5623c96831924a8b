// A search index whose type is chosen at run time.
#pragma once

#include <memory>
#include <string>

#include <turboquant/flat_index.hpp>

namespace tools {

namespace tq = turboquant;
using tq::Index;

class AnyIndex {
public:
    AnyIndex() = default;
    AnyIndex(const AnyIndex&) = delete;
    AnyIndex& operator=(const AnyIndex&) = delete;
    virtual ~AnyIndex() = default;

    virtual int bits() const = 0;
    virtual Index dim() const = 0;
    virtual Index size() const = 0;
    virtual std::size_t bytes() const = 0;
    virtual tq::Metric metric() const = 0;
    virtual void set_threads(int threads) = 0;
    virtual void reserve(Index count) = 0;
    // Columns first … first + count − 1.
    virtual void add(const Eigen::MatrixXf& x, Index first, Index count) = 0;
    virtual tq::SearchResult search(const Eigen::MatrixXf& queries, Index first, Index count,
                                    Index k) const = 0;
    virtual void save(const std::string& path) const = 0;
};

// Where an index comes from: a saved one, mapped, or options for an empty one.
struct IndexSource {
    std::string path;
    Index dim = 0;
    tq::FlatIndexOptions options;
};

// Throws where there are no indexes of so many bits.
std::unique_ptr<AnyIndex> make_index(int bits, const IndexSource& source);

}  // namespace tools
