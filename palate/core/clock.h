// How long something took, by a clock that nobody sets.
#pragma once

#include <chrono>

namespace palate {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point then) { return std::chrono::duration<double>(Clock::now() - then).count(); }

}  // namespace palate
