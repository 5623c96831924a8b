#include "codec_cases.hpp"

#include <memory>
#include <string>

#include "baselines.hpp"
#include "codec_workload.hpp"
#include "eigen_baseline.hpp"

namespace bench {
namespace {

std::string dim_name(tq::Index dim) { return "/d" + std::to_string(dim) + "/"; }

Workload baseline_workload(const baselines::Baseline& baseline, tq::Index dim) {
    const Eigen::MatrixXf& x = gaussian_vectors(dim);
    const auto count = static_cast<std::size_t>(x.size());
    const auto codes = std::make_shared<std::vector<std::uint8_t>>(baseline.bytes(count));
    baseline.encode(x.data(), count, codes->data());
    Eigen::MatrixXf decoded(x.rows(), x.cols());
    baseline.decode(codes->data(), count, decoded.data());
    const auto bytes = static_cast<double>(baseline.bytes(static_cast<std::size_t>(dim)));
    Workload work{dim, x.cols(), bytes, 4.0 * static_cast<double>(dim) + bytes, 0, nullptr};
    work.distortion = relative_squared_error(x, decoded);
    work.run = [encode = baseline.encode, codes, count, &x] {
        encode(x.data(), count, codes->data());
        benchmark::DoNotOptimize(codes->data());
        benchmark::ClobberMemory();
    };
    return work;
}

// Any dense matrix takes the same time; the structured rotation written out as one is orthogonal and quick to make.
Workload dense_rotation_workload(tq::Index dim) {
    const Eigen::MatrixXf& x = gaussian_vectors(dim);
    const auto matrix = std::make_shared<const Eigen::MatrixXf>(
        tq::Rotation<tq::Dynamic>(dim, kSeed).apply(Eigen::MatrixXf::Identity(dim, dim)));
    const auto out = std::make_shared<Eigen::MatrixXf>(x.rows(), x.cols());
    const auto rotate = [matrix, out, &x] {
        eigen_baseline::dense_rotation(matrix->data(), x.data(), out->data(), x.rows(), x.cols());
        benchmark::DoNotOptimize(out->data());
        benchmark::ClobberMemory();
    };
    rotate();
    const double bytes = 4.0 * static_cast<double>(dim);
    Workload work{dim, x.cols(), bytes, 2 * bytes, 0, rotate};
    work.distortion = relative_squared_error(x, matrix->transpose() * *out);
    return work;
}

}  // namespace

std::vector<Case> rotation_cases() {
    std::vector<Case> cases;
    for (const bool transpose : {false, true})
        for (const tq::Index dim : kDims)
            for (const tq::Target target : tq::supported_targets())
                cases.push_back(
                    {std::string("rotate/") + (transpose ? "apply_transpose" : "apply") + dim_name(dim) +
                         tq::target_name(target),
                     target,
                     [=] { return rotation_workload(tq::Rotation<tq::Dynamic>(dim, kSeed), transpose); }});
    return cases;
}

std::vector<Case> baseline_cases() {
    std::vector<Case> cases;
    for (const tq::Index dim : kDims) {
        for (const baselines::Baseline& baseline : baselines::all())
            if (static_cast<std::size_t>(dim) % baseline.block == 0)
                cases.push_back({std::string("baseline/") + baseline.name + dim_name(dim) + baseline.target,
                                 std::nullopt, [=] { return baseline_workload(baseline, dim); }});
        cases.push_back({"baseline/dense_rotation" + dim_name(dim) + eigen_baseline::target(), std::nullopt,
                         [=] { return dense_rotation_workload(dim); }});
    }
    return cases;
}

std::vector<Case> codec_cases() {
    std::vector<Case> cases = rotation_cases();
    for (auto* part : {&mse_cases, &turbo_cases, &baseline_cases})
        for (Case& c : part()) cases.push_back(std::move(c));
    return cases;
}

}  // namespace bench
