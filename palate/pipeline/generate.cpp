#include <torch/types.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/core/progress.h"
#include "palate/io/image.h"
#include "palate/pipeline/pipeline.h"

namespace palate {
namespace {

using Requests = std::vector<GenerateRequest>;

std::vector<std::string> prompts_of(const Requests& requests) {
  std::vector<std::string> prompts;
  for (const auto& request : requests) prompts.push_back(request.prompt);
  return prompts;
}

// Calls `use` with up to options.batch requests at a time, in order, and joins the results.
template <class Use>
Tensor in_batches(const Requests& requests, const GenerateOptions& options, const Use& use) {
  check<UsageError>(!requests.empty(), "generating: there are no prompts");
  check<UsageError>(options.batch >= 1, "generating: the batch should be at least 1, found ", options.batch);
  std::vector<Tensor> parts;
  const auto batch = static_cast<size_t>(options.batch);
  for (size_t from = 0; from < requests.size(); from += batch) {
    const auto begin = requests.begin() + static_cast<std::ptrdiff_t>(from);
    const auto end = requests.begin() + static_cast<std::ptrdiff_t>(std::min(requests.size(), from + batch));
    parts.push_back(use(Requests(begin, end)));
  }
  return torch::cat(parts);
}

Condition repeated(const Condition& one, int64_t rows) {
  Condition many;
  many.text = one.text.expand({rows, one.text.size(1), one.text.size(2)});
  if (one.text_embeds.defined()) many.text_embeds = one.text_embeds.expand({rows, one.text_embeds.size(1)});
  return many;
}

// One call of generate: what does not change from batch to batch.
class Run {
 public:
  Run(Pipeline& pipeline, const GenerateOptions& options, size_t count) : pipeline_(pipeline), options_(options) {
    check<UsageError>(options.steps >= 1, "generating: the number of steps should be at least 1, found ", options.steps);
    sampler_ = make_sampler(options.sampler, pipeline.scheduler_config());
    sampler_->set_timesteps(options.steps);
    if (options.guidance_scale > 1) negative_ = options.negative.empty() ? pipeline.encode_nothing(1) : pipeline.encode_prompts({options.negative});
    const Tensor& given = options.starting_noise;
    check<UsageError>(!given.defined() || (given.dim() == 4 && given.size(0) == static_cast<int64_t>(count) &&
                                           given.size(1) == pipeline.denoiser().latent_channels()),
                      "generating: expected starting noise [", count, ", ", pipeline.denoiser().latent_channels(), ", h, w], found ",
                      given.defined() ? show_shape(given.sizes()) : "none");
    progress_.emplace(options.title, static_cast<int64_t>(count) * sampler_->timesteps().size(0));
  }

  Tensor latents(const Requests& requests) {
    const auto rows = static_cast<int64_t>(requests.size());
    Condition positive = pipeline_.encode_prompts(prompts_of(requests));
    const Tensor start = starting_noise(requests);
    SampleOptions sampling;
    sampling.guidance_scale = options_.guidance_scale;
    sampling.guidance_rescale = options_.guidance_rescale;
    std::vector<int64_t> shape = start.sizes().vec();
    shape[0] = 1;
    sampling.noise = [&](int64_t sample, int64_t step) {
      return Generator({.seed = options_.seed, .sample = requests[static_cast<size_t>(sample)].id, .draw = static_cast<uint64_t>(step), .purpose = Purpose::sampler})
          .normal(shape);
    };
    sampling.on_step = [&](int64_t) { progress_->advance(rows); };
    sampler_->set_timesteps(options_.steps);  // samplers with a memory start afresh
    Condition negative = negative_.text.defined() ? repeated(negative_, rows) : Condition();
    if (pipeline_.takes_time_ids()) positive.time_ids = negative.time_ids = time_ids(start);
    return sample_latents(pipeline_.denoiser(), *sampler_, start, positive, negative, sampling);
  }

 private:
  // Said to be an uncropped picture of this size, as diffusers' default is.
  Tensor time_ids(const Tensor& start) {
    const int64_t factor = pipeline_.autoencoder().factor(), height = start.size(2) * factor, width = start.size(3) * factor;
    return pipeline_.time_ids({height, width, 0, 0, height, width}).expand({start.size(0), 6});
  }

  Tensor starting_noise(const Requests& requests) {
    const auto rows = static_cast<int64_t>(requests.size());
    const int64_t first = done_;
    done_ += rows;
    if (options_.starting_noise.defined()) return options_.starting_noise.narrow(0, first, rows);
    std::vector<Tensor> noise;
    for (const auto& request : requests) noise.push_back(pipeline_.starting_noise(request, options_));
    return torch::cat(noise);
  }

  Pipeline& pipeline_;
  const GenerateOptions& options_;
  std::unique_ptr<Sampler> sampler_;
  Condition negative_;
  int64_t done_ = 0;  // requests of the batches before
  std::optional<Progress> progress_;
};

}  // namespace

Tensor Pipeline::generate_latents(const std::vector<GenerateRequest>& requests, const GenerateOptions& options) {
  const torch::NoGradGuard no_grad;
  Run run(*this, options, requests.size());
  return in_batches(requests, options, [&](const Requests& batch) { return run.latents(batch); });
}

Tensor Pipeline::generate(const std::vector<GenerateRequest>& requests, const GenerateOptions& options) {
  const torch::NoGradGuard no_grad;
  Run run(*this, options, requests.size());
  return in_batches(requests, options, [&](const Requests& batch) { return from_unit(decode(run.latents(batch)).cpu()); });
}

}  // namespace palate
