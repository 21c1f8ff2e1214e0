// Uniform draws, but rarely where denoising steps have a low importance weight (2505.21893; docs/objectives.md, section 3).
//
// The timesteps that networks are told are split into mask_buckets of equal width. Each keeps a running mean of w (objective/importance.h,
// the expected form; of a pair the smaller of both pictures'), whatever the loss and the error space are. A bucket is masked when its mean
// is below mask_threshold or, where mask_quantile is above 0, when it is among that share of the seen buckets with the lowest means. What
// falls into a masked bucket is drawn mask_keep times as often as the rest: enough for its mean to stay alive. If all that was seen is
// masked, nothing is; and a bucket is not before mask_after steps saw it, since within a bucket of little noise w goes from 0 to 1, and one
// early draw would stand for all.
//
// The other timesteps are drawn more often for it, at weight 1: what is minimised is the mean loss over the timesteps that are left, not
// over all. That is the method's meaning, and its bias.
#include <torch/types.h>

#include <algorithm>
#include <cstdio>

#include "palate/config/member.h"
#include "palate/objective/importance.h"
#include "palate/objective/timestep/bounds.h"

namespace palate {
namespace {

struct ImportanceTimestepsConfig : TimestepBounds {
  double mask_threshold = 0.9, mask_quantile = 0, mask_keep = 0.05, mask_decay = 0.99;
  int64_t mask_buckets = 20, mask_after = 10;

  void visit(Fields& f) {
    TimestepBounds::visit(f);
    f("mask_threshold", mask_threshold, "a bucket of timesteps with a lower mean weight is masked", {.min = 0, .max = 1});
    f("mask_quantile", mask_quantile, "in place of mask_threshold, this share of the buckets is masked, the lowest; 0: mask_threshold",
      {.min = 0, .max = 1});
    f("mask_keep", mask_keep, "how often a masked timestep is drawn, as a share of any other's", {.min = 0, .max = 1});
    f("mask_decay", mask_decay,
      "of the running mean, for each step that saw the bucket; a plain mean of the first steps until it is as long as that",
      {.min = 0, .max = 1});
    f("mask_buckets", mask_buckets, "parts of the noise schedule that have a mean of their own", {.min = 1, .max = 100});
    f("mask_after", mask_after, "steps that see a bucket before it may be masked", {.min = 1});
    f.require(mask_keep > 0, "objective.mask_keep is 0: what was masked once would never be looked at again; 0.05 is usual");
    f.require(mask_decay < 1, "objective.mask_decay is 1: the running mean would never end its first estimate; 0.99 is usual");
    f.require(mask_quantile < 1, "objective.mask_quantile is 1: all timesteps would be masked; 0 masks by mask_threshold");
  }
};

class ImportanceTimesteps : public TimestepPolicy {
 public:
  using Config = ImportanceTimestepsConfig;
  explicit ImportanceTimesteps(const Config& config)
      : config_(config),
        mean_(torch::ones({config.mask_buckets}, torch::kFloat64)),
        count_(torch::zeros({config.mask_buckets}, torch::kFloat64)),
        pending_(torch::zeros({2, config.mask_buckets}, torch::kFloat64)),
        masked_(static_cast<size_t>(config.mask_buckets), false) {}

  Timestep draw(const NoiseProcess& process, Generator& generator) const override {
    for (;;) {  // ends: mask_keep is above 0
      const double t = config_.draw(process, generator);
      const int64_t bucket = buckets(process, process.timesteps({t})).item<int64_t>();
      if (!masked_[static_cast<size_t>(bucket)] || generator.uniform() < config_.mask_keep) return {.t = t};
    }
  }
  void check_steps(const NoiseProcess& process) const override { config_.check_steps(process); }

  bool needs_steps() const override { return true; }
  void observe(const Statistics& s) override {
    const torch::NoGradGuard no_grad;
    const Tensor weight = importance_weight(log_importance(s.policy, s.noised)).view({s.batch.views, s.batch.size()}).amin(0);
    const Tensor bucket = buckets(*s.noised.process, s.noised.t.narrow(0, 0, s.batch.size()).to(torch::kCPU));
    pending_[0].index_add_(0, bucket, weight.to(torch::kCPU, torch::kFloat64));
    pending_[1].index_add_(0, bucket, torch::ones_like(bucket).to(torch::kFloat64));
  }
  void end_step(const Ranks& ranks) override {
    const Tensor seen = ranks.mean(pending_);
    pending_ = torch::zeros_like(pending_);  // a new one: of one process the mean is the tensor itself
    const Tensor some = seen[1].gt(0);
    count_ += some;
    const Tensor rate = (1 / count_.clamp_min(1)).clamp_min(1 - config_.mask_decay);
    mean_ = at::where(some, mean_ + rate * (seen[0] / seen[1] - mean_), mean_);
    decide();
  }

  std::map<std::string, double> metrics() const override {
    std::map<std::string, double> all;
    for (int64_t i = 0; i < config_.mask_buckets; ++i) {
      char name[24];
      std::snprintf(name, sizeof name, "importance/b%02d", static_cast<int>(i));
      all[name] = mean_[i].item<double>();  // 1 until something was seen
    }
    all["importance/masked"] = static_cast<double>(std::count(masked_.begin(), masked_.end(), true)) / static_cast<double>(masked_.size());
    return all;
  }
  void save(std::map<std::string, Tensor>& tensors) const override {
    tensors[mean_name] = mean_.clone();
    tensors[count_name] = count_.clone();
  }
  void load(const std::map<std::string, Tensor>& tensors) override {
    const auto mean = tensors.find(mean_name), count = tensors.find(count_name);
    if (mean == tensors.end() || count == tensors.end()) return;  // the run had another policy before
    check<UsageError>(mean->second.sizes() == mean_.sizes() && count->second.sizes() == count_.sizes(), "objective.mask_buckets is ",
                      config_.mask_buckets, ", and the checkpoint has ", mean->second.numel(), ": set it to that");
    mean_ = mean->second.clone();
    count_ = count->second.clone();
    decide();
  }
  std::unique_ptr<TimestepPolicy> fixed() const override {
    return std::make_unique<ImportanceTimesteps>(config_);
  }  // never taught: uniform

 private:
  static constexpr const char* mean_name = "timesteps.importance.mean";
  static constexpr const char* count_name = "timesteps.importance.count";

  // Of timesteps as networks are told them [N] on the CPU, int64.
  Tensor buckets(const NoiseProcess& process, const Tensor& t) const {
    const TimestepRange range = process.range();
    const Tensor place = (t.to(torch::kFloat64) - range.first) / (range.last - range.first + (range.whole ? 1 : 0));
    return (place * static_cast<double>(config_.mask_buckets)).to(torch::kInt64).clamp(0, config_.mask_buckets - 1);
  }

  void decide() {
    const Tensor some = count_.ge(config_.mask_after), seen = mean_.masked_select(some);
    double limit = config_.mask_threshold;
    if (config_.mask_quantile > 0 && seen.numel() > 0) limit = at::quantile(seen, config_.mask_quantile).item<double>();
    const bool all = seen.numel() > 0 && seen.lt(limit).all().item<bool>();
    for (int64_t i = 0; i < config_.mask_buckets; ++i)
      masked_[static_cast<size_t>(i)] = !all && some[i].item<bool>() && mean_[i].item<double>() < limit;
  }

  ImportanceTimestepsConfig config_;
  Tensor mean_, count_;       // [buckets] float64: of w, and how many steps saw the bucket
  Tensor pending_;            // [2, buckets]: sum and number since the last step
  std::vector<bool> masked_;  // by bucket
};

}  // namespace

Member<TimestepPolicy> importance_timesteps() { return member<ImportanceTimesteps, TimestepPolicy>(); }

}  // namespace palate
