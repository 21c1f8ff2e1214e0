// Runs the program under test and keeps what it printed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace palate::test {

struct ProcessResult {
  int status = 0;  // exit status; 128 + signal when it was killed
  std::string out, err;
  int64_t peak_bytes = 0;  // the most memory that was resident; of run_program() only
};

// argv without the program's name. `environment` holds "NAME=value" lines that are added.
ProcessResult run_program(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {});

// The program beside the test. What it prints is kept until it ends.
class Running {
 public:
  explicit Running(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {});
  ~Running();  // kills it
  Running(const Running&) = delete;
  void signal(int number) const;
  ProcessResult wait();

 private:
  pid_t pid_;
  std::filesystem::path out_, err_;
};

// Starts the program and kills it (SIGKILL or another signal) after `milliseconds`, unless it ends before.
ProcessResult run_and_signal(const std::vector<std::string>& arguments, int milliseconds, int signal);

}  // namespace palate::test
