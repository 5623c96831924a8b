// Eigen under another name: the same templates compiled for two instruction sets would be one symbol, and the linker
// would keep either, so that the rest of the program could end up running (or aligning for) this file's instructions.
#define Eigen EigenNative
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wuninitialized"  // both from g++ 12's own _mm512_undefined_ps()
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include "eigen_baseline.hpp"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include <Eigen/Core>

namespace eigen_baseline {

void dense_rotation(const float* matrix, const float* x, float* out, std::ptrdiff_t dim,
                    std::ptrdiff_t count) {
    using Matrix = EigenNative::MatrixXf;
    const EigenNative::Map<const Matrix> rotation(matrix, dim, dim), columns(x, dim, count);
    EigenNative::Map<Matrix>(out, dim, count).noalias() = rotation * columns;
}

namespace {

using Matrix = EigenNative::MatrixXf;
using Entry = std::pair<float, std::int64_t>;
bool better(const Entry& a, const Entry& b) {
    return a.first > b.first || (a.first == b.first && a.second < b.second);
}

// A heap of the best, the worst of them in front.
struct Best {
    std::vector<Entry> entries;
    std::size_t k;
    void offer(float score, std::int64_t id) {
        if (entries.size() == k) {
            if (!better({score, id}, entries.front())) return;
            std::pop_heap(entries.begin(), entries.end(), better);
            entries.pop_back();
        }
        entries.emplace_back(score, id);
        std::push_heap(entries.begin(), entries.end(), better);
    }
    float threshold() const {
        return entries.size() < k ? -std::numeric_limits<float>::infinity() : entries.front().first;
    }
};

// load(first, some): columns first … first + some − 1 as a float expression with memory.
template <class Load>
void search(Load&& load, std::ptrdiff_t dim, std::ptrdiff_t count, const float* queries,
            std::ptrdiff_t query_count, std::ptrdiff_t k, float* scores, std::int64_t* ids) {
    constexpr std::ptrdiff_t kTile = 1024, kStep = 64;
    const EigenNative::Map<const Matrix> q(queries, dim, query_count);
    std::vector<Best> best(static_cast<std::size_t>(query_count), Best{{}, static_cast<std::size_t>(k)});
    Matrix tile(kTile, query_count);
    for (std::ptrdiff_t first = 0; first < count; first += kTile) {
        const std::ptrdiff_t some = std::min(kTile, count - first);
        if (query_count == 1)
            tile.col(0).head(some).noalias() = load(first, some).transpose() * q.col(0);
        else
            tile.topRows(some).noalias() = load(first, some).transpose() * q;
        for (std::ptrdiff_t j = 0; j < query_count; ++j) {
            Best& one = best[static_cast<std::size_t>(j)];
            for (std::ptrdiff_t i = 0; i < some; i += kStep) {
                const std::ptrdiff_t end = std::min(some, i + kStep);
                if (tile.col(j).segment(i, end - i).maxCoeff() < one.threshold()) continue;
                for (std::ptrdiff_t v = i; v < end; ++v) one.offer(tile(v, j), first + v);
            }
        }
    }
    for (std::ptrdiff_t j = 0; j < query_count; ++j) {
        auto& entries = best[static_cast<std::size_t>(j)].entries;
        std::sort(entries.begin(), entries.end(), better);
        for (std::size_t i = 0; i < entries.size(); ++i) {
            scores[j * k + static_cast<std::ptrdiff_t>(i)] = entries[i].first;
            ids[j * k + static_cast<std::ptrdiff_t>(i)] = entries[i].second;
        }
    }
}

}  // namespace

void search_float32(const float* vectors, std::ptrdiff_t dim, std::ptrdiff_t count, const float* queries,
                    std::ptrdiff_t query_count, std::ptrdiff_t k, float* scores, std::int64_t* ids) {
    const EigenNative::Map<const Matrix> x(vectors, dim, count);
    search([&](std::ptrdiff_t first, std::ptrdiff_t some) { return x.middleCols(first, some); }, dim, count,
           queries, query_count, k, scores, ids);
}

void search_fp16(const std::uint16_t* vectors, std::ptrdiff_t dim, std::ptrdiff_t count, const float* queries,
                 std::ptrdiff_t query_count, std::ptrdiff_t k, float* scores, std::int64_t* ids) {
    using Half = EigenNative::Matrix<EigenNative::half, EigenNative::Dynamic, EigenNative::Dynamic>;
    const EigenNative::Map<const Half> x(reinterpret_cast<const EigenNative::half*>(vectors), dim, count);
    Matrix wide(dim, 1024);
    search(
        [&](std::ptrdiff_t first, std::ptrdiff_t some) {
            wide.leftCols(some) = x.middleCols(first, some).cast<float>();
            return wide.leftCols(some);
        },
        dim, count, queries, query_count, k, scores, ids);
}

const char* target() noexcept {
#if defined(TURBOQUANT_BENCH_NATIVE)
    return "native";
#else
    return "default";
#endif
}

}  // namespace eigen_baseline
