#include <torch/types.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/core/progress.h"
#include "palate/io/image.h"
#include "palate/nn/adaptable.h"
#include "palate/pipeline/pipeline.h"
#include "palate/pipeline/requests.h"

namespace palate {
namespace {

using Requests = std::vector<GenerateRequest>;

// One call of generate: what does not change from batch to batch.
class Run {
 public:
  Run(Pipeline& pipeline, const GenerateOptions& options, size_t count) : pipeline_(pipeline), options_(options) {
    check<UsageError>(count > 0, "generating: there are no prompts");
    check<UsageError>(options.batch >= 1, "generating: the batch should be at least 1, found ", options.batch);
    check<UsageError>(options.steps >= 1, "generating: the number of steps should be at least 1, found ", options.steps);
    sampler_ = make_sampler(options.sampler, pipeline.scheduler_config());
    sampler_->set_timesteps(options.steps);
    for (const std::string& text : {options.negative, options.base_prompt})
      least_rows_ = std::max(least_rows_, pipeline.prompt_encoder().rows(text));
    const Tensor& given = options.starting_noise;
    check<UsageError>(!given.defined() ||
                          (given.dim() > 2 && given.size(0) == static_cast<int64_t>(count) && given.size(1) == pipeline.latent_channels()),
                      "generating: expected starting noise [", count, ", ", pipeline.latent_channels(), ", ...], found ",
                      given.defined() ? show_shape(given.sizes()) : "none");
    const std::string channels =
        concat(pipeline.folder().string(), ": this network takes ", pipeline.latent_channels() + pipeline.extra_channels(),
               " channels and predicts ", pipeline.latent_channels());
    check<UsageError>(pipeline.extra_channels() == 0 || pipeline.takes_mask(), channels,
                      ": models made for editing by instructions, depth or upscaling are not supported");
    check<UsageError>(!pipeline.takes_mask() || (options.mask.defined() && options.masked_latents.defined()), channels,
                      ": it was made for inpainting, and needs a picture and a mask: give --init-image and --mask");
    check<UsageError>(!options.step_noise.defined() ||
                          (given.defined() && options.step_noise.dim() > 0 && options.step_noise.size(0) >= sampler_->timesteps().size(0) &&
                           options.step_noise[0].sizes() == given.sizes()),
                      "generating: expected noise for ", sampler_->timesteps().size(0), " steps of the shape of the starting noise, found ",
                      options.step_noise.defined() ? show_shape(options.step_noise.sizes()) : "none");
    const Tensor& edited = options.init_latents;
    check<UsageError>(!edited.defined() || (edited.dim() > 2 && (edited.size(0) == 1 || edited.size(0) == static_cast<int64_t>(count))),
                      "generating: expected latents of one picture to edit, or of one for each of the ", count, " prompts, found ",
                      edited.defined() ? show_shape(edited.sizes()) : "none");
    if (edited.defined()) begin_ = first_step(options) * sampler_->order();
    progress_.emplace(options.title, static_cast<int64_t>(count) * (sampler_->timesteps().size(0) - begin_));
  }

  // Rows of text that a request's prompt needs beside the negative one.
  int64_t text_rows(const GenerateRequest& request) { return std::max(least_rows_, pipeline_.prompt_encoder().rows(request.prompt)); }

  Tensor latents(const Requests& requests, int64_t text_rows) {
    const auto rows = static_cast<int64_t>(requests.size());
    const int64_t first = done_;
    Condition positive = pipeline_.encode_prompts(prompts_of(requests), text_rows);
    const Tensor start = starting_noise(requests);
    for (const Tensor* given : {&options_.init_latents, &options_.mask, &options_.masked_latents}) {
      check<UsageError>(!given->defined() || given->sizes().slice(2) == start.sizes().slice(2),
                        "generating: the picture and its mask are latents of ", given->defined() ? show_shape(given->sizes()) : "",
                        ", but the starting noise is ", show_shape(start.sizes()), ": give all of one height and width");
    }
    SampleOptions sampling;
    sampling.begin = begin_;
    const bool told = pipeline_.takes_mask();
    if (told) sampling.extra = torch::cat({options_.mask.to(options_.masked_latents), options_.masked_latents}, 1);
    if (options_.init_latents.defined() && !(told && begin_ == 0))
      sampling.clean =
          options_.init_latents.size(0) == 1 ? options_.init_latents.expand_as(start) : options_.init_latents.narrow(0, first, rows);
    if (options_.mask.defined() && !told) sampling.mask = options_.mask;
    sampling.guidance_scale = options_.guidance_scale;
    sampling.guidance_rescale = options_.guidance_rescale;
    std::vector<int64_t> shape = start.sizes().vec();
    shape[0] = 1;
    sampling.noise = [&](int64_t sample, int64_t step) {
      if (options_.step_noise.defined()) return options_.step_noise[step].narrow(0, first + sample, 1);
      return Generator({.seed = options_.seed,
                        .sample = requests[static_cast<size_t>(sample)].id,
                        .draw = static_cast<uint64_t>(step),
                        .purpose = Purpose::sampler})
          .normal(shape);
    };
    sampling.on_step = [&](int64_t) { progress_->advance(rows); };
    sampler_->set_timesteps(options_.steps);  // samplers with a memory start afresh
    Condition negative = options_.guidance_scale > 1 || options_.reward_weight ? nothing(text_rows).repeat(rows) : Condition();
    const Condition sizes = pipeline_.takes_time_ids() ? Condition{{"time_ids", pipeline_.time_ids(start)}} : Condition();
    positive = positive.with_missing_of(sizes);
    if (!negative.empty()) negative = negative.with_missing_of(sizes);
    if (options_.reward_weight) {
      const AdaptersOff off;
      sampling.reward_weight = options_.reward_weight;
      sampling.base = pipeline_
                          .encode_prompts(options_.base_prompt.empty() ? prompts_of(requests)
                                                                       : std::vector<std::string>(requests.size(), options_.base_prompt),
                                          text_rows)
                          .with_missing_of(sizes);
    }
    return sample_latents(pipeline_.denoiser(), *sampler_, start, positive, negative, sampling);
  }

 private:
  const Condition& nothing(int64_t text_rows) {
    Condition& known = negatives_[text_rows];
    if (known.empty())
      known = options_.negative.empty() ? pipeline_.encode_nothing(1, text_rows) : pipeline_.encode_prompts({options_.negative}, text_rows);
    return known;
  }

  // diffusers' img2img: int(steps * strength) steps are made, the last ones.
  static int64_t first_step(const GenerateOptions& options) {
    check<UsageError>(options.strength > 0 && options.strength <= 1, "generating: strength should be above 0 and at most 1, found ",
                      options.strength);
    const auto made = static_cast<int64_t>(static_cast<double>(options.steps) * options.strength);
    check<UsageError>(made > 0, "generating: a strength of ", options.strength, " leaves none of ", options.steps,
                      " steps: raise one of them");
    return options.steps - made;
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
  std::map<int64_t, Condition> negatives_;  // by the rows of text
  int64_t least_rows_ = 1;
  int64_t done_ = 0;   // requests of the batches before
  int64_t begin_ = 0;  // index of the first step
  std::optional<Progress> progress_;
};

}  // namespace

void Pipeline::generate_each(const std::vector<GenerateRequest>& requests, const GenerateOptions& options,
                             const std::function<void(size_t first, const Tensor& latents)>& take) {
  const torch::NoGradGuard no_grad;
  Run run(*this, options, requests.size());
  for (size_t from = 0, to = 0; from < requests.size(); from = to) {
    const int64_t text_rows = run.text_rows(requests[from]);
    const size_t most = std::min(requests.size(), from + static_cast<size_t>(options.batch));
    for (to = from + 1; to < most && run.text_rows(requests[to]) == text_rows;) ++to;
    take(from, run.latents({requests.begin() + static_cast<std::ptrdiff_t>(from), requests.begin() + static_cast<std::ptrdiff_t>(to)},
                           text_rows));
  }
}

Tensor Pipeline::generate_latents(const std::vector<GenerateRequest>& requests, const GenerateOptions& options) {
  std::vector<Tensor> parts;
  generate_each(requests, options, [&](size_t, const Tensor& latents) { parts.push_back(latents); });
  return torch::cat(parts);
}

Tensor Pipeline::generate(const std::vector<GenerateRequest>& requests, const GenerateOptions& options) {
  std::vector<Tensor> parts;
  generate_each(requests, options, [&](size_t, const Tensor& latents) { parts.push_back(from_unit(decode(latents).cpu())); });
  return torch::cat(parts);
}

}  // namespace palate
