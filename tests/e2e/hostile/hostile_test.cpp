// Files that are not what they say, given to the program: one sentence, exit status 1 or 2, and no more memory than twice the file and
// what a program of libtorch takes to start. What the readers do with each single field is tested with them (tests/unit/io).
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/e2e/hostile/hostile_files.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

constexpr int64_t kAllowance = int64_t{64} << 20;

int64_t baseline() {
  static const int64_t peak = run_program({"list", "losses"}).peak_bytes;
  return peak;
}

std::string joined(const std::vector<std::string>& words) {
  std::string all;
  for (const auto& word : words) all += word + " ";
  return all;
}

// `name`: of the file or folder at fault, which the sentence must give.
void expect_refused(const std::vector<std::string>& words, const std::string& name, size_t size) {
  const auto result = run_program(words);
  INFO(joined(words), "\n", result.err.substr(0, 600));
  CHECK((result.status == 1 || result.status == 2));
  CHECK(result.err.starts_with("palate: "));
  CHECK(result.err.find(name) != std::string::npos);
  CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
  CHECK(result.err.size() < 1000);  // a sentence, not the file
  CHECK(result.out.empty());
#ifndef __SANITIZE_ADDRESS__  // which keeps what was freed
  CHECK(result.peak_bytes - baseline() < 2 * static_cast<int64_t>(size) + kAllowance);
#endif
}

}  // namespace

TEST_CASE("hostile: files of tensors, to palate inspect") {
  const fs::path folder = fresh_folder("hostile_tensors");
  auto files = hostile_safetensors();
  for (const auto& file : hostile_pickles()) files.push_back(file);
  for (const auto& file : files) {
    write_text(folder / file.name, file.bytes);
    expect_refused({"inspect", (folder / file.name).string()}, file.name, file.bytes.size());
  }
}

TEST_CASE("hostile: LoRA files, to palate lora inspect") {
  const fs::path folder = fresh_folder("hostile_lora");
  auto files = hostile_loras();
  const auto others = hostile_safetensors();
  files.insert(files.end(), others.begin(), others.begin() + 3);
  for (const auto& file : files) {
    write_text(folder / file.name, file.bytes);
    expect_refused({"lora", "inspect", (folder / file.name).string()}, file.name, file.bytes.size());
  }
}

TEST_CASE("hostile: pairs in Parquet, and configs, to palate train") {
  const fs::path folder = fresh_folder("hostile_train");
  const std::string model = golden("tiny_pipeline").string(), run = (folder / "run").string();
  for (const auto& file : hostile_parquets()) {
    write_text(folder / file.name, file.bytes);
    write_text(folder / "run.toml",
               "model = \"" + model + "\"\noutput = \"" + run + "\"\ndata.pairs = [\"" + (folder / file.name).string() + "\"]\n");
    expect_refused({"train", (folder / "run.toml").string(), "-q"}, file.name, file.bytes.size());
  }
  for (const auto& file : hostile_configs()) {
    write_text(folder / file.name, file.bytes);
    expect_refused({"train", (folder / file.name).string(), "model=" + model, "data.pairs=[\"none.parquet\"]", "output=" + run}, file.name,
                   file.bytes.size());
  }
  CHECK_FALSE(fs::exists(folder / "run"));
}

TEST_CASE("hostile: lists of shards in a model folder") {
  for (const auto& file : hostile_indices()) {
    const fs::path folder = fresh_folder("hostile_shards") / file.name;
    fs::create_directories(folder);
    fs::copy(golden("tiny_pipeline"), folder, fs::copy_options::recursive);
    fs::remove(folder / "unet/diffusion_pytorch_model.safetensors");
    write_text(folder / "unet/diffusion_pytorch_model.safetensors.index.json", file.bytes);
    expect_refused({"inspect", folder.string()}, file.name, file.bytes.size());
    expect_refused({"sample", "-q", "--model", folder.string(), "--prompt", "a fox", "--out", (folder / "out").string()}, file.name,
                   file.bytes.size());
  }
}
