// The tables of names. A new member of the grid is one file and one line here: the function that the file ends with, the name that
// configs say, and one sentence.
#include "palate/config/member.h"
#include "palate/core/error.h"
#include "palate/objective/error_space.h"
#include "palate/objective/loss.h"
#include "palate/objective/objective_config.h"
#include "palate/objective/reference.h"
#include "palate/objective/step_loss.h"
#include "palate/objective/timestep_policy.h"

// A line a member, whatever its neighbours' lengths.
// clang-format off
#define PALATE_LOSSES(line) \
  line(sft_loss, "sft", "mean squared error on the winners: fine-tuning, the baseline of every comparison") \
  line(dpo_loss, "dpo", "Diffusion-DPO (2311.12908): -log sigmoid of the implicit reward margin; also hinge, IPO and robust") \
  line(kto_loss, "kto", "Diffusion-KTO (2404.04465): thumbs up and down on single pictures against the batch's mean reward") \
  line(dco_loss, "dco", "DCO (2402.12004): -log sigmoid of the gain over the base on a few good pictures; no rejected ones") \
  line(dreambooth_loss, "dreambooth", "DreamBooth (2208.12242): mean squared error of a subject's pictures, and of its class's weighted") \
  line(rwr_loss, "rwr", "reward-weighted regression: the mean squared error of each picture times exp(reward / temperature)") \
  line(cpo_loss, "cpo", "CPO (2401.08417): -log sigmoid of the errors' difference, with an anchor on the winner; no reference") \
  line(mapo_loss, "mapo", "MaPO (2406.06424): the winner's error and a bounded comparison of likelihoods; no reference") \
  line(orpo_loss, "orpo", "ORPO (2403.07691) as diffusers' prototype, sign put right: the winner's error and a comparison; no reference") \
  line(dspo_loss, "dspo", "DSPO (ICLR 2025): the winner's error with a push away from the reference, gated by DPO's margin") \
  line(dmpo_loss, "dmpo", "DMPO (2507.07510): the reverse KL from the preference that is aimed at to the one that the policy implies") \
  line(dpo_cm_loss, "dpo-cm", "DPO-C&M (2505.21893): dpo times a clipped importance weight of the denoising step, low weights masked") \
  line(sdpo_loss, "sdpo", "SDPO of 2505.21893, now SIPO (not Diffusion-SDPO, not TRL's SDPO): importance weights inside the logits") \

// On steps that the model made itself (rollout.prompts).
#define PALATE_STEP_LOSSES(line) \
  line(ddpo_loss, "ddpo", "own samples: DDPO (2305.13301), the clipped policy gradient of the judge's reward") \
  line(dpok_loss, "dpok", "own samples: DPOK (2305.16381), the same with a KL to the reference in every step") \
  line(d3po_loss, "d3po", "own samples: D3PO (2311.13231), DPO on the same step of a better and a worse picture") \
  line(spo_loss, "spo", "own samples: SPO (2406.04314), DPO on the best and worst of some next states of one x_t") \
  line(flow_grpo_loss, "flow-grpo", "own samples: Flow-GRPO (2505.05470), advantages within a prompt's group, with KL") \

#define PALATE_ERROR_SPACES(line) \
  line(output_space, "output", "the network's own output (epsilon, v or sample): mean squared difference from its target") \
  line(perceptual_space, "perceptual", "NCP (2406.17636): features of the frozen U-Net's encoder, one denoising step further") \
  line(epsilon_space, "epsilon", "the noise that any prediction tells") \
  line(v_space, "v", "alpha noise - sigma x0 of any prediction") \
  line(velocity_space, "velocity", "noise - x0 of any prediction: what flow models predict") \
  line(x0_space, "x0", "the clean latents that any prediction tells") \

#define PALATE_TIMESTEPS(line) \
  line(uniform_timesteps, "uniform", "every t of [t_min, t_max) alike, weight 1") \
  line(turbo_timesteps, "turbo", "the timesteps of a few-step model alike, weight 1: SDXL-Turbo's four unless turbo_timesteps differs") \
  line(logit_normal_timesteps, "logit-normal", "t = T sigmoid(n), n normal (SD3, 2403.03206): the middle more often than the ends") \
  line(importance_timesteps, "importance", "uniform, but rarely where denoising steps have had a low importance weight (2505.21893)") \

#define PALATE_REFERENCES(line) \
  line(no_reference, "none", "no reference: for losses that need none") \
  line(adapters_off_reference, "adapters_off", "the policy with its LoRA switched off: no second copy of the weights") \
  line(frozen_copy_reference, "frozen_copy", "a second copy of the network, never trained: for full training") \
  line(cached_reference, "cached", "errors computed ahead for K draws of (t, noise) a pair and kept on disk") \
  line(snapshot_reference, "snapshot", "the policy of some epochs ago: for training on the model's own samples")

// clang-format on

namespace palate {

using LossMember = Member<Loss>;
using StepLossMember = Member<StepLoss>;
using SpaceMember = Member<ErrorSpace, SpaceSetup>;
using TimestepMember = Member<TimestepPolicy>;
using ReferenceMember = Member<Reference, ReferenceSetup>;

#define PALATE_LOSS(function, name, summary) LossMember function();
#define PALATE_STEP_LOSS(function, name, summary) StepLossMember function();
#define PALATE_SPACE(function, name, summary) SpaceMember function();
#define PALATE_POLICY(function, name, summary) TimestepMember function();
#define PALATE_REFERENCE(function, name, summary) ReferenceMember function();
PALATE_LOSSES(PALATE_LOSS)
PALATE_STEP_LOSSES(PALATE_STEP_LOSS)
PALATE_ERROR_SPACES(PALATE_SPACE)
PALATE_TIMESTEPS(PALATE_POLICY)
PALATE_REFERENCES(PALATE_REFERENCE)

namespace {

template <class Kind>
struct Table {
  struct Line {
    const char* name;
    const char* summary;
    Kind member;
  };
  const char* axis;  // the key of [objective]
  std::vector<Line> lines;

  const Kind& find(const std::string& name) const {
    std::vector<std::string> known;
    for (const auto& line : lines) {
      if (name == line.name) return line.member;
      known.emplace_back(line.name);
    }
    fail<UsageError>("objective.", axis, ": there is no '", name, "'", did_you_mean(name, known), "; it is one of ", one_of(known));
  }
  std::vector<ChoiceLine> choices() const {
    std::vector<ChoiceLine> all;
    for (const auto& line : lines) all.push_back({line.name, line.summary, line.member.defaults});
    return all;
  }
};

#define PALATE_ROW(function, name, summary) {name, summary, function()},
const Table<LossMember> loss_table{"loss", {PALATE_LOSSES(PALATE_ROW)}};
const Table<StepLossMember> step_loss_table{"loss", {PALATE_STEP_LOSSES(PALATE_ROW)}};
const Table<SpaceMember> space_table{"error_space", {PALATE_ERROR_SPACES(PALATE_ROW)}};
const Table<TimestepMember> timestep_table{"timesteps", {PALATE_TIMESTEPS(PALATE_ROW)}};
const Table<ReferenceMember> reference_table{"reference", {PALATE_REFERENCES(PALATE_ROW)}};

}  // namespace

std::unique_ptr<Loss> make_loss(const ObjectiveConfig& config) { return loss_table.find(config.loss).make(config.loss_constants); }
std::unique_ptr<StepLoss> make_step_loss(const ObjectiveConfig& config) {
  return step_loss_table.find(config.loss).make(config.loss_constants);
}
std::unique_ptr<ErrorSpace> make_error_space(const ObjectiveConfig& config, const SpaceSetup& setup) {
  return space_table.find(config.error_space).make(config.error_space_constants, setup);
}
std::unique_ptr<TimestepPolicy> make_timestep_policy(const ObjectiveConfig& config) {
  return timestep_table.find(config.timesteps).make(config.timestep_constants);
}
std::unique_ptr<Reference> make_reference(const ObjectiveConfig& config, const ReferenceSetup& setup) {
  return reference_table.find(config.reference).make(config.reference_constants, setup);
}

std::vector<ChoiceLine> losses() {
  auto all = loss_table.choices();
  for (const auto& line : step_losses()) all.push_back(line);
  return all;
}
std::vector<ChoiceLine> step_losses() { return step_loss_table.choices(); }
std::vector<ChoiceLine> error_spaces() { return space_table.choices(); }
std::vector<ChoiceLine> timestep_policies() { return timestep_table.choices(); }
std::vector<ChoiceLine> references() { return reference_table.choices(); }

}  // namespace palate
