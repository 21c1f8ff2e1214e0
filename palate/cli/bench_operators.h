// Where a benchmark's time goes: processor time of each of libtorch's operators, by name and by the shapes of its inputs.
#pragma once

#include <cstdint>
#include <string>

namespace palate {

// While it lives, every operator that this process calls is timed (processor time of its thread, without what it calls).
class OperatorTimes {
 public:
  OperatorTimes();
  ~OperatorTimes();
  OperatorTimes(const OperatorTimes&) = delete;
  // The `rows` that took longest, one a line: seconds, calls, name, shapes.
  static std::string table(size_t rows);

 private:
  uint64_t handle_;
};

}  // namespace palate
