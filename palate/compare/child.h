// The program itself as a child process, so that what a run needs is measured on the run alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace palate {

struct ChildResult {
  int status = 0;   // exit status; 128 + signal when it was killed
  std::string out;  // its stdout
  double processor_seconds = 0;
  int64_t peak_bytes = 0;  // the most memory that was resident at once
};

// Runs /proc/self/exe with these arguments, its stderr appended to `log`. An interrupt of ours (core/interrupt.h) is handed on as
// SIGTERM; the child dies when we do. Memory is VmHWM of /proc/PID/status, read twenty times a second while it runs: unlike getrusage's it
// does not hold what the parent had when it forked. IoError when it cannot be started.
ChildResult run_self(const std::vector<std::string>& arguments, const std::filesystem::path& log);

// The last line of a log that an error of the program ends with, without "palate: "; "" where there is none.
std::string last_complaint(const std::filesystem::path& log);

}  // namespace palate
