// What a weights file, a model folder or a run folder holds, as JSON: for `palate inspect`. Reads headers, not weights.
#pragma once

#include <filesystem>

#include "palate/io/json.h"

namespace palate {

// {"kind": "weights" or "lora", "file", "bytes", "tensors", "parameters", "dtypes": {name: parameters}, "format", "metadata",
//  "architecture" where the names tell it (models/convert/recognise.h), for a LoRA also "spelling", "layers", "ranks": {rank: layers},
//  "alphas"}; with `names` also "shapes": {name: "F32 [4, 320]"}.
enum class TensorNames { left_out, listed };
Json describe_weights(const std::filesystem::path& file, TensorNames names);

// A model, or one component of it by itself: {"kind": "model", "folder", "class", "components": {name: {"class", "parameters", "bytes",
// "dtypes"}}, "unsupported": a sentence, for a model that can be neither sampled nor trained}
Json describe_model(const std::filesystem::path& folder);

// {"kind": "run", "folder", "checkpoints": their names by step, "last": the last line of metrics.jsonl, "files"}
Json describe_run(const std::filesystem::path& folder);

// Any of the three, or training data (describe_data.h), by what it is, or ORG/NAME in the Hugging Face cache. UsageError for anything else.
Json describe(const std::filesystem::path& path, TensorNames names);

}  // namespace palate
