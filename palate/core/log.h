// The log goes to stderr, one line a message; stdout is for results.
#pragma once

#include <string>

#include "palate/core/error.h"

namespace palate {

enum class LogLevel { quiet, normal, verbose };
void set_log_level(LogLevel level);

void log_line(const std::string& text);     // "12:03:11 text"
void log_warning(const std::string& text);  // "12:03:11 warning: text"; shown at every level
void log_detail(const std::string& text);   // only with --verbose

template <class... Parts>
void log_info(const Parts&... parts) {
  log_line(concat(parts...));
}
template <class... Parts>
void warn(const Parts&... parts) {
  log_warning(concat(parts...));
}

}  // namespace palate
