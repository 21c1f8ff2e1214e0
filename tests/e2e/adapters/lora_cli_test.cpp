// palate lora, as a person runs it, on LoRAs of the tiny pipeline.
#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/adapters/lora.h"
#include "palate/adapters/lora_file.h"
#include "palate/models/registry.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

const std::string model = (repository() / "tests/golden/tiny_pipeline").string();

std::string make_lora(const fs::path& folder, uint64_t seed) {
  const auto unet = load_denoiser(fs::path(model) / "unet");
  const auto lora = Lora::inject(unet->module(), {.rank = 2, .alpha = 4}, seed);
  const torch::NoGradGuard no_grad;
  double phase = static_cast<double>(seed);
  for (const auto& [name, value] : lora.parameters())
    value.add_(0.1 * (torch::arange(value.numel()).to(torch::kFloat32) * 0.7 + (phase += 1)).cos().view(value.sizes()));
  fs::create_directories(folder);
  lora.save(folder);
  return (folder / "pytorch_lora_weights.safetensors").string();
}

ProcessResult lora(std::vector<std::string> words) {
  words.insert(words.begin(), "lora");
  return run_program(words, {"OMP_NUM_THREADS=1"});
}

}  // namespace

TEST_CASE("lora command: converted there and back, verified against its model and its twin") {
  const fs::path work = fresh_folder("lora_cli");
  const std::string file = make_lora(work / "one", 1), kohya = (work / "k.safetensors").string(), back = (work / "b.safetensors").string();
  CHECK(lora({"convert", file, kohya, "--to", "kohya", "--model", model}).status == 0);
  CHECK(lora({"convert", kohya, back, "--to", "diffusers"}).status == 0);
  CHECK(compare_loras(read_lora(file), read_lora(back)) == 0);
  CHECK(lora({"convert", file, (work / "peft").string(), "--to", "peft"}).status == 0);
  CHECK(compare_loras(read_lora(file), read_lora(work / "peft")) == 0);
  const auto verified =
      lora({"verify", file, "--model", model, "--against", (work / "one/pytorch_lora_weights.kohya.safetensors").string()});
  CHECK(verified.status == 0);
  CHECK(verified.out.find("every key has a home") != std::string::npos);
  CHECK(lora({"inspect", kohya}).out.find("kohya") != std::string::npos);
}

TEST_CASE("lora command: verify names every key without a home, and fails") {
  const fs::path work = fresh_folder("lora_cli_homeless");
  const SafetensorsFile file(make_lora(work / "one", 1));
  TensorMap tensors;
  for (const auto& name : file.names()) tensors[name] = file.tensor(name);
  for (int i = 0; i < 7; ++i) tensors["unet.nowhere." + std::to_string(i) + ".lora_A.weight"] = torch::ones({2, 2});
  save_safetensors(work / "x.safetensors", tensors);
  const auto result = lora({"verify", (work / "x.safetensors").string(), "--model", model});
  CHECK(result.status == 1);
  for (int i = 0; i < 7; ++i) CHECK(result.out.find("unet.nowhere." + std::to_string(i) + ".lora_A.weight") != std::string::npos);
  CHECK(lora({"convert", (work / "x.safetensors").string(), (work / "y.safetensors").string(), "--to", "kohya", "--model", model}).status ==
        2);
  CHECK_FALSE(fs::exists(work / "y.safetensors"));
}

TEST_CASE("lora command: merged, resized, zipped, and merged into the model") {
  const fs::path work = fresh_folder("lora_cli_merge");
  const std::string a = make_lora(work / "a", 1), b = make_lora(work / "b", 2), sum = (work / "sum.safetensors").string(),
                    small = (work / "small.safetensors").string();
  CHECK(lora({"merge", a + ":0.5", b, "--out", sum, "--exact"}).status == 0);
  CHECK(lora({"merge", a + ":0.5", b, "--out", small, "--rank", "4"}).status == 0);
  CHECK(compare_loras(read_lora(sum), read_lora(small)) < 1e-5);  // two of rank 2: nothing is lost
  CHECK(lora({"resize", sum, "--out", small, "--rank", "1"}).status == 0);
  CHECK(lora({"merge", a, "--model", model, "--out", (work / "model").string()}).status == 0);
  CHECK(fs::exists(work / "model/model_index.json"));
  const auto zipped =
      lora({"zip", a, b, "--model", model, "--content-prompt", "a circle", "--style-prompt", "in red", "--out",
            (work / "zip.safetensors").string(), "--steps", "3", "--sample-steps", "2", "--pictures", "1", "--threads", "1"});
  INFO(zipped.err);
  CHECK(zipped.status == 0);
  CHECK(read_lora(work / "zip.safetensors").size() == read_lora(a).size());
}

TEST_CASE("forward --lora: a text encoder takes its own part, two at once add up, and the U-Net's is refused") {
  const fs::path work = fresh_folder("lora_cli_text");
  const std::string layer = "text_model.encoder.layers.0.self_attn.q_proj", file = (work / "te.safetensors").string();
  const Tensor weight =
      SafetensorsFile(fs::path(model) / "text_encoder/model.safetensors").tensor("encoder.layers.0.self_attn.q_proj.weight");
  LoraFile made;
  made.components["text_encoder"][layer] = {
      torch::arange(weight.size(1)).to(torch::kFloat32).cos().view({1, -1}), torch::linspace(-1, 1, weight.size(0)).view({-1, 1}), {}, 1};
  write_lora(file, made, LoraSpelling::kohya);
  save_safetensors(work / "in.safetensors", {{"input_ids", torch::arange(8).view({1, 8})}});
  const auto states = [&](std::vector<std::string> more) {
    std::vector<std::string> words = {"forward",
                                      "--model",
                                      model,
                                      "--component",
                                      "text",
                                      "--in",
                                      (work / "in.safetensors").string(),
                                      "--out",
                                      (work / "out.safetensors").string()};
    words.insert(words.end(), more.begin(), more.end());
    const auto result = run_program(words);
    INFO(result.err);
    REQUIRE(result.status == 0);
    return SafetensorsFile(work / "out.safetensors").tensor("last_hidden_state").clone();
  };
  const Tensor base = states({}), full = states({"--lora", file});
  CHECK_FALSE(torch::equal(base, full));
  expect_close("two halves", states({"--lora", file + ":0.5", "--lora", file + ":0.5"}), full, 1e-5);
  const auto refused = run_program({"forward", "--model", model, "--component", "text", "--in", (work / "in.safetensors").string(), "--out",
                                    (work / "out.safetensors").string(), "--lora", make_lora(work / "a", 1)});
  CHECK(refused.status == 2);
  CHECK(refused.err.find("--only") != std::string::npos);
}

TEST_CASE("lora command: wrong use is one sentence") {
  const fs::path work = fresh_folder("lora_cli_wrong");
  const std::string a = make_lora(work / "a", 1);
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"convert", a, "x", "--to", "khya"}, "did you mean 'kohya'?"},
      {{"convrt", a}, "did you mean 'convert'?"},
      {{"convert", a, "--to", "kohya"}, "takes IN and OUT, found 1"},
      {{"verify", a}, "needs --model"},
      {{"inspect", a, "--rank", "3"}, "has no flag --rank"},
      {{"merge", a, "--out", "x", "--exact", "--rank", "3"}, "keep one"},
      {{"inspect", "/no/such"}, "there is no such file"},
      {{"merge", a, "/no/such:0.5", "--out", "x"}, "lora merge /no/such: there is no such file"},
      {{"merge", a + ":heavy", "--out", "x"}, "expected FILE or FILE:WEIGHT, and 'heavy' is not a number"},
      {{"merge", a + ":inf", "--out", "x"}, "the weight must be a finite number"},
      {{"verify", a, "--model", work.string()}, "expected unet/"},
  };
  for (const auto& [words, text] : cases) {
    const auto result = lora(words);
    INFO(result.err);
    CHECK(result.status == 2);
    CHECK(result.err.find(text) != std::string::npos);
    CHECK(result.err.find("--lora") == std::string::npos);  // which nobody typed
  }
}
