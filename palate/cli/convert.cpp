// palate convert: a whole model from a single file to a diffusers folder, and back.
#include "palate/models/convert/convert.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "palate/cli/command.h"
#include "palate/cli/flag_checks.h"
#include "palate/core/error.h"
#include "palate/hub/model_path.h"
#include "palate/io/atomic_file.h"
#include "palate/io/json.h"
#include "palate/pipeline/pipeline_class.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

struct ConvertFlags {
  std::string in, out, to;
  ConvertOptions options;
  bool json = false;
};

void print(const Converted& done, const ConvertFlags& flags) {
  if (flags.json) {
    const Json line = {{"out", flags.out},        {"layout", flags.to},
                       {"family", done.family},   {"prediction_type", done.prediction_type},
                       {"tensors", done.tensors}, {"left_out", done.left_out}};
    std::printf("%s\n", line.dump().c_str());
    return;
  }
  std::printf("%s: %s, %s, %lld tensors\n", flags.out.c_str(), done.family.c_str(), done.prediction_type.c_str(),
              static_cast<long long>(done.tensors));
  if (done.left_out.empty()) return;
  std::printf("left out, with no place in that layout: %zu tensors (%s%s)\n", done.left_out.size(), done.left_out[0].c_str(),
              done.left_out.size() > 1 ? ", ..." : "");
}

void convert(ConvertFlags flags) {
  flags.in = model_path(flags.in).string();
  const bool folder = fs::is_directory(flags.in), to_folder = flags.to == "diffusers";
  check<UsageError>(folder != to_folder, flags.in, folder ? ": is a folder already" : ": is a single file already", ", and --to ", flags.to,
                    " asks for the same layout");
  if (to_folder) {
    check_new_folder(flags.out);
    print(convert_to_folder(flags.in, flags.out, flags.options), flags);
  } else {
    check<UsageError>(fs::path(flags.out).extension() == ".safetensors", flags.out,
                      ": a single file is written as safetensors: expected a name that ends in .safetensors");
    check_parent(flags.out);
    if (fs::exists(fs::path(flags.in) / "model_index.json")) pipeline_class(ModelFolder(flags.in));  // one that is not known is refused
    print(convert_to_single(flags.in, flags.out, flags.options), flags);
  }
}

}  // namespace

void add_convert(CLI::App& app) {
  auto flags = std::make_shared<ConvertFlags>();
  flags->options.merges = asset("clip_tokenizer/merges.txt");
  app.add_option("in", flags->in, "a single file (.safetensors, .ckpt, .pt) or a model folder")->required()->type_name("IN");
  app.add_option("out", flags->out, "what to write: a new folder, or a new .safetensors file")->required()->type_name("OUT");
  app.add_option("--to", flags->to,
                 "the layout of OUT: a folder as diffusers has it, or one file as CompVis and Stability name its tensors")
      ->required()
      ->check(CLI::IsMember({"diffusers", "single"}))
      ->type_name("diffusers|single");
  app.add_option("--variant", flags->options.variant, "of a folder's weights: fp16 reads *.fp16.safetensors")->type_name("NAME");
  app.add_option("--prediction-type", flags->options.prediction_type,
                 "what the U-Net predicts, where the file does not say (Stable Diffusion 2: v_prediction, but epsilon for the 512 base)")
      ->check(CLI::IsMember({"epsilon", "v_prediction"}))
      ->type_name("epsilon|v_prediction");
  app.add_option("--config", flags->options.config, "a model folder whose configs, scheduler and tokenizers the new folder takes")
      ->check(CLI::ExistingDirectory)
      ->type_name("DIR");
  app.add_option("--tokenizer", flags->options.tokenizer, "a tokenizer's folder, for models with another one than CLIP's")
      ->check(CLI::ExistingDirectory)
      ->type_name("DIR");
  app.add_flag("--json", flags->json, "one JSON object instead of lines");
  app.footer("Examples:\n  palate convert v1-5-pruned.ckpt sd15 --to diffusers\n  palate convert sd15 sd15.safetensors --to single");
  app.callback([flags] { convert(*flags); });
}

}  // namespace palate
