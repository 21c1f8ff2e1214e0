#include <doctest/doctest.h>

#include <cmath>

#include "palate/train/metric_log.h"
#include "tests/support/paths.h"

using namespace palate;
namespace fs = std::filesystem;

namespace {

int count_events(const fs::path& run) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator(run)) count += entry.path().filename().string().find("tfevents") != std::string::npos;
  return count;
}

}  // namespace

TEST_CASE("metrics: a run that goes on takes away what lies beyond its step, and a half-written line") {
  const fs::path run = test::fresh_folder("resumed");
  {
    MetricLog log(run, 0);
    for (int64_t step : {10, 20, 30}) log.write(step, {{"loss", 1.0 / static_cast<double>(step)}});
  }
  const std::string whole = test::read_text(run / "metrics.jsonl");
  test::write_text(run / "metrics.jsonl", whole + "{\"step\":40,\"lo");
  {
    MetricLog log(run, 20);
    CHECK(test::read_text(run / "metrics.jsonl") == whole.substr(0, whole.find("{\"step\":30")));
    log.write(30, {{"loss", 1.0 / 30}});
  }
  CHECK(test::read_text(run / "metrics.jsonl") == whole);
  CHECK(count_events(run) == 1);
}

TEST_CASE("metrics: a value that is not finite is left out, the line stays JSON") {
  const fs::path run = test::fresh_folder("nan");
  MetricLog(run, 0).write(1, {{"a", NAN}, {"b", 0.5}, {"c", INFINITY}});
  CHECK(test::read_text(run / "metrics.jsonl") == "{\"step\":1,\"b\":0.5}\n");
}
