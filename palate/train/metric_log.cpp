#include "palate/train/metric_log.h"

#include <torch/types.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/core/log.h"
#include "palate/io/atomic_file.h"
#include "palate/io/events.h"
#include "palate/io/image.h"
#include "palate/io/json.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

// The lines up to `step`. The last line of a killed run may be half written: what cannot be read ends the list.
std::vector<Json> kept_lines(const fs::path& file, int64_t step) {
  std::vector<Json> kept;
  if (!fs::exists(file)) return kept;
  try {
    read_jsonl(file, [&](const Json& line, int64_t) {
      if (line.is_object() && line.contains("step") && line["step"].is_number() && line["step"].get<int64_t>() <= step)
        kept.push_back(line);
    });
  } catch (const Error& error) {
    warn(error.what(), "; the lines before it are kept");
  }
  return kept;
}

void remove_events(const fs::path& run) {
  for (const auto& entry : fs::directory_iterator(run)) {
    if (entry.path().filename().string().rfind("events.out.tfevents.", 0) == 0) fs::remove(entry.path());
  }
}

}  // namespace

MetricLog::MetricLog(const fs::path& run, int64_t step) {
  const fs::path file = run / "metrics.jsonl";
  const auto kept = kept_lines(file, step);
  if (fs::exists(file)) {
    std::string text;
    for (const auto& line : kept) text += line.dump() + "\n";
    write_file(file, text);
  }
  remove_events(run);
  events_ = std::make_unique<EventWriter>(run);
  for (const auto& line : kept) {
    for (const auto& [name, value] : line.items()) {
      if (name != "step" && value.is_number()) events_->scalar(name, value.get<double>(), line["step"].get<int64_t>());
    }
  }
  lines_ = std::make_unique<LineWriter>(file);
}

MetricLog::~MetricLog() = default;

void MetricLog::write(int64_t step, const std::map<std::string, double>& values) {
  Json line = {{"step", step}};
  for (const auto& [name, value] : values) {
    if (!std::isfinite(value)) continue;
    line[name] = value;
    events_->scalar(name, value, step);
  }
  lines_->line(line.dump());
}

void MetricLog::image(const std::string& tag, const Tensor& picture, int64_t step) { events_->image(tag, picture, step); }

}  // namespace palate
