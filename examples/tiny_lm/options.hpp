// The command lines of tiny_lm and store_model.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>

#include "model.hpp"

namespace tiny_lm {

// The command line does not make sense; the usage helps.
struct UsageError : std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};

// Calls the handler of each option with the value that follows it; those in `flags` have none. Throws UsageError.
class OptionParser {
public:
    using Handler = std::function<void(const std::string& value)>;

    void value(const std::string& option, Handler handler) { values_[option] = std::move(handler); }
    void value(const std::string& option, std::string& target) {
        value(option, [&target](const std::string& text) { target = text; });
    }
    void value(const std::string& option, Index& target, Index least, Index most) {
        value(option, [option, &target, least, most](const std::string& text) {
            char* end = nullptr;
            const long long number = std::strtoll(text.c_str(), &end, 10);
            if (text.empty() || *end != '\0' || number < least || number > most)
                throw UsageError(option + " must be followed by a number from " + std::to_string(least) +
                                 " to " + std::to_string(most) + ", not '" + text + "'");
            target = static_cast<Index>(number);
        });
    }
    void flag(const std::string& option, std::function<void()> handler) {
        flags_[option] = std::move(handler);
    }

    void parse(int argc, char** argv) const {
        for (int i = 1; i < argc; ++i) {
            const std::string argument = argv[i];
            if (const auto flag = flags_.find(argument); flag != flags_.end()) {
                flag->second();
                continue;
            }
            const auto option = values_.find(argument);
            if (option == values_.end()) throw UsageError("unknown option " + argument);
            if (i + 1 == argc) throw UsageError(argument + " must be followed by a value");
            option->second(argv[++i]);
        }
    }

private:
    std::map<std::string, Handler> values_;
    std::map<std::string, std::function<void()>> flags_;
};

}  // namespace tiny_lm
