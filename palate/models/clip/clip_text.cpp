#include "palate/models/clip/clip_text.h"

#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/models/clip/clip_encoder.h"
#include "palate/models/config_reader.h"
#include "palate/nn/layers.h"

namespace palate {
namespace {

struct ClipOptions {
  ClipTower tower;
  int64_t vocabulary, positions, projection, end;
};

ClipOptions clip_options(const Json& config, const std::string& origin) {
  const ConfigReader r(config, origin);
  return {clip_tower(r, {.width = 512, .inner = 2048, .layers = 12, .heads = 8}, origin), r.whole("vocab_size", 49408),
          r.whole("max_position_embeddings", 77), r.whole("projection_dim", 512), r.whole("eos_token_id", 49407)};
}

struct ClipTextModule : torch::nn::Module {
  ClipTextModule(const ClipOptions& o, bool with_projection) {
    auto text = register_module("text_model", std::make_shared<torch::nn::Module>());
    auto embeddings = text->register_module("embeddings", std::make_shared<torch::nn::Module>());
    token_embedding = embeddings->register_module("token_embedding", std::make_shared<Embedding>(o.vocabulary, o.tower.width));
    position_embedding = embeddings->register_module("position_embedding", std::make_shared<Embedding>(o.positions, o.tower.width));
    encoder = text->register_module("encoder", std::make_shared<ClipEncoder>(o.tower));
    final_layer_norm = text->register_module("final_layer_norm", std::make_shared<LayerNorm>(o.tower.width, o.tower.eps));
    if (with_projection)
      text_projection = register_module("text_projection", std::make_shared<Linear>(o.tower.width, o.projection, Bias::without));
  }
  std::shared_ptr<Embedding> token_embedding, position_embedding;
  std::shared_ptr<ClipEncoder> encoder;
  std::shared_ptr<LayerNorm> final_layer_norm;
  std::shared_ptr<Linear> text_projection;
};

class ClipText : public TextEncoder {
 public:
  ClipText(const Json& config, bool with_projection, const std::string& origin)
      : config_(config), options_(clip_options(config, origin)), model_(std::make_shared<ClipTextModule>(options_, with_projection)) {}

  TextStates encode(const Tensor& ids, const Tensor& attention_mask) override {
    check<UsageError>(ids.dim() == 2 && ids.size(1) <= options_.positions, "[clip text] expected input_ids of [B, at most ",
                      options_.positions, "], got ", show_shape(ids.sizes()));
    const Tensor range = ids.numel() ? torch::stack({ids.min(), ids.max()}) : torch::zeros({2}, torch::kInt64);
    check<UsageError>(range[0].item<int64_t>() >= 0 && range[1].item<int64_t>() < known(), "[clip text] expected ids from 0 to ",
                      known() - 1, ", found ", range[0].item<int64_t>(), " to ", range[1].item<int64_t>());
    const ClipSight sight{.allowed = allowed_pairs(ids, attention_mask), .causal = true};
    const Tensor x = embedded(ids) + model_->position_embedding->forward(torch::arange(ids.size(1), ids.options()));  // [B, L, D]
    TextStates states;
    states.hidden_states = model_->encoder->forward(x, sight);
    states.last_hidden_state = model_->final_layer_norm->forward(states.hidden_states.back());
    states.pooler_output = states.last_hidden_state.index({torch::arange(ids.size(0), ids.options()), end_positions(ids)});  // [B, D]
    if (model_->text_projection) states.text_embeds = model_->text_projection->forward(states.pooler_output);
    return states;
  }
  int64_t add_embeddings(const Tensor& vectors) override {
    check<UsageError>(vectors.dim() == 2 && vectors.size(1) == options_.tower.width, "[clip text] expected embeddings of [n, ",
                      options_.tower.width, "], found ", show_shape(vectors.sizes()), ": they are of another model");
    const int64_t first = known();
    added_.push_back(vectors);
    return first;
  }
  Tensor embeddings(const std::vector<int64_t>& ids) override {
    const Tensor& table = model_->token_embedding->weight;
    return table.detach().index_select(0, torch::tensor(ids, torch::kInt64).to(table.device()));
  }
  int64_t max_length() const override { return options_.positions; }
  int64_t width() const override { return options_.tower.width; }
  torch::nn::Module& module() override { return *model_; }
  const Json& config() const override { return config_; }

 private:
  // [B, 1, L, L], true where a token (row) sees another: itself and those before it, unless they are masked. Without a mask none is needed.
  static std::optional<Tensor> allowed_pairs(const Tensor& ids, const Tensor& mask) {
    if (!mask.defined()) return std::nullopt;
    check<UsageError>(mask.sizes() == ids.sizes(), "[clip text] expected an attention_mask like input_ids, ", show_shape(ids.sizes()),
                      ", got ", show_shape(mask.sizes()));
    const Tensor causal = torch::ones({ids.size(1), ids.size(1)}, ids.options().dtype(torch::kBool)).tril();
    return causal.logical_and(mask.ne(0).unsqueeze(1).unsqueeze(1));
  }
  int64_t known() const {
    int64_t count = options_.vocabulary;
    for (const auto& block : added_) count += block.size(0);
    return count;
  }

  // [B, L, D]: of the table, and of the blocks that were added.
  Tensor embedded(const Tensor& ids) {
    if (added_.empty()) return model_->token_embedding->forward(ids);
    const Tensor own = model_->token_embedding->forward(ids.clamp_max(options_.vocabulary - 1)),
                 rows = (ids - options_.vocabulary).clamp_min(0);
    const Tensor extra = torch::cat(added_).to(own.options()).index_select(0, rows.flatten()).view_as(own);
    return torch::where((ids >= options_.vocabulary).unsqueeze(-1), extra, own);
  }

  // transformers' rule: configs from before its fix say eos_token_id 2, and mean the largest id.
  Tensor end_positions(const Tensor& ids) const {
    if (options_.end == 2) return ids.where(ids < options_.vocabulary, torch::zeros_like(ids)).to(torch::kInt32).argmax(-1);
    return ids.eq(options_.end).to(torch::kInt32).argmax(-1);
  }
  Json config_;
  ClipOptions options_;
  std::shared_ptr<ClipTextModule> model_;
  std::vector<Tensor> added_;  // [n, D] each
};

}  // namespace

std::unique_ptr<TextEncoder> make_clip_text(const Json& config, const std::string& class_name, const std::string& origin) {
  return std::make_unique<ClipText>(config, class_name == "CLIPTextModelWithProjection", origin);
}

std::string current_clip_name(const std::string& name) {
  return name.starts_with("text_model.") || name.starts_with("text_projection.") ? name : "text_model." + name;
}

bool is_clip_buffer(const std::string& name) { return name.ends_with("position_ids"); }

void scale_clip_embeddings(torch::nn::Module& model) {
  const torch::NoGradGuard no_grad;
  for (const auto& item : model.named_parameters()) {
    if (item.key().find("_embedding.") != std::string::npos) item.value().mul_(0.02);
  }
}

}  // namespace palate
