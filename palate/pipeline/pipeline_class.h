// The classes of pipelines that a model folder may be of, and what each needs. The one table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "palate/pipeline/model_folder.h"

namespace palate {

enum class TextLayer : uint8_t { last, second_to_last };

struct PipelineClass {
  const char* name;          // model_index.json's _class_name
  size_t text_encoders;      // text_encoder with tokenizer, text_encoder_2 with tokenizer_2; their states lie side by side
  TextLayer layer;           // whose states the network reads
  bool pooled;               // it reads the last encoder's projected pooled text, too (text_embeds)
  bool zeros_for_no_prompt;  // unless the folder says otherwise (force_zeros_for_empty_prompt); else no prompt is the states of ""
};

// UsageError for a class that is not in the table: it names those that are.
const PipelineClass& pipeline_class(const ModelFolder& folder);

std::vector<std::string> pipeline_names();  // as the table has them

}  // namespace palate
