#include "palate/train/sample_grid.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/io/atomic_file.h"
#include "palate/io/image.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

constexpr int64_t gap = 4;  // pixels between pictures

Tensor grid_of(const Tensor& pictures) {
  const int64_t count = pictures.size(0), height = pictures.size(2), width = pictures.size(3);
  const auto columns = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(count))));
  const int64_t rows = (count + columns - 1) / columns;
  Tensor grid = torch::full({3, rows * (height + gap) - gap, columns * (width + gap) - gap}, 255, torch::kUInt8);
  for (int64_t i = 0; i < count; ++i) {
    grid.narrow(1, i / columns * (height + gap), height).narrow(2, i % columns * (width + gap), width).copy_(pictures[i]);
  }
  return grid;
}

}  // namespace

fs::path sample_folder(const fs::path& run, int64_t step) {
  char name[32];
  std::snprintf(name, sizeof name, "step_%06ld", static_cast<long>(step));
  return run / "samples" / name;
}

Tensor draw_samples(Pipeline& pipeline, const SampleConfig& config, uint64_t seed, const fs::path& folder) {
  GenerateOptions options;
  options.steps = config.steps;
  options.guidance_scale = config.guidance_scale;
  options.sampler = config.sampler;
  options.seed = seed;
  std::vector<GenerateRequest> requests;
  for (size_t i = 0; i < config.prompts.size(); ++i) requests.push_back({config.prompts[i], i});
  const Tensor pictures = pipeline.generate(requests, options);
  std::error_code error;
  fs::create_directories(folder, error);
  check<IoError>(!error, folder.string(), ": cannot be created (", error.message(), ")");
  std::string manifest;
  for (size_t i = 0; i < requests.size(); ++i) {
    char name[40];
    std::snprintf(name, sizeof name, "%03zu.png", i);
    write_png(folder / name, pictures[static_cast<int64_t>(i)]);
    manifest += Json{{"file", name}, {"prompt", requests[i].prompt}, {"seed", seed}, {"id", requests[i].id}}.dump() + "\n";
  }
  write_file(folder / "manifest.jsonl", manifest);
  const Tensor grid = grid_of(pictures);
  write_png(folder / "grid.png", grid);
  return grid;
}

}  // namespace palate
