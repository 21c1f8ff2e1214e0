// palate lora zip: ZipLoRA on pictures that each LoRA makes itself.
#include <torch/types.h>

#include <cstdio>

#include "palate/adapters/lora.h"
#include "palate/adapters/zip_lora.h"
#include "palate/cli/flag_checks.h"
#include "palate/cli/lora_commands.h"
#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/core/log.h"
#include "palate/core/progress.h"
#include "palate/pipeline/pipeline.h"

namespace palate {
namespace {

struct Side {
  Condition condition;
  Tensor latents;  // [pictures, C, h, w], float32
};

Side make_side(Pipeline& pipeline, const LoraFile& lora, const std::string& prompt, const LoraArguments& given) {
  Side side;
  GenerateOptions options;
  options.steps = given.sample_steps;
  options.seed = given.seed;
  options.title = "pictures of " + lora.origin;
  std::vector<GenerateRequest> requests;
  for (int64_t i = 0; i < given.pictures; ++i) requests.push_back({prompt, static_cast<uint64_t>(i)});
  Lora hung = Lora::hang(pipeline.denoiser().module(), lora, pipeline.denoiser_component());
  side.latents = pipeline.generate_latents(requests, options).to(torch::kFloat32);
  hung.remove();
  check(side.latents.isfinite().all().item<bool>(), lora.origin, ": the pictures it makes are not finite");
  side.condition = pipeline.encode_prompts({prompt});
  if (pipeline.takes_time_ids()) side.condition.set("time_ids", pipeline.time_ids(side.latents.narrow(0, 0, 1)));
  return side;
}

// The network's prediction on one noised picture of that side; noise and time step are the step's.
ZipPredict predictor(Pipeline& pipeline, const Side& content, const Side& style, const LoraArguments& given) {
  return [&pipeline, &content, &style, given](int64_t step, ZipSide which) {
    const Side& side = which == ZipSide::content ? content : style;
    const Tensor x0 = side.latents.narrow(0, step % side.latents.size(0), 1);
    Generator noise({given.seed, static_cast<uint64_t>(step), 0, Purpose::noise}),
        time({given.seed, static_cast<uint64_t>(step), 0, Purpose::timestep});
    const Tensor t = torch::full({1}, time.below(pipeline.schedule().steps()), torch::kInt64);
    return pipeline.denoiser().predict(pipeline.schedule().add_noise(x0, noise.normal(x0.sizes().vec()), t), t, side.condition);
  };
}

}  // namespace

void zip_lora_files(const LoraArguments& given) {
  const LoraSpelling spelling = given.spelling();
  check_parent(given.out);
  const auto layers = given.layers();
  const LoraFile content = read_whole_lora(given.inputs[0], layers), style = read_whole_lora(given.inputs[1], layers);
  for (const LoraFile* lora : {&content, &style}) zip_part(*lora);  // refused before pictures are made
  Pipeline pipeline(given.model);
  const Side first = make_side(pipeline, content, given.content_prompt, given),
             second = make_side(pipeline, style, given.style_prompt, given);
  pipeline.release_encoders();
  Progress progress("zip", given.steps);
  ZipLoss start, last;
  const LoraFile zipped = zip_loras(pipeline.denoiser().module(), content, style,
                                    {.steps = given.steps, .learning_rate = given.learning_rate, .penalty = given.penalty},
                                    predictor(pipeline, first, second, given), [&](int64_t step, const ZipLoss& loss) {
                                      if (step == 0) start = loss;
                                      last = loss;
                                      progress.advance(1, concat("overlap ", loss.overlap));
                                    });
  progress.finish();
  log_info("zip: content ", start.content, " to ", last.content, ", style ", start.style, " to ", last.style, ", overlap ", start.overlap,
           " to ", last.overlap, " in ", given.steps, " steps");
  write_checked(given.out, zipped, spelling, layers);
}

}  // namespace palate
