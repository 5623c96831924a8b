// encode, decode and info.
#include <cstdio>
#include <stdexcept>

#include <turboquant/file_description.hpp>
#include <turboquant/simd/target.hpp>

#include "../common/npy.hpp"
#include "../common/vectors.hpp"
#include "any_quantizer.hpp"
#include "commands.hpp"
#include "report.hpp"

namespace tools {

void encode(const EncodeOptions& options) {
    const Eigen::MatrixXf x = examples::read_vectors(options.input);
    const auto quantizer = make_quantizer(options.codec, x.rows());
    tq::Codes codes;
    codes.reserve(x.cols());
    const Timer timer;
    in_chunks("encoding", x.cols(),
              [&](Index first, Index count) { quantizer->append(x, first, count, codes, options.threads); });
    const double seconds = timer.seconds();
    quantizer->save(options.output, codes);

    const auto n = static_cast<double>(x.cols());
    const double floats = 4 * n * static_cast<double>(x.rows()), bytes = static_cast<double>(codes.bytes());
    std::printf("%td vectors of dimension %td, %s\n", x.cols(), x.rows(),
                quantizer->id().description().c_str());
    std::printf(
        "codes       %s, %zu bytes a vector, %.2f bits a coordinate; float32 takes %.2f times as much\n",
        megabytes(bytes).c_str(), quantizer->bytes_per_vector(), 32 * bytes / floats, floats / bytes);
    std::printf("distortion  %.5f\n", mean_distortion(*quantizer, codes, x, options.threads));
    std::printf("encoding    %.3f s, %.0f ns a vector (target %s, %d thread%s)\n", seconds, seconds / n * 1e9,
                tq::target_name(tq::active_target()), options.threads, options.threads == 1 ? "" : "s");
}

void decode(const DecodeOptions& options) {
    if (!examples::has_ending(options.output, ".npy"))
        throw std::runtime_error(options.output + ": decoded vectors are written as .npy");
    const AnyCodes file = load_codes(options.input);
    Eigen::MatrixXf x(file.quantizer->id().dim, file.codes.size());
    const tq::CodesView codes = file.codes;
    const Timer timer;
    in_chunks("decoding", x.cols(), [&](Index first, Index count) {
        file.quantizer->decode(codes.range(first, count), x.middleCols(first, count), options.threads);
    });
    const double seconds = timer.seconds();
    Eigen::MatrixXf original;
    if (!options.original.empty()) {
        original = examples::read_vectors(options.original);
        if (original.rows() != x.rows() || original.cols() != x.cols())
            throw std::runtime_error(options.original + ": expected " + std::to_string(x.cols()) +
                                     " vectors of dimension " + std::to_string(x.rows()) + ", but it holds " +
                                     std::to_string(original.cols()) + " of dimension " +
                                     std::to_string(original.rows()));
    }
    examples::write_npy(options.output, x);
    std::printf("%td vectors of dimension %td, %s\n", x.cols(), x.rows(),
                file.quantizer->id().description().c_str());
    if (original.size() > 0)
        std::printf("distortion  %.5f\n", mean_distortion(*file.quantizer, codes, original, options.threads));
    std::printf("decoding    %.3f s, %.0f ns a vector\n", seconds,
                seconds / static_cast<double>(std::max<Index>(x.cols(), 1)) * 1e9);
}

namespace {

void print_quantizer(const char* label, const tq::CodecId& id, tq::ScaleRule rule) {
    std::printf("%-10s  %s\n", label, id.description().c_str());
    if (id.kind == tq::QuantizerKind::mse || id.kind == tq::QuantizerKind::trellis)
        std::printf("%-10s  %s\n", "scale", kEstimatorNames[static_cast<int>(rule)]);
}

}  // namespace

void info(const std::string& path) {
    const tq::FileDescription file = tq::describe_file(path);
    const auto bytes = megabytes(static_cast<double>(file.bytes));
    const char* const yes_no[] = {"no", "yes"};
    switch (file.kind) {
        case tq::FileKind::codes:
            std::printf("%-10s  codes, %s, checksums good\n", "file", bytes.c_str());
            print_quantizer("quantizer", file.id, file.scale_rule);
            std::printf("%-10s  %td\n", "vectors", file.size);
            break;
        case tq::FileKind::index: {
            const char* const metrics[] = {"inner_product", "cosine", "l2"};
            std::printf("%-10s  a search index, %s, checksums good\n", "file", bytes.c_str());
            print_quantizer("quantizer", file.id, file.scale_rule);
            std::printf("%-10s  %td\n", "vectors", file.size);
            std::printf("%-10s  %s\n", "metric", metrics[static_cast<int>(file.metric)]);
            std::printf("%-10s  %s\n", "centred", yes_no[file.centring]);
            std::printf("%-10s  %s\n", "ids", file.ids ? "the user's" : "positions");
            break;
        }
        case tq::FileKind::cache:
            std::printf("%-10s  an attention cache, %s, checksums good\n", "file", bytes.c_str());
            print_quantizer("keys", file.id, file.scale_rule);
            print_quantizer("values", file.value_id, file.value_scale_rule);
            std::printf("%-10s  %td\n", "tokens", file.size);
            std::printf("%-10s  %td tokens, and the first %td\n", "exact", file.window, file.sinks);
            std::printf("%-10s  %s\n", "centred", yes_no[file.centring]);
            break;
    }
}

}  // namespace tools
