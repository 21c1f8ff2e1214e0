#include "palate/models/unet/unet_embeddings.h"

#include <torch/types.h>

#include "palate/core/error.h"

namespace palate {

UnetEmbeddings::UnetEmbeddings(torch::nn::Module& model, const UnetOptions& o) : o_(o) {
  const int64_t width = o.time.width;
  if (o.fourier) time_proj_ = model.register_module("time_proj", std::make_shared<FourierTimesteps>(width, o.sinusoids.flip_sin_to_cos));
  time_embedding_ = model.register_module("time_embedding", std::make_shared<TimestepEmbedding>(o.time));
  if (o.text_projection) encoder_hid_proj_ = model.register_module("encoder_hid_proj", std::make_shared<Linear>(o.text_width, o.context));
  const auto embedding = [&](const char* name, int64_t in, Activation activation) {
    return model.register_module(name, std::make_shared<TimestepEmbedding>(
                                           TimestepEmbeddingOptions{.in = in, .width = width, .condition = 0, .activation = activation}));
  };
  switch (o.classes) {
    case ClassEmbedding::none:
      break;
    case ClassEmbedding::identity:
      break;
    case ClassEmbedding::table:
      class_table_ = model.register_module("class_embedding", std::make_shared<Embedding>(o.class_count, width));
      break;
    case ClassEmbedding::timestep:
      class_embedding_ = embedding("class_embedding", o.time.in, o.activation);
      break;
    case ClassEmbedding::projection:
      class_embedding_ = embedding("class_embedding", o.projection_input, Activation::silu);
      break;
    case ClassEmbedding::simple_projection:
      class_projection_ = model.register_module("class_embedding", std::make_shared<Linear>(o.projection_input, width));
      break;
  }
  if (o.text_time) add_embedding_ = embedding("add_embedding", o.projection_input, Activation::silu);
  if (o.text_addition)
    add_text_embedding_ =
        model.register_module("add_embedding", std::make_shared<TextTimeEmbedding>(o.text_width, width, o.addition_heads));
}

Tensor UnetEmbeddings::steps(const Tensor& t) const { return time_proj_ ? time_proj_->forward(t) : timestep_sinusoids(t, o_.sinusoids); }

Tensor UnetEmbeddings::time(const Tensor& t, const Tensor& sample, const Condition& condition) const {
  const auto dtype = sample.scalar_type();
  const Tensor guided = condition["timestep_cond"];
  check<UsageError>(o_.time.condition > 0 || !guided.defined(),
                    "[unet] timestep_cond was given, but this model has none (its time_cond_proj_dim is not set)");
  const Tensor all = (t.dim() == 0 ? t.unsqueeze(0) : t).expand({sample.size(0)});
  const Tensor guidance = guided.defined() ? guided.to(dtype) : Tensor();
  Tensor embedding = time_embedding_->forward(steps(all).to(dtype), guidance);
  if (o_.classes != ClassEmbedding::none) {
    const Tensor classes = this->classes(condition, dtype);
    embedding = o_.concatenate_classes ? torch::cat({embedding, classes}, 1) : embedding + classes;
  }
  if (o_.text_time || o_.text_addition) embedding = embedding + addition(condition, dtype);
  return o_.time_activation ? activate(embedding, *o_.time_activation) : embedding;
}

Tensor UnetEmbeddings::classes(const Condition& condition, c10::ScalarType dtype) const {
  const Tensor labels = condition["class_labels"];
  const bool numbers = o_.classes == ClassEmbedding::table || o_.classes == ClassEmbedding::timestep;
  check<UsageError>(labels.defined() && labels.dim() == (numbers ? 1 : 2), "[unet] this model needs class_labels of ",
                    numbers ? "[B]" : "[B, P]", ", and ", labels.defined() ? "got " + show_shape(labels.sizes()) : "they were not given");
  if (class_table_) {
    const Tensor ids = labels.to(torch::kInt64);
    check<UsageError>(ids.ge(0).logical_and(ids.lt(o_.class_count)).all().item<bool>(), "[unet] expected class_labels from 0 to ",
                      o_.class_count - 1, ", found ", ids.min().item<int64_t>(), " to ", ids.max().item<int64_t>());
    return class_table_->forward(ids).to(dtype);
  }
  if (class_projection_) return class_projection_->forward(labels.to(dtype));
  if (!class_embedding_) return labels.to(dtype);
  return class_embedding_->forward(o_.classes == ClassEmbedding::timestep ? steps(labels).to(dtype) : labels.to(dtype));
}

Tensor UnetEmbeddings::addition(const Condition& condition, c10::ScalarType dtype) const {
  if (add_text_embedding_) return add_text_embedding_->forward(condition["encoder_hidden_states"].to(dtype));
  const Tensor text_embeds = condition["text_embeds"], time_ids = condition["time_ids"];
  check<UsageError>(text_embeds.defined() && time_ids.defined(),
                    "[unet] this model needs text_embeds and time_ids (SDXL), and they were not given");
  SinusoidOptions ids = o_.sinusoids;
  ids.size = o_.addition_time_size;
  const Tensor flat = timestep_sinusoids(time_ids.flatten(), ids).reshape({text_embeds.size(0), -1});  // [B, 6 * 256]
  return add_embedding_->forward(torch::cat({text_embeds.to(torch::kFloat32), flat}, 1).to(dtype));
}

Tensor UnetEmbeddings::text(const Tensor& sample, const Condition& condition) const {
  if (!o_.uses_text) return sample.new_empty({0});
  const Tensor text = condition["encoder_hidden_states"].to(sample.scalar_type());
  return encoder_hid_proj_ ? encoder_hid_proj_->forward(text) : text;
}

}  // namespace palate
