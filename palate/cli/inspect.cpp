// palate inspect: what a weights file, a model folder, a run folder or training data hold.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "palate/cli/command.h"
#include "palate/inspect/describe.h"

namespace palate {
namespace {

struct InspectFlags {
  std::string path;
  bool json = false, tensors = false;
};

// 859520964 -> "859,520,964"
std::string with_commas(int64_t number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<int64_t>(text.size()) - 3; at > 0; at -= 3) text.insert(static_cast<size_t>(at), ",");
  return text;
}

std::string joined(const Json& counts) {
  std::string text;
  for (const auto& [name, count] : counts.items()) text += (text.empty() ? "" : ", ") + name + " " + with_commas(count.get<int64_t>());
  return text;
}

void line(const std::string& name, const std::string& value) { std::printf("%-18s %s\n", name.c_str(), value.c_str()); }

// Long texts (embedded configs, licences) are cut to a line.
std::string one_line(std::string text) {
  for (char& c : text) c = c == '\n' ? ' ' : c;
  return text.size() > 100 ? text.substr(0, 97) + "..." : text;
}

void print_weights(const Json& file) {
  const bool lora = file["kind"] == "lora";
  line("file", file["file"].get<std::string>());
  line("kind", lora ? "LoRA (" + file["spelling"].get<std::string>() + ")" : "weights");
  if (file.contains("architecture")) line("architecture", file["architecture"].get<std::string>());
  line("format", file["format"].get<std::string>());
  line("tensors", with_commas(file["tensors"].get<int64_t>()));
  line("parameters", with_commas(file["parameters"].get<int64_t>()) + " (" + joined(file["dtypes"]) + ")");
  if (lora) {
    std::string ranks;
    for (const auto& [rank, layers] : file["ranks"].items())
      ranks += (ranks.empty() ? "" : ", ") + ("rank " + rank) + " on " + layers.dump() + " layers";
    line("adapters", ranks);
    if (file.contains("alphas")) line("alpha", file["alphas"].dump());
  }
  for (const auto& [key, value] : file["metadata"].items()) line("metadata", key + " = " + one_line(value.get<std::string>()));
  if (!file.contains("shapes")) return;
  for (const auto& [name, shape] : file["shapes"].items()) std::printf("  %s  %s\n", name.c_str(), shape.get<std::string>().c_str());
}

void print_model(const Json& model) {
  line("folder", model["folder"].get<std::string>());
  line("class", model["class"].get<std::string>());
  for (const auto& [name, part] : model["components"].items()) {
    std::string text = part["class"].get<std::string>();
    if (part.contains("missing")) text += ", folder missing";
    if (part.contains("parameters"))
      text += ", " + with_commas(part["parameters"].get<int64_t>()) + " parameters (" + joined(part["dtypes"]) + ")";
    line(name, text);
  }
  if (model.contains("unsupported")) line("not supported", model["unsupported"].get<std::string>());
}

void print_run(const Json& run) {
  line("run", run["folder"].get<std::string>());
  line("checkpoints", run["checkpoints"].empty() ? "none" : run["checkpoints"].dump());
  if (run.contains("last")) {
    for (const auto& [key, value] : run["last"].items()) line("last " + key, one_line(value.dump()));
  }
  for (const auto& file : run["files"]) line("file", file.get<std::string>());
}

void print_data(const Json& data) {
  line("data", data["file"].get<std::string>());
  line("examples", with_commas(data["rows"].get<int64_t>()) + " " + data["examples"].get<std::string>());
  if (data["looked_at"] != data["rows"]) line("looked at", "the first " + with_commas(data["looked_at"].get<int64_t>()));
  line("captions", with_commas(data["captions"].get<int64_t>()) + (data.contains("first_caption")
                                                                       ? (data["captions"] == 1 ? ": " : " different ones; the first: ") +
                                                                             one_line(data["first_caption"].get<std::string>())
                                                                       : ""));
  if (data.value("without_caption", 0) > 0) line("without caption", data["without_caption"].dump() + " (data.caption gives them one)");
  for (const char* key : {"ties", "unlabelled", "thumbs_up", "thumbs_down", "rewards", "base_prompts"}) {
    if (data.value(key, 0) > 0) line(key, data[key].dump());
  }
  line("sizes", joined(data["sizes"]));
  line("formats", joined(data["formats"]));
  if (data["unreadable"] > 0) line("unreadable", data["unreadable"].dump() + "; the first: " + data["first_unreadable"].get<std::string>());
}

void inspect(const InspectFlags& flags) {
  const Json found = describe(flags.path, flags.tensors ? TensorNames::listed : TensorNames::left_out);
  if (flags.json) {
    std::printf("%s\n", found.dump().c_str());
  } else if (found["kind"] == "model") {
    print_model(found);
  } else if (found["kind"] == "run") {
    print_run(found);
  } else if (found["kind"] == "data") {
    print_data(found);
  } else {
    print_weights(found);
  }
}

}  // namespace

void add_inspect(CLI::App& app) {
  auto flags = std::make_shared<InspectFlags>();
  app.add_option("path", flags->path,
                 "file of tensors (.safetensors, .ckpt, .bin, .pt), model folder, run folder, or training data (pictures, .tar, .parquet, "
                 ".jsonl, .toml)")
      ->required()
      ->type_name("FILE_OR_DIR");
  app.add_flag("--tensors", flags->tensors, "of a weights file: every tensor's name, dtype and shape");
  app.add_flag("--json", flags->json, "one JSON object instead of lines");
  app.footer("Example:\n  palate inspect runs/demo-1/dpo/pytorch_lora_weights.safetensors");
  app.callback([flags] { inspect(*flags); });
}

}  // namespace palate
