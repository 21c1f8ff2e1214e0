// CLIPVisionModel and CLIPVisionModelWithProjection as transformers names and builds them.
#pragma once

#include <memory>
#include <string>

#include "palate/models/vision_encoder.h"

namespace palate {

// `class_name` decides on the projection: CLIPVisionModelWithProjection has one.
std::unique_ptr<VisionEncoder> make_clip_vision(const Json& config, const std::string& class_name, const std::string& origin);

// The name of a weight before transformers 5, which saves a CLIPVisionModel without the prefix that all before it wrote.
std::string current_clip_vision_name(const std::string& name);

}  // namespace palate
