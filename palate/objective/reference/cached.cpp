// Reference errors computed ahead for K draws of (t, noise) an example. An example's visit v uses the errors of draw v modulo K, so
// with K draws the reference sees a finite sample of (t, noise): its bias falls with K.
#include "palate/objective/reference/cached.h"

#include <torch/types.h>

#include <unordered_map>

#include "palate/config/member.h"
#include "palate/core/error.h"
#include "palate/core/hash.h"
#include "palate/nn/adaptable.h"
#include "palate/objective/frozen_network.h"
#include "palate/objective/reference.h"
#include "palate/objective/reference/error_file.h"

namespace palate {
namespace {

// Everything that the numbers depend on.
std::string cache_key(const CachedConfig& config, const ReferenceSetup& setup, const ReferenceRows& part) {
  Sha256 hash;
  hash.update("reference errors 1\n").update(part.key).update("\n").update(setup.weights_hash);
  hash.update(concat("\nseed=", part.seed, " draws=", config.reference_draws, " dtype=", static_cast<int>(setup.load.dtype), " "));
  hash.update(setup.noising_key);
  hash.update({reinterpret_cast<const char*>(part.rows.data()), part.rows.size() * sizeof(int64_t)});
  return hash.hex();
}

// The network that fills the file: the policy without its adapters, or in full training a copy that lives until the file
// is whole.
class Filler {
 public:
  explicit Filler(const ReferenceSetup& setup) : setup_(setup) {}

  std::pair<Tensor, Tensor> operator()(const ReferenceRows& part, int64_t first, int64_t count, int64_t draw) {
    const torch::NoGradGuard no_grad;
    const AdaptersOff off;
    if (!setup_.policy && !copy_) copy_ = frozen_network(setup_.denoiser_folder, setup_.load);
    Denoiser& network = setup_.policy ? *setup_.policy : *copy_;
    const std::vector<int64_t> rows(part.rows.begin() + first, part.rows.begin() + first + count);
    std::vector<Tensor> wins, loses;
    for (const auto& some : part.split ? part.split(rows) : std::vector<std::vector<int64_t>>{rows}) {
      const Tensor d = part.errors(network, part.batch(some, static_cast<uint64_t>(draw))).to(torch::kCPU);
      const auto examples = static_cast<int64_t>(some.size());
      wins.push_back(d.narrow(0, 0, examples));
      loses.push_back(d.narrow(0, d.size(0) - examples, examples));  // single pictures have no loser: the winner again
    }
    return {at::cat(wins), at::cat(loses)};
  }

 private:
  const ReferenceSetup& setup_;
  std::shared_ptr<Denoiser> copy_;
};

class Cached : public Reference {
 public:
  using Config = CachedConfig;
  Cached(const Config& config, const ReferenceSetup& setup) : draws_(config.reference_draws) {
    check<UsageError>(!setup.parts.empty(),
                      "objective.reference is cached, but there are no pairs to compute errors for: it works in training only");
    check(!setup.weights_hash.empty(), "cached reference: weights_hash must be given");
    Filler filler(setup);
    for (const auto& part : setup.parts) {
      const auto folder = setup.folder / ("reference-" + cache_key(config, setup, part).substr(0, 16));
      const auto fill = [&](int64_t first, int64_t count, int64_t draw) { return filler(part, first, count, draw); };
      Part made;
      made.errors = open_error_file(folder, static_cast<int64_t>(part.rows.size()), draws_, std::max<int64_t>(1, setup.batch), fill);
      for (size_t i = 0; i < part.rows.size(); ++i) made.place[part.rows[i]] = static_cast<int64_t>(i);
      parts_.push_back(std::move(made));
    }
  }

  Branch run(const RunBranch&, Policy&, const Batch& batch) override {
    std::vector<float> d;
    for (int64_t view = 0; view < batch.views; ++view) {
      for (const Visit& visit : batch.visits) d.push_back(find(visit.row, static_cast<int64_t>(visit.draw))[visit.view + view]);
    }
    return {torch::tensor(d).to(batch.x0.device()), {}};
  }
  bool gives_residuals() const override { return false; }

 private:
  struct Part {
    Tensor errors;                               // [N, K, 2]
    std::unordered_map<int64_t, int64_t> place;  // row -> index into errors
  };

  const float* find(int64_t row, int64_t draw) const {
    check(draw < draws_, "cached reference: draw ", draw, " of row ", row, ", but ", draws_, " draws are kept");
    for (const auto& part : parts_) {
      const auto entry = part.place.find(row);
      if (entry != part.place.end()) return part.errors.data_ptr<float>() + 2 * (entry->second * draws_ + draw);
    }
    fail("cached reference: row ", row, " is in none of the parts that were computed ahead");
  }

  std::vector<Part> parts_;
  int64_t draws_;
};

}  // namespace

Member<Reference, ReferenceSetup> cached_reference() { return member<Cached, Reference, ReferenceSetup>(); }

}  // namespace palate
