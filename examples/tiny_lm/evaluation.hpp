// How well a decoder predicts documents: bits per byte of text, and needles found again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "attention_cache.hpp"
#include "decoder.hpp"
#include "model.hpp"

namespace tiny_lm {

// A question whose answer stands in the document: six digits from `answer` on, stated the first time `distance` bytes
// before.
struct Question {
    std::size_t document = 0, answer = 0, distance = 0;
};
inline constexpr std::size_t kDigits = 6;

// What every cache is measured on: documents of equal length.
struct Task {
    std::vector<std::string> documents;
    std::size_t texts =
        0;  // the first documents are plain text, for bits per byte; needles are in the others
    std::vector<Question> questions;

    std::size_t length() const { return documents.front().size(); }
};

struct TaskSizes {
    Index documents = 4;  // of plain text
    Index length = 4096;  // bytes of each, and of those with needles
    Index questions = 100;
    Index questions_per_document = 20;
};

// Plain text from evenly spaced places of `text`; and documents of text in between which facts are planted, all over the
// text, the questions together at the end, in another order. The same for the same arguments. Throws
// std::invalid_argument when the text or the length is too small.
Task make_task(const std::string& text, const TaskSizes& sizes, std::uint64_t seed);

// A fact, and a question with its answer, as the model was trained on them.
std::string needle_fact(const std::string& name, const std::string& digits);
std::string needle_question(const std::string& name);  // up to the first digit of the answer

struct Predictions {
    Eigen::MatrixXf bits;  // (i, d): −log2 of the probability of byte i + 1 of document d, given those before
    Bytes best;            // the most probable byte there
    std::size_t cache_bytes = 0;
};

Predictions predict(const Model& model, const CacheMaker& make_cache, const Task& task);

// Mean over the plain text.
double bits_per_byte(const Predictions& predictions, const Task& task);

// Of the relative change of bits per byte from `exact`, from the differences byte by byte.
double standard_error(const Predictions& predictions, const Predictions& exact, const Task& task);

// Whether each digit is the most probable byte, the true ones before it given.
bool recalled(const Predictions& predictions, const Task& task, const Question& question);
std::size_t recalled(const Predictions& predictions, const Task& task);

}  // namespace tiny_lm
