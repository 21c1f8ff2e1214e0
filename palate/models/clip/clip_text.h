// CLIPTextModel and CLIPTextModelWithProjection as transformers names and builds them.
#pragma once

#include <memory>
#include <string>

#include "palate/models/text_encoder.h"

namespace palate {

// `class_name` decides on the projection: CLIPTextModelWithProjection has one.
std::unique_ptr<TextEncoder> make_clip_text(const Json& config, const std::string& class_name, const std::string& origin);

// The name of a weight before transformers 5, which saves a CLIPTextModel without the prefix that all before it wrote.
std::string current_clip_name(const std::string& name);
bool is_clip_buffer(const std::string& name);          // position_ids: in files, but no weight
void scale_clip_embeddings(torch::nn::Module& model);  // fresh weights: transformers draws both embeddings from N(0, 0.02)

}  // namespace palate
