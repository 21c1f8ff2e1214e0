#include "palate/train/foreign_keys.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <type_traits>

#include "palate/config/visitor.h"
#include "palate/core/error.h"
#include "palate/core/text.h"
#include "palate/data/pairs.h"
#include "palate/train/run_config.h"

namespace palate {
namespace {

enum class Kind { set, flag, note, flag_note, refuse, flag_refuse, own };

struct ForeignLine {
  const char* name;
  Kind kind;
  const char* text;  // set: our key; flag: our settings, by blanks; note, refuse: why. own: see Translator
};

constexpr const char* no_judge = "judges are not part of training here: put the labels into the pairs";
constexpr const char* own_hub = "nothing is sent anywhere: upload the run folder with your own tool";

// What simply is another name of one key is not here but with the field, among its aliases, unless it means more outside of its table.
constexpr ForeignLine table[] = {
    // models and data
    {"revision", Kind::own, ""},
    {"variant", Kind::set, "variant"},
    {"pretrained_vae_model_name_or_path", Kind::refuse, "put that autoencoder into the model folder's vae/"},
    {"unet_init", Kind::refuse, "put that U-Net into the model folder's unet/"},
    {"cache_dir", Kind::refuse, "set the environment variable HF_HUB_CACHE"},
    {"dataset_name", Kind::own, ""},
    {"dataset", Kind::own, ""},
    {"dataset_config_name", Kind::refuse, "name the files in data.pairs"},
    {"dataset_split_name", Kind::refuse, "name the files of the split in data.pairs"},
    {"split", Kind::refuse, "name the files of the split in data.pairs"},
    {"train_data_dir", Kind::own, ""},
    {"reg_data_dir", Kind::refuse, "name that folder in a dataset TOML, as a subset with is_reg = true, and the TOML by dataset_config"},
    {"prior_loss_weight", Kind::set, "data.prior_loss_weight"},
    {"with_prior_preservation", Kind::flag, "prior.preservation=true"},
    {"class_data_dir", Kind::set, "prior.folder"},
    {"class_prompt", Kind::set, "prior.class_prompt"},
    {"num_class_images", Kind::set, "prior.pictures"},
    {"sample_batch_size", Kind::set, "prior.batch"},
    {"enable_bucket", Kind::flag, "data.enable_bucket=true"},
    {"min_bucket_reso", Kind::set, "data.min_bucket_reso"},
    {"max_bucket_reso", Kind::set, "data.max_bucket_reso"},
    {"bucket_reso_steps", Kind::set, "data.bucket_reso_steps"},
    {"bucket_no_upscale", Kind::flag, "data.bucket_no_upscale=true"},
    {"caption_extension", Kind::set, "data.caption_extension"},
    {"shuffle_caption", Kind::flag, "data.shuffle_caption=true"},
    {"keep_tokens", Kind::set, "data.keep_tokens"},
    {"flip_aug", Kind::flag, "data.flip=true data.variants=2"},
    {"color_aug", Kind::flag_refuse, "latents are cached, so colours cannot change from step to step"},
    {"caption_dropout_rate", Kind::set, "data.caption_dropout"},
    {"cache_latents", Kind::flag_note, "latents are always cached"},
    {"cache_latents_to_disk", Kind::flag_note, "latents are always cached on disk"},
    {"image_column", Kind::set, "data.image_column"},
    {"caption_column", Kind::set, "data.caption_column"},
    {"resolution", Kind::set, "data.resolution"},
    {"random_crop", Kind::flag, "data.crop=random"},
    {"center_crop", Kind::flag, "data.crop=center"},
    {"no_hflip", Kind::flag, "data.flip=false"},
    // batches and steps
    {"num_train_epochs", Kind::refuse, "give the number of steps: max_train_steps"},
    {"dataloader_num_workers", Kind::note, "latents are cached: there is nothing to load in parallel"},
    {"vae_encode_batch_size", Kind::note, "pictures are encoded once, as many at a time as memory allows"},
    // optimizer
    {"learning_rate", Kind::own, ""},
    {"scale_lr", Kind::own, ""},
    {"warmup_steps", Kind::set, "optimizer.warmup_steps"},
    {"warmup_ratio", Kind::refuse, "give the number of steps: optimizer.warmup_steps"},
    {"optimizer", Kind::own, ""},
    {"optim", Kind::own, ""},
    {"use_8bit_adam", Kind::flag, "optimizer.name=adamw8bit"},
    {"use_adafactor", Kind::flag, "optimizer.name=adafactor"},
    {"prodigy_beta3", Kind::set, "optimizer.prodigy_beta3"},
    {"prodigy_decouple", Kind::set, "optimizer.prodigy_decouple"},
    {"prodigy_use_bias_correction", Kind::set, "optimizer.prodigy_use_bias_correction"},
    {"prodigy_safeguard_warmup", Kind::set, "optimizer.prodigy_safeguard_warmup"},
    // memory and arithmetic
    {"gradient_checkpointing", Kind::flag, "train.gradient_checkpointing=true"},
    {"mixed_precision", Kind::own, ""},
    {"bf16", Kind::flag, "train.dtype=bf16"},
    {"fp16", Kind::flag_refuse, "float16 is not supported: use bf16, which needs no loss scaling"},
    {"allow_tf32", Kind::flag_note, "libtorch's own setting is kept"},
    {"enable_xformers_memory_efficient_attention", Kind::flag_note, "attention keeps no scores in any case"},
    // objectives
    {"beta_dpo", Kind::own, ""},
    {"beta", Kind::set, "objective.beta"},
    {"pref_beta", Kind::set, "objective.beta"},
    {"loss_type", Kind::set, "objective.loss_type"},
    {"pref_loss", Kind::set, "objective.loss_type"},
    {"label_smoothing", Kind::set, "objective.label_smoothing"},
    {"precompute_ref_log_probs", Kind::flag, "objective.reference=cached"},
    {"sft", Kind::flag, "objective.loss=sft objective.reference=none"},
    {"sdxl", Kind::flag_note, "the kind of model is read from its folder"},
    {"is_turbo", Kind::flag, "objective.timesteps=turbo"},
    {"snr_gamma", Kind::set, "objective.snr_gamma"},
    {"noise_offset", Kind::set, "objective.noise_offset"},
    {"offset_noise", Kind::flag, "objective.noise_offset=0.1"},
    {"choice_model", Kind::refuse, no_judge},
    {"dcoloss_beta", Kind::refuse, "direct consistency optimisation is not among this version's losses (palate list losses)"},
    {"stage", Kind::own, ""},
    {"finetuning_type", Kind::own, ""},
    // adapters
    {"rank", Kind::set, "lora.rank"},
    {"network_dim", Kind::set, "lora.rank"},
    {"network_alpha", Kind::set, "lora.alpha"},
    {"network_module", Kind::own, ""},
    {"network_args", Kind::refuse, "name the layers in lora.targets"},
    {"network_weights", Kind::refuse, "a run starts from a fresh LoRA; resume=latest goes on with one of ours"},
    {"use_dora", Kind::flag_refuse, "DoRA is read, not trained: leave it out for a plain LoRA"},
    {"train_text_encoder_ti", Kind::flag_note,
     "name the new word in text.word (placeholder_token) and what it begins as in text.initializer (initializer_token)"},
    // output
    {"seed", Kind::set, "seed"},
    {"logging_dir", Kind::note, "TensorBoard events are in the run folder"},
    {"report_to", Kind::note, "TensorBoard events and metrics.jsonl are written in any case; wandb can read the former (sync_tensorboard)"},
    {"tracker_name", Kind::note, "the run folder is the record"},
    {"tracker_project_name", Kind::note, "the run folder is the record"},
    {"plot_loss", Kind::flag_note, "palate report draws the curves"},
    {"output_kohya_format", Kind::flag_note, "palate lora convert IN OUT --to kohya writes it"},
    {"overwrite_output_dir", Kind::flag_refuse, "a run folder is never overwritten: choose another output, or resume=latest"},
    {"push_to_hub", Kind::flag_refuse, own_hub},
    {"hub_model_id", Kind::refuse, own_hub},
    {"hub_token", Kind::refuse, own_hub},
    // validation
    {"run_validation", Kind::flag_note, "name prompts in sample.prompts and the steps between grids in sample.every"},
    {"validation_steps", Kind::own, ""},
    {"validation_prompt", Kind::own, ""},
    {"num_validation_images", Kind::note, "one picture a prompt: repeat prompts in sample.prompts"},
    {"validation_epochs", Kind::refuse, "give the steps between grids: sample.every"},
};

constexpr const char* only_diffusion_dpo[] = {
    "sdxl",     "is_turbo",           "sft",  "choice_model", "unet_init", "use_adafactor", "proportion_empty_prompts",
    "no_hflip", "dataset_split_name", "split"};

const ForeignLine* find_line(const std::string& name) {
  for (const auto& line : table) {
    if (name == line.name) return &line;
  }
  return nullptr;
}

// The fields' aliases: which key each is another name of.
class AliasTable : public Visitor<AliasTable> {
 public:
  struct Meaning {
    std::string key;  // "train.batch"
    bool flag;        // true or false: no value on a command line
  };
  AliasTable() {
    RunConfig config;
    config.visit(*this);
  }
  const Meaning* find(const std::string& name) const {
    const auto found = meanings_.find(name);
    return found == meanings_.end() ? nullptr : &found->second;
  }

  template <class T>
  void field(const char* key, T&, const char*, const Limits& limits) {
    for (const auto& alias : limits.aliases) meanings_.insert({alias, {path(key), std::is_same_v<T, bool>}});
  }
  void entered(const char*) {}
  bool begin_unchosen(const std::string&, const std::string&, const std::string&) override { return true; }
  void require(bool, const std::string&) override {}

 private:
  std::map<std::string, Meaning> meanings_;
};

const AliasTable::Meaning* find_alias(const std::string& name) {
  static const AliasTable aliases;
  return aliases.find(name);
}

class Translator {
 public:
  explicit Translator(const std::vector<ForeignKey>& keys) : keys_(keys) {}

  Translation translate() {
    for (const auto& key : keys_) one(key);
    if (const ForeignKey* rate = given("learning_rate"))
      learning_rate(*rate);
    else if (const ForeignKey* scaled = given("scale_lr"))
      fail<UsageError>(scaled->where, ": scales learning_rate, which is not given: give both");
    return std::move(result_);
  }

 private:
  const ForeignKey* given(const std::string& name) const {
    const auto found = std::find_if(keys_.rbegin(), keys_.rend(), [&](const ForeignKey& key) { return key.name == name; });
    return found == keys_.rend() ? nullptr : &*found;
  }
  static bool off(const ForeignKey& key) { return key.value == "false" || key.value == "False" || key.value == "0"; }
  void put(const std::string& setting) {
    result_.overrides.push_back(setting);
    result_.wheres.push_back(current_);
  }
  void set(const std::string& ours, const std::string& value) { put(ours + "=" + value); }
  void note(const ForeignKey& key, const std::string& text) { result_.notes.push_back(key.where + ": " + text); }

  void one(const ForeignKey& key) {
    const ForeignLine* line = find_line(key.name);
    const auto* alias = line ? nullptr : find_alias(key.name);
    check<UsageError>(line || alias, key.where, ": there is no such setting");
    current_ = key.where;
    if (alias && alias->flag && off(key)) return;
    if (alias) return set(alias->key, alias->flag ? "true" : key.value);
    switch (line->kind) {
      case Kind::set:
        return set(line->text, key.value);
      case Kind::flag:
        return off(key) ? void() : settings(line->text);
      case Kind::note:
      case Kind::flag_note:
        return note(key, concat("has no effect: ", line->text));
      case Kind::flag_refuse:
        if (off(key)) return;
        [[fallthrough]];
      case Kind::refuse:
        fail<UsageError>(key.where, ": ", line->text);
      case Kind::own:
        return own(key);
    }
  }

  void settings(const std::string& text) {
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find(' ', at), text.size());
      put(text.substr(at, end - at));
      at = end + 1;
    }
  }

  void own(const ForeignKey& key) {
    if (key.name == "beta_dpo") return beta(key);
    if (key.name == "mixed_precision") return precision(key);
    if (key.name == "optimizer" || key.name == "optim") return optimizer(key);
    if (key.name == "dataset_name") return data_set(key);
    if (key.name == "dataset" || key.name == "train_data_dir") return data(key);
    if (key.name == "validation_prompt") return set("sample.prompts", key.value.starts_with('[') ? key.value : "[\"" + key.value + "\"]");
    if (key.name == "validation_steps") return set(given("validation_prompt") ? "sample.every" : "train.validate_every", key.value);
    if (key.name == "revision") return revision(key);
    if (key.name == "network_module") {
      check<UsageError>(key.value == "networks.lora", key.where, ": expected networks.lora, found '", key.value,
                        "': other adapters are not trained");
    } else if (key.name == "finetuning_type") {
      check<UsageError>(key.value == "lora" || key.value == "full", key.where, ": expected lora or full, found '", key.value, "'");
      set("full", key.value == "full" ? "true" : "false");
    } else if (key.name == "stage") {
      check<UsageError>(key.value == "dpo" || key.value == "sft", key.where, ": expected dpo or sft, found '", key.value, "'");
      settings(key.value == "dpo" ? "objective.loss=dpo" : "objective.loss=sft objective.reference=none");
    }
  }

  void beta(const ForeignKey& key) {
    const bool paper =
        std::any_of(std::begin(only_diffusion_dpo), std::end(only_diffusion_dpo), [&](const char* name) { return given(name) != nullptr; });
    set("objective.beta", key.value);
    current_.clear();  // of the convention, which KEY=VALUE may say otherwise
    set("objective.beta_convention", paper ? "palate" : "diffusers");
    note(key, paper ? "read as the DiffusionDPO repository means it: z = beta/2 * margin (objective.beta_convention = \"palate\")"
                    : "read as diffusers' script means it: z = beta * margin (objective.beta_convention = \"diffusers\"); the paper's 5000 "
                      "is 2500 there");
  }

  void precision(const ForeignKey& key) {
    check<UsageError>(key.value == "no" || key.value == "bf16" || key.value == "float32" || key.value == "fp32", key.where,
                      ": expected no or bf16, found '", key.value, "': float16 is not supported, bf16 needs no loss scaling");
    set("train.dtype", key.value == "bf16" ? "bf16" : "float32");
  }

  void optimizer(const ForeignKey& key) {
    std::string name = lowered(key.value);
    if (name == "adamw_torch" || name == "adamw_torch_fused") name = "adamw";
    if (name == "adamw_8bit" || name == "adamw_bnb_8bit") name = "adamw8bit";
    set("optimizer.name", name);
  }

  void data_set(const ForeignKey& key) {
    check<UsageError>(std::filesystem::exists(key.value), key.where, ": '", key.value,
                      "' is not a file or folder here: fetch it with palate pull --repo-type dataset ", key.value,
                      ", and give the folder that it prints as train_data_dir");
    data(key);
  }

  // Pairs for diffusers' script of DPO and DiffusionDPO's, pictures for those of fine-tuning and kohya's: the folder tells.
  void data(const ForeignKey& key) {
    const bool pictures = std::filesystem::exists(key.value) && !holds_pairs(key.value);
    set(pictures ? "data.images" : "data.pairs", key.value);
  }

  void revision(const ForeignKey& key) {
    const ForeignKey* model = given("pretrained_model_name_or_path") ? given("pretrained_model_name_or_path") : given("model_name_or_path");
    check<UsageError>(model != nullptr, key.where, ": of which model? Give model = \"ORG/NAME@", key.value, "\"");
    set("model", model->value + "@" + key.value);
  }

  void learning_rate(const ForeignKey& rate) {
    current_ = rate.where;
    const ForeignKey* scale = given("scale_lr");
    if (!scale || off(*scale)) return set("optimizer.lr", rate.value);
    const auto count = [&](const char* name, const char* other) {
      const ForeignKey* key = given(name) ? given(name) : given(other);
      return key ? std::atof(key->value.c_str()) : 1.0;
    };
    const double factor = count("train_batch_size", "per_device_train_batch_size") * count("gradient_accumulation_steps", "");
    set("optimizer.lr", concat(std::atof(rate.value.c_str()) * factor));
    note(*scale, concat("learning_rate is multiplied by batch times accumulation, ", factor));
  }

  const std::vector<ForeignKey>& keys_;
  Translation result_;
  std::string current_;  // where the key stands that is being translated
};

}  // namespace

bool is_foreign_key(const std::string& name) { return find_line(name) || find_alias(name); }

bool foreign_key_is_flag(const std::string& name) {
  const ForeignLine* line = find_line(name);
  if (!line) return find_alias(name) && find_alias(name)->flag;
  return line->kind == Kind::flag || line->kind == Kind::flag_note || line->kind == Kind::flag_refuse || name == "scale_lr";
}

Translation translate_foreign_keys(const std::vector<ForeignKey>& keys) { return Translator(keys).translate(); }

}  // namespace palate
