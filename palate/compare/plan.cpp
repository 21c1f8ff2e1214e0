#include "palate/compare/plan.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <type_traits>

#include "palate/config/config.h"
#include "palate/config/toml_read.h"
#include "palate/config/visitor.h"
#include "palate/core/error.h"
#include "palate/core/hash.h"
#include "palate/data/pairs.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

constexpr double not_set = std::numeric_limits<double>::quiet_NaN();

std::string exact(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

std::string quoted_path(const fs::path& path) { return "\"" + path.string() + "\""; }

class Keys : public Visitor<Keys> {
 public:
  template <class T>
  void field(const char* key, T&, const char*, const Limits&) {
    found.insert(path(key));
  }
  void entered(const char*) {}
  void require(bool, const std::string&) override {}
  std::set<std::string> found;
};

class NumberAt : public Visitor<NumberAt> {
 public:
  explicit NumberAt(std::string wanted) : wanted_(std::move(wanted)) {}
  template <class T>
  void field(const char* key, T& value, const char*, const Limits&) {
    if constexpr (std::is_arithmetic_v<T>) {
      if (path(key) == wanted_) found = static_cast<double>(value);
    }
  }
  void entered(const char*) {}
  void require(bool, const std::string&) override {}
  double found = not_set;

 private:
  std::string wanted_;
};

// "optimizer.lr" of "optimizer.lr=1e-3"
std::string key_of(const std::string& setting) {
  std::string key;
  for (const auto& part : parse_override(setting).path) key += (key.empty() ? "" : ".") + part;
  return key;
}

std::vector<std::string> own_settings(const Method& method) {
  std::vector<std::string> all = method.preset.empty() ? std::vector<std::string>{} : preset_overrides(method.preset);
  all.insert(all.end(), method.set.begin(), method.set.end());
  return all;
}

RunConfig load_run(const CompareConfig& config, const Method& method, const std::vector<std::string>& more) {
  std::vector<std::string> overrides = own_settings(method);
  overrides.insert(overrides.end(), {"model=" + quoted_path(config.base), "output=" + quoted_path(fs::path(config.output) / method.name)});
  overrides.insert(overrides.end(), more.begin(), more.end());
  RunConfig run;
  load_config(read_config_source(config.train, overrides), [&](Fields& f) { run.visit(f); });
  return run;
}

void refuse_settings(const PlannedMethod& planned) {
  static const std::set<std::string> ours = {"model",
                                             "output",
                                             "resume",
                                             "seed",
                                             "threads",
                                             "data.pairs",
                                             "data.cache",
                                             "data.images",
                                             "train.steps",
                                             "train.checkpoint_every",
                                             "train.keep_checkpoints"};
  for (const auto& setting : planned.method->set) {
    const std::string key = key_of(setting);
    check<UsageError>(!ours.contains(key), setting, ": palate compare sets ", key, " itself, the same for all methods: remove it");
    check<UsageError>(planned.points.empty() || (key != "optimizer.lr" && key != planned.beta_key), setting, ": tuning looks for ", key,
                      ": remove it, or keep it with tune = false", key == "optimizer.lr" ? "" : " or beta = \"none\"");
  }
}

PlannedMethod plan_method(const CompareConfig& config, const Method& method) {
  PlannedMethod planned;
  planned.method = &method;
  RunConfig run = load_run(config, method, {});
  Keys keys;
  run.visit(keys);
  if (method.beta == "auto") {
    planned.beta_key = keys.found.contains("objective.beta") ? "objective.beta" : "";
  } else if (method.beta != "none") {
    const std::vector<std::string> known(keys.found.begin(), keys.found.end());
    check<UsageError>(keys.found.contains(method.beta), "beta: expected auto, none or a key that this method reads, found '", method.beta,
                      "'", did_you_mean(method.beta, known));
    planned.beta_key = method.beta;
  }
  if (method.tune)
    planned.points = tuning_points(config.tune, method.betas.empty() ? config.tune.betas : method.betas, !planned.beta_key.empty());
  refuse_settings(planned);
  planned.cost = step_cost(method, run);
  if (config.compute.equal != "seconds") planned.steps = equal_steps(config.compute, method.share, planned.cost);
  return planned;
}

double between(const std::vector<double>& range, double share) { return range[0] * std::pow(range[1] / range[0], share); }

int64_t golden_stride(int64_t count) {
  const double golden = 0.6180339887 * static_cast<double>(count);
  int64_t best = 1;
  for (int64_t g = 1; g < count; ++g) {
    const auto away = [&](int64_t number) { return std::abs(static_cast<double>(number) - golden); };
    if (std::gcd(g, count) == 1 && away(g) < away(best)) best = g;
  }
  return best;
}

}  // namespace

Point Point::unset() { return {not_set, not_set}; }

std::vector<Point> tuning_points(const Tuning& tune, const std::vector<double>& betas, bool has_beta) {
  const int64_t count = tune.trials, stride = golden_stride(count);
  std::vector<Point> points;
  for (int64_t i = 0; i < count; ++i) {
    const auto place = [&](int64_t rank) { return count == 1 ? 0.5 : static_cast<double>(rank) / static_cast<double>(count - 1); };
    points.push_back({between(tune.rates, place(i)), has_beta ? between(betas, place(stride * i % count)) : not_set});
  }
  return points;
}

std::vector<PlannedMethod> plan_methods(const CompareConfig& config) {
  std::vector<PlannedMethod> plan;
  for (const Method& method : config.methods) {
    try {
      plan.push_back(plan_method(config, method));
    } catch (const UsageError& error) {
      fail<UsageError>("method.", method.name, ": ", error.what());
    }
  }
  return plan;
}

fs::path Places::data(const CompareConfig& config, int64_t seed) const {
  return root / "data" / (config.data.sampled() ? "seed-" + std::to_string(seed) : "given");
}
fs::path Places::trial(const Method& method, size_t number) const { return root / method.name / ("trial-" + std::to_string(number)); }
fs::path Places::seed(const Method& method, int64_t seed) const { return root / method.name / ("seed-" + std::to_string(seed)); }

RunConfig run_config(const CompareConfig& config, const PlannedMethod& planned, const Point& point, int64_t seed, int64_t steps,
                     const fs::path& folder) {
  const Places places{config.output};
  std::string pairs = quoted_path(places.data(config, seed) / "pairs.parquet");
  if (!config.data.sampled()) {
    pairs.clear();
    for (const auto& name : config.data.pairs) pairs += (pairs.empty() ? "" : ", ") + quoted_path(name);
  }
  std::vector<std::string> more = {"output=" + quoted_path(folder / "run"),
                                   "resume=latest",
                                   concat("seed=", seed),
                                   concat("threads=", config.threads),
                                   "data.pairs=[" + pairs + "]",
                                   "data.cache=" + quoted_path(places.data(config, seed) / "cache"),
                                   concat("train.steps=", steps),
                                   concat("train.checkpoint_every=", config.checkpoint_every),
                                   "train.keep_checkpoints=1"};
  if (!std::isnan(point.rate)) more.push_back("optimizer.lr=" + exact(point.rate));
  if (!std::isnan(point.beta)) more.push_back(planned.beta_key + "=" + exact(point.beta));
  try {
    return load_run(config, *planned.method, more);
  } catch (const UsageError& error) {
    fail<UsageError>("method.", planned.method->name, ": ", error.what());
  }
}

double number_at(RunConfig run, const std::string& key) {
  NumberAt visitor(key);
  run.visit(visitor);
  return visitor.found;
}

std::string data_settings(const CompareConfig& config, int64_t seed) {
  const CompareSampling& sampling = config.sampling;
  if (config.data.sampled())
    return concat("sampled with seed ", seed, ": ", config.data.prompts, " prompts, ", config.data.pictures, " pictures, ", sampling.steps,
                  " steps, guidance ", sampling.guidance_scale);
  // By what they hold. They are read once: they are not to change while they are trained on.
  static std::map<std::vector<std::string>, std::string> known;
  std::string& text = known[config.data.pairs];
  if (text.empty()) {
    DataConfig data;
    data.pairs = config.data.pairs;
    text = concat("pairs ", sha256(open_pairs(data)->content([](const fs::path& file) { return sha256_file(file); })).substr(0, 16));
  }
  return text;
}

std::string run_settings(const CompareConfig& config, RunConfig run, int64_t seed) {
  const RunConfig plain;
  run.model.clear();  // its hash is told beside it
  run.output.clear();
  run.data.cache.clear();
  run.resume = plain.resume;
  run.threads = plain.threads;
  run.train.checkpoint_every = plain.train.checkpoint_every;
  run.train.keep_checkpoints = plain.train.keep_checkpoints;
  run.train.log_every = plain.train.log_every;
  run.data.pairs = {data_settings(config, seed)};
  RunConfig defaults;
  std::string text;
  // Not what stands at its default: another version's further keys are then no other settings.
  for (const auto& line : config_difference([&](Fields& f) { defaults.visit(f); }, [&](Fields& f) { run.visit(f); })) {
    const size_t value = line.find(": "), now = line.rfind(" -> ");
    if (!line.ends_with("(not there)")) text += line.substr(0, value) + " = " + line.substr(now + 4) + "\n";
  }
  return text;
}

}  // namespace palate
