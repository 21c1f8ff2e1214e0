#include "palate/train/checkpoint.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/core/hash.h"
#include "palate/core/log.h"
#include "palate/io/atomic_file.h"
#include "palate/io/json.h"
#include "palate/io/safetensors.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

const std::string prefix = "checkpoint-";

Json to_json(const TrainState& state) {
  Json json = {{"step", state.step},       {"best_step", state.best_step}, {"best_value", state.best_value},
               {"seconds", state.seconds}, {"threads", state.threads},     {"summed", state.summed}};
  json["sums"] = Json::object();
  for (const auto& [name, value] : state.sums) json["sums"][name] = value;
  return json;
}

TrainState from_json(const Json& json) {
  TrainState state;
  state.step = json.at("step").get<int64_t>();
  state.best_step = json.at("best_step").get<int64_t>();
  state.best_value = json.at("best_value").get<double>();
  state.seconds = json.at("seconds").get<double>();
  state.threads = json.at("threads").get<int64_t>();
  state.summed = json.at("summed").get<int64_t>();
  for (const auto& [name, value] : json.at("sums").items()) state.sums[name] = value.get<double>();
  return state;
}

Json manifest_of(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) names.push_back(fs::relative(entry.path(), folder).generic_string());
  }
  std::sort(names.begin(), names.end());
  Json files = Json::object();
  for (const auto& name : names) files[name] = {{"bytes", fs::file_size(folder / name)}, {"sha256", sha256_file(folder / name)}};
  return {{"files", files}};
}

int64_t step_of(const std::string& name) {
  if (name.rfind(prefix, 0) != 0 || name.size() == prefix.size() || name.size() > prefix.size() + 15) return -1;
  const std::string digits = name.substr(prefix.size());
  return digits.find_first_not_of("0123456789") == std::string::npos ? std::stoll(digits) : -1;
}

}  // namespace

fs::path checkpoint_path(const fs::path& run, int64_t step) { return run / (prefix + std::to_string(step)); }

std::vector<int64_t> checkpoint_steps(const fs::path& run) {
  std::vector<int64_t> steps;
  if (!fs::is_directory(run)) return steps;
  for (const auto& entry : fs::directory_iterator(run)) {
    const int64_t step = step_of(entry.path().filename().string());
    if (step >= 0 && entry.is_directory()) steps.push_back(step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

void save_checkpoint(const fs::path& folder, const TrainState& state, const std::map<std::string, Tensor>& tensors,
                     const std::function<void(const fs::path&)>& add) {
  AtomicFolder atomic(folder);
  save_safetensors(atomic.work() / "state.safetensors", tensors);
  write_json(atomic.work() / "state.json", to_json(state));
  add(atomic.work());
  write_json(atomic.work() / "manifest.json", manifest_of(atomic.work()));
  atomic.commit();
}

std::string checkpoint_fault(const fs::path& folder) {
  try {
    const Json manifest = read_json(folder / "manifest.json");
    for (const auto& [name, entry] : manifest.at("files").items()) {
      const fs::path file = folder / name;
      if (!fs::is_regular_file(file)) return name + " is missing";
      const auto bytes = static_cast<int64_t>(fs::file_size(file));
      const auto expected = entry.at("bytes").get<int64_t>();
      if (bytes != expected) return concat(name, " has ", bytes, " bytes, expected ", expected);
      if (sha256_file(file) != entry.at("sha256").get<std::string>()) return name + " does not agree with its SHA-256";
    }
    for (const char* name : {"state.json", "state.safetensors"}) {
      if (!manifest.at("files").contains(name)) return concat("manifest.json names no ", name);
    }
  } catch (const std::bad_alloc&) {
    throw;  // says nothing of the checkpoint
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

Checkpoint load_checkpoint(const fs::path& folder) {
  const std::string fault = checkpoint_fault(folder);
  check<FormatError>(fault.empty(), folder.string(), ": not a whole checkpoint (", fault, ")");
  Checkpoint checkpoint{folder, {}, {}};
  try {
    checkpoint.state = from_json(read_json(folder / "state.json"));
  } catch (const Json::exception& error) {
    fail<FormatError>((folder / "state.json").string(), ": ", error.what());
  }
  const SafetensorsFile file(folder / "state.safetensors");
  for (const auto& name : file.names()) checkpoint.tensors[name] = file.tensor(name);
  return checkpoint;
}

std::optional<Checkpoint> latest_checkpoint(const fs::path& run) {
  auto steps = checkpoint_steps(run);
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    try {
      return load_checkpoint(checkpoint_path(run, *step));
    } catch (const Error& error) {
      warn(error.what(), "; the one before it is tried");
    }
  }
  return std::nullopt;
}

void prune_checkpoints(const fs::path& run, int64_t keep) {
  const auto steps = checkpoint_steps(run);
  if (keep <= 0) return;
  for (size_t i = 0; i + static_cast<size_t>(keep) < steps.size(); ++i) {
    remove_folder(checkpoint_path(run, steps[i]));
  }
}

void supersede_after(const fs::path& run, int64_t step) {
  for (const int64_t later : checkpoint_steps(run)) {
    if (later <= step) continue;
    const fs::path from = checkpoint_path(run, later);
    fs::create_directories(run / "superseded");
    fs::path to = run / "superseded" / from.filename();
    for (int copy = 2; fs::exists(to); ++copy) to = run / "superseded" / concat(from.filename().string(), ".", copy);
    fs::rename(from, to);
    warn(from.string(), " lies after the step that this run goes on from: moved to ", to.string());
  }
}

}  // namespace palate
