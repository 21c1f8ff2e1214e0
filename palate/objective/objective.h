// One method = feedback x error space x loss x timestep policy x reference. What cannot be a product implements Objective.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "palate/core/registry_line.h"
#include "palate/data/batch.h"
#include "palate/objective/error_space.h"
#include "palate/objective/loss.h"
#include "palate/objective/reference.h"
#include "palate/objective/timestep_policy.h"

namespace palate {

// The [objective] table: names choose the members, whose own constants are further keys of the same table.
struct ObjectiveConfig {
  std::string feedback = "pair";
  std::string error_space = "output";
  std::string loss = "dpo";
  std::string timesteps = "uniform";
  std::string reference = "adapters_off";  // none | adapters_off | frozen_copy | cached
  int64_t reference_draws = 8;             // cached: K draws of (t, noise) for each pair
  double snr_gamma = 0;                    // min-SNR weights (2303.09556); 0: off
  double noise_offset = 0;                 // size of a constant added to each channel's noise; 0: off

  void visit(Fields& f);  // builds the members below while the names are read
  void build();           // builds them from the names where no visitor has; keeps constants whose name is unchanged
  std::shared_ptr<Loss> loss_member;
  std::shared_ptr<ErrorSpace> error_space_member;
  std::shared_ptr<TimestepPolicy> timestep_member;
  std::string built_loss, built_error_space, built_timesteps;  // the names that the members were built from
};

struct ObjectiveOutput {
  Tensor loss;    // [], mean over the batch of weight * loss, with gradients
  Tensor losses;  // [B]
  PairErrors errors;
  LossOutput terms;
  std::map<std::string, double> metrics;  // names of docs/objectives.md, section 0.11: loss, implicit_acc, rewards/chosen, ...
};

class Objective {
 public:
  virtual ~Objective() = default;
  // One evaluation. `draws` (one a pair) key t and noise; in `palate step` they are given instead.
  virtual Draw draw(const PairBatch& batch, const std::vector<uint64_t>& draws, uint64_t seed) const = 0;
  virtual ObjectiveOutput evaluate(Denoiser& policy, const PairBatch& batch, const Draw& draw, const std::vector<uint64_t>& draws) = 0;
};

std::unique_ptr<Objective> make_objective(const ObjectiveConfig& config, const NoiseSchedule& schedule,
                                          std::unique_ptr<Reference> reference);

// The one table of names (registry.cpp).
std::shared_ptr<Loss> make_loss(const std::string& name);
std::shared_ptr<ErrorSpace> make_error_space(const std::string& name);
std::shared_ptr<TimestepPolicy> make_timestep_policy(const std::string& name);
std::vector<RegistryLine> losses(), error_spaces(), timestep_policies(), references(), presets();
// A preset is a list of overrides ("objective.loss=dpo"); UsageError names the nearest for an unknown one.
std::vector<std::string> preset_overrides(const std::string& name);

}  // namespace palate
