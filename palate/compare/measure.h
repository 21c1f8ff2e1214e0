// What a trained model draws on fixed prompts, and how far it went from its base.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "palate/compare/compare_config.h"
#include "palate/eval/paired.h"

namespace palate {

enum class PromptSet { development, test };
const char* prompt_set_name(PromptSet set);

// The prompts of both sets. UsageError when one of them is in both.
struct ComparePrompts {
  std::vector<std::string> development, test;
  explicit ComparePrompts(const CompareConfig& config);
  const std::vector<std::string>& of(PromptSet set) const { return set == PromptSet::test ? test : development; }
};

class Examiner {
 public:
  // Opens the base. UsageError when a judge cannot score what it draws.
  Examiner(const CompareConfig& config, const ComparePrompts& prompts);

  // Text of all that the numbers depend on besides the model that is measured.
  std::string settings(PromptSet set) const;
  const std::string& base_settings() const { return base_settings_; }  // its first line: which base

  // Pictures of the base on the set into FOLDER/pictures, its scores into FOLDER/result.json and, for the test set, what drift is measured
  // against into FOLDER/drift.safetensors. Does nothing where they are there; UsageError when they were made with other settings.
  Json base(PromptSet set, const std::filesystem::path& folder);

  // The same of the model that RUN holds: a LoRA on the base, or a model folder. {"scores": {JUDGE: {"total": [..], "parts": {NAME:
  // [..]}}}, "seconds"}; with `base` (FOLDER of base() on the same set) also "drift": the mean over prompts and draws of (t, noise) of the
  // mean square of epsilon's difference between model and base, both at x_t of the base's own picture, without guidance. Error when RUN
  // holds nothing that draws. `name` is for the progress bar.
  Json measure(PromptSet set, const std::string& name, const std::filesystem::path& run, const std::filesystem::path& pictures,
               const std::filesystem::path& base = {});

  // Seconds of a pass of one picture through the network without gradients, here and now.
  double seconds_per_pass();
  const Judges& judges() const { return judges_; }
  Pipeline& pipeline() { return pipeline_; }

 private:
  GenerateOptions sampling(PromptSet set) const;
  Json draw(PromptSet set, const std::string& name, Pipeline& pipeline, const std::filesystem::path& pictures);
  void write_drift_points(const PictureSet& pictures, const std::filesystem::path& file);
  double drift(Pipeline& pipeline, const std::filesystem::path& file) const;

  const CompareConfig& config_;
  const ComparePrompts& prompts_;
  Judges judges_;
  Pipeline pipeline_;
  std::string base_settings_;
};

}  // namespace palate
