// A base model with what was learned hung on it: LoRAs and new words.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "palate/adapters/lora.h"
#include "palate/personalize/captions.h"
#include "palate/personalize/likeness.h"
#include "palate/personalize/noise_distance.h"
#include "palate/personalize/sweep.h"
#include "palate/pipeline/pipeline.h"
#include "palate/train/run_config.h"

namespace palate {

class PersonalisedModel {
 public:
  // `runs`: folders of training runs; each gives its LoRA and its word, if it learned one. dtype, device and variant are the config's.
  PersonalisedModel(const std::string& model, const RunConfig& config, const std::vector<std::filesystem::path>& runs);

  Pipeline& pipeline() { return pipeline_; }
  // Takes the LoRAs off, and hangs others. Words stay.
  void hang(const std::vector<std::filesystem::path>& files);

  // On the given pictures, at the model's size: own captions against the base model's.
  std::vector<NoiseDistance> distance_on(const Given& given, const DistanceOptions& options);
  // On the base model's own pictures of a column, of prompts without the word, which both models are asked: what else has changed.
  std::vector<NoiseDistance> distance_on(const Column& base, const Concept& concept_, const DistanceOptions& options);

 private:
  Tensor latents_of(const std::vector<Tensor>& pictures);
  Pipeline pipeline_;
  int64_t resolution_;
  std::vector<Lora> loras_;
};

Given given_pictures(const Concept& concept_, const std::vector<Captioned>& captions);
GenerateOptions sampling_of(const RunConfig& config);
// What a reader must know of the judge, or that there is none.
std::string caution_of(const Likeness* judge);

}  // namespace palate
