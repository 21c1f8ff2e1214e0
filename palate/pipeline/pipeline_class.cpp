#include "palate/pipeline/pipeline_class.h"

#include <algorithm>
#include <iterator>

#include "palate/core/error.h"

namespace palate {
namespace {

constexpr auto last = TextLayer::last, second_to_last = TextLayer::second_to_last;

// Stable Diffusion 1 and 2 read one CLIP; SDXL reads two, and takes what enters their last layer.
constexpr PipelineClass classes[] = {
    // name, text encoders, layer, pooled, zeros for no prompt
    {"StableDiffusionPipeline", 1, last, false, false},
    {"StableDiffusionImg2ImgPipeline", 1, last, false, false},
    {"StableDiffusionInpaintPipeline", 1, last, false, false},
    {"StableDiffusionInstructPix2PixPipeline", 1, last, false, false},
    {"StableDiffusionUpscalePipeline", 1, last, false, false},
    {"StableDiffusionDepth2ImgPipeline", 1, last, false, false},
    {"StableDiffusionControlNetPipeline", 1, last, false, false},
    {"StableDiffusionPipelineSafe", 1, last, false, false},
    {"LatentConsistencyModelPipeline", 1, last, false, false},
    {"LatentConsistencyModelImg2ImgPipeline", 1, last, false, false},
    {"StableDiffusionXLPipeline", 2, second_to_last, true, true},
    {"StableDiffusionXLImg2ImgPipeline", 2, second_to_last, true, true},
    {"StableDiffusionXLInpaintPipeline", 2, second_to_last, true, true},
    {"StableDiffusionXLInstructPix2PixPipeline", 2, second_to_last, true, true},
    {"StableDiffusionXLControlNetPipeline", 2, second_to_last, true, true},
};

}  // namespace

const PipelineClass& pipeline_class(const ModelFolder& folder) {
  const auto* found =
      std::find_if(std::begin(classes), std::end(classes), [&](const auto& line) { return folder.class_name() == line.name; });
  check<UsageError>(found != std::end(classes), folder.path().string(), ": the pipeline '", folder.class_name(),
                    "' of its model_index.json is not supported: expected ", one_of(pipeline_names()));
  return *found;
}

std::vector<std::string> pipeline_names() {
  std::vector<std::string> names;
  for (const auto& line : classes) names.emplace_back(line.name);
  return names;
}

}  // namespace palate
