// The commands forward, sample and inspect, on the tiny model that diffusers made (golden/make_pipeline.py).
#include <doctest/doctest.h>
#include <torch/types.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "palate/io/image.h"
#include "palate/io/json.h"
#include "palate/io/safetensors.h"
#include "tests/support/calm_model.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

using namespace palate;
namespace fs = std::filesystem;

namespace {

using Arguments = std::vector<std::string>;

const std::map<std::string, Tensor>& golden() {
  static const auto tensors = test::load_golden("pipeline.safetensors");
  return tensors;
}

std::string model() {
  static const std::string folder = test::calm_model("tiny_pipeline").string();
  return folder;
}

test::ProcessResult run(const Arguments& arguments, int expected = 0) {
  const auto result = test::run_program(arguments);
  INFO(result.err);
  CHECK(result.status == expected);
  return result;
}

TensorMap named(const Arguments& names) {
  TensorMap tensors;
  for (const auto& name : names) tensors[name] = golden().at(name);
  return tensors;
}

// palate forward; `more` are further arguments.
TensorMap forward(const std::string& component, const TensorMap& in, const Arguments& more = {}) {
  const fs::path folder = test::fresh_folder("forward");
  save_safetensors(folder / "in.safetensors", in);
  Arguments arguments = {"forward",
                         "--model",
                         model(),
                         "--component",
                         component,
                         "--in",
                         (folder / "in.safetensors").string(),
                         "--out",
                         (folder / "out.safetensors").string()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  run(arguments);
  const SafetensorsFile file(folder / "out.safetensors");
  TensorMap out;
  for (const auto& name : file.names()) out[name] = file.tensor(name).clone();
  return out;
}

}  // namespace

TEST_CASE("forward: each component equals diffusers'") {
  test::expect_close("unet", forward("unet", named({"sample", "timestep", "encoder_hidden_states"})).at("sample"), golden().at("unet"),
                     1e-5);
  const TensorMap text = forward("text", named({"input_ids"}));
  test::expect_close("text", text.at("last_hidden_state"), golden().at("text"), 1e-5);
  test::expect_close("pooled", text.at("pooler_output"), golden().at("pooler_output"), 1e-5);
  CHECK(text.contains("hidden_states.2"));
  CHECK_FALSE(text.contains("hidden_states.3"));
}

TEST_CASE("forward: bf16 is near float32, and far from it nowhere") {
  const Tensor out = forward("unet", named({"sample", "timestep", "encoder_hidden_states"}), {"--dtype", "bf16"}).at("sample");
  CHECK((out.scalar_type() == torch::kFloat32));
  test::expect_close("unet", out, golden().at("unet"), 5e-2);
  CHECK(test::relative_error(out, golden().at("unet")) > 1e-5);  // it was bf16
}

TEST_CASE("forward: the autoencoder takes pixels and latents as diffusers does") {
  const TensorMap encoded = forward("vae-encode", {{"pixels", golden().at("pixels").to(torch::kFloat32) / 127.5 - 1}});
  test::expect_close("mean", encoded.at("mean"), golden().at("mean"), 1e-5);
  test::expect_close("logvar", encoded.at("logvar"), golden().at("logvar"), 1e-5);
  const Tensor pixels = forward("vae-decode", {{"latents", golden().at("ddim.latents") / 0.6}}).at("pixels");
  test::expect_close("pixels", (pixels / 2 + 0.5).clamp(0, 1), golden().at("ddim.images"), 1e-5);
}

TEST_CASE("forward: tokenize prints the padded ids as JSON") {
  const auto result = run({"forward", "--model", model(), "--component", "tokenize", "--text", "a photo of a Cat!"});
  const std::vector<int64_t> ids = Json::parse(result.out);
  CHECK(torch::equal(torch::tensor(ids, torch::kInt64), golden().at("input_ids")[0]));
}

TEST_CASE("forward: what is missing in the input is named") {
  const fs::path folder = test::fresh_folder("missing");
  save_safetensors(folder / "in.safetensors", {{"sample", golden().at("sample")}});
  const Arguments arguments = {"forward",
                               "--model",
                               model(),
                               "--component",
                               "unet",
                               "--in",
                               (folder / "in.safetensors").string(),
                               "--out",
                               (folder / "out.safetensors").string()};
  CHECK(run(arguments, 2).err.find("'timestep'") != std::string::npos);
  CHECK_FALSE(fs::exists(folder / "out.safetensors"));
  CHECK(run({"forward", "--model", model(), "--component", "unet"}, 2).err.find("--in") != std::string::npos);
}

TEST_CASE("sample: from given latents the pictures equal diffusers', and the manifest says how they were made") {
  const fs::path folder = test::fresh_folder("sample");
  const Json arguments = Json::parse(test::read_text(test::golden("pipeline.json")));
  const auto prompt = [&](size_t i) { return arguments["prompts"][i].get<std::string>(); };
  save_safetensors(folder / "start.safetensors", {{"latents", golden().at("start")}});
  run({"sample", "--model", model(), "--prompt", prompt(0), "--prompt", prompt(1), "--negative", arguments["negative"].get<std::string>(),
       "--steps", "5", "--guidance-scale", "5", "--latents", (folder / "start.safetensors").string(), "--save-latents",
       (folder / "end.safetensors").string(), "--out", (folder / "pictures").string()});
  test::expect_close("latents", SafetensorsFile(folder / "end.safetensors").tensor("latents"), golden().at("pndm.latents"), 1e-4);
  const Tensor picture = read_image(folder / "pictures/00001.png").to(torch::kFloat32) / 255;
  CHECK((picture - golden().at("pndm.images")[1]).abs().max().item<float>() <= 0.5f / 255 + 1e-3f);
  int64_t lines = 0;
  read_jsonl(folder / "pictures/manifest.jsonl", [&](const Json& line, int64_t number) {
    CHECK(line["prompt"] == arguments["prompts"][static_cast<size_t>(number - 1)]);
    CHECK(fs::exists(folder / "pictures" / line["image"].get<std::string>()));
    CHECK(line["steps"] == 5);
    ++lines;
  });
  CHECK(lines == 2);
}

TEST_CASE("sample: the same seed gives the same bytes, and a used folder is not written to") {
  const fs::path folder = test::fresh_folder("seeds");
  const auto sample = [&](const std::string& out, const std::string& seed, int status) {
    return run({"sample", "--model", model(), "--prompt", "a cat", "--steps", "2", "--scheduler", "ddpm", "--seed", seed, "--out",
                (folder / out).string()},
               status);
  };
  sample("one", "3", 0);
  sample("two", "3", 0);
  sample("three", "4", 0);
  const auto bytes = [&](const std::string& name) { return test::read_text(folder / name / "00000.png"); };
  CHECK(bytes("one") == bytes("two"));
  CHECK(bytes("one") != bytes("three"));
  CHECK(sample("one", "5", 2).err.find("already in use") != std::string::npos);
  CHECK(bytes("one") == bytes("two"));
}

TEST_CASE("inspect: counts a model's parameters, and tells a LoRA from weights") {
  const Json found = Json::parse(run({"inspect", "--json", model()}).out);
  CHECK(found["class"] == "StableDiffusionPipeline");
  const SafetensorsFile unet(test::golden("tiny_pipeline/unet/diffusion_pytorch_model.safetensors"));
  int64_t parameters = 0;
  for (const auto& name : unet.names()) parameters += unet.tensor(name).numel();
  CHECK(found["components"]["unet"]["parameters"] == parameters);
  CHECK(found["components"]["unet"]["dtypes"]["F32"] == parameters);

  const fs::path lora = test::fresh_folder("inspect") / "lora.safetensors";
  const std::string layer = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q";
  save_safetensors(lora, {{layer + ".lora_A.weight", torch::zeros({4, 16})}, {layer + ".lora_B.weight", torch::zeros({16, 4})}},
                   {{"format", "pt"}});
  const Json file = Json::parse(run({"inspect", "--json", lora.string()}).out);
  CHECK(file["kind"] == "lora");
  CHECK(file["ranks"]["4"] == 1);
  CHECK(file["parameters"] == 128);
  CHECK(run({"inspect", "--tensors", lora.string()}).out.find("F32 [4, 16]") != std::string::npos);
  CHECK(run({"inspect", (lora.parent_path() / "none").string()}, 2).err.find("no such folder or file") != std::string::npos);

  const fs::path bare = test::fresh_folder("inspect_bare");
  write_png(bare / "a.png", torch::zeros({3, 8, 8}, torch::kUInt8));
  const Json pictures = Json::parse(run({"inspect", "--json", bare.string()}).out);
  CHECK(pictures["rows"] == 1);
  CHECK(pictures["without_caption"] == 1);
  CHECK(pictures["captions"] == 0);
}

TEST_CASE("step: a batch whose numbers have another shape or range than its pictures ask for is refused") {
  const fs::path folder = test::fresh_folder("step_refused"), in = folder / "in.safetensors", out = folder / "out.safetensors";
  const TensorMap good = {{"latents", torch::randn({2, 4, 8, 8})},
                          {"noise", torch::randn({2, 4, 8, 8})},
                          {"timesteps", torch::tensor({10, 999})},
                          {"encoder_hidden_states", golden().at("encoder_hidden_states").slice(0, 0, 1).repeat({2, 1, 1})},
                          {"label", torch::tensor({1.0F, -1.0F})}};
  const auto step = [&](const std::string& name, const Tensor& value, int status) {
    TensorMap batch = good;
    batch[name] = value;
    save_safetensors(in, batch);
    return run({"step", "--model", model(), "--objective", "kto", "--full", "--in", in.string(), "--out", out.string()}, status).err;
  };
  step("label", good.at("label"), 0);
  fs::remove(out);
  CHECK(step("label", torch::tensor({{1.0F}, {-1.0F}}), 2).find("label has shape [2, 1], expected [2]") != std::string::npos);
  CHECK(step("label", torch::tensor({2.0F, -1.0F}), 2).find("'label' has another value than 1 (thumb up) and -1 (thumb down)") !=
        std::string::npos);
  for (const double t : {1000.0, -1.0, 0.5}) {
    CHECK(step("timesteps", torch::tensor({10.0, t}), 2).find("not a whole number between 0 and 999") != std::string::npos);
  }
  CHECK_FALSE(fs::exists(out));
}
