// How long something took: by a clock that nobody sets, and in the time of processors.
#pragma once

#include <chrono>
#include <ctime>

namespace palate {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point then) { return std::chrono::duration<double>(Clock::now() - then).count(); }

// Over all threads; unlike the wall's time it does not count waiting for other programs.
inline double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

}  // namespace palate
