#include "palate/data/encoders.h"

#include <torch/nn/module.h>

#include <filesystem>

#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/core/hash.h"
#include "palate/pipeline/pipeline.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

class PipelineEncoders : public Encoders {
 public:
  explicit PipelineEncoders(Pipeline& pipeline) : pipeline_(pipeline) {}

  std::string identity() override {
    // Text states are computed and kept in the dtype that the model's weights are held in.
    const auto parameters = pipeline_.denoiser().module().parameters();
    check(!parameters.empty(), pipeline_.folder().string(), ": the denoiser has no parameters");
    std::string text = concat("vae ", pipeline_.weights_hash("vae"), "\ntext ", pipeline_.weights_hash("text_encoder"), "\ndtype ",
                              dtype_name(parameters[0].scalar_type()));
    for (const char* name : {"vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"}) {
      const fs::path path = pipeline_.folder() / "tokenizer" / name;
      if (fs::exists(path)) text += concat("\n", name, " ", sha256_file(path));
    }
    return text;
  }

  int64_t sample_size() override { return pipeline_.denoiser().sample_size(); }
  int64_t factor() override { return pipeline_.autoencoder().factor(); }
  double scaling_factor() override { return pipeline_.autoencoder().scaling_factor(); }
  Posterior images(const Tensor& pixels) override { return pipeline_.encode_images(pixels); }
  Condition prompts(const std::vector<std::string>& prompts) override { return pipeline_.encode_prompts(prompts); }

 private:
  Pipeline& pipeline_;
};

}  // namespace

std::unique_ptr<Encoders> pipeline_encoders(Pipeline& pipeline) { return std::make_unique<PipelineEncoders>(pipeline); }

}  // namespace palate
