// palate train with the flags of diffusers' scripts, and with TRL's keys in the file.
#include <doctest/doctest.h>

#include <fstream>

#include "tests/support/paths.h"
#include "tests/support/process.h"

using namespace palate;

namespace {

std::string config_of(const std::vector<std::string>& arguments) {
  std::vector<std::string> all = {"train"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  all.emplace_back("--dry-run");
  const auto result = test::run_program(all);
  INFO(result.err);
  REQUIRE(result.status == 0);
  return result.out.substr(0, result.out.find("\n# forecast"));
}

}  // namespace

TEST_CASE("train: diffusers' flags print the equal TOML, and that file means the same") {
  const auto folder = test::fresh_folder("flags");
  const std::string model = test::golden("tiny_pipeline").string(), pairs = (folder / "p.jsonl").string();
  const std::string picture = (test::repository() / "docs/images/demo.png").string();
  std::ofstream(folder / "p.jsonl") << "{\"prompt\": \"a cat\", \"chosen\": \"" << picture << "\", \"rejected\": \"" << picture << "\"}\n";
  const std::string flags =
      config_of({"--pretrained_model_name_or_path", model, "--train_data_dir=" + pairs, "--beta_dpo", "2500", "--rank", "4",
                 "--max_train_steps", "3", "--output_dir", (folder / "run").string(), "--gradient_checkpointing", "train.batch=2"});
  std::ofstream(folder / "flags.toml") << flags;
  CHECK(config_of({(folder / "flags.toml").string()}) == flags);
  for (const char* line : {"beta = 2500.0\n", "beta_convention = \"diffusers\"\n", "rank = 4\n", "steps = 3\n", "batch = 2\n",
                           "gradient_checkpointing = true\n"}) {
    CAPTURE(line);
    CHECK(flags.find(line) != std::string::npos);
  }
  std::ofstream(folder / "trl.toml") << "model_name_or_path = \"" << model << "\"\noutput_dir = \"" << (folder / "run").string()
                                     << "\"\nper_device_train_batch_size = 2\nbeta = 2500\nlora_rank = 4\nmax_steps = 3\n"
                                     << "gradient_checkpointing = true\ntrain_data_dir = \"" << pairs
                                     << "\"\n[objective]\nbeta_convention = \"diffusers\"\n";
  CHECK(config_of({(folder / "trl.toml").string()}) == flags);
}

TEST_CASE("train: flags that it does not know, or that lack their value, are refused in one sentence") {
  for (const auto& [flags, message] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"train", "--train_batchsize", "4"}, "unknown flag '--train_batchsize'"},
           {{"train", "--rank"}, "--rank: expected a value"},
           {{"train"}, "needs a CONFIG file"},
           {{"train", "--rank", "4", "lora.alpha=8", "lora.rang"}, "lora.rang: expected key=value"},
           {{"train", "--rank", "4", "lora.rank=8"}, "--rank sets lora.rank=4, and lora.rank=8 is given too"},
           {{"train", "--push_to_hub", "--rank", "4"}, "--push_to_hub: nothing is sent anywhere"},
       }) {
    const auto result = test::run_program(flags);
    CAPTURE(message);
    CHECK(result.status == 2);
    CHECK(result.err.find(message) != std::string::npos);
  }
}
