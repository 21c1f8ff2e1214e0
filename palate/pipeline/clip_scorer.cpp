#include "palate/pipeline/clip_scorer.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>

#include "palate/core/error.h"
#include "palate/core/hash.h"
#include "palate/hub/model_path.h"
#include "palate/io/json.h"
#include "palate/io/safetensors.h"
#include "palate/pipeline/model_folder.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

constexpr const char* tokenizer_files[] = {"vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json",
                                           "special_tokens_map.json"};
constexpr const char* processor_files[] = {"preprocessor_config.json", "processor_config.json"};

// What the folder of a CLIPModel has its tokenizer in: itself, or below it as a pipeline's.
fs::path tokenizer_of(const fs::path& folder) {
  const auto holds = [](const fs::path& place) { return fs::exists(place / "vocab.json") || fs::exists(place / "tokenizer.json"); };
  if (holds(folder)) return folder;
  check<UsageError>(holds(folder / "tokenizer"), folder.string(),
                    ": expected the tokenizer's files vocab.json and merges.txt beside the CLIPModel, found none: copy them there");
  return folder / "tokenizer";
}

template <class Names>
void copy_files(const fs::path& from, const fs::path& to, const Names& names) {
  for (const char* name : names) {
    std::error_code error;
    if (fs::exists(from / name)) fs::copy_file(from / name, to / name, fs::copy_options::overwrite_existing, error);
    check<IoError>(!error, (to / name).string(), ": cannot be copied from ", from.string(), " (", error.message(), ")");
  }
}

}  // namespace

ClipScorer::ClipScorer(std::unique_ptr<ClipModel> model, const fs::path& folder, const fs::path& tokenizer)
    : folder_(folder),
      tokenizer_folder_(tokenizer.empty() ? tokenizer_of(folder) : tokenizer),
      model_(std::move(model)),
      tokenizer_(tokenizer_folder_),
      images_(folder, model_->vision().image_size()) {
  const int64_t side = model_->vision().image_size();
  check<UsageError>(images_.height() == side && images_.width() == side, folder.string(), ": preprocessor_config.json makes pictures of ",
                    images_.width(), "x", images_.height(), ", but the vision tower of config.json takes ", side, "x", side);
  const int64_t rows = model_->module().named_parameters()["text_model.embeddings.token_embedding.weight"].size(0);
  check<UsageError>(tokenizer_.vocabulary_size() <= rows, tokenizer_folder_.string(), ": the tokenizer has ", tokenizer_.vocabulary_size(),
                    " tokens, but the text tower of ", folder.string(), "/config.json knows ", rows, ": they are of different models");
}

ClipScorer::ClipScorer(const fs::path& folder, const LoadOptions& options)
    : ClipScorer(load_clip_model(model_path(folder), options), model_path(folder), {}) {}

ClipScorer ClipScorer::fresh(const fs::path& folder, const fs::path& tokenizer, uint64_t seed) {
  check<UsageError>(fs::exists(folder / "config.json"), folder.string(), ": expected the config.json of a CLIPModel, found none");
  check<UsageError>(tokenizer.empty() || fs::is_directory(tokenizer), tokenizer.string(),
                    ": expected the folder of a tokenizer, found none");
  return ClipScorer(make_clip_model(read_json(folder / "config.json"), seed), folder, tokenizer);
}

Tensor ClipScorer::ids(const std::vector<std::string>& prompts) const {
  const int64_t length = std::min(tokenizer_.max_length(), model_->text().max_length());
  std::vector<int64_t> all;
  for (const auto& prompt : prompts) {
    const auto row = tokenizer_.encode(prompt, length);
    all.insert(all.end(), row.begin(), row.end());
  }
  return torch::tensor(all, torch::kInt64).view({static_cast<int64_t>(prompts.size()), length});
}

Tensor ClipScorer::scores(const Tensor& pictures, const Tensor& ids) {
  const Tensor weight = model_->scale();
  const Tensor pixels = images_.pixel_values(pictures).to(weight.options());
  return model_->scores(model_->image_embeds(pixels), model_->text_embeds(ids.to(weight.device())));
}

void ClipScorer::save(const fs::path& folder) const {
  save_clip_model(*model_, folder);
  copy_files(tokenizer_folder_, folder, tokenizer_files);
  copy_files(folder_, folder, processor_files);
}

void ClipScorer::read_weights(const fs::path& folder) {
  const torch::NoGradGuard no_grad;
  const SafetensorsFile file(folder / "model.safetensors");
  for (const auto& item : model_->module().named_parameters()) {
    const Tensor saved = file.contains(item.key()) ? file.tensor(item.key()) : Tensor();
    check<UsageError>(saved.defined() && saved.sizes() == item.value().sizes(), file.path().string(), ": expected '", item.key(),
                      "' of shape ", show_shape(item.value().sizes()), ", found ", saved.defined() ? show_shape(saved.sizes()) : "none",
                      ": the run was started with another model");
    item.value().copy_(saved);
  }
}

std::string ClipScorer::hash() const {
  const std::string own = component_hash(folder_);
  return tokenizer_folder_ == folder_ ? own : sha256(own + component_hash(tokenizer_folder_));
}

}  // namespace palate
