#include "palate/pipeline/pipeline_loras.h"

#include <torch/types.h>

#include "palate/adapters/lora.h"
#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/pipeline/prompt_encoder.h"

namespace palate {
namespace {

struct ZipPart {
  Condition condition;
  Tensor latents;  // [pictures, C, h, w], float32
};

ZipPart make_part(Pipeline& pipeline, const ZipSubject& subject, const ZipPictures& pictures) {
  ZipPart part;
  GenerateOptions options;
  options.steps = pictures.sample_steps;
  options.seed = pictures.seed;
  options.title = "pictures of " + subject.lora.origin;
  std::vector<GenerateRequest> requests;
  for (int64_t i = 0; i < pictures.count; ++i) requests.push_back({subject.prompt, static_cast<uint64_t>(i)});
  Lora hung = Lora::hang(pipeline.denoiser().module(), subject.lora, pipeline.denoiser_component());
  part.latents = pipeline.generate_latents(requests, options).to(torch::kFloat32);
  hung.remove();
  check(part.latents.isfinite().all().item<bool>(), subject.lora.origin, ": the pictures it makes are not finite");
  part.condition = pipeline.encode_prompts({subject.prompt});
  if (pipeline.takes_time_ids()) part.condition.set("time_ids", pipeline.time_ids(part.latents.narrow(0, 0, 1)));
  return part;
}

// The network's prediction on one noised picture of that side; noise and time step are the step's.
ZipPredict predictor(Pipeline& pipeline, const ZipPart& content, const ZipPart& style, uint64_t seed) {
  return [&pipeline, &content, &style, seed](int64_t step, ZipSide which) {
    const ZipPart& side = which == ZipSide::content ? content : style;
    const Tensor x0 = side.latents.narrow(0, step % side.latents.size(0), 1);
    Generator noise({seed, static_cast<uint64_t>(step), 0, Purpose::noise}),
        time({seed, static_cast<uint64_t>(step), 0, Purpose::timestep});
    const Tensor t = torch::full({1}, time.below(pipeline.schedule().steps()), torch::kInt64);
    return pipeline.denoiser().predict(pipeline.schedule().add_noise(x0, noise.normal(x0.sizes().vec()), t), t, side.condition);
  };
}

}  // namespace

std::vector<Lora> hang_loras(Pipeline& pipeline, const std::vector<LoraChoice>& files) {
  if (files.empty()) return {};
  ModelParts parts = {{pipeline.denoiser_component(), &pipeline.denoiser().module()}};
  for (const size_t which : pipeline.prompt_encoder().present())
    parts[PromptEncoder::component(which)] = &pipeline.prompt_encoder().encoder(which).module();
  return hang_loras(parts, files);
}

LoraFile zip_loras(Pipeline& pipeline, const ZipSubject& content, const ZipSubject& style, const ZipOptions& options,
                   const ZipPictures& pictures, const std::function<void(int64_t step, const ZipLoss& loss)>& report) {
  for (const ZipSubject* subject : {&content, &style}) zip_part(subject->lora);
  const ZipPart first = make_part(pipeline, content, pictures), second = make_part(pipeline, style, pictures);
  pipeline.release_encoders();
  return zip_loras(pipeline.denoiser().module(), content.lora, style.lora, options, predictor(pipeline, first, second, pictures.seed),
                   report);
}

}  // namespace palate
