// The command line: turboquant encode | decode | info | search | bench.
#include <cstdio>
#include <exception>
#include <map>
#include <string>

#include <CLI/CLI.hpp>

#include <turboquant/version.hpp>

#include "commands.hpp"

namespace {

using namespace tools;

const char* const kVectors = "vectors: .npy (float16 or float32, one a row), .fvecs or .bvecs";

void add_encode(CLI::App& app, EncodeOptions& options, const std::map<std::string, Estimator>& estimators) {
    CLI::App* command = app.add_subcommand("encode", "compress vectors, and tell what it costs");
    command->add_option("input", options.input, kVectors)->required();
    command->add_option("output", options.output, "the file of codes")->required();
    command->add_option("--bits", options.codec.bits, "bits per coordinate")
        ->check(CLI::Range(1, 8))
        ->capture_default_str();
    command
        ->add_option("--estimator", options.codec.estimator,
                     "what the stored scale is for, or a sketch of the residual")
        ->transform(CLI::CheckedTransformer(estimators).description(""))
        ->option_text("norm|unbiased|least_squares|turbo [norm]");
    command->add_flag("--trellis", options.codec.trellis,
                      "trellis codes, of 1 to 4 bits: less distortion, longer to encode");
    command
        ->add_option("--window", options.codec.window,
                     "of trellis codes, in bits: shorter ones encode faster, with a little more distortion")
        ->check(CLI::IsMember({6, 7, 8}))
        ->option_text("6|7|8 [8]");
    command->add_option("--seed", options.codec.seed, "of the rotation")->capture_default_str();
    command->add_option("--threads", options.threads, "where built with OpenMP")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    command->callback([&] { encode(options); });
}

void add_decode(CLI::App& app, DecodeOptions& options) {
    CLI::App* command = app.add_subcommand("decode", "vectors from codes");
    command->add_option("input", options.input, "a file of codes")->required();
    command->add_option("output", options.output, "vectors, .npy")->required();
    command->add_option("--original", options.original,
                        "the vectors that were encoded: prints the distortion");
    command->add_option("--threads", options.threads, "where built with OpenMP")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    command->callback([&] { decode(options); });
}

void add_info(CLI::App& app, std::string& path) {
    CLI::App* command = app.add_subcommand("info", "what a file holds, and whether it is whole");
    command->add_option("file", path, "codes, a search index or an attention cache")->required();
    command->callback([&] { info(path); });
}

void add_search(CLI::App& app, SearchOptions& options, const std::map<std::string, int>& metrics) {
    CLI::App* command = app.add_subcommand("search", "nearest vectors, by codes");
    command->add_option("base", options.base, "vectors, or an index that was saved before")->required();
    command->add_option("queries", options.queries, kVectors)->required();
    command->add_option("-k", options.k, "answers to a query")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    command->add_option("--bits", options.bits, "of a new index: 1, 2, 3, 4 or 8 per coordinate")
        ->check(CLI::IsMember({1, 2, 3, 4, 8}))
        ->option_text("1|2|3|4|8 [4]");
    command->add_option("--metric", options.metric, "of a new index")
        ->transform(CLI::CheckedTransformer(metrics).description(""))
        ->option_text("inner_product|cosine|l2 [cosine]");
    command->add_flag("!--no-centring", options.centring, "encode vectors as they are, not less their mean");
    command->add_option("--seed", options.seed, "of a new index's rotation")->capture_default_str();
    command->add_option("--threads", options.threads, "where built with OpenMP")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    command->add_option("--save", options.save, "where the index goes");
    command->add_option("--ids", options.ids, "where the positions found go: .npy, int64, a query a row");
    command->add_option("--print", options.print, "queries whose answers are printed")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    command->add_flag("--exact", options.exact,
                      "search in float32 too, and tell how many of its answers were found");
    command->callback([&] { search(options); });
}

void add_bench(CLI::App& app, BenchOptions& options) {
    CLI::App* command =
        app.add_subcommand("bench", "size, error and speed of every quantizer on your vectors");
    command->add_option("input", options.input, kVectors)->required();
    command->add_option("--seed", options.seed, "of the rotation")->capture_default_str();
    command->add_option("--threads", options.threads, "where built with OpenMP")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    command->callback([&] { bench(options); });
}

int run(int argc, char** argv) {
    CLI::App app("Compresses vectors to 1 to 8 bits per coordinate, and searches what it has compressed.",
                 "turboquant");
    app.set_version_flag("--version", std::to_string(TURBOQUANT_VERSION_MAJOR) + "." +
                                          std::to_string(TURBOQUANT_VERSION_MINOR) + "." +
                                          std::to_string(TURBOQUANT_VERSION_PATCH));
    app.require_subcommand(1);
    std::map<std::string, Estimator> estimators;
    for (int i = 0; i < 4; ++i) estimators[kEstimatorNames[i]] = static_cast<Estimator>(i);
    const std::map<std::string, int> metrics{
        {"inner_product", 0}, {"cosine", 1}, {"l2", 2}};  // as in turboquant::Metric
    EncodeOptions encode_options;
    DecodeOptions decode_options;
    SearchOptions search_options;
    BenchOptions bench_options;
    std::string info_path;
    add_encode(app, encode_options, estimators);
    add_decode(app, decode_options);
    add_info(app, info_path);
    add_search(app, search_options, metrics);
    add_bench(app, bench_options);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error);  // prints the help that was asked for, or what is wrong
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        const std::string message = error.what(), name = "turboquant: ";  // as the library's messages begin
        std::fprintf(stderr, "%s%s\n", message.compare(0, name.size(), name) == 0 ? "" : name.c_str(),
                     message.c_str());
    }
    return 1;
}
