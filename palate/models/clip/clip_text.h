// CLIPTextModel and CLIPTextModelWithProjection as transformers names and builds them.
#pragma once

#include <memory>
#include <string>

#include "palate/models/text_encoder.h"

namespace palate {

// `class_name` decides on the projection: CLIPTextModelWithProjection has one.
std::unique_ptr<TextEncoder> make_clip_text(const Json& config, const std::string& class_name, const std::string& origin);

}  // namespace palate
