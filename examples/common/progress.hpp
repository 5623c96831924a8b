// Tells on stderr what a program is busy with: one line that rewrites itself on a terminal, a line per step elsewhere.
#pragma once

#include <cstdio>
#include <string>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

namespace examples {

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
    static bool is_terminal() {
#if defined(__unix__) || defined(__APPLE__)
        return isatty(STDERR_FILENO) != 0;
#else
        return false;
#endif
    }

    const bool terminal_ = is_terminal();
    const int steps_;
    int step_ = 0;
};

}  // namespace examples
