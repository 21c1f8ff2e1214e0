// What is trained: the network, and its text encoders where they are trained too.
#pragma once

#include <functional>

#include "palate/data/batch.h"
#include "palate/models/denoiser.h"

namespace palate {

enum class Prompts { own, base };  // base: what the reference is asked

struct Policy {
  Denoiser& network;
  // Encodes with gradients; empty where the text encoders are frozen and the batch's own conditions serve.
  std::function<Condition(const std::vector<std::string>& prompts)> encode = nullptr;

  // [B, ...] of each field. The base prompts' states are those that the batch brings: they are the frozen encoders'.
  Condition condition(const Batch& batch, Prompts which) const {
    if (which == Prompts::base) return batch.base_condition.empty() ? batch.condition : batch.base_condition;
    return encode ? encode(batch.prompts).with_missing_of(batch.condition) : batch.condition;
  }
};

}  // namespace palate
