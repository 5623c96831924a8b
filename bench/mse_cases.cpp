// MseQuantizer. Like turbo_cases.cpp a translation unit of its own: each instantiates the kernels of five widths on every
// target.
#include "codec_cases.hpp"
#include "codec_workload.hpp"

namespace bench {
namespace {

template <int Bits>
void add_dynamic(std::vector<Case>& cases) {
    struct Rule {
        const char* name;
        tq::ScaleRule rule;
    };
    for (const Rule& r : {Rule{"mse", tq::ScaleRule::norm}, Rule{"mse_unbiased", tq::ScaleRule::unbiased},
                          Rule{"mse_least_squares", tq::ScaleRule::least_squares}})
        for (const tq::Index dim : kDims)
            add_codec_cases(cases, r.name, dim, Bits, r.rule == tq::ScaleRule::norm, [dim, rule = r.rule] {
                return tq::MseQuantizer<tq::Dynamic, Bits>(dim, kSeed, rule);
            });
}

template <int Dim, int Bits>
void add_fixed(std::vector<Case>& cases) {
    add_codec_cases(cases, "mse_fixed", Dim, Bits, true, [] { return tq::MseQuantizer<Dim, Bits>(kSeed); });
}

}  // namespace

std::vector<Case> mse_cases() {
    std::vector<Case> cases;
    add_dynamic<1>(cases);
    add_dynamic<2>(cases);
    add_dynamic<3>(cases);
    add_dynamic<4>(cases);
    add_dynamic<8>(cases);
    add_fixed<128, 4>(cases);
    add_fixed<1536, 4>(cases);
    return cases;
}

}  // namespace bench
