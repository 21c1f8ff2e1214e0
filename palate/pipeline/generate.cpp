#include <torch/types.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/core/progress.h"
#include "palate/io/image.h"
#include "palate/nn/adaptable.h"
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
    if (options.guidance_scale > 1 || options.reward_weight) negative_ = options.negative.empty() ? pipeline.encode_nothing(1) : pipeline.encode_prompts({options.negative});
    const Tensor& given = options.starting_noise;
    check<UsageError>(!given.defined() || (given.dim() == 4 && given.size(0) == static_cast<int64_t>(count) &&
                                           given.size(1) == pipeline.denoiser().latent_channels()),
                      "generating: expected starting noise [", count, ", ", pipeline.denoiser().latent_channels(), ", h, w], found ",
                      given.defined() ? show_shape(given.sizes()) : "none");
    const Tensor& edited = options.init_latents;
    check<UsageError>(!edited.defined() || (edited.dim() == 4 && (edited.size(0) == 1 || edited.size(0) == static_cast<int64_t>(count))),
                      "generating: expected latents of one picture to edit, or of one for each of the ", count, " prompts, found ", edited.defined() ? show_shape(edited.sizes()) : "none");
    if (edited.defined()) begin_ = first_step(options) * sampler_->order();
    progress_.emplace(options.title, static_cast<int64_t>(count) * (sampler_->timesteps().size(0) - begin_));
  }

  Tensor latents(const Requests& requests) {
    const auto rows = static_cast<int64_t>(requests.size());
    const int64_t first = done_;
    Condition positive = pipeline_.encode_prompts(prompts_of(requests));
    const Tensor start = starting_noise(requests);
    SampleOptions sampling;
    sampling.begin = begin_;
    if (options_.init_latents.defined()) sampling.clean = options_.init_latents.size(0) == 1 ? options_.init_latents.expand_as(start) : options_.init_latents.narrow(0, first, rows);
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
    if (options_.reward_weight) {
      const AdaptersOff off;
      sampling.reward_weight = options_.reward_weight;
      sampling.base = pipeline_.encode_prompts(options_.base_prompt.empty() ? prompts_of(requests) : std::vector<std::string>(requests.size(), options_.base_prompt));
      sampling.base.time_ids = positive.time_ids;
    }
    return sample_latents(pipeline_.denoiser(), *sampler_, start, positive, negative, sampling);
  }

 private:
  // diffusers' img2img: int(steps * strength) steps are made, the last ones.
  static int64_t first_step(const GenerateOptions& options) {
    check<UsageError>(options.strength > 0 && options.strength <= 1, "generating: strength should be above 0 and at most 1, found ", options.strength);
    const auto made = static_cast<int64_t>(static_cast<double>(options.steps) * options.strength);
    check<UsageError>(made > 0, "generating: a strength of ", options.strength, " leaves none of ", options.steps, " steps: raise one of them");
    return options.steps - made;
  }

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
  int64_t done_ = 0;   // requests of the batches before
  int64_t begin_ = 0;  // index of the first step
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
