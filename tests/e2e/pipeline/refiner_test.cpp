// SDXL's refiner is refused before any work, whether its index says what it is or its U-Net alone does.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "palate/io/json.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

fs::path changed_copy(const fs::path& folder, const std::string& file, const std::string& key, const Json& value) {
  fs::copy(golden("tiny_pipeline_xl"), folder, fs::copy_options::recursive);
  Json json = read_json(folder / file);
  json[key] = value;
  write_json(folder / file, json);
  return folder;
}

bool says_refiner(const std::string& text) {
  return text.find("this is SDXL's refiner") != std::string::npos && text.find("use the base model") != std::string::npos;
}

}  // namespace

TEST_CASE("the refiner: sample and train refuse it in one sentence, and inspect says so") {
  const fs::path work = fresh_folder("refiner");
  const Json unet = read_json(golden("tiny_pipeline_xl") / "unet/config.json");
  const int64_t five = unet.at("projection_class_embeddings_input_dim").get<int64_t>() - unet.at("addition_time_embed_dim").get<int64_t>();
  for (const fs::path& model : {changed_copy(work / "index", "model_index.json", "requires_aesthetics_score", true),
                                changed_copy(work / "unet", "unet/config.json", "projection_class_embeddings_input_dim", five)}) {
    const std::string name = model.string(), out = (work / "out").string();
    CAPTURE(name);
    for (const std::vector<std::string>& words : {std::vector<std::string>{"sample", "--model", name, "--prompt", "a cat", "--out", out},
                                                  {"train", "model=" + name, "output=" + out, "data.pairs=[\"/no/such\"]"}}) {
      const auto result = run_program(words);
      INFO(result.err);
      CHECK(result.status == 2);
      CHECK(says_refiner(result.err));
      CHECK_FALSE(fs::exists(out));
    }
    const auto inspected = run_program({"inspect", name});
    CHECK(inspected.status == 0);
    CHECK(says_refiner(inspected.out));
  }
  CHECK_FALSE(says_refiner(run_program({"inspect", golden("tiny_pipeline_xl").string()}).out));
}
