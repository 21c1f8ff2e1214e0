// What a file or folder of training data holds, as JSON: for `palate inspect`.
#pragma once

#include <filesystem>

#include "palate/io/json.h"

namespace palate {

// True for what data.pairs or data.images could name: a file by its suffix, a folder by the files in it.
bool is_data(const std::filesystem::path& path);

// {"kind": "data", "file", "examples": "pairs" or "pictures", "rows", "looked_at", "captions" (distinct ones), "first_caption",
//  "ties", "unlabelled" or, of pictures, "thumbs_up", "thumbs_down", "rewards" (how many say so), "base_prompts", "sizes": {"512x768":
//  count}, "formats": {"JPEG": count}, "unreadable": count and "first_unreadable"}.
// Looks at the first `most` rows. UsageError where the data cannot be opened at all.
Json describe_data(const std::filesystem::path& path, int64_t most);

}  // namespace palate
