// SIGINT and SIGTERM as a question that a long loop asks at a safe point, so that it can write a checkpoint first.
#pragma once

namespace palate {

// While it lives, the first SIGINT or SIGTERM only sets a flag; the second ends the program as usual.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
};

// The signal's number once one has come, else 0.
int interrupted();

}  // namespace palate
