#include "palate/core/progress.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>

namespace palate {
namespace {

std::atomic<bool> bar_on_line{false};
bool on_terminal() {
  static const bool terminal = isatty(STDERR_FILENO) == 1;
  return terminal;
}

}  // namespace

std::string show_duration(double seconds) {
  const int64_t s = std::llround(std::max(0.0, seconds));
  char text[48];
  if (s >= 3600) {
    std::snprintf(text, sizeof text, "%ld h %02ld min", static_cast<long>(s / 3600), static_cast<long>(s % 3600 / 60));
  } else if (s >= 60) {
    std::snprintf(text, sizeof text, "%ld min %02ld s", static_cast<long>(s / 60), static_cast<long>(s % 60));
  } else {
    std::snprintf(text, sizeof text, "%ld s", static_cast<long>(s));
  }
  return text;
}

void clear_progress_line() {
  if (bar_on_line.exchange(false)) std::fputs("\r\033[K", stderr);
}

Progress::Progress(std::string title, int64_t total, int64_t start)
    : title_(std::move(title)), total_(total), start_(start), done_(start), began_(Clock::now()), drawn_(began_) {}

Progress::~Progress() { finish(); }

void Progress::advance(int64_t count, const std::string& note) {
  done_ += count;
  note_ = note;
  const auto now = Clock::now();
  if (on_terminal() && now - drawn_ > std::chrono::milliseconds(200)) {
    drawn_ = now;
    draw(false);
  }
}

void Progress::finish() {
  if (finished_) return;
  finished_ = true;
  if (shown_) draw(true);
}

void Progress::draw(bool last) {
  const double elapsed = seconds_since(began_);
  const double fraction = total_ > 0 ? std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_)) : 0.0;
  const int64_t fresh = done_ - start_;
  constexpr int width = 24;
  const int filled = static_cast<int>(fraction * width);
  std::string bar(static_cast<size_t>(filled), '#');
  bar.resize(width, '.');
  std::string time = last        ? "in " + show_duration(elapsed)
                     : fresh > 0 ? show_duration(elapsed / static_cast<double>(fresh) * static_cast<double>(total_ - done_)) + " left"
                                 : "";
  std::fprintf(stderr, "\r\033[K%s [%s] %ld/%ld %s  %s", title_.c_str(), bar.c_str(), static_cast<long>(done_), static_cast<long>(total_),
               time.c_str(), note_.c_str());
  if (last) std::fputc('\n', stderr);
  std::fflush(stderr);
  shown_ = true;
  bar_on_line = !last;
}

}  // namespace palate
