#include "palate/core/interrupt.h"

#include <unistd.h>

#include <csignal>
#include <iterator>

namespace palate {
namespace {

volatile std::sig_atomic_t received = 0;
constexpr int stopping[] = {SIGINT, SIGTERM, SIGHUP};

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
  for (size_t i = 0; i < std::size(stopping); ++i) before_[i] = std::signal(stopping[i], on_signal);
  if (before_[2] == SIG_IGN) std::signal(SIGHUP, SIG_IGN);  // nohup
  before_[3] = std::signal(SIGPIPE, SIG_IGN);
}

InterruptGuard::~InterruptGuard() {
  for (size_t i = 0; i < std::size(stopping); ++i) std::signal(stopping[i], before_[i]);
  std::signal(SIGPIPE, before_[3]);
}

int interrupted() { return received; }

}  // namespace palate
