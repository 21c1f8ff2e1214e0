// The reference is the policy as it was some epochs ago: a second set of the trained values, put in their place while it is asked. For runs
// on the model's own samples, which renew it (online DPO).
#include "palate/objective/reference/snapshot.h"

#include <torch/types.h>

#include "palate/config/member.h"
#include "palate/core/error.h"
#include "palate/objective/reference.h"

namespace palate {

Snapshot::Snapshot(std::vector<Tensor> values) : values_(std::move(values)) { take(); }

void Snapshot::take() {
  kept_.clear();
  for (const auto& value : values_) kept_.push_back(value.detach().clone());
}

void Snapshot::swap() {
  for (size_t i = 0; i < values_.size(); ++i) {
    const Tensor present = values_[i].detach();
    values_[i].set_data(kept_[i]);
    kept_[i] = present;
  }
}

void Snapshot::save(std::map<std::string, Tensor>& tensors) const {
  for (size_t i = 0; i < kept_.size(); ++i) tensors[concat("snapshot.", i)] = kept_[i];
}

void Snapshot::load(const std::map<std::string, Tensor>& tensors) {
  for (size_t i = 0; i < kept_.size(); ++i) {
    const auto found = tensors.find(concat("snapshot.", i));
    check<UsageError>(
        found != tensors.end() && found->second.sizes() == kept_[i].sizes(),
        "the checkpoint holds no reference like this run's: it was written with another objective.reference or other lora.* keys");
    kept_[i] = found->second.to(kept_[i].options()).clone();
  }
}

namespace {

class SnapshotReference : public Reference {
 public:
  using Config = NoConstants;
  SnapshotReference(const Config&, const ReferenceSetup& setup) : snapshot_(setup.snapshot) {
    check<UsageError>(snapshot_ != nullptr,
                      "objective.reference is snapshot, which is for training on the model's own samples (rollout.prompts): choose "
                      "adapters_off or frozen_copy");
  }
  Branch run(const RunBranch& run, Policy& policy, const Batch& batch) override {
    const Snapshot::Swapped swapped(*snapshot_);
    return run(policy.network, policy.condition(batch, Prompts::base));
  }

 private:
  Snapshot* snapshot_;
};

}  // namespace

Member<Reference, ReferenceSetup> snapshot_reference() { return member<SnapshotReference, Reference, ReferenceSetup>(); }

}  // namespace palate
