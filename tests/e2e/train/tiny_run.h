// Runs of the program on a tiny random model folder and a few pairs of random pictures.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "palate/io/json.h"
#include "tests/support/process.h"

namespace palate::test {

// FOLDER/pairs.jsonl with its pictures, and FOLDER/run.toml: a LoRA with dropout, EMA, warm-up, caption dropout and
// validation, six pairs a step in two parts, a checkpoint every fourth step.
class TinyRun {
 public:
  explicit TinyRun(const std::string& name);

  std::filesystem::path folder;
  std::filesystem::path output(const std::string& name) const { return folder / name; }
  // palate train run.toml output=FOLDER/NAME data.cache=FOLDER/cache more...
  std::vector<std::string> arguments(const std::string& name, const std::vector<std::string>& more = {}) const;
  ProcessResult train(const std::string& name, const std::vector<std::string>& more = {}) const;
};

// A program that runs beside the test.
class Background {
 public:
  Background(const std::vector<std::string>& arguments, const std::filesystem::path& log);
  ~Background();                                                // kills it
  bool wait_for(const std::filesystem::path& file, int lines);  // until the file has so many; false when the program ended before
  void signal(int number) const;
  int finish();  // exit status, 128 + signal when killed
  std::string errors() const;

 private:
  pid_t pid_ = -1;
  std::filesystem::path log_;
};

// Lines of metrics.jsonl without what a clock or the machine gives.
std::vector<std::string> timeless_metrics(const std::filesystem::path& run);
// Fails the test unless results, checkpoints and metrics of both runs are equal, bit for bit.
void expect_same_run(const std::filesystem::path& got, const std::filesystem::path& expected, int64_t step);

}  // namespace palate::test
