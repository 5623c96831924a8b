// expect: RotationT must be Rotation<Dim, Kind>
#include <turboquant/turboquant.hpp>

int main() {
    using Quantizer =
        turboquant::TurboQuantizer<8, 4, turboquant::SketchKind::orthogonal, turboquant::Rotation<16>>;
    return static_cast<int>(Quantizer(8, 7).dim());
}
