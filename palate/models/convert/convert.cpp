#include "palate/models/convert/convert.h"

#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/io/atomic_file.h"
#include "palate/models/convert/configs.h"
#include "palate/models/convert/key_map.h"
#include "palate/models/convert/single_file.h"
#include "palate/models/vae/autoencoder_kl.h"
#include "palate/models/weight_files.h"
#include "palate/text/clip_vocabulary.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

// diffusers tells such models by this shape, too.
bool is_inpainting(const TensorFile& file) {
  const std::string first = unet_prefix + "input_blocks.0.0.weight";
  return file.contains(first) && file.shape(first).size() == 4 && file.shape(first)[1] == 9;
}

// What the file says: a flag of the person first, then the makers' marks (NoobAI's v_pred and ztsnr, modelspec, SD2's step), then the
// family: of SD2 the base and the inpainting model predict epsilon.
Prediction prediction_of(const TensorFile& file, Family family, const std::string& asked) {
  Prediction prediction;
  const auto& metadata = file.metadata();
  const auto said = metadata.find("modelspec.prediction_type"), step = metadata.find("global_step");
  prediction.zero_snr = file.contains("ztsnr");
  prediction.inpainting = is_inpainting(file);
  if (!asked.empty()) {
    prediction.type = asked;
  } else if (file.contains("v_pred")) {
    prediction.type = "v_prediction";
  } else if (said != metadata.end()) {
    prediction.type = said->second == "v" || said->second == "v_prediction" ? "v_prediction" : "epsilon";
  } else if (family == Family::sd2) {  // the 512 base was trained for 875000 steps; diffusers tells it by that
    prediction.type = prediction.inpainting || (step != metadata.end() && step->second == "875000") ? "epsilon" : "v_prediction";
  }
  return prediction;
}

class FolderWriter {
 public:
  FolderWriter(const fs::path& folder, const ConvertOptions& options) : folder_(folder), options_(options) {}

  void component(const std::string& name, const std::string& stem, const Json& config, const TensorMap& tensors) {
    make_folder(folder_ / name);
    config_file(name + "/config.json", config);
    save_safetensors(folder_ / name / (stem + ".safetensors"), tensors, {{"format", "pt"}});
    count_ += static_cast<int64_t>(tensors.size());
  }

  void config_file(const std::string& name, const Json& made) {
    make_folder((folder_ / name).parent_path());
    const fs::path given = options_.config / name;
    if (options_.config.empty()) return write_json(folder_ / name, made);
    check<UsageError>(fs::exists(given), given.string(), ": expected the model's config here, found none");
    fs::copy_file(given, folder_ / name);
  }

  void tokenizer(const std::string& name, TextTower tower, int64_t vocabulary) {
    const fs::path config = options_.config / name;
    const fs::path given = !options_.tokenizer.empty()                            ? options_.tokenizer
                           : !options_.config.empty() && fs::is_directory(config) ? config
                                                                                  : fs::path();
    if (!given.empty()) {
      check<UsageError>(fs::is_directory(given), given.string(), ": expected a tokenizer's folder, found none");
      fs::copy(given, folder_ / name);
      return;
    }
    const int64_t count = fs::exists(options_.merges)
                              ? write_clip_tokenizer(folder_ / name, options_.merges, tower == TextTower::clip ? "<|endoftext|>" : "!")
                              : 0;
    check<UsageError>(count == vocabulary, "a single file holds no tokenizer, and this model has ", vocabulary, " tokens where CLIP's has ",
                      count, ": name the folder of its tokenizer (--tokenizer)");
  }

  int64_t count() const { return count_; }

 private:
  const fs::path& folder_;
  const ConvertOptions& options_;
  int64_t count_ = 0;
};

int64_t vocabulary_of(const TensorMap& text) {
  const auto found = text.find("text_model.embeddings.token_embedding.weight");
  check<FormatError>(found != text.end() && found->second.dim() == 2, "the text encoder has no token embedding");
  return found->second.size(0);
}

// A component's tensors from all its files, under present names.
class FolderReader {
 public:
  FolderReader(const fs::path& folder, const std::string& variant) : folder_(folder), variant_(variant) {}

  template <class Rename>
  TensorMap component(const std::string& name, const std::string& stem, Rename rename) const {
    check<UsageError>(fs::is_directory(folder_ / name), folder_.string(), ": a whole model is needed, but there is no folder '", name, "'");
    TensorMap tensors;
    for (const auto& path : weight_files(folder_ / name, stem, variant_)) {
      const TensorFile file(path);
      for (const auto& key : file.names()) {
        if (!key.ends_with("position_ids")) tensors[rename(key)] = file.tensor(key);
      }
    }
    return tensors;
  }

 private:
  const fs::path& folder_;
  const std::string& variant_;
};

std::string as_it_is(const std::string& name) { return name; }

// Of a folder: two text encoders are SDXL; SD2 alone has linear layers around its transformers.
Family family_of_folder(const fs::path& folder, const Components& model) {
  if (!model.text_2.empty()) return Family::sdxl;
  for (const auto& [name, tensor] : model.unet) {
    if (name.ends_with(".proj_in.weight")) return tensor.dim() == 2 ? Family::sd2 : Family::sd1;
  }
  fail<UsageError>(folder.string(), ": the U-Net has no attention to text, so that it is of no family that is known");
}

}  // namespace

Converted convert_to_folder(const fs::path& path, const fs::path& folder, const ConvertOptions& options) {
  const TensorFile file(path);
  const auto family = family_of(file);
  check<UsageError>(family.has_value(), path.string(),
                    ": expected a single file of Stable Diffusion 1, 2 or XL with U-Net, autoencoder and text encoder, found ",
                    architecture_of(file).empty() ? "tensors of another model" : architecture_of(file));
  const Prediction prediction = prediction_of(file, *family, options.prediction_type);
  Converted converted{facts(*family).name, prediction.type, {}, 0};
  const Components model = split_single(file, *family, converted.left_out);
  const bool xl = *family == Family::sdxl;
  AtomicFolder out(folder);
  FolderWriter writer(out.work(), options);
  const TextTower tower = *family == Family::sd2 ? TextTower::open_clip : TextTower::clip;
  writer.tokenizer("tokenizer", tower, vocabulary_of(model.text));
  if (xl) writer.tokenizer("tokenizer_2", TextTower::open_clip, vocabulary_of(model.text_2));
  // With configs given, none is made: shapes need not say then how many heads there are.
  const bool given = !options.config.empty();
  writer.component("unet", "diffusion_pytorch_model", given ? Json() : unet_config(model.unet, *family, prediction), model.unet);
  writer.component("vae", "diffusion_pytorch_model", given ? Json() : vae_config(model.vae, *family), model.vae);
  writer.component("text_encoder", "model", given ? Json() : text_config(model.text, tower), model.text);
  if (xl) writer.component("text_encoder_2", "model", given ? Json() : text_config(model.text_2, TextTower::open_clip), model.text_2);
  writer.config_file("scheduler/scheduler_config.json", scheduler_config(*family, prediction));
  writer.config_file("model_index.json", model_index(*family, prediction));
  converted.tensors = writer.count();
  out.commit();
  return converted;
}

Converted convert_to_single(const fs::path& folder, const fs::path& file, const ConvertOptions& options) {
  check<UsageError>(fs::exists(folder / "model_index.json"), folder.string(),
                    ": not a model folder in diffusers' layout: it holds no model_index.json");
  check<UsageError>(!fs::exists(file), file.string(), ": is there already: name another file");
  const FolderReader reader(folder, options.variant);
  Components model;
  model.unet = reader.component("unet", "diffusion_pytorch_model", as_it_is);
  model.vae = reader.component("vae", "diffusion_pytorch_model", current_vae_name);
  model.text = reader.component("text_encoder", "model", with_text_model);
  if (fs::is_directory(folder / "text_encoder_2")) model.text_2 = reader.component("text_encoder_2", "model", with_text_model);
  const Family family = family_of_folder(folder, model);
  Prediction prediction;
  const fs::path scheduler = folder / "scheduler" / "scheduler_config.json";
  if (fs::exists(scheduler)) {
    const Json config = read_json(scheduler);
    prediction.type = config.value("prediction_type", prediction.type);
    prediction.zero_snr = config.value("rescale_betas_zero_snr", false);
  }
  if (!options.prediction_type.empty()) prediction.type = options.prediction_type;
  TensorMap tensors = join_single(model, family, folder.string());
  // The marks that interfaces know such models by.
  if (family == Family::sdxl && prediction.type == "v_prediction") tensors["v_pred"] = torch::empty({0});
  if (family == Family::sdxl && prediction.zero_snr) tensors["ztsnr"] = torch::empty({0});
  const Metadata metadata = {{"format", "pt"},
                             {"modelspec.architecture", facts(family).architecture},
                             {"modelspec.prediction_type", prediction.type == "v_prediction" ? "v" : "epsilon"}};
  save_safetensors(file, tensors, metadata);
  return {facts(family).name, prediction.type, {}, static_cast<int64_t>(tensors.size())};
}

}  // namespace palate
