#include "palate/compare/measure.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "palate/compare/result.h"
#include "palate/core/clock.h"
#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/core/hash.h"
#include "palate/io/atomic_file.h"
#include "palate/io/image.h"
#include "palate/io/prompt_file.h"
#include "palate/io/tensor_file.h"
#include "palate/pipeline/pipeline_loras.h"
#include "palate/world/prompts.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

constexpr const char* lora_file = "pytorch_lora_weights.safetensors";
const uint64_t prompt_seed = stable_hash("palate compare");  // one choice of prompts and noise for all comparisons of so many prompts

std::vector<std::string> read_prompts(const std::string& file, int64_t count, world::Split split) {
  if (file.empty()) return world::prompts(split, world::Kind::mixed, count, prompt_seed);
  std::vector<std::string> all = read_prompt_file(file);
  check<UsageError>(static_cast<int64_t>(all.size()) >= count, file, ": expected at least ", count, " prompts, found ", all.size());
  all.resize(static_cast<size_t>(count));
  return all;
}

// JSON has no NaN: what has no score is null.
Json list_of(const Tensor& values) {
  Json list = Json::array();
  const Tensor flat = values.to(torch::kFloat64).contiguous();
  for (int64_t i = 0; i < flat.numel(); ++i) {
    const double v = flat.const_data_ptr<double>()[i];
    list.push_back(std::isfinite(v) ? Json(v) : Json());
  }
  return list;
}

Json scores_json(const Judges& judges, const std::vector<Scores>& scores) {
  Json all;
  for (size_t j = 0; j < judges.size(); ++j) {
    Json& entry = all[judges[j]->name()];
    entry["total"] = list_of(scores[j].total);
    entry["parts"] = Json::object();
    for (const auto& [name, values] : scores[j].parts) entry["parts"][name] = list_of(values);
  }
  return all;
}

// The draw-th of `draws` timesteps of a prompt: one of each equal part of the range.
double drawn_timestep(const TimestepRange& range, uint64_t id, int64_t draw, int64_t draws) {
  Generator generator({prompt_seed, id, static_cast<uint64_t>(draw), Purpose::timestep});
  const double share = (static_cast<double>(draw) + generator.uniform()) / static_cast<double>(draws);
  if (!range.whole) return range.first + share * (range.last - range.first);
  return std::min(range.last, range.first + std::floor(share * (range.last - range.first + 1)));
}

Condition with_sizes(Pipeline& pipeline, Condition condition, const Tensor& latents) {
  if (!pipeline.takes_time_ids()) return condition;
  return condition.with_missing_of(Condition{{"time_ids", pipeline.time_ids(latents)}});
}

Tensor epsilon(Pipeline& pipeline, const std::vector<std::string>& prompts, const Tensor& x_t, const Tensor& t) {
  const Condition condition = with_sizes(pipeline, pipeline.encode_prompts(prompts), x_t);
  return pipeline.noise_process().to_epsilon(pipeline.denoiser().predict(x_t, t, condition), x_t, t);
}

}  // namespace

const char* prompt_set_name(PromptSet set) { return set == PromptSet::test ? "test" : "development"; }

ComparePrompts::ComparePrompts(const CompareConfig& config)
    : development(read_prompts(config.tune.file, config.tune.trials > 0 ? config.tune.prompts : 0, world::Split::development)),
      test(read_prompts(config.test.file, config.test.prompts, world::Split::test)) {
  const std::set<std::string> tuned(development.begin(), development.end());
  for (const auto& prompt : test) {
    check<UsageError>(!tuned.contains(prompt), "test.file: the prompt \"", prompt,
                      "\" is a development prompt too: what is tuned on says nothing of what was not seen");
  }
}

Examiner::Examiner(const CompareConfig& config, const ComparePrompts& prompts)
    : config_(config), prompts_(prompts), judges_(make_judges(config.judges)), pipeline_(config.base) {
  base_settings_ = "base = " + pipeline_.weights_hash(pipeline_.denoiser_component()) + "\n";
  for (const PromptSet set : {PromptSet::development, PromptSet::test}) {
    if (!prompts.of(set).empty()) require_all(judges_, pipeline_, paired_requests(prompts.of(set)), sampling(set));
  }
}

std::string Examiner::settings(PromptSet set) const {
  Hash prompts(HashKind::sha256);
  for (const auto& prompt : prompts_.of(set)) prompts.update(prompt + "\n");
  std::string text = concat(base_settings_, "prompts = ", prompts.hex(), "\nsampling = ", config_.sampling.steps, " steps, guidance ",
                            config_.sampling.guidance_scale, ", ", config_.sampling.sampler, "\n");
  for (const auto& judge : judges_) text += "judge = " + judge->identity() + "\n";
  if (set == PromptSet::test) text += concat("drift_draws = ", config_.test.drift_draws, "\n");
  if (set == PromptSet::test && config_.test.curve > 0) text += concat("curve = ", config_.test.curve, "\n");
  return text;
}

GenerateOptions Examiner::sampling(PromptSet set) const {
  GenerateOptions options;
  options.steps = config_.sampling.steps;
  options.guidance_scale = config_.sampling.guidance_scale;
  options.sampler = config_.sampling.sampler;
  options.batch = config_.sampling.batch;
  options.seed = mix(prompt_seed, set == PromptSet::test ? 1 : 0);
  return options;
}

Json Examiner::draw(PromptSet set, const std::string& name, Pipeline& pipeline, const fs::path& pictures) {
  remove_folder(pictures);  // what a run that was killed has left
  GenerateOptions options = sampling(set);
  options.title = "sampling " + name;
  const Side side = draw_side(name, pipeline, paired_requests(prompts_.of(set)), options, judges_, pictures);
  return scores_json(judges_, side.scores);
}

Json Examiner::base(PromptSet set, const fs::path& folder) {
  if (const auto there = read_result(folder, settings(set))) return *there;
  make_folder(folder);
  const auto began = Clock::now();
  Json result;
  result["scores"] = draw(set, concat("base on ", prompt_set_name(set), " prompts"), pipeline_, folder / "pictures");
  if (set == PromptSet::test) write_drift_points(read_pictures(folder / "pictures"), folder / "drift.safetensors");
  result["seconds"] = seconds_since(began);
  write_result(folder, settings(set), result);
  return result;
}

void Examiner::write_drift_points(const PictureSet& pictures, const fs::path& file) {
  const torch::NoGradGuard no_grad;
  const int64_t draws = config_.test.drift_draws;
  const NoiseProcess& process = pipeline_.noise_process();
  std::vector<Tensor> noised, times, predicted;
  for (size_t i = 0; i < pictures.entries.size(); ++i) {
    const uint64_t id = pictures.entries[i].id.value_or(i);
    const Tensor x0 = pipeline_.to_latents(pipeline_.encode_images(read_image(pictures.file(i)).unsqueeze(0)), {});
    std::vector<double> drawn;
    std::vector<Tensor> noise;
    for (int64_t k = 0; k < draws; ++k) {
      drawn.push_back(drawn_timestep(process.range(), id, k, draws));
      noise.push_back(Generator({prompt_seed, id, static_cast<uint64_t>(k), Purpose::noise}).normal(x0.sizes().vec()));
    }
    const Tensor t = process.timesteps(drawn);
    const Tensor x_t = process.add_noise(x0.expand({draws, -1, -1, -1}), torch::cat(noise), t);
    noised.push_back(x_t);
    times.push_back(t);
    predicted.push_back(epsilon(pipeline_, std::vector<std::string>(static_cast<size_t>(draws), pictures.entries[i].prompt), x_t, t));
  }
  save_safetensors(file, {{"x_t", torch::cat(noised)}, {"t", torch::cat(times)}, {"epsilon", torch::cat(predicted)}});
}

double Examiner::drift(Pipeline& pipeline, const fs::path& file) const {
  const torch::NoGradGuard no_grad;
  const TensorFile points(file);
  const Tensor x_t = points.tensor("x_t"), t = points.tensor("t"), base = points.tensor("epsilon");
  const int64_t draws = config_.test.drift_draws;
  double sum = 0;
  for (int64_t first = 0; first < x_t.size(0); first += draws) {
    const std::vector<std::string> prompts(static_cast<size_t>(draws), prompts_.test[static_cast<size_t>(first / draws)]);
    const Tensor ours = epsilon(pipeline, prompts, x_t.narrow(0, first, draws), t.narrow(0, first, draws));
    sum += (ours - base.narrow(0, first, draws)).square().mean().item<double>();
  }
  return sum / static_cast<double>(x_t.size(0) / draws);
}

Json Examiner::measure(PromptSet set, const std::string& name, const fs::path& run, const fs::path& pictures, const fs::path& base) {
  const bool lora = fs::exists(run / lora_file);
  check(lora || fs::exists(run / "model_index.json"), run.string(), ": expected ", lora_file,
        " or a model folder, found neither: palate compare compares what draws pictures");
  const auto began = Clock::now();
  std::optional<Pipeline> whole;
  if (!lora) whole.emplace(run);
  Pipeline& pipeline = lora ? pipeline_ : *whole;
  std::vector<Lora> hung;
  if (lora) hung = hang_loras(pipeline, {LoraChoice{run / lora_file}});
  Json result;
  result["scores"] = draw(set, name, pipeline, pictures);
  if (!base.empty()) {
    const double distance = drift(pipeline, base / "drift.safetensors");
    result["drift"] = std::isfinite(distance) ? Json(distance) : Json();
  }
  for (Lora& one : hung) one.remove();
  result["seconds"] = seconds_since(began);
  return result;
}

double Examiner::seconds_per_pass() {
  constexpr int64_t pictures = 8, steps = 2;
  GenerateOptions options;
  options.steps = steps;
  options.guidance_scale = 1;
  options.sampler = config_.sampling.sampler;
  options.batch = pictures;
  const std::vector<GenerateRequest> requests(static_cast<size_t>(pictures), {prompts_.test.at(0), 0});
  pipeline_.generate_latents({requests[0]}, options);  // what is made at first use
  const auto began = Clock::now();
  pipeline_.generate_latents(requests, options);
  return seconds_since(began) / static_cast<double>(pictures * steps);
}

}  // namespace palate
