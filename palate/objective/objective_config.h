// The [objective] table: names choose the members, whose own constants are further keys of the same table.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "palate/config/choice.h"
#include "palate/core/registry_line.h"

namespace palate {

class Loss;
class StepLoss;
class ErrorSpace;
class TimestepPolicy;
class Reference;
struct Needs;
struct StepNeeds;
struct SpaceSetup;
struct ReferenceSetup;

struct ObjectiveConfig {
  std::string loss = "dpo";
  std::string error_space = "output";
  std::string timesteps = "uniform";
  std::string reference = "adapters_off";  // none | adapters_off | frozen_copy | cached
  Constants loss_constants, error_space_constants, timestep_constants, reference_constants;
  double snr_gamma = 0;             // min-SNR weights (2303.09556); 0: off
  int64_t sampler_steps = 50;       // of the sampler whose steps a loss or policy looks at
  double noise_offset = 0;          // size of a constant added to each channel's noise; 0: off
  std::string noising = "forward";  // forward | inverted
  int64_t inversion_steps = 10;
  double inversion_eta = 0.1;
  double safeguard = 0;  // mu of Diffusion-SDPO; 0: off

  void visit(Fields& f);
};

// What the loss must be given; nothing for a name that is not in the table, which the visitor has reported.
Needs needs_of(const ObjectiveConfig& config);

// Whether the loss is one on the model's own steps (step_loss.h), and what it must be given then.
bool is_step_loss(const std::string& name);
StepNeeds step_needs_of(const ObjectiveConfig& config);

// Of the cached reference: draws of (t, noise) that take turns for each example; 0 with any other reference: no draw comes twice.
int64_t reference_draws(const ObjectiveConfig& config);

// Members by the config's names (registry.cpp). UsageError names the nearest for an unknown one.
std::unique_ptr<Loss> make_loss(const ObjectiveConfig& config);
std::unique_ptr<StepLoss> make_step_loss(const ObjectiveConfig& config);
std::unique_ptr<ErrorSpace> make_error_space(const ObjectiveConfig& config, const SpaceSetup& setup);
std::unique_ptr<TimestepPolicy> make_timestep_policy(const ObjectiveConfig& config);
// Null for `none`. `cached` fills its file here: with a progress bar, going on where an earlier run was stopped, safe under two runs at
// once.
std::unique_ptr<Reference> make_reference(const ObjectiveConfig& config, const ReferenceSetup& setup);

std::vector<ChoiceLine> losses(), step_losses(), error_spaces(), timestep_policies(), references();  // losses: step_losses too

std::vector<RegistryLine> presets();
// A preset is a list of overrides ("objective.loss=dpo"); UsageError names the nearest for an unknown one.
std::vector<std::string> preset_overrides(const std::string& name);

}  // namespace palate
