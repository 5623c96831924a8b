// Half of a program whose translation units are compiled for different machines (cmake/check_old_cpus.sh): PART names the
// function that this one defines. Of Eigen it uses nothing but Map, as programs that keep their data in memory of their own.
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <vector>

#include <turboquant/turboquant.hpp>

namespace tq = turboquant;

namespace {

using Matrix = Eigen::Map<const Eigen::MatrixXf>;

constexpr int kDim = 72, kCount = 1100;

class Digest {
public:
    void add(const void* data, std::size_t bytes) {
        const auto* p = static_cast<const unsigned char*>(data);
        for (std::size_t i = 0; i < bytes; ++i) hash_ = (hash_ ^ p[i]) * 0x100000001b3u;
    }
    std::uint64_t value() const { return hash_; }

private:
    std::uint64_t hash_ = 0xcbf29ce484222325u;
};

// Codes, and what their decoder gives.
template <class Quantizer>
void add_codes(const Quantizer& quantizer, const Matrix& x, Digest& digest) {
    const tq::Codes codes = quantizer.encode(x);
    std::vector<float> decoded(static_cast<std::size_t>(kDim) * kCount);
    quantizer.decode(codes, Eigen::Map<Eigen::MatrixXf>(decoded.data(), kDim, kCount));
    digest.add(codes.data(), codes.bytes());
    digest.add(decoded.data(), decoded.size() * sizeof(float));
    std::ostringstream file;
    tq::save(file, quantizer, codes);
    std::istringstream is(file.str());
    const auto loaded = tq::load<Quantizer>(is);
    digest.add(loaded.codes.data(), loaded.codes.bytes());
}

[[maybe_unused]] void add_search(const Matrix& x, Digest& digest) {
    tq::FlatIndexOptions options;
    options.metric = tq::Metric::cosine;
    tq::FlatIndex<kDim, 4> index(options);
    index.add(x);
    index.remove({3, 700});
    std::stringstream file;
    index.save(file);
    tq::FlatIndex<kDim, 4> loaded = tq::FlatIndex<kDim, 4>::load(file);
    tq::SearchResult hits;
    loaded.search(Matrix(x.data(), kDim, 5), 10, hits);
    digest.add(hits.ids.data(), sizeof(std::int64_t) * 50);
    digest.add(hits.scores.data(), sizeof(float) * 50);
}

// The bytes of the cache; attention itself differs between targets in its last bits.
void add_attention(const Matrix& x, Digest& digest) {
    tq::KvCache<kDim, 4, 3> cache;
    cache.append(x, x);
    std::ostringstream file;
    cache.save(file);
    digest.add(file.str().data(), file.str().size());
    std::vector<float> out(kDim);
    cache.attend(Matrix(x.data(), kDim, 1), Eigen::Map<Eigen::MatrixXf>(out.data(), kDim, 1));
    for (float value : out)
        if (!(value > -10.0f && value < 10.0f)) std::abort();
}

}  // namespace

std::uint64_t PART() {
    std::vector<float> data(static_cast<std::size_t>(kDim) * kCount);
    std::uint32_t state = 1;
    for (float& value : data) {
        state = state * 1664525u + 1013904223u;
        value = static_cast<float>(static_cast<int>(state >> 16) - 32768) * 0x1p-15f;
    }
    const Matrix x(data.data(), kDim, kCount);
    Digest digest;
    add_codes(tq::MseQuantizer<kDim, 4>(7), x, digest);
    add_codes(tq::TurboQuantizer<kDim, 3>(7), x, digest);
#ifdef SEARCH  // an index holds Eigen matrices
    add_search(x, digest);
#endif
    add_attention(x, digest);
    return digest.value();
}
