#include "palate/pipeline/prompt_encoder.h"

#include <torch/types.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"

namespace palate {
namespace {

constexpr size_t prompts_at_once = 32;
constexpr std::array<const char*, 2> encoder_names = {"text_encoder", "text_encoder_2"}, tokenizer_names = {"tokenizer", "tokenizer_2"};

// diffusers' SDXL takes what enters the last layer, without the final norm.
const Tensor& second_to_last(const TextStates& states) { return states.hidden_states.at(states.hidden_states.size() - 2); }

}  // namespace

PromptEncoder::PromptEncoder(const ModelFolder& folder, const LoadOptions& options) : folder_(folder), options_(options) {}

std::vector<size_t> PromptEncoder::present() const {
  std::vector<size_t> found;
  for (size_t i = 0; i < encoder_names.size(); ++i) {
    if (folder_.has(encoder_names[i])) found.push_back(i);
  }
  return found;
}

TextEncoder& PromptEncoder::encoder(size_t which) {
  auto& encoder = encoders_.at(which);
  if (!encoder) encoder = load_text_encoder(folder_.component(encoder_names[which]), options_);
  return *encoder;
}

const ClipTokenizer& PromptEncoder::tokenizer(size_t which) {
  auto& tokenizer = tokenizers_.at(which);
  if (!tokenizer) tokenizer.emplace(folder_.component(tokenizer_names[which]));
  return *tokenizer;
}

Condition PromptEncoder::encode(const std::vector<std::string>& prompts) {
  const torch::NoGradGuard no_grad;
  check<UsageError>(!prompts.empty(), "encoding prompts: there are none");
  std::vector<Tensor> text, pooled;
  for (size_t from = 0; from < prompts.size(); from += prompts_at_once) {
    const auto begin = prompts.begin() + static_cast<std::ptrdiff_t>(from);
    const Condition part = encode_few({begin, begin + static_cast<std::ptrdiff_t>(std::min(prompts_at_once, prompts.size() - from))});
    text.push_back(part.text);
    if (part.text_embeds.defined()) pooled.push_back(part.text_embeds);
  }
  Condition condition;
  condition.text = torch::cat(text);
  if (!pooled.empty()) condition.text_embeds = torch::cat(pooled);
  return condition;
}

Condition PromptEncoder::encode_few(const std::vector<std::string>& prompts) {
  const c10::ScalarType dtype = options_.dtype;
  Condition condition;
  if (!pooled()) {
    condition.text = states(0, prompts).last_hidden_state.to(dtype);
    return condition;
  }
  std::vector<Tensor> side_by_side;
  for (const size_t which : present()) {
    const TextStates found = states(which, prompts);
    side_by_side.push_back(second_to_last(found).to(dtype));
    if (which == 0) continue;
    check<FormatError>(found.text_embeds.defined(), folder_.path().string(), ": text_encoder_2 has no text_projection: expected a CLIPTextModelWithProjection");
    condition.text_embeds = found.text_embeds.to(dtype);
  }
  condition.text = torch::cat(side_by_side, -1);
  return condition;
}

TextStates PromptEncoder::states(size_t which, const std::vector<std::string>& prompts) {
  TextEncoder& model = encoder(which);
  const ClipTokenizer& words = tokenizer(which);
  const Json& config = model.config();
  const int64_t vocabulary = config.value("vocab_size", int64_t{49408});
  check<FormatError>(words.vocabulary_size() <= vocabulary, folder_.path().string(), ": the ", tokenizer_names[which], " has ", words.vocabulary_size(),
                     " tokens, but the ", encoder_names[which], "'s vocab_size is ", vocabulary, ": they are not of one model");
  check<UsageError>(!config.value("use_attention_mask", false), folder_.path().string(), ": a text encoder with use_attention_mask is not supported");
  const int64_t length = std::min(words.max_length(), model.max_length());
  std::vector<int64_t> ids;
  for (const auto& prompt : prompts) {
    const auto row = words.encode(prompt, length);
    ids.insert(ids.end(), row.begin(), row.end());
  }
  return model.encode(torch::tensor(ids, torch::kInt64).view({static_cast<int64_t>(prompts.size()), length}).to(options_.device));
}

}  // namespace palate
