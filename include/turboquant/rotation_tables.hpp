// The tables of random orthogonal matrices: how they are made and shared. What they mean is said in rotation.hpp.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "turboquant/config.hpp"
#include "turboquant/haar_matrix.hpp"
#include "turboquant/random.hpp"
#include "turboquant/simd/dispatch.hpp"
#include "turboquant/simd/plan.hpp"

TURBOQUANT_NAMESPACE_BEGIN

enum class RotationKind : int { hadamard, haar };

namespace detail {

// The tables of one rotation, shared by copies and by rotations of equal seeds.
struct RotationTables {
    simd::RotationPlan plan;
    std::unique_ptr<float[]> floats;  // factors, or the matrix and its transpose
    std::vector<std::int32_t> order;
    std::size_t bytes = 0;

    // `count` floats, not initialised, on a boundary of 64 bytes: vectors that cross one take twice as long to load.
    float* make_floats(std::size_t count) {
        floats.reset(new float[count + 15]);
        bytes = (count + 15) * sizeof(float);
        const auto address = reinterpret_cast<std::uintptr_t>(floats.get());
        return floats.get() + (64 - address % 64) % 64 / sizeof(float);
    }
};

// Π as a dense matrix, column j from dense[j·dim].
inline void fill_dense_tables(RotationTables& tables, const std::vector<float>& dense) {
    const std::ptrdiff_t dim = tables.plan.dim, stride = simd::padded(dim);
    float* matrix = tables.make_floats(static_cast<std::size_t>(2 * dim * stride));
    float* transpose = matrix + dim * stride;
    std::memset(matrix, 0, static_cast<std::size_t>(2 * dim * stride) * sizeof(float));
    for (std::ptrdiff_t j = 0; j < dim; ++j) {
        for (std::ptrdiff_t i = 0; i < dim; ++i) {
            const float value = dense[static_cast<std::size_t>(j * dim + i)];
            matrix[j * stride + i] = value;
            transpose[i * stride + j] = value;
        }
    }
    tables.plan.matrix = matrix;
    tables.plan.transpose = transpose;
}

// Random signs, drawn from a stream in order.
class SignStream {
public:
    explicit SignStream(const RandomBits& bits) noexcept : bits_(bits) {}

    // Count copies of ±magnitude, a multiple of 16 of them; returns where they end. What is left of the last word of bits
    // is dropped. Four at a time, since engines construct quantizers by the hundred.
    float* fill(float magnitude, int count, float* out) noexcept {
        float quads[16][4];
        for (unsigned pattern = 0; pattern < 16; ++pattern)
            for (unsigned k = 0; k < 4; ++k)
                quads[pattern][k] = (pattern >> k & 1u) != 0 ? -magnitude : magnitude;
        for (int i = 0; i < count; i += 64) {
            std::uint64_t signs = bits_.word(next_++);
            float* const end = out + (count - i < 64 ? count - i : 64);
            for (; out != end; out += 4, signs >>= 4) std::memcpy(out, quads[signs & 15u], sizeof(quads[0]));
        }
        return out;
    }

private:
    RandomBits bits_;
    std::uint64_t next_ = 0;
};

// Where round `round` takes its n registers of 16 coordinates from: those at odd places first, then those at even ones,
// backwards in odd rounds. The d − 16n coordinates that make no register (the tail) lie before them, and come last: thus
// the registers' boundaries shift from round to round.
//
// Among the orders tried (random ones, strides, shuffles), this spreads the energy of the worst single coordinate most
// evenly: its expectation varies by less than 6 % (root mean square over coordinates) for every d.
inline void fill_order(int registers, int tail, int round, std::int32_t* order) {
    const int n = registers, odd = n / 2;
    for (int i = 0; i < n; ++i) {
        const int place = (round & 1) ? n - 1 - i : i;
        order[i] = tail + 16 * (place < odd ? 2 * place + 1 : 2 * (place - odd));
    }
}

inline void fill_structured_tables(RotationTables& tables, std::uint64_t seed, RandomStream stream) {
    simd::RotationPlan& plan = tables.plan;
    const int n = plan.registers = plan.dim / 16;
    const int window = plan.window = simd::window_of(n);
    const double root = std::sqrt(16.0 * window);
    plan.growth = root * root * root;

    const auto rounds = static_cast<std::size_t>(simd::kRounds);
    tables.order.resize(static_cast<std::size_t>(n) * (rounds + 1));
    plan.order = tables.order.data();
    // In their own order where there is but one window, and after all rounds.
    for (std::size_t i = 0; i < tables.order.size(); ++i)
        tables.order[i] = 16 * static_cast<std::int32_t>(i % static_cast<std::size_t>(n));

    const int ones = plan.plain() || !plan.aligned() ? 16 * window : 0;
    float* factors = tables.make_floats(static_cast<std::size_t>(plan.factors_per_round()) * rounds +
                                        static_cast<std::size_t>(ones));
    plan.factors = factors;
    const auto one = [](float* out, int count) {
        for (int i = 0; i < count; ++i) out[i] = 1.0f;
        return out + count;
    };
    SignStream signs(RandomBits(seed, stream));
    for (int round = 0; round < simd::kRounds; ++round) {
        if (!plan.plain()) fill_order(n, plan.tail(), round, tables.order.data() + n * round);
        factors = signs.fill(1.0f, 16 * window, factors);
        if (!plan.aligned()) {
            float* const last = factors;
            factors = signs.fill(1.0f, 16 * window, factors);
            for (int i = 0; i < 32 * window - plan.dim; ++i) last[i] *= static_cast<float>(1.0 / root);
        } else if (window < n) {
            const double groups = std::sqrt(static_cast<double>(window));
            factors = signs.fill(static_cast<float>(groups), 16 * (n - window), factors);
            factors = one(factors, 16 * (n - window));
            factors = signs.fill(static_cast<float>(1.0 / groups), 16 * window, factors);
        }
    }
    one(factors, ones);
}

// Tables by what they follow from, so that equal rotations share memory and are made once: an engine has a quantizer for
// each layer and head, often of one seed. The most recent small ones are kept; larger ones as long as somebody has them.
class RotationCache {
public:
    struct Key {
        RotationKind kind;
        RandomStream stream;
        int dim;
        std::uint64_t seed;
        bool operator==(const Key& other) const noexcept {
            return kind == other.kind && stream == other.stream && dim == other.dim && seed == other.seed;
        }
    };
    using Tables = std::shared_ptr<const RotationTables>;

    // Safe from many threads.
    template <class Make>
    static Tables get(const Key& key, Make&& make) {
        // Never destroyed: quantizers with static storage may outlive any static object of ours.
        static RotationCache& cache = *new RotationCache;
        if (Tables found = cache.find(key)) return found;
        auto tables = std::make_shared<RotationTables>();  // made while others may look up
        tables->plan.dim = key.dim;
        {
            const simd::FloatingPointGuard guard;
            make(*tables);
        }
        cache.add(key, tables);
        return tables;
    }

private:
    static constexpr std::size_t kEntries = 32;
    static constexpr std::size_t kKeptBytes = 128 * 1024;  // an entry; 4 MiB altogether
    struct Entry {
        Key key{};
        std::weak_ptr<const RotationTables> tables;
        Tables kept;
    };

    Tables find(const Key& key) {
        const std::lock_guard<std::mutex> lock(mutex_);
        for (const Entry& entry : entries_)
            if (entry.key == key)
                if (Tables tables = entry.tables.lock()) return tables;
        return nullptr;
    }

    void add(const Key& key, const Tables& tables) {
        Entry entry{key, tables, tables->bytes <= kKeptBytes ? tables : nullptr};
        const std::lock_guard<std::mutex> lock(mutex_);
        std::swap(entries_[next_], entry);  // what was there is freed after the lock
        next_ = (next_ + 1) % kEntries;
    }

    std::mutex mutex_;
    std::array<Entry, kEntries> entries_;
    std::size_t next_ = 0;
};

inline std::shared_ptr<const RotationTables> make_rotation_tables(RotationKind kind, int dim,
                                                                  std::uint64_t seed, RandomStream stream) {
    return RotationCache::get({kind, stream, dim, seed}, [&](RotationTables& tables) {
        if (kind == RotationKind::haar || !simd::structured(dim))
            fill_dense_tables(tables, haar_matrix(seed, dim, stream));
        else
            fill_structured_tables(tables, seed, stream);
    });
}

// i.i.d. N(0, 1) entries, the sketch of QJL.
inline std::shared_ptr<const RotationTables> make_gaussian_tables(int dim, std::uint64_t seed) {
    const RandomStream stream = RandomStream::gaussian_sketch;
    return RotationCache::get({RotationKind::haar, stream, dim, seed}, [&](RotationTables& tables) {
        const std::size_t count = static_cast<std::size_t>(dim) * unsigned(dim);
        std::vector<double> normal(count);
        fill_standard_normal(RandomBits(seed, stream), normal.data(), count);
        fill_dense_tables(tables, std::vector<float>(normal.begin(), normal.end()));
    });
}

}  // namespace detail

TURBOQUANT_NAMESPACE_END
