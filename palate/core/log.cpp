#include "palate/core/log.h"

#include <atomic>
#include <cstdio>
#include <ctime>

#include "palate/core/progress.h"

namespace palate {
namespace {

std::atomic<LogLevel> level{LogLevel::normal};

void print(const std::string& text) {
  char clock[16];
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  std::strftime(clock, sizeof clock, "%H:%M:%S", &local);
  clear_progress_line();
  std::fprintf(stderr, "%s %s\n", clock, text.c_str());
}

}  // namespace

void set_log_level(LogLevel wanted) { level = wanted; }
void log_line(const std::string& text) {
  if (level != LogLevel::quiet) print(text);
}
void log_warning(const std::string& text) { print("warning: " + text); }
void log_detail(const std::string& text) {
  if (level == LogLevel::verbose) print(text);
}

}  // namespace palate
