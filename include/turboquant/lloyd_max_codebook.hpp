// The optimal scalar codebook for one coordinate of a uniformly random unit vector in R^d.
//
// A coordinate X of such a vector has the density f(x) ∝ (1 - x²)^((d-3)/2) on [-1, 1] (TurboQuant, arXiv
// 2504.19874, Lemma 1), close to N(0, 1/d) for large d. The 2^b centroids c_i and the thresholds t_i between
// them satisfy the conditions of Lloyd (1957) and Max (1960),
//
//     t_i = (c_i + c_{i+1}) / 2,      c_i = E[X | t_{i-1} < X < t_i],
//
// which minimise d·E[(X - Q(X))²], the expected squared error of a unit vector. They are solved for the exact
// law of each d, not for its Gaussian limit: by Newton's method on Gauss-Legendre integrals, in a fixed order
// of correctly rounded operations, so that every machine finds the same bits. Entries are cached for the life
// of the process.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <mutex>
#include <string>
#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include "turboquant/config.hpp"
#include "turboquant/random.hpp"
#include "turboquant/simd/codebook_table.hpp"
#include "turboquant/simd/floating_point_guard.hpp"

TURBOQUANT_NAMESPACE_BEGIN

namespace detail {

struct Codebook {
    simd::CodebookTable table;
    float thresholds[255];  // 2^bits - 1 ascending
    double distortion;
    double entropy;
};

// The codebook of `dim` >= 1 and `bits` in 1 … 8: built at the first call (under 1 ms), then looked up in a
// cache that is never freed, so the reference stays valid. Safe from many threads.
inline const Codebook& codebook(int dim, int bits);

}  // namespace detail

// Dim: the dimension, or Eigen::Dynamic. Bits: 1 … 8. Cheap to copy: it points into the cache. All calls are
// const and thread-safe.
template <int Dim, int Bits>
class LloydMaxCodebook {
    static_assert(Dim >= 1 || Dim == Dynamic, "LloydMaxCodebook: Dim must be at least 1, or Eigen::Dynamic");
    static_assert(Bits >= 1 && Bits <= 8, "LloydMaxCodebook: Bits must be between 1 and 8");

public:
    // The codebook is not random: the seed is accepted, as by every class of the library, and ignored.
    template <int D = Dim, std::enable_if_t<D != Dynamic, int> = 0>
    explicit LloydMaxCodebook(std::uint64_t /*seed*/ = 0) : entry_(&detail::codebook(Dim, Bits)), dim_(Dim) {}

    // Throws std::invalid_argument when dim is not in [1, 2^31 - 1].
    template <int D = Dim, std::enable_if_t<D == Dynamic, int> = 0>
    explicit LloydMaxCodebook(Index dim) : LloydMaxCodebook(dim, 0) {}

    // The same for any Dim; also throws when Dim is fixed and differs from dim.
    LloydMaxCodebook(Index dim, std::uint64_t /*seed*/)
        : entry_(&detail::codebook(checked_dim(dim), Bits)), dim_(static_cast<int>(dim)) {}

    Index dim() const noexcept { return dim_; }

    // The 2^Bits centroids of a coordinate of a unit vector, ascending, symmetric about 0.
    Eigen::VectorXf centroids() const {
        return Eigen::Map<const Eigen::VectorXf>(entry_->table.centroids, Index{1} << Bits);
    }

    // The 2^Bits - 1 midpoints of neighbouring centroids, ascending.
    Eigen::VectorXf thresholds() const {
        return Eigen::Map<const Eigen::VectorXf>(entry_->thresholds, (Index{1} << Bits) - 1);
    }

    // d·E[(X - Q(X))²]: the expected ‖x - x̂‖² of a random unit vector x. In the limit of large d .36338,
    // .11748, .03455, .00950, … for 1, 2, 3, 4, … bits.
    double distortion() const noexcept { return entry_->distortion; }

    // -Σ P_i log2 P_i: the entropy of an index in bits, at most Bits.
    double entropy() const noexcept { return entry_->entropy; }

    // The same codebook as kernels read it.
    const simd::CodebookTable& table() const noexcept { return entry_->table; }

private:
    static int checked_dim(Index dim) {
        if (Dim != Dynamic && dim != Dim) {
            detail::throw_invalid_argument("LloydMaxCodebook: the dimension is fixed at " +
                                           std::to_string(Dim) + ", but the constructor was given " +
                                           std::to_string(dim));
        }
        if (dim < 1 || dim > std::numeric_limits<int>::max()) {
            detail::throw_invalid_argument(
                "LloydMaxCodebook: the dimension must be between 1 and 2^31 - 1, but is " +
                std::to_string(dim));
        }
        return static_cast<int>(dim);
    }

    const detail::Codebook* entry_;
    int dim_;
};

namespace detail {

// Nodes and weights of the 8-point Gauss-Legendre rule on [-1, 1], in the order the sums run: Abramowitz and
// Stegun, table 25.4.
inline constexpr int kNodeCount = 8;
inline constexpr double kNodes[kNodeCount] = {
    -0.9602898564975362317, -0.7966664774136267396, -0.5255324099163289858, -0.1834346424956498049,
    0.1834346424956498049,  0.5255324099163289858,  0.7966664774136267396,  0.9602898564975362317};
inline constexpr double kNodeWeights[kNodeCount] = {
    0.1012285362903762592, 0.2223810344533744705, 0.3137066458778872873, 0.3626837833783619830,
    0.3626837833783619830, 0.3137066458778872873, 0.2223810344533744705, 0.1012285362903762592};

// The unnormalised law f(x) = (1 - x²)^((d-3)/2) of one coordinate, d >= 2.
class CoordinateLaw {
public:
    struct Moments {  // of f over an interval, about a given point
        double zeroth, first, second;
    };

    explicit CoordinateLaw(int dim) noexcept
        : odd_(dim % 2 != 0),
          exponent_(static_cast<unsigned>(odd_ ? (dim - 3) / 2 : (dim - 2) / 2)),
          panels_per_unit_(4.0 * std::sqrt(static_cast<double>(dim))) {}

    // f(x), for 0 <= x < 1.
    double density(double x) const noexcept {
        const double t = rounded((1.0 - x) * (1.0 + x));
        double power[1] = {t};
        raise(power);
        return odd_ ? power[0] : power[0] / std::sqrt(t);
    }

    // Moments about `centre` over [low, high], 0 <= low < high <= 1.
    //
    // With x = 1 - u² and t = 1 - x² = u²(2 - u²),
    //     f(x) dx = 2u t^((d-3)/2) du                (odd d)
    //             = 2 t^((d-2)/2) / sqrt(2 - u²) du  (even d),
    // smooth up to x = 1 for every d. A panel is at most 1/(4 sqrt(d)) wide in u, half a standard deviation
    // in x, where 8 nodes leave a relative error below 1e-14. Panels run outwards and stop where f has died
    // out.
    Moments moments(double low, double high, double centre) const noexcept {
        const double u_low = std::sqrt(1.0 - low);
        const double u_high = std::sqrt(1.0 - high);
        const int panels = 1 + static_cast<int>(rounded((u_low - u_high) * panels_per_unit_));
        const double half_width = 0.5 * (u_low - u_high) / panels;
        Moments sum = {0.0, 0.0, 0.0};
        for (int panel = 0; panel < panels; ++panel) {
            const double middle = u_low - rounded(half_width * (2 * panel + 1));
            const Moments part = panel_moments(middle, half_width, centre);
            sum.zeroth += part.zeroth;
            sum.first += part.first;
            sum.second += part.second;
            if (part.zeroth < sum.zeroth * 0x1p-60) break;
        }
        return sum;
    }

private:
    Moments panel_moments(double middle, double half_width, double centre) const noexcept {
        double u[kNodeCount], squared[kNodeCount], t[kNodeCount], power[kNodeCount];
        for (int k = 0; k < kNodeCount; ++k) {
            u[k] = middle - rounded(half_width * kNodes[k]);
            squared[k] = rounded(u[k] * u[k]);
            t[k] = rounded(squared[k] * (2.0 - squared[k]));
            power[k] = t[k];
        }
        raise(power);
        Moments sum = {0.0, 0.0, 0.0};
        for (int k = 0; k < kNodeCount; ++k) {
            const double factor = odd_ ? 2.0 * u[k] : 2.0 / std::sqrt(2.0 - squared[k]);
            const double weight = rounded(kNodeWeights[k] * half_width * power[k] * factor);
            const double offset = (1.0 - squared[k]) - centre;
            const double weighted = rounded(weight * offset);
            sum.zeroth += weight;
            sum.first += weighted;
            sum.second += rounded(weighted * offset);
        }
        return sum;
    }

    // values[k] = values[k]^exponent_, by repeated squaring.
    template <std::size_t Count>
    void raise(double (&values)[Count]) const noexcept {
        double square[Count];
        for (std::size_t k = 0; k < Count; ++k) {
            square[k] = values[k];
            values[k] = 1.0;
        }
        for (unsigned e = exponent_; e != 0; e >>= 1) {
            for (std::size_t k = 0; k < Count; ++k) {
                if (e & 1u) values[k] = rounded(values[k] * square[k]);
                square[k] = rounded(square[k] * square[k]);
            }
        }
    }

    bool odd_;
    unsigned exponent_;
    double panels_per_unit_;
};

// Solves the two conditions for the positive half of a symmetric codebook of 2·count centroids.
class LloydMaxSolver {
public:
    LloydMaxSolver(int dim, int count) noexcept : law_(dim), dim_(dim), count_(count) {}

    // The positive centroids, ascending.
    const double* solve() noexcept {
        compand();
        measure();
        for (int i = 0; i < kLloydSteps; ++i) {
            move(residual_);
            measure();
        }
        double size = 1.0;
        for (int i = 0; i < kMaxSteps && size > kConverged; ++i) {
            newton_step();
            size = largest(step_);
            // Outside Newton's basin: a step of Lloyd's, which keeps the order.
            if (!move(step_)) move(residual_);
            measure();
        }
        return centroids_;
    }

    // After solve(): ∫ f over the positive half, ∫ f of cell i, ∫ (x - c_i)² f over the positive half.
    double mass() const noexcept {
        double sum = 0.0;
        for (int i = 0; i < count_; ++i) sum += moments_[i].zeroth;
        return sum;
    }
    double mass(int i) const noexcept { return moments_[i].zeroth; }
    double squared_error() const noexcept {
        double sum = 0.0;
        for (int i = 0; i < count_; ++i) sum += moments_[i].second;
        return sum;
    }

private:
    static constexpr int kMaxCount = 128;
    static constexpr int kLloydSteps = 3;
    static constexpr int kMaxSteps = 12;  // 1 to 4 are taken for every d up to 9000
    // In standard deviations. Newton's steps shrink as size -> 0.5·size²: the next would be below rounding.
    static constexpr double kConverged = 1e-8;

    // Start: centroids at equal quantiles of f^(1/3) (Panter and Dite 1951), which is the law of dimension
    // d/3 + 2, inverted on a midpoint sum.
    void compand() noexcept {
        const int dim = dim_ / 3 + 2 + (dim_ % 3 == 2 ? 1 : 0);  // to the nearest integer
        const CoordinateLaw law(dim);
        constexpr int kCells = 512;
        double cumulative[kCells + 1];
        // Five standard deviations: the outermost quantile wanted, 1 - 2^-8 of the positive half, is at 2.9.
        const double reach = 5.0 / std::sqrt(static_cast<double>(dim));
        const double width = (reach < 1.0 ? reach : 1.0) / kCells;
        cumulative[0] = 0.0;
        for (int k = 0; k < kCells; ++k) {
            cumulative[k + 1] = cumulative[k] + law.density(rounded(width * (k + 0.5)));
        }
        int j = 0;
        for (int i = 0; i < count_; ++i) {
            const double wanted = rounded(cumulative[kCells] * ((i + 0.5) / count_));
            while (j < kCells - 1 && cumulative[j + 1] < wanted) ++j;
            const double part = (wanted - cumulative[j]) / (cumulative[j + 1] - cumulative[j]);
            centroids_[i] = rounded(width * (j + part));
        }
    }

    double threshold(int i) const noexcept {  // the lower end of cell i
        return i == 0 ? 0.0 : i == count_ ? 1.0 : 0.5 * (centroids_[i - 1] + centroids_[i]);
    }

    // Moments of every cell about its centroid, and the conditional mean minus the centroid. Measured from
    // the centroid, nothing cancels near the solution.
    void measure() noexcept {
        for (int i = 0; i < count_; ++i) {
            moments_[i] = law_.moments(threshold(i), threshold(i + 1), centroids_[i]);
            residual_[i] = moments_[i].first / moments_[i].zeroth;
        }
    }

    // step_ = J^-1 residual_, J the tridiagonal Jacobian of c_i - E[X | cell i], from
    // d E[X | a < X < b] / db = f(b) (b - E) / P and half of each threshold's movement per centroid.
    void newton_step() noexcept {
        double upper[kMaxCount];
        double low_pull = 0.0;
        double low_density = 0.0;
        for (int i = 0; i < count_; ++i) {
            const double mean = centroids_[i] + residual_[i];
            const double high = threshold(i + 1);
            const double high_density = i + 1 < count_ ? law_.density(high) : 0.0;
            low_pull = 0.5 * low_density * (mean - threshold(i)) / moments_[i].zeroth;
            const double high_pull = 0.5 * high_density * (high - mean) / moments_[i].zeroth;
            const double diagonal = (1.0 - rounded(low_pull)) - rounded(high_pull);
            const double before = i > 0 ? upper[i - 1] : 0.0;
            const double step_before = i > 0 ? step_[i - 1] : 0.0;
            const double pivot = diagonal + rounded(low_pull * before);
            upper[i] = -high_pull / pivot;
            step_[i] = (residual_[i] + rounded(low_pull * step_before)) / pivot;
            low_density = high_density;
        }
        for (int i = count_ - 2; i >= 0; --i) step_[i] = step_[i] - rounded(upper[i] * step_[i + 1]);
    }

    // Adds `step` unless that would break 0 < c_0 < c_1 < … < 1; returns whether it did.
    bool move(const double* step) noexcept {
        double below = 0.0;
        for (int i = 0; i < count_; ++i) {
            const double moved = centroids_[i] + step[i];
            if (!(moved > below && moved < 1.0)) return false;
            below = moved;
        }
        for (int i = 0; i < count_; ++i) centroids_[i] += step[i];
        return true;
    }

    // The largest |step| in standard deviations.
    double largest(const double* step) const noexcept {
        double result = 0.0;
        for (int i = 0; i < count_; ++i) {
            const double size = step[i] < 0.0 ? -step[i] : step[i];
            result = size > result ? size : result;
        }
        return rounded(result * std::sqrt(static_cast<double>(dim_)));
    }

    CoordinateLaw law_;
    int dim_;
    int count_;
    double centroids_[kMaxCount];
    double residual_[kMaxCount];
    double step_[kMaxCount];
    CoordinateLaw::Moments moments_[kMaxCount];
};

inline double log2_of(double x) noexcept { return natural_log(x) / 0.69314718055994530942; }

// Fills centroids, thresholds and the integer tables from the positive centroids. No cell of the tables ever
// holds two thresholds: checked for every dimension up to 9000 and for the Gaussian limit, and tested.
inline void set_positive_half(Codebook& book, int dim, int bits, const double* positive) {
    const int half = 1 << (bits - 1);
    for (float& c : book.table.centroids) c = 0.0f;
    for (float& t : book.thresholds) t = 0.0f;
    for (int i = 0; i < half; ++i) {
        book.table.centroids[half + i] = static_cast<float>(positive[i]);
        book.table.centroids[half - 1 - i] = -book.table.centroids[half + i];
    }
    const double root_dim = std::sqrt(static_cast<double>(dim));
    const double top = half > 1 ? 0.5 * (positive[half - 2] + positive[half - 1]) : 0.0;
    const int units = half > 1 ? static_cast<int>(32704.0 / (top * root_dim)) : 8000;
    int reached[128] = {};
    for (int i = 1; i < half; ++i) {
        const double t = 0.5 * (positive[i - 1] + positive[i]);
        book.thresholds[half - 1 + i] = static_cast<float>(t);
        book.thresholds[half - 1 - i] = -static_cast<float>(t);
        reached[i - 1] = static_cast<int>(std::ceil(t * root_dim * units));
    }
    book.table.bits = bits;
    book.table.units = static_cast<float>(units);
    simd::fill_offset_tables(book.table, reached);
    simd::fill_int16_centroids(book.table);
}

TURBOQUANT_NOINLINE inline void build_codebook(Codebook& book, int dim, int bits) {
    const simd::FloatingPointGuard guard;
    const int half = 1 << (bits - 1);
    if (dim == 1) {
        // Two atoms at ±1: the outermost centroids take them, the others are never used and lie between.
        double positive[128] = {};
        for (int i = 0; i < half; ++i) positive[i] = (2.0 * i + 1.0) / (2.0 * half - 1.0);
        set_positive_half(book, dim, bits, positive);
        double probabilities[128] = {};
        probabilities[half - 1] = 1.0;
        simd::fill_int8_centroids(book.table, positive, probabilities);
        book.distortion = 0.0;
        book.entropy = 1.0;
        return;
    }
    LloydMaxSolver solver(dim, half);
    const double* positive = solver.solve();
    set_positive_half(book, dim, bits, positive);
    const double mass = solver.mass();
    double probabilities[128] = {};
    for (int i = 0; i < half; ++i) probabilities[i] = solver.mass(i) / mass;
    simd::fill_int8_centroids(book.table, positive, probabilities);
    book.distortion = dim * solver.squared_error() / mass;
    book.entropy = 0.0;
    for (int i = 0; i < half; ++i) {
        const double probability = 0.5 * solver.mass(i) / mass;
        book.entropy -= rounded(2.0 * probability * log2_of(probability));
    }
}

inline const Codebook& codebook(int dim, int bits) {
    struct Cache {
        std::mutex mutex;
        std::map<std::pair<int, int>, Codebook> entries;  // a map never moves its entries
    };
    // Never destroyed: quantizers with static storage may outlive any static object of ours.
    static Cache& cache = *new Cache;
    const std::lock_guard<std::mutex> lock(cache.mutex);
    const auto [entry, inserted] = cache.entries.try_emplace({dim, bits});
    if (inserted) build_codebook(entry->second, dim, bits);
    return entry->second;
}

}  // namespace detail

TURBOQUANT_NAMESPACE_END
