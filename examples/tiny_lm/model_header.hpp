// The header of a model file: sizes of the model and a list of its tensors, as a line of JSON.
//
//   {"dim": 512, …, "norm_eps": 1e-05, "tensors": [["emb.weight", [256, 512]], …]}
//
// In stored models a tensor's entry ends with its bits per weight: ["emb.weight", [256, 512], 8].
#pragma once

#include <cmath>
#include <cstdlib>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "model.hpp"

namespace tiny_lm {

struct TensorEntry {
    std::string name;
    Index rows = 0, cols = 1;
    int bits = 0;  // 0: not quantized
};

struct ModelHeader {
    ModelShape shape;
    std::vector<TensorEntry> tensors;
};

namespace header_detail {

// As much of JSON as headers use: strings without escapes, numbers, arrays, one object. Throws std::runtime_error.
class JsonReader {
public:
    explicit JsonReader(const std::string& text) : text_(text) {}

    // Whether the next character is c; takes it if so.
    bool take(char c) {
        at_ = std::min(text_.find_first_not_of(" \n", at_), text_.size());
        if (at_ == text_.size() || text_[at_] != c) return false;
        ++at_;
        return true;
    }
    void expect(char c) {
        if (!take(c)) fail(std::string("'") + c + "' expected");
    }
    bool next_is_string() {
        const bool yes = take('"');
        if (yes) --at_;
        return yes;
    }
    std::string string() {
        expect('"');
        const std::size_t end = text_.find('"', at_);
        if (end == std::string::npos) fail("a string does not end");
        std::string value = text_.substr(at_, end - at_);
        at_ = end + 1;
        return value;
    }
    double number() {
        take(' ');
        char* end = nullptr;
        const double value = std::strtod(text_.c_str() + at_, &end);
        if (end == text_.c_str() + at_ || !std::isfinite(value)) fail("a number expected");
        at_ = static_cast<std::size_t>(end - text_.c_str());
        return value;
    }
    // An integer of at least `least`. Sizes above 2^24 are not credible, and products of two of them fit.
    Index size(Index least = 1) {
        const double value = number();
        if (value != std::floor(value) || value < static_cast<double>(least) || value > (1 << 24))
            fail("a size from " + std::to_string(least) + " to 2^24 expected");
        return static_cast<Index>(value);
    }
    [[noreturn]] void fail(const std::string& what) const {
        throw std::runtime_error("the header is malformed at byte " + std::to_string(at_) + ": " + what);
    }

private:
    const std::string& text_;
    std::size_t at_ = 0;
};

inline TensorEntry read_tensor_entry(JsonReader& json) {
    TensorEntry tensor;
    json.expect('[');
    tensor.name = json.string();
    json.expect(',');
    json.expect('[');
    tensor.rows = json.size();
    if (json.take(',')) tensor.cols = json.size();
    json.expect(']');
    if (json.take(',')) tensor.bits = static_cast<int>(json.size(0));
    json.expect(']');
    return tensor;
}

inline ModelShape shape_of(const std::map<std::string, double>& numbers) {
    const auto number = [&](const char* key) {
        const auto found = numbers.find(key);
        if (found == numbers.end())
            throw std::runtime_error(std::string("the header has no entry \"") + key + '"');
        return found->second;
    };
    const auto size = [&](const char* key) {
        const double value = number(key);
        if (value != std::floor(value) || value < 1 || value > (1 << 20))
            throw std::runtime_error(std::string("the header's \"") + key +
                                     "\" is not a size from 1 to 2^20");
        return static_cast<Index>(value);
    };
    ModelShape shape{size("dim"),
                     size("layers"),
                     size("q_heads"),
                     size("kv_heads"),
                     size("ffn"),
                     size("vocab"),
                     size("context"),
                     static_cast<float>(number("rope_base")),
                     static_cast<float>(number("norm_eps"))};
    if (size("head_dim") != kHeadDim)
        throw std::runtime_error("heads of " + std::to_string(size("head_dim")) +
                                 " entries: this program is compiled for " + std::to_string(kHeadDim));
    if (shape.vocab != 256) throw std::runtime_error("the vocabulary is not that of bytes, 256");
    if (shape.q_heads % shape.kv_heads != 0)
        throw std::runtime_error("the number of query heads is not a multiple of that of key heads");
    if (!(shape.rope_base > 1) || !(shape.norm_eps > 0))
        throw std::runtime_error("\"rope_base\" must be above 1, and \"norm_eps\" above 0");
    return shape;
}

}  // namespace header_detail

// Throws std::runtime_error, saying what is wrong.
inline ModelHeader parse_header(const std::string& text) {
    header_detail::JsonReader json(text);
    std::map<std::string, double> numbers;
    ModelHeader header;
    json.expect('{');
    do {
        const std::string key = json.string();
        json.expect(':');
        if (key == "tensors") {
            json.expect('[');
            do header.tensors.push_back(header_detail::read_tensor_entry(json));
            while (json.take(','));
            json.expect(']');
        } else if (json.next_is_string()) {
            // The one string: how rotary positions pair the entries of a head.
            const std::string value = json.string();
            if (key == "rope" && value != "halves") json.fail("rope \"" + value + "\" is unknown");
        } else {
            numbers[key] = json.number();
        }
    } while (json.take(','));
    json.expect('}');
    header.shape = header_detail::shape_of(numbers);
    return header;
}

inline std::string format_header(const ModelHeader& header) {
    const ModelShape& s = header.shape;
    std::ostringstream text;
    text.precision(9);  // enough for every float
    text << "{\"dim\": " << s.dim << ", \"layers\": " << s.layers << ", \"q_heads\": " << s.q_heads
         << ", \"kv_heads\": " << s.kv_heads << ", \"head_dim\": " << kHeadDim << ", \"ffn\": " << s.ffn
         << ", \"vocab\": " << s.vocab << ", \"context\": " << s.context << ", \"rope_base\": " << s.rope_base
         << ", \"rope\": \"halves\", \"norm_eps\": " << s.norm_eps << ",\n\"tensors\": [";
    for (std::size_t i = 0; i < header.tensors.size(); ++i) {
        const TensorEntry& tensor = header.tensors[i];
        text << (i == 0 ? "[\"" : ",\n[\"") << tensor.name << "\", [" << tensor.rows << ", " << tensor.cols
             << "], " << tensor.bits << "]";
    }
    text << "]}\n";
    return text.str();
}

}  // namespace tiny_lm
