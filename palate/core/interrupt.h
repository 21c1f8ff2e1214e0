// SIGINT, SIGTERM and SIGHUP (a terminal that was closed) as a question that a long loop asks at a safe point, so that it can write a
// checkpoint first.
#pragma once

namespace palate {

// While it lives, the first of these signals only sets a flag and says so; the second ends the program as usual. A reader of
// the log that went away (SIGPIPE) ends nothing.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  void (*before_[4])(int);  // the handlers that stood there, which come back
};

// The signal's number once one has come, else 0.
int interrupted();

}  // namespace palate
