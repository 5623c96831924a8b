#include "evaluation.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <stdexcept>
#include <utility>

namespace tiny_lm {
namespace {

constexpr std::array<const char*, 26> kNames = {
    "amber", "basil", "cedar", "delta",  "ember",  "fjord", "grove",  "heron",  "ivory",
    "jade",  "kelp",  "lotus", "maple",  "nectar", "onyx",  "pearl",  "quartz", "raven",
    "sable", "tulip", "umber", "violet", "willow", "xenon", "yarrow", "zephyr"};

// std::mt19937_64 is the same everywhere, its distributions are not. The bias of the remainder is below 2^-40 here.
using Random = std::mt19937_64;
std::size_t below(Random& random, std::size_t n) { return static_cast<std::size_t>(random() % n); }

template <class T>
void shuffle(std::vector<T>& values, Random& random) {
    for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[below(random, i)]);
}

struct Needle {
    std::string name, digits;
    std::size_t fact = 0;  // where the digits of the fact stand
};

std::vector<Needle> make_needles(std::size_t count, Random& random) {
    std::vector<std::string> names;
    for (const char* first : kNames)
        for (const char* second : kNames)
            if (first != second) names.push_back(std::string(first) + " " + second);
    shuffle(names, random);
    std::vector<Needle> needles(count);
    for (std::size_t i = 0; i < count; ++i) {
        needles[i].name = names[i];
        for (std::size_t digit = 0; digit < kDigits; ++digit)
            needles[i].digits += static_cast<char>('0' + below(random, 10));
    }
    return needles;
}

std::size_t planted_bytes(const std::vector<Needle>& needles) {
    std::size_t bytes = 0;
    for (const Needle& needle : needles)
        bytes += needle_fact(needle.name, needle.digits).size() + needle_question(needle.name).size() +
                 kDigits + 2;
    return bytes;
}

// Facts in equal parts of the text, somewhere within each, after a space.
std::string plant(const std::string& text, std::vector<Needle>& needles, Random& random) {
    std::string document;
    const std::size_t part = text.size() / needles.size();
    for (std::size_t i = 0; i < needles.size(); ++i) {
        const std::size_t begin = i * part, end = i + 1 == needles.size() ? text.size() : begin + part;
        const std::size_t space = text.find(' ', begin + below(random, part / 2));
        const std::size_t at = std::min(space == std::string::npos ? end : space + 1, end);
        document += text.substr(begin, at - begin);
        const std::string fact = needle_fact(needles[i].name, needles[i].digits);
        needles[i].fact = document.size() + fact.size() - kDigits - 2;
        document += fact + text.substr(at, end - at);
    }
    return document;
}

// A document of `length` bytes; its filler begins at `first` of the text.
std::string needle_document(const std::string& text, std::size_t first, std::size_t length,
                            std::vector<Needle> needles, Random& random, std::vector<Question>& questions,
                            std::size_t index) {
    const std::size_t planted = planted_bytes(needles);
    constexpr std::size_t kLeastPart = 16;  // bytes of text from one fact to the next
    if (planted + kLeastPart * needles.size() > length)
        throw std::invalid_argument(
            std::to_string(needles.size()) + " questions need documents of at least " +
            std::to_string(planted + kLeastPart * needles.size()) + " bytes, not " + std::to_string(length));
    std::string document = plant(text.substr(first, length - planted), needles, random);
    shuffle(needles, random);
    for (const Needle& needle : needles) {
        document += needle_question(needle.name);
        questions.push_back({index, document.size(), document.size() - needle.fact});
        document += needle.digits + ".\n";
    }
    return document;
}

// Bytes first … first + steps of `count` documents from `document` on.
Bytes tokens_of(const Task& task, Index document, Index count, Index first, Index steps) {
    Bytes tokens(steps, count);
    for (Index s = 0; s < count; ++s)
        for (Index t = 0; t < steps; ++t)
            tokens(t, s) = static_cast<std::uint8_t>(
                task.documents[static_cast<std::size_t>(document + s)][static_cast<std::size_t>(first + t)]);
    return tokens;
}

// −log2 softmax(logits)[byte]
float bits_of(const Eigen::Ref<const Eigen::VectorXf>& logits, std::uint8_t byte) {
    const float largest = logits.maxCoeff();
    const double sum = (logits.array() - largest).exp().cast<double>().sum();
    return static_cast<float>((std::log(sum) + static_cast<double>(largest - logits[byte])) / std::log(2.0));
}

// Predicts `count` documents from `document` on, in lockstep.
void predict_together(const Model& model, const CacheMaker& make_cache, const Task& task, Index document,
                      Index count, Predictions& predictions) {
    // Columns in a product with the weights. With 64, packing the weights takes a sixth of the time; many more only take
    // memory.
    constexpr Index kColumns = 256;
    const Index length = predictions.bits.rows(), most = std::max<Index>(1, kColumns / count);
    Decoder decoder(model, make_cache, count);
    for (Index first = 0; first < length; first += most) {
        const Index steps = std::min(most, length - first);
        const Eigen::MatrixXf& logits = decoder.forward(tokens_of(task, document, count, first, steps));
        const Bytes next = tokens_of(task, document, count, first + 1, steps);
        for (Index i = 0; i < next.size(); ++i) {
            const Index step = first + i % steps, sequence = document + i / steps;
            Index best = 0;
            logits.col(i).maxCoeff(&best);
            predictions.best(step, sequence) = static_cast<std::uint8_t>(best);
            predictions.bits(step, sequence) = bits_of(logits.col(i), next.data()[i]);
        }
    }
    predictions.cache_bytes += decoder.cache_bytes();
}

}  // namespace

std::string needle_fact(const std::string& name, const std::string& digits) {
    return "\nThe secret number of " + name + " is " + digits + ".\n";
}

std::string needle_question(const std::string& name) {
    return "\nQuestion: what is the secret number of " + name + "?\nAnswer: ";
}

Task make_task(const std::string& text, const TaskSizes& sizes, std::uint64_t seed) {
    const auto length = static_cast<std::size_t>(sizes.length);
    auto questions = static_cast<std::size_t>(sizes.questions);
    const auto together = static_cast<std::size_t>(sizes.questions_per_document);
    Task task;
    task.texts = static_cast<std::size_t>(sizes.documents);
    const std::size_t total = task.texts + (questions + together - 1) / together;
    if (text.size() < total * length)
        throw std::invalid_argument("a text of " + std::to_string(text.size()) + " bytes is too short for " +
                                    std::to_string(total) + " documents of " + std::to_string(length));
    const std::size_t spacing = text.size() / total;
    Random random(seed);
    for (std::size_t i = 0; i < total; ++i) {
        if (i < task.texts) {
            task.documents.push_back(text.substr(i * spacing, length));
            continue;
        }
        const std::size_t count = std::min(questions, together);
        questions -= count;
        task.documents.push_back(needle_document(text, i * spacing, length, make_needles(count, random),
                                                 random, task.questions, i));
    }
    return task;
}

Predictions predict(const Model& model, const CacheMaker& make_cache, const Task& task) {
    // Exact caches of a 4096-byte document take 67 MB: not all documents at once.
    constexpr Index kTogether = 4;
    const auto documents = static_cast<Index>(task.documents.size());
    Predictions predictions;
    predictions.bits.resize(static_cast<Index>(task.length()) - 1, documents);
    predictions.best.resizeLike(predictions.bits);
    for (Index first = 0; first < documents; first += kTogether)
        predict_together(model, make_cache, task, first, std::min(kTogether, documents - first), predictions);
    return predictions;
}

double bits_per_byte(const Predictions& predictions, const Task& task) {
    return predictions.bits.leftCols(static_cast<Index>(task.texts)).cast<double>().mean();
}

double standard_error(const Predictions& predictions, const Predictions& exact, const Task& task) {
    const auto texts = static_cast<Index>(task.texts);
    const Eigen::ArrayXXd difference =
        (predictions.bits.leftCols(texts) - exact.bits.leftCols(texts)).array().cast<double>();
    const double variance = (difference - difference.mean()).square().mean();
    return std::sqrt(variance / static_cast<double>(difference.size())) / bits_per_byte(exact, task);
}

bool recalled(const Predictions& predictions, const Task& task, const Question& question) {
    for (std::size_t i = 0; i < kDigits; ++i) {
        const std::size_t at = question.answer + i;
        const auto predicted =
            predictions.best(static_cast<Index>(at) - 1, static_cast<Index>(question.document));
        if (predicted != static_cast<std::uint8_t>(task.documents[question.document][at])) return false;
    }
    return true;
}

std::size_t recalled(const Predictions& predictions, const Task& task) {
    return static_cast<std::size_t>(
        std::count_if(task.questions.begin(), task.questions.end(),
                      [&](const Question& question) { return recalled(predictions, task, question); }));
}

}  // namespace tiny_lm
