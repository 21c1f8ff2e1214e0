#include "palate/pipeline/prompt_encoder.h"

#include <torch/types.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "palate/core/error.h"
#include "palate/core/log.h"

namespace palate {
namespace {

constexpr size_t prompts_at_once = 32, warnings = 5;
constexpr std::array<const char*, 2> encoder_names = {"text_encoder", "text_encoder_2"}, tokenizer_names = {"tokenizer", "tokenizer_2"};

// The second to last is what enters the last layer, without the final norm.
const Tensor& states_of(TextLayer layer, const TextStates& states) {
  return layer == TextLayer::last ? states.last_hidden_state : states.hidden_states.at(states.hidden_states.size() - 2);
}

// states [B * rows, L, D] -> [B, rows * L, D], each prompt's multiplied by its weights and then scaled so that their mean is what it was.
Tensor weighted(const Tensor& states, const std::vector<PromptTokens>& prompts, int64_t rows) {
  const int64_t length = states.size(1);
  const Tensor joined = states.reshape({static_cast<int64_t>(prompts.size()), rows * length, states.size(2)});
  std::vector<Tensor> parts;
  for (size_t i = 0; i < prompts.size(); ++i) {
    Tensor one = joined[static_cast<int64_t>(i)];
    if (!prompts[i].plain) {
      const Tensor by = torch::tensor(padded_weights(prompts[i], rows, length), torch::kFloat64).to(one.options()).unsqueeze(-1);
      const Tensor moved = one * by;
      one = moved * (one.to(torch::kFloat32).mean() / moved.to(torch::kFloat32).mean()).to(one.scalar_type());
    }
    parts.push_back(one);
  }
  return torch::stack(parts);
}

std::string beginning(const std::string& prompt) {
  constexpr size_t most = 60;
  size_t end = std::min(prompt.size(), most);
  while (end > 0 && end < prompt.size() && (static_cast<unsigned char>(prompt[end]) & 0xC0) == 0x80) --end;  // not within a character
  return "\"" + prompt.substr(0, end) + (end < prompt.size() ? "...\"" : "\"");
}

}  // namespace

PromptEncoder::PromptEncoder(const ModelFolder& folder, const PipelineClass& pipeline, const LoadOptions& options)
    : folder_(folder), pipeline_(pipeline), options_(options) {}

std::vector<size_t> PromptEncoder::present() const {
  std::vector<size_t> all(pipeline_.text_encoders);
  std::iota(all.begin(), all.end(), size_t{0});
  return all;
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

const char* PromptEncoder::component(size_t which) { return encoder_names.at(which); }

void PromptEncoder::release() {
  if (!keep_) encoders_ = {};
}

Condition PromptEncoder::encode(const std::vector<std::string>& prompts, int64_t rows) {
  const torch::NoGradGuard no_grad;
  return encode_here(prompts, rows);
}

Condition PromptEncoder::encode_here(const std::vector<std::string>& prompts, int64_t rows) {
  check<UsageError>(!prompts.empty(), "encoding prompts: there are none");
  std::vector<Condition> parts;
  for (size_t from = 0; from < prompts.size(); from += prompts_at_once) {
    const auto begin = prompts.begin() + static_cast<std::ptrdiff_t>(from);
    parts.push_back(encode_few({begin, begin + static_cast<std::ptrdiff_t>(std::min(prompts_at_once, prompts.size() - from))}, rows));
  }
  return Condition::cat(parts);
}

Condition PromptEncoder::encode_few(const std::vector<std::string>& prompts, int64_t rows) {
  std::vector<Tensor> side_by_side;
  Condition condition;
  for (const size_t which : present()) {
    encoder(which);  // a folder that is not there is said before its tokenizer's
    std::vector<PromptTokens> tokens;
    for (const auto& prompt : prompts) tokens.push_back(prompt_tokens(tokenizer(which), prompt, style_));
    for (size_t i = 0; i < tokens.size(); ++i)
      warn_of_cut(prompts[i], static_cast<int64_t>(tokens[i].ids.size()), rows * (row_length(which) - 2));
    const TextStates found = states(which, tokens, rows);
    side_by_side.push_back(weighted(states_of(pipeline_.layer, found), tokens, rows).to(options_.dtype));
    if (!pipeline_.pooled || which + 1 < pipeline_.text_encoders) continue;
    check<FormatError>(found.text_embeds.defined(), folder_.path().string(), ": ", component(which),
                       " has no text_projection: expected a CLIPTextModelWithProjection");
    condition.set("text_embeds", found.text_embeds.view({static_cast<int64_t>(prompts.size()), rows, -1}).select(1, 0).to(options_.dtype));
  }
  condition.set("encoder_hidden_states", torch::cat(side_by_side, -1));
  return condition;
}

void PromptEncoder::warn_of_cut(const std::string& prompt, int64_t tokens, int64_t most) {
  if (tokens <= most || cut_.size() > warnings || !cut_.insert(prompt).second) return;
  if (cut_.size() > warnings) return warn("more prompts are cut; no others are named");
  warn("the prompt ", beginning(prompt), " has ", tokens, " tokens and the text encoder takes ", most, ": the last ", tokens - most,
       " are cut (palate sample --long-prompts gives them in parts)");
}

int64_t PromptEncoder::row_length(size_t which) { return std::min(tokenizer(which).max_length(), encoder(which).max_length()); }

int64_t PromptEncoder::rows(const std::string& prompt) {
  int64_t most = 1;
  for (const size_t which : present()) {
    if (style_.chunks) most = std::max(most, rows_of(prompt_tokens(tokenizer(which), prompt, style_), row_length(which)));
  }
  return most;
}

void PromptEncoder::add_word(const std::string& word, const std::map<std::string, Tensor>& vectors) {
  check<UsageError>(vectors.size() <= present().size(), "the embedding '", word, "' has vectors for ", vectors.size(),
                    " text encoders, but this model has ", present().size(), ": it is of another kind of model");
  for (const size_t which : present()) {
    const auto found = vectors.find(encoder_names[which]);
    check<UsageError>(found != vectors.end(), "the embedding '", word, "' has no vectors for ", encoder_names[which],
                      ": it is of another kind of model");
    check<UsageError>(found->second.dim() == 2 && found->second.size(1) == encoder(which).width(), "the embedding '", word,
                      "' has vectors of ", found->second.size(-1), " numbers, but this model's ", encoder_names[which], " takes ",
                      encoder(which).width(), ": it is of another kind of model");
    tokenizer(which);
    const int64_t first = encoder(which).add_embeddings(found->second);
    std::vector<int64_t> ids;
    for (int64_t i = 0; i < found->second.size(0); ++i) ids.push_back(first + i);
    tokenizers_.at(which)->add_word(word, ids);
  }
}

void PromptEncoder::read_as(const std::string& word, const std::string& text) {
  for (const size_t which : present()) {
    const auto ids = tokenizer(which).tokens(text);
    check<UsageError>(!ids.empty(), "the word ", word, " is to be read as '", text, "', which has no tokens");
    tokenizers_.at(which)->add_word(word, ids);
  }
  readings_ = word + " is read as " + text;
}

void PromptEncoder::forget_word(const std::string& word) {
  for (const size_t which : present()) {
    tokenizer(which);
    tokenizers_.at(which)->forget_word(word);
  }
  readings_.clear();
}

TextStates PromptEncoder::states(size_t which, const std::vector<PromptTokens>& prompts, int64_t rows) {
  TextEncoder& model = encoder(which);
  const ClipTokenizer& words = tokenizer(which);
  const Json& config = model.config();
  const int64_t vocabulary = config.value("vocab_size", int64_t{49408});
  check<FormatError>(words.vocabulary_size() <= vocabulary, folder_.path().string(), ": the ", tokenizer_names[which], " has ",
                     words.vocabulary_size(), " tokens, but the ", encoder_names[which], "'s vocab_size is ", vocabulary,
                     ": they are not of one model");
  check<UsageError>(!config.value("use_attention_mask", false), folder_.path().string(),
                    ": a text encoder with use_attention_mask is not supported");
  const int64_t length = row_length(which);
  std::vector<int64_t> ids;
  for (const auto& prompt : prompts) {
    const auto row = padded_ids(words, prompt, rows, length);
    ids.insert(ids.end(), row.begin(), row.end());
  }
  return model.encode(torch::tensor(ids, torch::kInt64).view({static_cast<int64_t>(prompts.size()) * rows, length}).to(options_.device));
}

}  // namespace palate
