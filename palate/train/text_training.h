// Training beside the denoiser: a LoRA on the text encoders, and a new word (textual inversion) in each of them. Text states are then
// computed at every step, with gradients; those of the cache are the reference's.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "palate/adapters/lora.h"
#include "palate/pipeline/prompt_encoder.h"
#include "palate/train/parameters.h"
#include "palate/train/run_config.h"

namespace palate {

class TextTraining {
 public:
  // Freezes the encoders, hangs fresh adapters on them where text.lora says so, and adds text.word, whose vectors begin as those of
  // text.initializer where there are as many, else each as their mean. UsageError when the word is a token already or the initializer has
  // no tokens.
  TextTraining(PromptEncoder& prompts, const TextConfig& config, const LoraConfig& lora, uint64_t seed);

  // "text_encoder.text_model...lora_A.weight", "text_encoder.token_embedding": float32, on the model's device; at text.lr.
  const Parameters::Group& group() const { return group_; }

  Condition condition(const std::vector<std::string>& texts) { return prompts_.encode_here(texts); }  // with gradients unless they are off
  // After the values changed: the word's vectors get their first length again (as DCO does).
  void keep_norms();

  // Each component's LoRA, and the word's vectors.
  std::map<std::string, const Lora*> loras() const;
  void save_word(const std::filesystem::path& folder) const;  // FOLDER/learned_embeds.safetensors; nothing without a word

 private:
  void add_word(const TextConfig& config);

  PromptEncoder& prompts_;
  std::string word_;
  std::map<std::string, Lora> loras_;      // by component
  std::map<std::string, Tensor> vectors_;  // by component, [n, width]; leaves
  std::map<std::string, Tensor> norms_;    // [n, 1]
  Parameters::Group group_;
};

// While the cache is built the word reads as its initializer: what the reference is asked for. Nothing without a word.
void read_word_as_initializer(PromptEncoder& prompts, const TextConfig& config);

}  // namespace palate
