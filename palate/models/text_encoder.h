// What the rest of Palate sees of a text encoder.
#pragma once

#include <memory>
#include <vector>

#include "palate/core/tensor.h"
#include "palate/io/json.h"

namespace torch::nn {
class Module;
}

namespace palate {

struct TextStates {
  Tensor last_hidden_state;           // [B, L, D], after the final layer norm
  Tensor pooler_output;               // [B, D]
  Tensor text_embeds;                 // [B, P] for a model with projection, else undefined
  std::vector<Tensor> hidden_states;  // embeddings, then the output of each layer; layers + 1 of them
};

class TextEncoder {
 public:
  virtual ~TextEncoder() = default;
  virtual TextStates encode(const Tensor& input_ids,
                            const Tensor& attention_mask) = 0;  // int64 [B, L], [B, L] (1 see, 0 do not) or undefined
  TextStates encode(const Tensor& input_ids) { return encode(input_ids, {}); }
  // Further rows of the table of token embeddings, [n, width()]; returns the first one's id. Ids of such rows never count as the end of a
  // text. The tensor itself is kept: gradients reach it.
  virtual int64_t add_embeddings(const Tensor& vectors) = 0;
  virtual Tensor embeddings(const std::vector<int64_t>& ids) = 0;  // [n, width()] of the model's own table
  virtual int64_t max_length() const = 0;
  virtual int64_t width() const = 0;
  virtual torch::nn::Module& module() = 0;
  virtual const Json& config() const = 0;
};

}  // namespace palate
