#include "palate/compare/compare_config.h"

#include <algorithm>
#include <set>

#include "palate/config/config.h"
#include "palate/config/toml_read.h"
#include "palate/core/error.h"

namespace palate {
namespace {

void visit_range(Fields& f, const char* key, std::vector<double>& range, const char* help, bool may_be_empty) {
  f(key, range, help, {.min = 1e-12});
  f.require((may_be_empty && range.empty()) || (range.size() == 2 && range[0] <= range[1]),
            concat(key, ": expected the lowest and the highest value, for example [1e-4, 1e-2], found ", range.size(), " values",
                   range.size() == 2 ? ", the first above the second" : ""));
}

int64_t line_of(const TomlValue& value) { return std::stoll(value.where.substr(value.where.rfind(':') + 1)); }

// The names of the tables [method.NAME], in the order of the file.
std::vector<std::string> method_names(const ConfigSource& source) {
  if (source.file_text.empty()) return {};
  const TomlValue file = parse_toml(source.file_text, source.file_name);
  std::vector<std::pair<int64_t, std::string>> found;
  for (size_t i = 0; i < file.keys.size(); ++i) {
    const TomlValue& methods = file.items[i];
    if (file.keys[i] != "method") continue;
    for (size_t k = 0; k < methods.keys.size(); ++k) found.emplace_back(line_of(methods.items[k]), methods.keys[k]);
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> names;
  for (const auto& [line, name] : found) names.push_back(name);
  return names;
}

// A name is a folder, a cell of LaTeX and a word on the command line.
bool plain_name(const std::string& name) {
  return !name.empty() && name != "base" && name != "data" &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_+") == std::string::npos;
}

}  // namespace

void Method::visit(Fields& f) {
  f("preset", preset, "a preset of palate train (palate list presets), under what is set; empty: none");
  f("set", set, "KEY=VALUE over the common training config, for example [\"objective.loss=dpo\"]");
  f("beta", beta, "the key that is tuned beside optimizer.lr: auto (objective.beta where the loss reads it), none, or another key");
  visit_range(f, "betas", betas, "lowest and highest beta of this method, where its scale is its own; empty: tune.betas", true);
  f("tune", tune, "false: no trials; the method runs with the rate and beta that are set");
  f("share", share, "of the others' compute, for what is asked to do with less", {.min = 1e-6, .max = 1e3});
  f("passes", passes, "of the network for each pair of a step, where they cannot be counted from the loss; 0: counted", {.min = 0});
}

void Compute::visit(Fields& f) {
  f("equal", equal,
    "what is the same for every method: steps; pairs seen; passes of a picture through the network, backward ones counted; seconds of "
    "processor time, measured",
    {.choices = {"steps", "pairs", "passes", "seconds"}});
  f("amount", amount, "how much of it each run gets", {.min = 0});
  f.require(amount > 0, "compute.amount: say how much each run gets, for example equal = \"pairs\" and amount = 3840");
}

void CompareData::visit(Fields& f) {
  f("pairs", pairs,
    "preference pairs as palate train takes them; sample: drawn from the base for each seed and labelled by the embedded world");
  f("prompts", prompts, "training prompts of sampled pairs", {.min = 1, .max = 1e6});
  f("pictures", pictures, "of each of them; the best and the worst make the pair", {.min = 2, .max = 1000});
  f.require(!pairs.empty(), "data.pairs is empty: name files of preference pairs, or \"sample\"");
}

void Tuning::visit(Fields& f) {
  f("trials", trials, "runs that every method has for finding its rate and beta; 0: all run as they are set", {.min = 0, .max = 1000});
  f("prompts", prompts, "development prompts that a trial is judged on", {.min = 1, .max = 1e6});
  f("seed", seed, "of the trials; none of the seeds, so that those may grow; -1: one above their largest", {.min = -1});
  f("file", file, "development prompts, one a line; empty: the embedded world's");
  visit_range(f, "rates", rates, "lowest and highest optimizer.lr that is tried", false);
  visit_range(f, "betas", betas, "lowest and highest beta that is tried", false);
}

void Testing::visit(Fields& f) {
  f("prompts", prompts, "test prompts, the same for every run", {.min = 1, .max = 1e6});
  f("file", file, "test prompts, one a line; empty: the embedded world's held-out ones");
  f("drift_draws", drift_draws, "draws of (t, noise) for each prompt that the distance from the base is the mean of",
    {.min = 1, .max = 1e4});
  f("curve", curve, "states of each reported run, at equal distances, that are judged on the way: win rates over steps; 0: the last alone",
    {.min = 0, .max = 1000});
  f("grid_prompts", grid_prompts, "prompts whose pictures the page shows", {.min = 0, .max = 200});
}

void CompareSampling::visit(Fields& f) {
  f("steps", steps, "sampling steps of a picture", {.min = 1, .max = 1e6});
  f("guidance_scale", guidance_scale, "classifier-free guidance; 1 or less: off");
  f("sampler", sampler, "a name of palate sample --scheduler; empty: the model folder's own");
  f("batch", batch, "pictures at once; changes no picture but for rounding", {.min = 1, .max = 1e6});
}

void CompareConfig::visit(Fields& f) {
  f("base", base, "model folder that every method starts from, and is compared with");
  f("output", output, "folder of the comparison; what it holds of the same comparison is not done again");
  f("train", train, "training config that the methods have in common");
  f("seeds", seeds, "of the runs that are reported; each has its own training, and its own pairs where they are sampled", {.min = 0});
  f("judges", judges, "who says which picture is better (palate list judges); the first one tunes");
  f("threads", threads, "processor threads; 0: what the machine has", {.min = 0, .max = 4096});
  f("checkpoint_every", checkpoint_every, "steps between checkpoints: what a kill can cost of a run", {.min = 0, .max = 1e12});
  f.table("data", data, "what is learned from");
  f.table("compute", compute, "what is equal");
  f.table("tune", tune, "how each method's rate and beta are found");
  f.table("test", test, "what is reported");
  f.table("sampling", sampling, "how pictures are drawn");
  struct {
    std::vector<Method>& list;
    void visit(Fields& g) {
      for (Method& method : list) g.table(method.name.c_str(), method, "a method");
    }
  } tables{methods};
  f.table("method", tables, "what is compared");
  f.require(!base.empty(), "base: name the model folder, for example base = \"assets/base\"");
  f.require(!output.empty(), "output: name the folder of the comparison, for example output = \"runs/compare\"");
  f.require(!train.empty(), "train: name the common training config, for example train = \"assets/demo.toml\"");
  f.require(!seeds.empty(), "seeds is empty: name at least one, for example seeds = [0, 1, 2]");
  f.require(std::set<int64_t>(seeds.begin(), seeds.end()).size() == seeds.size(), "seeds: one of them is named twice");
  f.require(tune.seed < 0 || std::count(seeds.begin(), seeds.end(), tune.seed) == 0,
            "tune.seed: is one of the seeds, whose runs would then be chosen for their luck: take another");
  f.require(!judges.empty(), "judges is empty: name at least one (palate list judges)");
  f.require(!methods.empty(),
            "there is no method to compare: give each a table, for example [method.dpo] with set = [\"objective.loss=dpo\"]");
  for (const Method& method : methods) {
    f.require(plain_name(method.name),
              concat("method.", method.name, ": a method is named by letters, digits, -, _ and +, and neither base nor data"));
  }
}

int64_t CompareConfig::tuning_seed() const { return tune.seed >= 0 ? tune.seed : 1 + *std::max_element(seeds.begin(), seeds.end()); }

CompareConfig read_compare_config(const std::filesystem::path& file, const std::vector<std::string>& overrides) {
  const ConfigSource source = read_config_source(file, overrides);
  CompareConfig config;
  for (auto& name : method_names(source)) config.methods.emplace_back().name = std::move(name);
  load_config(source, [&](Fields& f) { config.visit(f); });
  return config;
}

}  // namespace palate
