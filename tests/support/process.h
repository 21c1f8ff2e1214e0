// Runs the program under test and keeps what it printed.
#pragma once

#include <string>
#include <vector>

namespace palate::test {

struct ProcessResult {
  int status = 0;  // exit status; 128 + signal when it was killed
  std::string out, err;
};

// argv without the program's name. `environment` holds "NAME=value" lines that are added.
ProcessResult run_program(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {});

// Starts the program and kills it (SIGKILL or another signal) after `milliseconds`, unless it ends before.
ProcessResult run_and_signal(const std::vector<std::string>& arguments, int milliseconds, int signal);

}  // namespace palate::test
