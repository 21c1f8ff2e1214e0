// Scenes as files: scenes/000000.png ..., scenes/metadata.jsonl (file_name, text, and what the oracle says), sheet.png.
#pragma once

#include <cstdint>
#include <filesystem>

#include "palate/io/json.h"

namespace palate::world {

// Pictures as the base model is trained on: flaws, wrong captions and all. Returns their number and mean scores.
Json write_scenes(const std::filesystem::path& folder, int64_t count, uint64_t seed);

}  // namespace palate::world
