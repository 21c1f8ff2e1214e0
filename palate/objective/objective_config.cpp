#include "palate/objective/objective_config.h"

#include "palate/core/error.h"
#include "palate/objective/loss.h"
#include "palate/objective/reference/cached.h"
#include "palate/objective/step_loss.h"
#include "palate/objective/timestep_policy.h"

namespace palate {
namespace {

bool known(const std::vector<ChoiceLine>& lines, const std::string& name) {
  for (const auto& line : lines) {
    if (line.name == name) return true;
  }
  return false;
}

// Whether draws change with what was seen.
bool learns(const ObjectiveConfig& config) {
  return known(timestep_policies(), config.timesteps) && make_timestep_policy(config)->fixed() != nullptr;
}

}  // namespace

void ObjectiveConfig::visit(Fields& f) {
  visit_choice(f, "loss", loss, loss_constants, losses(), "which loss; its constants are keys of this table too (palate list losses)");
  visit_choice(f, "error_space", error_space, error_space_constants, error_spaces(),
               "where errors are measured (palate list error-spaces)");
  visit_choice(f, "timesteps", timesteps, timestep_constants, timestep_policies(), "which timesteps are drawn (palate list timesteps)");
  visit_choice(f, "reference", reference, reference_constants, references(),
               "where the reference's errors come from (palate list references)");
  f("snr_gamma", snr_gamma, "min-SNR weights of timesteps (2303.09556), 5 in the paper; 0: all timesteps weigh the same",
    {.min = 0, .aliases = {"min_snr_gamma"}});
  f("sampler_steps", sampler_steps, "steps of the sampler whose step from t is looked at by losses that weigh by it (dpo-cm, sdpo)",
    {.min = 1});
  f("noise_offset", noise_offset,
    "a random constant of this size is added to each channel's noise, which lets pictures be darker or lighter as a whole; 0: off",
    {.min = 0});
  f("noising", noising,
    "where noised pictures come from: forward (noise is added), or inverted: the policy's own DDIM inversion of the clean picture, as in "
    "InPO (2503.18454)",
    {.choices = {"forward", "inverted"}});
  f("inversion_steps", inversion_steps, "nodes of the inversion over all timesteps; a picture visits those below its t", {.min = 1});
  f("inversion_eta", inversion_eta, "random share of each step of the inversion, in units of DDPM's deviation; 0: none", {.min = 0});
  f("safeguard", safeguard,
    "mu of Diffusion-SDPO (2511.03317, not SDPO): scales what the rejected picture's error teaches so that the preferred one's does not "
    "rise, to first order; larger is more careful, 0.6 to 0.9 in its code; 0: off",
    {.min = 0, .max = 1});
  f.former("feedback", "pair",
           "data.pairs or data.images says what an example is, and objective.loss what is learned from it (\"dpo\", \"kto\", \"sft\")");
  f.require(
      !needs_of(*this).reference || reference != "none",
      "objective.reference is none, but the loss '" + loss + "' compares with a reference: choose adapters_off, frozen_copy or cached");
  f.require(reference != "cached" || !learns(*this), "objective.reference is cached, but the timesteps '" + timesteps +
                                                         "' change as the run goes on, and a cache is of draws that do not: choose "
                                                         "adapters_off or frozen_copy");
  f.require(
      noising != "inverted" || reference != "cached",
      "objective.reference: inverted pictures move with the policy, so the reference's errors on them cannot be computed ahead: choose "
      "adapters_off or frozen_copy, or set objective.noising = \"forward\"");
  f.require(safeguard == 0 || needs_of(*this).rejected,
            "objective.safeguard: the loss '" + loss + "' looks at no rejected picture, whose part is scaled: set it to 0");
}

Needs needs_of(const ObjectiveConfig& config) {
  if (is_step_loss(config.loss)) return {.reference = step_needs_of(config).reference};
  return known(losses(), config.loss) ? make_loss(config)->needs() : Needs{};
}

bool is_step_loss(const std::string& name) { return known(step_losses(), name); }
StepNeeds step_needs_of(const ObjectiveConfig& config) { return make_step_loss(config)->needs(); }

int64_t reference_draws(const ObjectiveConfig& config) {
  const bool cached = config.reference == "cached" && needs_of(config).reference;
  return cached ? constants_of<CachedConfig>(config.reference_constants).reference_draws : 0;
}

}  // namespace palate
