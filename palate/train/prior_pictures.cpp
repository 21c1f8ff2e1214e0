#include "palate/train/prior_pictures.h"

#include <torch/types.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/core/hash.h"
#include "palate/core/interrupt.h"
#include "palate/core/log.h"
#include "palate/io/file_lock.h"
#include "palate/io/image.h"
#include "palate/io/sample_folder.h"
#include "palate/pipeline/requests.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

GenerateOptions options_of(const RunConfig& config) {
  GenerateOptions options;
  options.steps = config.prior.steps;
  options.guidance_scale = config.prior.guidance_scale;
  options.sampler = config.prior.sampler;
  options.seed = static_cast<uint64_t>(config.seed);
  options.batch = config.prior.batch;
  options.title = "drawing pictures of the class";
  return options;
}

// All that the pictures depend on. The batch is among it: other rows in a matrix product round otherwise.
Json settings_of(Pipeline& pipeline, const RunConfig& config) {
  Json settings = {{"dtype", dtype_name(pipeline.dtype())},
                   {"scheduler", config.prior.sampler.empty() ? pipeline.scheduler_config() : Json(config.prior.sampler)},
                   {"steps", config.prior.steps},
                   {"guidance_scale", config.prior.guidance_scale},
                   {"batch", config.prior.batch},
                   {"pictures", config.prior.pictures},
                   {"readings", pipeline.prompt_encoder().readings()}};
  std::vector<std::string> components = {pipeline.denoiser_component(), "vae"};
  for (const size_t which : pipeline.prompt_encoder().present()) components.emplace_back(PromptEncoder::component(which));
  for (const std::string& component : components) settings[component + "_sha256"] = pipeline.weights_hash(component);
  return settings;
}

// The batches that lack a picture, whole: so each picture is made beside the same others, and to the same bits, wherever a run was stopped.
std::vector<size_t> wanted(const std::vector<size_t>& missing, size_t batch, size_t total) {
  std::vector<size_t> all;
  for (const size_t number : missing) {
    const size_t first = number / batch * batch;
    if (!all.empty() && all.back() >= first) continue;
    for (size_t i = first; i < std::min(total, first + batch); ++i) all.push_back(i);
  }
  return all;
}

void draw_missing(Pipeline& pipeline, const RunConfig& config, SampleFolder& folder, const std::vector<GenerateRequest>& requests) {
  const std::vector<size_t> missing = folder.missing();
  const std::vector<size_t> numbers = wanted(missing, static_cast<size_t>(config.prior.batch), requests.size());
  std::vector<GenerateRequest> asked;
  for (const size_t number : numbers) asked.push_back(requests[number]);
  size_t there = requests.size() - missing.size();
  pipeline.generate_each(asked, options_of(config), [&](size_t first, const Tensor& latents) {
    check(latents.isfinite().all().item<bool>(), "prior.class_prompt: the sampler gave values that are not finite: a lower ",
          "prior.guidance_scale or train.dtype = \"float32\" may help");
    const Tensor pictures = from_unit(pipeline.decode(latents).cpu());
    for (int64_t i = 0; i < pictures.size(0); ++i) {
      const size_t number = numbers[first + static_cast<size_t>(i)];
      if (!std::binary_search(missing.begin(), missing.end(), number)) continue;
      folder.add(number, pictures[i]);
      ++there;
    }
    check(!interrupted(), "interrupted: ", there, " of ", requests.size(),
          " pictures of the class are drawn; the same command goes on from there");
  });
}

}  // namespace

fs::path prior_pictures(Pipeline& pipeline, const RunConfig& config, const fs::path& caches) {
  if (!config.prior.folder.empty()) return config.prior.folder;
  const std::vector<GenerateRequest> requests = paired_requests({config.prior.class_prompt}, config.prior.pictures);
  const Json settings = settings_of(pipeline, config);
  const fs::path folder = caches / ("prior-" + sha256(concat(config.prior.class_prompt, "\n", config.seed, "\n", settings.dump())));
  std::error_code error;
  fs::create_directories(caches, error);
  check<IoError>(!error, caches.string(), ": the folder for caches cannot be made: ", error.message());
  const FileLock lock(folder.string() + ".lock",
                      [] { check(!interrupted(), "interrupted while waiting for another run to draw the pictures of the class"); });
  if (!fs::exists(manifest_file(folder))) fs::remove_all(folder, error);  // cut short at its first picture
  std::vector<ManifestEntry> entries;
  for (const auto& request : requests) {
    entries.push_back({.image = "", .prompt = request.prompt, .id = request.id, .seed = static_cast<uint64_t>(config.seed)});
  }
  SampleFolder drawn(folder, std::move(entries), settings, Existing::goes_on);
  const size_t missing = drawn.missing().size();
  log_info("prior: ", requests.size() - missing, " of ", requests.size(), " pictures of \"", config.prior.class_prompt, "\" are in ",
           folder.string());
  if (missing > 0) draw_missing(pipeline, config, drawn, requests);
  return folder;
}

}  // namespace palate
