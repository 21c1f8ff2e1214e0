// A progress bar with an estimate of the time that is left. Drawn on a terminal only; elsewhere it stays quiet.
#pragma once

#include <cstdint>
#include <string>

#include "palate/core/clock.h"

namespace palate {

class Progress {
 public:
  // `start` counts what an earlier run had done already: it is shown, but not taken as speed.
  Progress(std::string title, int64_t total, int64_t start = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // One more done. `note` is shown at the end of the line ("loss 0.69").
  void advance(int64_t count = 1, const std::string& note = "");
  // Ends the line. Called by the destructor too.
  void finish();

 private:
  void draw(bool last);
  std::string title_, note_;
  int64_t total_, start_, done_;
  Clock::time_point began_, drawn_;
  bool shown_ = false, finished_ = false;
};

// "1 h 02 min", "3 min 20 s", "12 s"
std::string show_duration(double seconds);

// Wipes a bar that is on the terminal's current line, so that a log line can be printed there.
void clear_progress_line();

}  // namespace palate
