// LoRAs that also adapt text encoders, in the commands that take a whole model and in those that hold a U-Net alone.
#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/adapters/lora.h"
#include "palate/models/registry.h"
#include "palate/models/text_encoder.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

void shake(const Lora& lora) {
  const torch::NoGradGuard no_grad;
  double phase = 0;
  for (const auto& [name, value] : lora.parameters())
    value.add_((torch::arange(value.numel()).to(torch::kFloat32) * 0.7 + (phase += 1)).cos().view(value.sizes()));
}

// FOLDER's file for the text encoder of BASE, and for its U-Net where `unet` says so.
std::string make_lora(const fs::path& folder, const fs::path& base, bool with_unet) {
  const auto encoder = load_text_encoder(base / "text_encoder");
  const Lora text = Lora::inject(encoder->module(), {.rank = 2, .alpha = 2, .targets = {"q_proj", "v_proj"}}, 1);
  shake(text);
  std::map<std::string, const Lora*> parts = {{"text_encoder", &text}};
  const auto unet = load_denoiser(base / "unet");
  const Lora image = Lora::inject(unet->module(), {.rank = 2, .alpha = 2}, 2);
  shake(image);
  if (with_unet) parts["unet"] = &image;
  fs::create_directories(folder);
  Lora::save(folder, parts);
  return (folder / "pytorch_lora_weights.safetensors").string();
}

}  // namespace

TEST_CASE("eval --lora: a text encoder's part takes effect, as much as its weight says") {
  const fs::path work = fresh_folder("eval_text_lora"), base = repository() / "assets/base";
  const std::string file = make_lora(work / "lora", base, false);
  const auto drawn = [&](const std::string& out, const std::string& lora) {
    const auto result =
        run_program({"eval", "--model", base.string(), "--lora", lora, "--count", "2", "--steps", "2", "--out", (work / out).string()});
    INFO(result.err);
    REQUIRE(result.status == 0);
    const auto pictures = [&](const char* side) {
      return read_text(work / out / "pictures" / side / "00000.png") + read_text(work / out / "pictures" / side / "00001.png");
    };
    return std::pair{pictures("base"), pictures("ours")};
  };
  const auto [plain, ours] = drawn("whole", file);
  CHECK(plain != ours);
  const auto [again, nothing] = drawn("nothing", file + ":0");
  CHECK(again == plain);
  CHECK(nothing == plain);
  const auto [once_more, half] = drawn("half", file + ":0.5");
  CHECK(half != plain);
  CHECK(half != ours);
}

// Whatever the spelling: the sentence names the part that has no home and the command that takes the other.
TEST_CASE("commands that hold a U-Net alone refuse a LoRA that adapts a text encoder too") {
  const fs::path work = fresh_folder("unet_text_lora"), model = golden("tiny_pipeline");
  const std::string file = make_lora(work / "lora", model, true);
  save_safetensors(work / "in.safetensors", {{"sample", torch::zeros({1, 4, 8, 8})}, {"timestep", torch::ones({1})}});
  const std::string in = (work / "in.safetensors").string(), out = (work / "out.safetensors").string();
  for (const std::string& lora : {file, (work / "lora/pytorch_lora_weights.kohya.safetensors").string()}) {
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{"step", "--model", model.string(), "--objective", "dpo", "--lora", lora, "--in", in, "--out", out},
          {"forward", "--model", model.string(), "--component", "unet", "--lora", lora, "--in", in, "--out", out}}) {
      const auto result = run_program(words);
      INFO(result.err);
      CHECK(result.status == 2);
      CHECK(result.err.find("this LoRA also adapts 4 layers of text_encoder") != std::string::npos);
      CHECK(result.err.find("palate lora convert --only unet") != std::string::npos);
    }
  }
  const auto zipped =
      run_program({"lora", "zip", file, file, "--model", model.string(), "--content-prompt", "a", "--style-prompt", "b", "--out", out});
  INFO(zipped.err);
  CHECK(zipped.status == 2);
  CHECK(zipped.err.find("palate lora convert --only unet") != std::string::npos);
  CHECK(zipped.err.find("pictures of") == std::string::npos);  // none are made before
  const std::string only = (work / "only.safetensors").string();
  CHECK(run_program({"lora", "convert", file, only, "--to", "diffusers", "--only", "unet"}).status == 0);
  const auto step = run_program({"step", "--model", model.string(), "--objective", "dpo", "--lora", only, "--in", in, "--out", out});
  INFO(step.err);
  CHECK(step.err.find("latents_win") != std::string::npos);  // the LoRA was taken: the batch is what is asked for next
}
