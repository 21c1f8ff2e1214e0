#include "palate/train/text_training.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include "palate/adapters/textual_inversion.h"
#include "palate/core/error.h"

namespace palate {

TextTraining::TextTraining(PromptEncoder& prompts, const TextConfig& config, const LoraConfig& lora, uint64_t seed)
    : prompts_(prompts), word_(config.word) {
  group_.lr = config.lr;
  for (const size_t which : prompts.present()) {
    torch::nn::Module& model = prompts.encoder(which).module();
    for (auto& weight : model.parameters()) weight.set_requires_grad(false);
    if (!config.lora) continue;
    LoraConfig own = lora;
    own.targets = config.targets;
    own.dropout = 0;  // whose masks are keyed by the rows that the U-Net sees
    const std::string component = PromptEncoder::component(which);
    const Lora& made = loras_.emplace(component, Lora::inject(model, own, seed + 1 + which)).first->second;
    for (const auto& [name, value] : made.parameters()) {
      group_.names.push_back(component + "." + name);
      group_.values.push_back(value);
    }
  }
  if (!word_.empty()) add_word(config);
}

void TextTraining::add_word(const TextConfig& config) {
  for (const size_t which : prompts_.present()) {
    const std::string component = PromptEncoder::component(which);
    const auto ids = prompts_.tokenizer(which).tokens(config.initializer);
    check<UsageError>(!ids.empty(), "text.initializer is '", config.initializer,
                      "', which has no tokens: name a word that the model knows, for example \"dog\"");
    const Tensor tokens = prompts_.encoder(which).embeddings(ids).to(torch::kFloat);
    const Tensor known = tokens.size(0) == config.vectors ? tokens : tokens.mean(0, true).expand({config.vectors, -1});
    Tensor& vectors = vectors_[component] = known.clone().set_requires_grad(true);
    norms_[component] = vectors.detach().norm(2, 1, true);
    group_.names.push_back(component + ".token_embedding");
    group_.values.push_back(vectors);
  }
  prompts_.forget_word(word_);  // its reading while the cache was built
  prompts_.add_word(word_, vectors_);
}

void TextTraining::keep_norms() {
  const torch::NoGradGuard no_grad;
  for (auto& [component, vectors] : vectors_) vectors.mul_(norms_.at(component) / vectors.norm(2, 1, true).clamp_min(1e-12));
}

std::map<std::string, const Lora*> TextTraining::loras() const {
  std::map<std::string, const Lora*> all;
  for (const auto& [component, lora] : loras_) all[component] = &lora;
  return all;
}

void TextTraining::save_word(const std::filesystem::path& folder) const {
  if (word_.empty()) return;
  TextualInversion file{.token = word_, .vectors = {}};
  for (const auto& [component, vectors] : vectors_) file.vectors[component] = vectors.detach().cpu().clone();
  write_textual_inversion(folder / "learned_embeds.safetensors", file);
}

void read_word_as_initializer(PromptEncoder& prompts, const TextConfig& config) {
  if (!config.word.empty()) prompts.read_as(config.word, config.initializer);
}

}  // namespace palate
