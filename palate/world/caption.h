// Scenes as text and back:
//   a {size} {colour} {shape} [{relation} a {size} {colour} {shape}] on a {background} background
// At most 14 words, so 16 tokens with start and end.
#pragma once

#include <string>
#include <string_view>

#include "palate/world/scene.h"

namespace palate::world {

std::string caption(const Scene& scene);

// The scene that a caption asks for. DataError names the word that does not fit.
Scene parse_caption(std::string_view text);

// "big purple ring", and back.
std::string object_text(const Object& object);
Object parse_object(std::string_view text);

// The scene with one attribute drawn anew (shape, colour, size, or relation): what a careless caption says.
Scene misremember(const Scene& scene, Generator& generator);

}  // namespace palate::world
