// Tells on stderr what a program is busy with: one line that rewrites itself on a terminal, a line per step elsewhere.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

namespace examples {

inline bool on_terminal() {
#if defined(__unix__) || defined(__APPLE__)
    return isatty(STDERR_FILENO) != 0;
#else
    return false;
#endif
}

class Progress {
public:
    explicit Progress(int steps) : steps_(steps) {}
    ~Progress() { clear(); }
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    void step(const std::string& what) {
        clear();
        std::fprintf(stderr, "[%d/%d] %s%s", ++step_, steps_, what.c_str(), terminal_ ? "" : "\n");
        std::fflush(stderr);
    }

    // Takes the line away, before anything else is printed.
    void clear() const {
        if (terminal_) std::fputs("\r\033[K", stderr);
    }

private:
    const bool terminal_ = on_terminal();
    const int steps_;
    int step_ = 0;
};

// How much of long work is done, on stderr where that is a terminal: "encoding  [=======>    ]  61 %".
class ProgressBar {
public:
    ProgressBar(std::string what, std::int64_t total) : what_(std::move(what)), total_(total) { show(); }
    ~ProgressBar() {
        if (on_terminal()) std::fputs("\r\033[K", stderr);
    }
    ProgressBar(const ProgressBar&) = delete;
    ProgressBar& operator=(const ProgressBar&) = delete;

    void advance(std::int64_t by = 1) {
        done_ += by;
        show();
    }

private:
    void show() {
        const auto percent = static_cast<int>(total_ > 0 ? 100 * done_ / total_ : 100);
        if (!on_terminal() || percent == shown_) return;
        shown_ = percent;
        const int full = kWidth * percent / 100;
        const std::string bar = std::string(static_cast<std::size_t>(full), '=') + (full < kWidth ? ">" : "");
        std::fprintf(stderr, "\r%s  [%-*s] %3d %%", what_.c_str(), kWidth, bar.c_str(), percent);
        std::fflush(stderr);
    }

    static constexpr int kWidth = 40;
    const std::string what_;
    const std::int64_t total_;
    std::int64_t done_ = 0;
    int shown_ = -1;
};

}  // namespace examples
