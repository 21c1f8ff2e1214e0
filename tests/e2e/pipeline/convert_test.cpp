// The commands convert and inspect on whole models and on files of every kind.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "palate/io/json.h"
#include "palate/io/tensor_file.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

using namespace palate;
namespace fs = std::filesystem;

namespace {

test::ProcessResult run(const std::vector<std::string>& arguments, int status = 0) {
  auto result = test::run_program(arguments);
  INFO(result.err);
  CHECK(result.status == status);
  return result;
}

Json inspected(const fs::path& path) { return Json::parse(run({"inspect", "--json", path.string()}).out); }

const char* const parts[] = {"unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors",
                             "text_encoder/model.safetensors"};

}  // namespace

TEST_CASE("convert: a folder of diffusers to one file and back gives the same tensors, and a model that samples the same picture") {
  const fs::path model = test::golden("tiny_pipeline"), folder = test::fresh_folder("convert");
  const std::string single = (folder / "tiny.safetensors").string(), back = (folder / "back").string();
  CHECK(run({"convert", model.string(), single, "--to", "single"}).out.find("Stable Diffusion 1, epsilon") != std::string::npos);
  const Json found = inspected(single);
  CHECK(found["architecture"] == "Stable Diffusion 1, single file: U-Net, autoencoder, text encoder");
  CHECK(found["metadata"]["modelspec.architecture"] == "stable-diffusion-v1");
  run({"convert", single, back, "--to", "diffusers", "--config", model.string()});
  for (const char* part : parts) {
    const TensorFile before(model / part), after(fs::path(back) / part);
    CHECK(before.names().size() == after.names().size());
    for (const auto& name : before.names()) {
      const std::string now = after.contains(name) ? name : "text_model." + name;
      test::expect_equal(name, after.tensor(now), before.tensor(name));
    }
  }
  for (const auto& [from, to] : {std::pair(model.string(), "one"), std::pair(back, "two")}) {
    run({"sample", "--model", from, "--prompt", "a cat", "--steps", "2", "--out", (folder / to).string(), "-q"});
  }
  CHECK(test::read_text(folder / "one/00000.png") == test::read_text(folder / "two/00000.png"));
}

TEST_CASE("convert: wrong use is said in one sentence, and nothing is left behind") {
  const fs::path model = test::golden("tiny_pipeline"), folder = test::fresh_folder("convert_wrong");
  const auto refused = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "convert");
    return run(arguments, 2).err;
  };
  const std::string out = (folder / "out").string();
  CHECK(refused({model.string(), out, "--to", "diffusers"}).find("is a folder already") != std::string::npos);
  CHECK(refused({(folder / "none").string(), out, "--to", "single"}).find("no such folder or file") != std::string::npos);
  fs::copy(model, folder / "other", fs::copy_options::recursive);
  Json index = read_json(model / "model_index.json");
  index["_class_name"] = "FluxPipeline";
  write_json(folder / "other/model_index.json", index);
  CHECK(refused({(folder / "other").string(), out + ".safetensors", "--to", "single"}).find("FluxPipeline") != std::string::npos);
  CHECK(refused({(model / "unet").string(), out + ".safetensors", "--to", "single"}).find("no model_index.json") != std::string::npos);
  CHECK(refused({(model / parts[0]).string(), out, "--to", "diffusers"}).find("found U-Net (diffusers)") != std::string::npos);
  CHECK(refused({model.string(), out, "--to", "ckpt"}).find("ckpt") != std::string::npos);
  CHECK(refused({model.string(), out + ".ckpt", "--to", "single"}).find("ends in .safetensors") != std::string::npos);
  const std::string single = (folder / "tiny.safetensors").string();
  run({"convert", model.string(), single, "--to", "single"});
  CHECK(refused({single, out, "--to", "diffusers"}).find("--tokenizer") != std::string::npos);
  CHECK(!fs::exists(out));
  CHECK(!fs::exists(out + ".safetensors"));
}

TEST_CASE("inspect: files of torch.save and parts of models are named") {
  const Json state = inspected(test::golden("pickle/views.ckpt"));
  CHECK(state["format"] == "torch.save");
  CHECK(state["metadata"]["global_step"] == "875000");
  CHECK(inspected(test::golden("unet_sd1/diffusion_pytorch_model.safetensors"))["architecture"] == "U-Net (diffusers)");
  CHECK(inspected(test::golden("vae_sd/diffusion_pytorch_model.safetensors"))["architecture"] == "autoencoder (diffusers)");
  CHECK(inspected(test::golden("clip_legacy/model.safetensors"))["architecture"] == "CLIP text encoder (transformers)");
  const Json sharded = inspected(test::golden("bin/unet")), whole = inspected(test::golden("unet_sd1"));
  CHECK(sharded["components"]["unet"]["parameters"] == whole["components"]["unet_sd1"]["parameters"]);
  CHECK(sharded["class"] == "UNet2DConditionModel");
  const std::string refusal = run({"inspect", test::golden("pickle/refused_function.pt").string()}, 1).err;
  CHECK(refusal.find("'functools.partial'") != std::string::npos);
}

TEST_CASE("inspect: real files" * doctest::test_suite("shared") *
          doctest::skip(test::shared_missing({"lora_legacy_pt", "aesthetic_head", "safetensors_real"}))) {
  const fs::path lora = test::shared_data("lora_legacy_pt");
  const Json list = inspected(lora / "color_lora_weight.pt");
  CHECK(list["kind"] == "lora");
  CHECK(list["ranks"]["4"] == 128);
  CHECK(inspected(test::shared_data("aesthetic_head/sac+logos+ava1-l14-linearMSE.pth"))["parameters"] == 927969);
  for (const char* name :
       {"safetensors_real/stable_diffusion_sdxl_ldm_base.safetensors", "safetensors_real/stable_diffusion_ssd_ldm_base.safetensors"}) {
    CHECK(inspected(test::shared_data(name)).contains("architecture"));
  }
}
