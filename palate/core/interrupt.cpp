#include "palate/core/interrupt.h"

#include <unistd.h>

#include <csignal>

namespace palate {
namespace {

volatile std::sig_atomic_t received = 0;

constexpr char note[] = "\nstopping as soon as nothing is lost by it; once more to stop at once\n";

void on_signal(int number) {
  received = number;
  std::signal(number, SIG_DFL);
  // The only thing that may be done here; a step of a large model may take a minute.
  if (write(STDERR_FILENO, note, sizeof note - 1) < 0) return;
}

}  // namespace

InterruptGuard::InterruptGuard() {
  received = 0;
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  if (std::signal(SIGHUP, on_signal) == SIG_IGN) std::signal(SIGHUP, SIG_IGN);  // nohup
  std::signal(SIGPIPE, SIG_IGN);
}

InterruptGuard::~InterruptGuard() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  if (std::signal(SIGHUP, SIG_DFL) == SIG_IGN) std::signal(SIGHUP, SIG_IGN);
  std::signal(SIGPIPE, SIG_DFL);
}

int interrupted() { return received; }

}  // namespace palate
