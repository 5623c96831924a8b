// Stores the weights of a model in 3 to 8 bits each, with this library's own quantizer, and measures what that costs.
//
//   store_model --model model.bin --text text.txt --out tiny_lm.tq
//
// Each row of a weight matrix is a vector, quantized by MseQuantizer with ScaleRule::least_squares: weights are decoded
// once, when the model is loaded, so the least squared error is what counts.

#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "../common/progress.hpp"
#include "evaluation.hpp"
#include "model_file.hpp"
#include "options.hpp"
#include "text_file.hpp"

namespace tiny_lm {
namespace {

constexpr const char* kUsage =
    "usage: store_model --model MODEL.bin --out MODEL.tq [OPTION...]\n"
    "\n"
    "Writes the model with quantized weights, and measures both on text.\n"
    "\n"
    "  --model FILE    the model, with float16 weights (or a stored one)\n"
    "  --out FILE      the stored model\n"
    "  --text FILE     text that the model was not trained on (that of tiny_lm if not given)\n"
    "  --bits N        bits per weight of the blocks' matrices: 3, 4, 5 (if not given), 6 or 8\n"
    "  --byte-bits N   of the embedding and the head, one in a hundred weights (8 if not given)\n"
    "  --documents N   documents to measure on (8 if not given; 0: none)\n"
    "  --length N      bytes of each (2048 if not given)\n"
    "  --help          this text\n";

struct Options {
    std::string model, out, text = TURBOQUANT_EXAMPLES_DATA_DIR "/tiny_lm_text.txt";
    // By measurement, on 20 × 1024 bytes: 4 bits cost 1.5 % in bits per byte; 5 cost .25 %; 6 for attention changed
    // nothing. With 5 or 6 for the embedding and the head nothing changed either, but there is little to save.
    Index bits = 5, byte_bits = 8;
    TaskSizes sizes{/*documents=*/8, /*length=*/2048, /*questions=*/0};
    bool help = false;
};

Options parse_options(int argc, char** argv) {
    Options options;
    OptionParser parser;
    parser.value("--model", options.model);
    parser.value("--out", options.out);
    parser.value("--text", options.text);
    parser.value("--bits", options.bits, 3, 8);
    parser.value("--byte-bits", options.byte_bits, 3, 8);
    parser.value("--documents", options.sizes.documents, 0, 10000);
    parser.value("--length", options.sizes.length, 2, 1 << 20);
    parser.flag("--help", [&] { options.help = true; });
    parser.parse(argc, argv);
    if (!options.help && (options.model.empty() || options.out.empty()))
        throw UsageError("--model and --out must be given");
    return options;
}

int bits_of(const MatrixInfo& matrix, const Options& options) {
    const bool in_block = matrix.name.compare(0, 7, "blocks.") == 0;
    return static_cast<int>(in_block ? options.bits : options.byte_bits);
}

// Σ‖W − Ŵ‖²/Σ‖W‖² over all matrices.
double relative_error(const Model& model, const Model& stored) {
    std::vector<const Weights*> matrices;
    for_each_matrix(stored, [&](const MatrixInfo&, const Weights& matrix) { matrices.push_back(&matrix); });
    double error = 0, energy = 0;
    std::size_t i = 0;
    for_each_matrix(model, [&](const MatrixInfo&, const Weights& matrix) {
        error += static_cast<double>((matrix - *matrices[i++]).squaredNorm());
        energy += static_cast<double>(matrix.squaredNorm());
    });
    return error / energy;
}

void run(const Options& options) {
    examples::Progress progress(options.sizes.documents > 0 ? 4 : 2);
    progress.step("reading " + options.model);
    const Model model = read_model(options.model);
    progress.step("storing " + options.out);
    store_model(options.out, model, [&](const MatrixInfo& matrix) { return bits_of(matrix, options); });
    const Model stored = read_model(options.out);
    const auto bytes = static_cast<double>(std::filesystem::file_size(options.out));
    const auto weights = static_cast<double>(model.parameters());
    progress.clear();
    std::printf(
        "%.1f million weights, %.2f MB (%.2f MB in float16), %.2f bits per weight, squared error %.5f\n",
        weights * 1e-6, bytes * 1e-6, weights * 2e-6, 8 * bytes / weights, relative_error(model, stored));
    if (options.sizes.documents == 0) return;

    const Task task = make_task(read_text(options.text), options.sizes, /*seed=*/1);
    progress.step("measuring the model");
    const Predictions exact = predict(model, exact_caches(), task);
    progress.step("measuring the stored model");
    const Predictions predictions = predict(stored, exact_caches(), task);
    progress.clear();
    const double before = bits_per_byte(exact, task), after = bits_per_byte(predictions, task);
    std::printf("bits per byte of %td × %td bytes of text: %.4f, stored %.4f (%+.2f %% ± %.2f)\n",
                options.sizes.documents, options.sizes.length, before, after, 100 * (after / before - 1),
                100 * standard_error(predictions, exact, task));
}

}  // namespace
}  // namespace tiny_lm

int main(int argc, char** argv) {
    try {
        const tiny_lm::Options options = tiny_lm::parse_options(argc, argv);
        if (options.help)
            std::fputs(tiny_lm::kUsage, stdout);
        else
            tiny_lm::run(options);
        return 0;
    } catch (const tiny_lm::UsageError& error) {
        std::fprintf(stderr, "store_model: %s\n\n%s", error.what(), tiny_lm::kUsage);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "store_model: %s\n", error.what());
    }
    return 1;
}
