#include <doctest/doctest.h>

#include <algorithm>

#include "palate/config/config.h"
#include "palate/core/error.h"
#include "palate/train/foreign_keys.h"
#include "palate/train/run_config.h"
#include "tests/support/paths.h"

using namespace palate;
namespace fs = std::filesystem;

namespace {

using Lines = std::vector<std::string>;

Lines translated(const std::vector<ForeignKey>& keys) { return translate_foreign_keys(keys).overrides; }

RunConfig load(const Lines& overrides) {
  RunConfig config;
  load_config({.file_name = "", .file_text = "model = \"m\"\noutput = \"o\"\n[data]\npairs = [\"p.jsonl\"]\n", .overrides = overrides},
              [&](Fields& f) { config.visit(f); });
  return config;
}

std::string refused(const std::vector<ForeignKey>& keys) {
  try {
    translate_foreign_keys(keys);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("foreign keys: diffusers' flags become settings that the config takes") {
  const RunConfig config = load(translated({{"train_batch_size", "4", ""},
                                            {"gradient_accumulation_steps", "8", ""},
                                            {"learning_rate", "1e-4", ""},
                                            {"lr_scheduler", "cosine", ""},
                                            {"lr_warmup_steps", "0", ""},
                                            {"use_8bit_adam", "", ""},
                                            {"mixed_precision", "bf16", ""},
                                            {"rank", "16", ""},
                                            {"resolution", "512", ""},
                                            {"random_flip", "", ""},
                                            {"snr_gamma", "5.0", ""},
                                            {"validation_prompt", "a cat, sitting", ""},
                                            {"validation_steps", "100", ""},
                                            {"gradient_checkpointing", "", ""}}));
  CHECK(config.train.batch == 4);
  CHECK(config.train.accumulation == 8);
  CHECK(config.optimizer.lr == 1e-4);
  CHECK(config.optimizer.lr_schedule == "cosine");
  CHECK(config.optimizer.name == "adamw8bit");
  CHECK(config.train.dtype == "bf16");
  CHECK(config.lora.rank == 16);
  CHECK(config.data.resolution == 512);
  CHECK(config.data.flip);
  CHECK(config.objective.snr_gamma == 5);
  CHECK(config.sample.prompts == Lines{"a cat, sitting"});
  CHECK(config.sample.every == 100);
  CHECK(config.train.gradient_checkpointing);
}

TEST_CASE("foreign keys: every key that sets something names a setting that exists") {
  for (const char* name : {"pretrained_model_name_or_path",
                           "variant",
                           "train_data_dir",
                           "max_train_samples",
                           "proportion_empty_prompts",
                           "max_train_steps",
                           "lr_num_cycles",
                           "lr_power",
                           "adam_beta1",
                           "adam_beta2",
                           "adam_weight_decay",
                           "adam_epsilon",
                           "max_grad_norm",
                           "lora_alpha",
                           "lora_dropout",
                           "output_dir",
                           "seed",
                           "checkpointing_steps",
                           "checkpoints_total_limit",
                           "resume_from_checkpoint",
                           "logging_steps",
                           "eval_steps",
                           "beta",
                           "pref_beta",
                           "label_smoothing",
                           "image_column",
                           "caption_column",
                           "noise_offset",
                           "text_encoder_lr",
                           "placeholder_token",
                           "per_device_train_batch_size"}) {
    CAPTURE(name);
    const Lines settings = translated({{name, "1e-1", ""}});
    REQUIRE(settings.size() == 1);
    try {
      load(settings);
    } catch (const ConfigError& error) {
      CHECK(std::string(error.what()).find("unknown") == std::string::npos);  // a whole number may be wanted
    }
  }
}

TEST_CASE("foreign keys: a field's aliases are taken as flags, and what the table says of them is more than the key") {
  CHECK(translated({{"train_batch_size", "4", ""}}) == Lines{"train.batch=4"});
  CHECK(translated({{"lr_power", "2", ""}}) == Lines{"optimizer.power=2"});              // of a member that is not chosen
  CHECK(translated({{"min_snr_gamma", "5", ""}}) == Lines{"objective.snr_gamma=5"});     // kohya's
  CHECK(translated({{"output_dir", "o", ""}}) == Lines{"output=o"});                     // of no table
  CHECK(translated({{"mixed_precision", "fp32", ""}}) == Lines{"train.dtype=float32"});  // an alias of train.dtype, which takes no "fp32"
  for (const char* flag : {"random_flip", "train_text_encoder"}) {
    CAPTURE(flag);
    CHECK(foreign_key_is_flag(flag));
    CHECK(translated({{flag, "false", ""}}).empty());
    CHECK(translated({{flag, "", ""}}).size() == 1);
  }
  CHECK_FALSE(foreign_key_is_flag("train_batch_size"));
}

// z = beta/2 * margin in the paper's code, z = beta * margin in diffusers': 5000 there is 2500 here.
TEST_CASE("foreign keys: beta_dpo is diffusers', unless another flag is DiffusionDPO's own") {
  CHECK(translated({{"beta_dpo", "2500", ""}}) == Lines{"objective.beta=2500", "objective.beta_convention=diffusers"});
  CHECK(translated({{"beta_dpo", "5000", ""}, {"sdxl", "", ""}}) == Lines{"objective.beta=5000", "objective.beta_convention=palate"});
  CHECK(translate_foreign_keys({{"beta_dpo", "5000", "--beta_dpo"}}).notes.at(0).find("2500 there") != std::string::npos);
}

TEST_CASE("foreign keys: scale_lr multiplies by batch and accumulation, as the scripts do on one device") {
  CHECK(load(translated({{"learning_rate", "1e-8", ""},
                         {"scale_lr", "", ""},
                         {"train_batch_size", "16", ""},
                         {"gradient_accumulation_steps", "128", ""}}))
            .optimizer.lr == doctest::Approx(2.048e-5));
  CHECK(load(translated({{"learning_rate", "1e-8", ""}, {"scale_lr", "false", ""}, {"train_batch_size", "16", ""}})).optimizer.lr ==
        doctest::Approx(1e-8));
  CHECK(refused({{"scale_lr", "", "--scale_lr"}}).find("give both") != std::string::npos);
}

TEST_CASE("foreign keys: a folder of pictures is data.images, one of pairs data.pairs; kohya's flags of data") {
  CHECK(translated({{"train_data_dir", test::golden("images_struct.parquet").string(), ""}}) ==
        Lines{"data.images=" + test::golden("images_struct.parquet").string()});
  CHECK(translated({{"dataset_name", test::golden("data_pickapic.parquet").string(), ""}}) ==
        Lines{"data.pairs=" + test::golden("data_pickapic.parquet").string()});
  CHECK(translated({{"train_data_dir", "/no/such/folder", ""}}) == Lines{"data.pairs=/no/such/folder"});
  const fs::path folder = test::fresh_folder("folders");
  test::write_text(folder / "pairs/1_dog/w/a.png", "");
  test::write_text(folder / "pairs/1_dog/l/a.png", "");
  test::write_text(folder / "pictures/10_dog/a.png", "");
  CHECK(translated({{"train_data_dir", (folder / "pairs").string(), ""}}) == Lines{"data.pairs=" + (folder / "pairs").string()});
  CHECK(translated({{"train_data_dir", (folder / "pictures").string(), ""}}) == Lines{"data.images=" + (folder / "pictures").string()});
  const RunConfig config = load(translated({{"enable_bucket", "", ""},
                                            {"bucket_no_upscale", "", ""},
                                            {"max_bucket_reso", "1536", ""},
                                            {"flip_aug", "", ""},
                                            {"shuffle_caption", "", ""},
                                            {"keep_tokens", "2", ""}}));
  CHECK(config.data.enable_bucket);
  CHECK(config.data.bucket_no_upscale);
  CHECK(config.data.max_bucket_reso == 1536);
  CHECK(config.data.flip);
  CHECK(config.data.variants == 2);
  CHECK(config.data.shuffle_caption);
  CHECK(config.data.keep_tokens == 2);
}

TEST_CASE("foreign keys: TRL's and LLaMA-Factory's") {
  const RunConfig config = load(translated({{"stage", "sft", ""},
                                            {"finetuning_type", "lora", ""},
                                            {"lora_rank", "4", ""},
                                            {"lora_target", "[to_q, to_v]", ""},
                                            {"bf16", "true", ""},
                                            {"optim", "adamw_torch", ""}}));
  CHECK(config.objective.loss == "sft");
  CHECK(config.objective.reference == "none");
  CHECK(config.lora.rank == 4);
  CHECK(config.lora.targets == Lines{"to_q", "to_v"});
  CHECK(config.train.dtype == "bf16");
  CHECK(config.optimizer.name == "adamw");
  CHECK(translated({{"bf16", "false", ""}}).empty());
}

TEST_CASE("foreign keys: what is not supported is said with what to do instead, what does nothing is noted") {
  CHECK(refused({{"push_to_hub", "", "--push_to_hub"}}).find("--push_to_hub: nothing is sent") == 0);
  CHECK(translated({{"push_to_hub", "false", ""}}).empty());
  CHECK(refused({{"mixed_precision", "fp16", "--mixed_precision"}}).find("bf16") != std::string::npos);
  CHECK(refused({{"dataset_name", "kashif/pickascore", "--dataset_name"}}).find("palate pull") != std::string::npos);
  CHECK(refused({{"num_train_epochs", "3", "--num_train_epochs"}}).find("max_train_steps") != std::string::npos);
  const Translation noted = translate_foreign_keys({{"report_to", "wandb", "--report_to"}});
  CHECK(noted.overrides.empty());
  CHECK(noted.notes.size() == 1);
  CHECK_FALSE(is_foreign_key("train_batchsize"));
  CHECK(foreign_key_is_flag("scale_lr"));
  CHECK_FALSE(foreign_key_is_flag("rank"));
}
