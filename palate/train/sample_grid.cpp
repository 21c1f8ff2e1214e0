#include "palate/train/sample_grid.h"

#include <torch/types.h>

#include <cstdio>

#include "palate/core/error.h"
#include "palate/io/image.h"
#include "palate/io/manifest.h"
#include "palate/io/picture_grid.h"

namespace palate {
namespace fs = std::filesystem;

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
  fs::remove(manifest_file(folder), error);  // of an earlier run that was stopped here
  const ManifestWriter manifest(folder);
  for (size_t i = 0; i < requests.size(); ++i) {
    char name[40];
    std::snprintf(name, sizeof name, "%03zu.png", i);
    manifest.add(pictures[static_cast<int64_t>(i)], {name, requests[i].prompt, requests[i].id, seed});
  }
  const Tensor grid = picture_grid(pictures);
  write_png(folder / "grid.png", grid);
  return grid;
}

}  // namespace palate
