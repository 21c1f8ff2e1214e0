// Textual inversions, and the legacy list of halves without names.
#include "palate/adapters/textual_inversion.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>

#include "palate/adapters/lora_file.h"
#include "palate/adapters/lora_legacy.h"
#include "palate/core/error.h"
#include "palate/io/safetensors.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

fs::path file_of(const TensorMap& tensors, const std::string& name = "cat.safetensors") {
  const fs::path path = fresh_folder("inversion") / name;
  save_safetensors(path, tensors);
  return path;
}

}  // namespace

TEST_CASE("textual inversion: each form of file, read") {
  const Tensor one = torch::arange(8).to(torch::kFloat32), two = torch::arange(20).to(torch::kFloat32).view({2, 10});
  const TextualInversion diffusers = read_textual_inversion(file_of({{"<cat>", one}}));
  CHECK(diffusers.token == "<cat>");
  expect_equal("vectors", diffusers.vectors.at("text_encoder"), one.view({1, 8}));
  const TextualInversion xl = read_textual_inversion(file_of({{"clip_l", one}, {"clip_g", two}}));
  CHECK(xl.token == "cat");
  expect_equal("clip_g", xl.vectors.at("text_encoder_2"), two);
  CHECK(read_textual_inversion(file_of({{"emb_params", two}})).vectors.at("text_encoder").size(0) == 2);
}

TEST_CASE("textual inversion: written and read again") {
  const fs::path path = fresh_folder("inversion_out") / "x.safetensors";
  TextualInversion embedding{"<cat>", {{"text_encoder", torch::rand({3, 8})}}};
  write_textual_inversion(path, embedding);
  CHECK(SafetensorsFile(path).names() == std::vector<std::string>{"<cat>"});
  expect_equal("one", read_textual_inversion(path).vectors.at("text_encoder"), embedding.vectors.at("text_encoder"));
  embedding.vectors["text_encoder_2"] = torch::rand({3, 10});
  write_textual_inversion(path, embedding);
  const TextualInversion again = read_textual_inversion(path);
  CHECK(again.token == "<cat>");
  for (const auto& [component, value] : embedding.vectors) expect_equal(component, again.vectors.at(component), value);
}

TEST_CASE("textual inversion: anything else is refused in a sentence") {
  CHECK_THROWS_WITH_AS(read_textual_inversion(file_of({{"a", torch::ones({2})}, {"b", torch::ones({2})}})),
                       doctest::Contains("found a or b"), FormatError);
  CHECK_THROWS_WITH_AS(read_textual_inversion(file_of({{"a", torch::ones({2, 2, 2})}})), doctest::Contains("[vectors, width]"),
                       FormatError);
  CHECK_THROWS_WITH_AS(read_textual_inversion(file_of({{"a", torch::ones({2}, torch::kInt64)}})), doctest::Contains("I64"), FormatError);
  CHECK_THROWS_WITH_AS(read_textual_inversion(file_of({{"a", torch::full({2}, NAN)}})), doctest::Contains("not finite"), FormatError);
  CHECK_THROWS_AS(read_textual_inversion("/no/such/file"), UsageError);
}

TEST_CASE("legacy list: the real files give every attention layer of SD its LoRA" * doctest::test_suite("shared") *
          doctest::skip(shared_missing({"lora_legacy_pt"}))) {
  const fs::path folder = shared_data("lora_legacy_pt");
  const LoraFile unet = read_lora(folder / "color_lora_weight.pt"), text = read_lora(folder / "color_lora_weight.text_encoder.pt");
  CHECK(unet.spelling == "legacy list");
  const LoraModules& layers = unet.components.at("unet");
  CHECK(layers.size() == 128);
  CHECK(layers.at("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q").up.size(0) == 320);
  CHECK(layers.at("mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0").up.size(0) == 1280);
  CHECK(layers.at("up_blocks.3.attentions.2.transformer_blocks.0.attn1.to_q").up.size(0) == 320);
  CHECK(layers.at("up_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k").down.size(1) == 1024);
  CHECK(text.components.at("text_encoder").size() == 92);
}

TEST_CASE("legacy list: names that are no list are told apart") {
  CHECK(is_legacy_list({"0", "1", "2"}));
  CHECK_FALSE(is_legacy_list({"0", "2"}));
  CHECK_FALSE(is_legacy_list({}));
}
