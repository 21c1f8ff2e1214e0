// Diffusion-DPO and what differs from it in constants alone. Sources: docs/objectives.md, sections 1, 7.4 and 9.
#include "palate/objective/presets.h"

namespace palate {
namespace {

constexpr const char* dpo_formula =
    "m = (ref_w - d_w) - (ref_l - d_l),  z = beta/2 m,  L = -log sigmoid(z)\n"
    "d: mean squared error of the network's own output; t and noise are shared by both pictures, policy and reference.";
constexpr const char* dpo_pitfalls =
    "The loss looks flat near 0.693 although the win rate rises: look at implicit_acc. Both errors grow while the margin grows: look at "
    "w_diff, and set objective.anchor or objective.safeguard.";

std::vector<std::string> dpo_objective(const std::vector<std::string>& more = {}) {
  std::vector<std::string> overrides = {"objective.loss=dpo", "objective.loss_type=sigmoid", "objective.beta=5000",
                                        "objective.error_space=output", "objective.timesteps=uniform"};
  overrides.insert(overrides.end(), more.begin(), more.end());
  return overrides;
}

// The launchers of SalesforceAIResearch/DiffusionDPO. Their learning rate is 1e-8 times the 2048 pairs of a step; the paper prints a
// thousandth of that, which does not train.
std::vector<Preset> published_dpo() {
  return {
      {.name = "diffusion-dpo-sd15",
       .summary = "Diffusion-DPO as published for SD1.5: the whole U-Net, beta 5000, 2048 pairs a step",
       .overrides = with_full_recipe(dpo_objective(), false),
       .formula = dpo_formula,
       .sources = "2311.12908; SalesforceAIResearch/DiffusionDPO, launchers/sd15.sh. The paper has beta 2000 for SD1.5, the launcher 5000; "
                  "the paper's printed rate is a thousandth of the launcher's and does not train.",
       .pitfalls = dpo_pitfalls},
      {.name = "diffusion-dpo-sdxl",
       .summary = "Diffusion-DPO as published for SDXL: the whole U-Net at 1024 pixels, beta 5000, Adafactor, 2048 pairs a step",
       .overrides = with_full_recipe(dpo_objective(), true),
       .formula = dpo_formula,
       .sources = "2311.12908; SalesforceAIResearch/DiffusionDPO, launchers/sdxl.sh: Adafactor without relative steps, warm-up 200",
       .pitfalls = std::string(dpo_pitfalls) + " SDXL's autoencoder overflows in half precision: use the fp16-fix weights or float32."},
      // Its captions are never dropped, and it is trained at 512 pixels.
      {.name = "diffusion-dpo-turbo",
       .summary = "Diffusion-DPO for SDXL-Turbo: its four timesteps alone, 512 pixels, beta 5000",
       .overrides =
           [] {
             auto all = with_full_recipe(dpo_objective(), true);
             all.insert(all.end(), {"objective.timesteps=turbo", "data.resolution=512", "data.caption_dropout=0"});
             return all;
           }(),
       .formula = std::string(dpo_formula) + "\nt is one of 249, 499, 749 and 999.",
       .sources = "SalesforceAIResearch/DiffusionDPO, launchers/turbo.sh and train.py: 250 (t mod 4) + 249, no dropped captions",
       .pitfalls =
           std::string(dpo_pitfalls) + " The adversarial training of the base is not continued: look at one-step samples for blur."},
  };
}

}  // namespace

std::vector<Preset> dpo_presets() {
  std::vector<Preset> all = published_dpo();
  all.push_back(
      {.name = "diffusion-dpo-lora",
       .summary = "Diffusion-DPO on a rank-8 LoRA, as diffusers' example: beta 5000 (2500 there), reference = adapters off",
       .overrides = with_lora_recipe(dpo_objective({"objective.reference=adapters_off"})),
       .formula = dpo_formula,
       .sources = "2311.12908; huggingface/diffusers, research_projects/diffusion_dpo: beta 2500 without the half is beta 5000 "
                  "with it. Rank 8 and rate 1e-5 are its README's.",
       .pitfalls = std::string(dpo_pitfalls) + " At the script's default rate of 5e-4 an SDXL LoRA ends in noise (diffusers#6565)."});
  // 1 / (2 tau) with tau = k: a margin of 2e-4 is aimed at. The gradients are some millionths of the sigmoid's, which AdamW does not mind
  // as long as they are far above its eps.
  auto ipo = with_lora_recipe(dpo_objective({"objective.reference=adapters_off", "objective.loss_type=ipo"}));
  ipo.emplace_back("optimizer.eps=1e-15");
  all.push_back({.name = "ipo",
                 .summary = "IPO on a rank-8 LoRA: a square around the margin 1/beta instead of Diffusion-DPO's sigmoid",
                 .overrides = ipo,
                 .formula = "m = (ref_w - d_w) - (ref_l - d_l),  L = (m - 1 / (2 tau))^2,  tau = beta/2",
                 .sources = "2310.12036; for diffusion models huggingface/diffusers, research_projects/diffusion_dpo, whose ipo reads an "
                            "argument that does not exist and stops. beta and the recipe are those of diffusion-dpo-lora.",
                 .pitfalls =
                     "The target stands in units of the squared error, 2e-4 here: the loss is 4e-8 at the start, and its gradients are "
                     "some millionths of the sigmoid's, below AdamW's usual eps of 1e-8. Hence optimizer.eps = 1e-15."});
  // The launcher for SD1.5: 8 processes of 128 accumulated pairs, 1e-8 for each of these.
  auto inpo = with_full_recipe(dpo_objective({"objective.noising=inverted"}), false);
  inpo.insert(inpo.end(), {"objective.beta=2000", "objective.inversion_steps=10", "objective.inversion_eta=0.1", "optimizer.lr=1.024e-5",
                           "optimizer.warmup_steps=200", "train.accumulation=1024", "train.steps=400"});
  all.push_back(
      {.name = "inpo",
       .summary = "DDIM-InPO as published for SD1.5: Diffusion-DPO on pictures that the policy inverts itself, beta 2000",
       .overrides = inpo,
       .formula = "x_t: DDIM inversion of x0 by the policy, without gradients; noise = (x_t - alpha x0) / sigma\n"
                  "m = (ref_w - d_w) - (ref_l - d_l),  z = beta/2 m,  L = -log sigmoid(z)",
       .sources = "2503.18454; JaydenLyh/InPO, examples/sd15.sh: ten nodes over all timesteps, no guidance, a random share of 0.1",
       .pitfalls = "It starts from a U-Net that was fine-tuned on the winners: give it as model. A step costs up to ten more forward "
                   "passes. The pictures lie on the grid of nodes below t, and are taken to lie at t, as in the code."});
  return all;
}

}  // namespace palate
