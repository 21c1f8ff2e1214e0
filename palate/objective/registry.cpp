// The one table of names. A new member of the grid is one file and one line here.
#include "palate/core/error.h"
#include "palate/objective/members.h"

namespace palate {
namespace {

template <class Make>
struct Line {
  const char* name;
  const char* summary;
  Make make;
};

constexpr Line<std::shared_ptr<Loss> (*)()> loss_table[] = {
    {"sft", "mean squared error on the winners: fine-tuning, the baseline of every comparison", make_sft},
    {"dpo", "Diffusion-DPO (2311.12908): -log sigmoid of the implicit reward margin; also hinge and IPO", make_dpo},
};

constexpr Line<std::shared_ptr<ErrorSpace> (*)()> error_space_table[] = {
    {"output", "the network's own output (epsilon, v or sample): mean squared difference from its target", make_output_error},
};

constexpr Line<std::shared_ptr<TimestepPolicy> (*)()> timestep_table[] = {
    {"uniform", "every t of [t_min, t_max) alike, weight 1", make_uniform},
    {"turbo", "the timesteps of a few-step model alike, weight 1: SDXL-Turbo's four unless turbo_timesteps says otherwise", make_turbo},
};

using MakeReference = std::unique_ptr<Reference> (*)(const ObjectiveConfig&, const ReferenceSetup&);
constexpr Line<MakeReference> reference_table[] = {
    {"none", "no reference: for losses that need none", nullptr},
    {"adapters_off", "the policy with its LoRA switched off: no second copy of the weights", make_adapters_off},
    {"frozen_copy", "a second copy of the network, never trained: for full training", make_frozen_copy},
    {"cached", "errors computed ahead for K draws of (t, noise) a pair and kept on disk", make_cached},
};

template <class Make, size_t N>
std::vector<RegistryLine> lines(const Line<Make> (&table)[N]) {
  std::vector<RegistryLine> all;
  for (const auto& line : table) all.push_back({line.name, line.summary});
  return all;
}

template <class Make, size_t N>
const Line<Make>& find(const Line<Make> (&table)[N], const char* axis, const std::string& name) {
  std::vector<std::string> known;
  for (const auto& line : table) {
    if (name == line.name) return line;
    known.push_back(line.name);
  }
  fail<UsageError>("objective.", axis, ": there is no '", name, "'", did_you_mean(name, known), "; it is one of ", one_of(known));
}

}  // namespace

std::shared_ptr<Loss> make_loss(const std::string& name) { return find(loss_table, "loss", name).make(); }
std::shared_ptr<ErrorSpace> make_error_space(const std::string& name) { return find(error_space_table, "error_space", name).make(); }
std::shared_ptr<TimestepPolicy> make_timestep_policy(const std::string& name) { return find(timestep_table, "timesteps", name).make(); }

std::unique_ptr<Reference> make_reference(const ObjectiveConfig& config, const ReferenceSetup& setup) {
  const auto& line = find(reference_table, "reference", config.reference);
  return line.make ? line.make(config, setup) : nullptr;
}

std::vector<RegistryLine> losses() { return lines(loss_table); }
std::vector<RegistryLine> error_spaces() { return lines(error_space_table); }
std::vector<RegistryLine> timestep_policies() { return lines(timestep_table); }
std::vector<RegistryLine> references() { return lines(reference_table); }

}  // namespace palate
