#include "palate/data/cache/encoders.h"

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
    std::string text = concat("vae ", pipeline_.weights_hash("vae"));
    for (const size_t which : pipeline_.prompt_encoder().present()) text += text_identity(which == 0 ? "" : "_2");
    if (!pipeline_.prompt_encoder().readings().empty()) text += "\n" + pipeline_.prompt_encoder().readings();
    return concat(text, "\ndtype ", dtype_name(pipeline_.dtype()), takes_time_ids() ? "\ntime_ids of the smaller picture" : "");
  }

  int64_t sample_size() override { return pipeline_.sample_size(); }
  int64_t factor() override { return pipeline_.autoencoder().factor(); }
  double scaling_factor() override { return pipeline_.autoencoder().scaling_factor(); }
  Posterior images(const Tensor& pixels) override { return pipeline_.encode_images(pixels); }
  bool takes_time_ids() override { return pipeline_.takes_time_ids(); }
  Condition prompts(const std::vector<std::string>& prompts) override { return pipeline_.encode_prompts(prompts); }

 private:
  std::string text_identity(const std::string& number) {
    std::string text = concat("\ntext", number, " ", pipeline_.weights_hash("text_encoder" + number));
    for (const char* name : {"vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"}) {
      const fs::path path = pipeline_.folder() / ("tokenizer" + number) / name;
      if (fs::exists(path)) text += concat("\n", name, " ", sha256_file(path));
    }
    return text;
  }

  Pipeline& pipeline_;
};

}  // namespace

std::unique_ptr<Encoders> pipeline_encoders(Pipeline& pipeline) { return std::make_unique<PipelineEncoders>(pipeline); }

}  // namespace palate
