#include "palate/models/condition.h"

#include <torch/types.h>

#include <algorithm>

#include "palate/core/error.h"

namespace palate {
namespace {

// bf16 would round a size of 1025 pixels.
bool keeps_its_dtype(const std::string& name, const Tensor& value) { return name == "time_ids" || !value.is_floating_point(); }

template <class Change>
Condition changed(const std::map<std::string, Tensor>& fields, const Change& change) {
  Condition result;
  for (const auto& [name, value] : fields) result.set(name, change(name, value));
  return result;
}

}  // namespace

const std::vector<std::string>& condition_names() {
  static const std::vector<std::string> names = {
      "encoder_hidden_states",   // text states [B, L, D]
      "text_embeds",             // SDXL: pooled text [B, P]
      "time_ids",                // SDXL: sizes and crop in pixels [B, 6]
      "class_labels",            // models with a class embedding: [B], or [B, P] for a projection
      "timestep_cond",           // distilled models (LCM): the guidance's embedding [B, time_cond_proj_dim]
      "attention_mask",          // over the keys of each block's first attention [B, keys], 1 keep, 0 discard
      "encoder_attention_mask",  // over the text states [B, L]
  };
  return names;
}

Condition::Condition(std::initializer_list<std::pair<const std::string, Tensor>> fields) {
  for (const auto& [name, value] : fields) set(name, value);
}

Tensor Condition::operator[](const std::string& name) const {
  const auto found = fields_.find(name);
  return found == fields_.end() ? Tensor() : found->second;
}

void Condition::set(const std::string& name, Tensor value) {
  if (value.defined())
    fields_[name] = std::move(value);
  else
    fields_.erase(name);
}

Condition Condition::to(c10::Device device, c10::ScalarType dtype) const {
  return changed(fields_, [&](const std::string& name, const Tensor& value) {
    return keeps_its_dtype(name, value) ? value.to(device) : value.to(device, dtype);
  });
}

Condition Condition::to(c10::Device device) const {
  return changed(fields_, [&](const std::string&, const Tensor& value) { return value.to(device); });
}

Condition Condition::rows(int64_t first, int64_t count) const {
  return changed(fields_, [&](const std::string&, const Tensor& value) { return value.narrow(0, first, count); });
}

Condition Condition::repeat(int64_t times) const {
  return times == 1 ? *this : cat(std::vector<Condition>(static_cast<size_t>(times), *this));
}

Condition Condition::zeros() const {
  return changed(fields_, [](const std::string&, const Tensor& value) { return torch::zeros_like(value); });
}

Condition Condition::with_missing_of(const Condition& other) const {
  Condition result = *this;
  result.fields_.insert(other.fields_.begin(), other.fields_.end());
  return result;
}

Condition Condition::cat(const std::vector<Condition>& parts) {
  check(!parts.empty(), "[condition] cat: expected at least one condition");
  return changed(parts[0].fields_, [&](const std::string& name, const Tensor&) {
    std::vector<Tensor> values;
    for (const auto& part : parts) {
      check<UsageError>(part.fields_.size() == parts[0].fields_.size() && part[name].defined(), "[condition] cat: '", name,
                        "' stands in one condition and not in the other, or the other has more: give both the same fields");
      values.push_back(part[name]);
    }
    return torch::cat(values);
  });
}

}  // namespace palate
