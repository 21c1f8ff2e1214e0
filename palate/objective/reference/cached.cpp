// Reference errors computed ahead for K draws of (t, noise) a pair. A pair's draw d uses the errors of draw d modulo K, so
// with K draws the reference sees a finite sample of (t, noise): its bias falls with K.
#include <torch/types.h>

#include <unordered_map>

#include "palate/config/config.h"
#include "palate/core/error.h"
#include "palate/core/hash.h"
#include "palate/core/log.h"
#include "palate/nn/adaptable.h"
#include "palate/objective/members.h"
#include "palate/objective/noising.h"
#include "palate/objective/reference/error_file.h"

namespace palate {
namespace {

class Cached : public Reference {
 public:
  struct Part {
    Tensor errors;                               // [N, K, 2]
    std::unordered_map<int64_t, int64_t> place;  // row -> index into errors
  };
  Cached(std::vector<Part> parts, uint64_t draws) : parts_(std::move(parts)), draws_(draws) {}

  std::pair<Tensor, Tensor> errors(const Request& r) override {
    std::vector<float> win, lose;
    for (size_t i = 0; i < r.batch.rows.size(); ++i) {
      const float* pair = find(r.batch.rows[i], static_cast<int64_t>(r.draws[i] % draws_));
      win.push_back(pair[0]);
      lose.push_back(pair[1]);
    }
    const auto device = r.batch.latents_win.device();
    return {torch::tensor(win).to(device), r.with_loser ? torch::tensor(lose).to(device) : Tensor()};
  }

 private:
  const float* find(int64_t row, int64_t draw) const {
    for (const auto& part : parts_) {
      const auto entry = part.place.find(row);
      if (entry != part.place.end()) return part.errors.data_ptr<float>() + 2 * (entry->second * static_cast<int64_t>(draws_) + draw);
    }
    fail("cached reference: row ", row, " is in none of the parts that were computed ahead");
  }
  std::vector<Part> parts_;
  uint64_t draws_;
};

// Everything that the numbers depend on.
std::string cache_key(const ObjectiveConfig& config, const ReferenceSetup& setup, const ReferenceRows& part) {
  ObjectiveConfig copy = config;
  copy.build();
  Sha256 hash;
  hash.update("reference errors 1\n").update(part.key).update("\n").update(setup.weights_hash);
  hash.update(concat("\nseed=", part.seed, " draws=", config.reference_draws, " dtype=", static_cast<int>(setup.load.dtype), " "));
  hash.update(config.error_space + "\n" + config_to_toml([&](Fields& f) { copy.error_space_member->visit(f); }));
  hash.update(config.timesteps + "\n" + config_to_toml([&](Fields& f) { copy.timestep_member->visit(f); }));
  if (config.noise_offset > 0) hash.update(concat("noise_offset=", config.noise_offset, "\n"));
  const Tensor alphas = setup.schedule->alphas_cumprod().to(torch::kCPU, torch::kFloat32).contiguous();
  hash.update(prediction_name(setup.schedule->prediction()));
  hash.update({reinterpret_cast<const char*>(alphas.data_ptr<float>()), static_cast<size_t>(alphas.numel()) * sizeof(float)});
  hash.update({reinterpret_cast<const char*>(part.rows.data()), part.rows.size() * sizeof(int64_t)});
  return hash.hex();
}

// The network that fills the file: the policy without its adapters, or in full training a copy that lives until the file
// is whole.
class Filler {
 public:
  Filler(const ObjectiveConfig& config, const ReferenceSetup& setup) : config_(config), setup_(setup) { config_.build(); }

  std::pair<Tensor, Tensor> operator()(const ReferenceRows& part, int64_t first, int64_t count, int64_t draw) {
    const torch::NoGradGuard no_grad;
    const AdaptersOff off;
    if (!setup_.policy && !copy_) copy_ = load_denoiser(setup_.denoiser_folder, setup_.load);
    Denoiser& network = setup_.policy ? *setup_.policy : *copy_;
    const std::vector<int64_t> rows(part.rows.begin() + first, part.rows.begin() + first + count);
    std::vector<Tensor> wins, loses;
    for (const auto& some : part.split ? part.split(rows) : std::vector<std::vector<int64_t>>{rows}) {
      const auto [win, lose] = batch_errors(network, part, some, draw);
      wins.push_back(win.to(torch::kCPU));
      loses.push_back(lose.defined() ? lose.to(torch::kCPU) : wins.back());  // single pictures have no loser
    }
    return {at::cat(wins), at::cat(loses)};
  }

 private:
  std::pair<Tensor, Tensor> batch_errors(Denoiser& network, const ReferenceRows& part, const std::vector<int64_t>& rows,
                                         int64_t draw) const {
    const std::vector<uint64_t> draws(rows.size(), static_cast<uint64_t>(draw));
    PairBatch batch = part.batch(rows, draws);
    const Draw noising = draw_noise(batch, draws, part.seed, config_, *setup_.schedule);
    return branch_errors(network, batch, noising, *setup_.schedule, *config_.error_space_member, batch.latents_lose.defined());
  }

  ObjectiveConfig config_;
  const ReferenceSetup& setup_;
  std::unique_ptr<Denoiser> copy_;
};

}  // namespace

std::unique_ptr<Reference> make_cached(const ObjectiveConfig& config, const ReferenceSetup& setup) {
  check<UsageError>(!setup.parts.empty(),
                    "objective.reference is cached, but there are no pairs to compute errors for: it works in training only");
  check(setup.schedule != nullptr && !setup.weights_hash.empty(), "cached reference: schedule and weights_hash must be given");
  Filler filler(config, setup);
  std::vector<Cached::Part> parts;
  for (const auto& part : setup.parts) {
    const auto folder = setup.folder / ("reference-" + cache_key(config, setup, part).substr(0, 16));
    const auto fill = [&](int64_t first, int64_t count, int64_t draw) { return filler(part, first, count, draw); };
    Cached::Part made;
    made.errors =
        open_error_file(folder, static_cast<int64_t>(part.rows.size()), config.reference_draws, std::max<int64_t>(1, setup.batch), fill);
    for (size_t i = 0; i < part.rows.size(); ++i) made.place[part.rows[i]] = static_cast<int64_t>(i);
    parts.push_back(std::move(made));
  }
  return std::make_unique<Cached>(std::move(parts), static_cast<uint64_t>(config.reference_draws));
}

}  // namespace palate
