// A user's program: one include, one quantizer, one round trip.
#include <cstdio>

#include <turboquant/turboquant.hpp>

namespace tq = turboquant;

int main() {
    const Eigen::MatrixXf x = Eigen::MatrixXf::Random(128, 100);
    const tq::TurboQuantizer<128, 4> quantizer(/*seed=*/7);
    const auto codes = quantizer.encode(x);
    const Eigen::MatrixXf back = quantizer.decode(codes);

    const float error = (back - x).squaredNorm() / x.squaredNorm();
    std::printf("%d vectors, relative squared error %.4f\n", static_cast<int>(codes.size()), double(error));
    // Three bits leave 0.034 of the energy, the residual's sign does not add to it: 0.1 is far outside chance.
    return static_cast<Eigen::Index>(codes.size()) == x.cols() && error < 0.1f ? 0 : 1;
}
