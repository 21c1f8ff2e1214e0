// metrics.jsonl (one object a line, "step" first) and the same numbers as TensorBoard events.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "palate/core/tensor_fwd.h"

namespace palate {

class LineWriter;
class EventWriter;

class MetricLog {
 public:
  // Opens RUN/metrics.jsonl and RUN/events.out.tfevents.*. What stands there beyond `step` is taken away: a run that goes on
  // from an earlier step writes it again. Event files are written anew from what stays.
  MetricLog(const std::filesystem::path& run, int64_t step);
  ~MetricLog();

  void write(int64_t step, const std::map<std::string, double>& values);    // values that are not finite are left out
  void image(const std::string& tag, const Tensor& picture, int64_t step);  // uint8 [3, H, W]; events only

 private:
  std::unique_ptr<EventWriter> events_;
  std::unique_ptr<LineWriter> lines_;
};

}  // namespace palate
