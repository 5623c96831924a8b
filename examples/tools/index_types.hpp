// The library's indexes behind AnyIndex.
#pragma once

#include <string>
#include <utility>

#include "any_index.hpp"

namespace tools {

template <class Quantizer>
class IndexHolder final : public AnyIndex {
    using FlatIndex = tq::BasicFlatIndex<Quantizer>;

public:
    explicit IndexHolder(const IndexSource& source)
        : index_(source.path.empty() ? FlatIndex(source.dim, source.options) : FlatIndex::map(source.path)) {}

    int bits() const override { return Quantizer::kBits; }
    Index dim() const override { return index_.dim(); }
    Index size() const override { return index_.size(); }
    std::size_t bytes() const override { return index_.bytes(); }
    tq::Metric metric() const override { return index_.options().metric; }
    void set_threads(int threads) override { index_.set_threads(threads); }
    void reserve(Index count) override { index_.reserve(count); }
    void add(const Eigen::MatrixXf& x, Index first, Index count) override {
        index_.add(x.middleCols(first, count));
    }
    tq::SearchResult search(const Eigen::MatrixXf& queries, Index first, Index count,
                            Index k) const override {
        return index_.search(queries.middleCols(first, count), k);
    }
    void save(const std::string& path) const override { index_.save(path); }

private:
    FlatIndex index_;
};

}  // namespace tools
