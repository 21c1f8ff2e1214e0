#include "palate/personalize/sweep.h"

#include <torch/types.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/core/log.h"
#include "palate/io/atomic_file.h"
#include "palate/io/image.h"
#include "palate/io/picture_grid.h"
#include "palate/io/sample_folder.h"
#include "palate/nn/adaptable.h"
#include "palate/pipeline/requests.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

// The numbers of each prompt's pictures on their own, `pictures` a prompt; 0: all together. With reward guidance the base prompt is one for
// a call of generate, so each prompt has a call of its own.
std::vector<std::vector<size_t>> groups_of(const std::vector<size_t>& numbers, int64_t pictures) {
  std::vector<std::vector<size_t>> groups;
  for (const size_t number : numbers) {
    const auto prompt = [&](size_t which) { return pictures == 0 ? 0 : which / static_cast<size_t>(pictures); };
    if (groups.empty() || prompt(groups.back()[0]) != prompt(number)) groups.emplace_back();
    groups.back().push_back(number);
  }
  return groups;
}

void draw(Pipeline& pipeline, const std::vector<GenerateRequest>& requests, const std::vector<size_t>& numbers,
          const GenerateOptions& options, SampleFolder& folder) {
  pipeline.generate_each(requests, options, [&](size_t first, const Tensor& latents) {
    check(latents.isfinite().all().item<bool>(), "sampling \"", requests[first].prompt,
          "\": the sampler gave values that are not finite: a lower sample.guidance_scale, weight or rate may help");
    const Tensor pictures = from_unit(pipeline.decode(latents).cpu());
    for (int64_t i = 0; i < pictures.size(0); ++i) folder.add(numbers[first + static_cast<size_t>(i)], pictures[i]);
  });
}

// Column `weight`; none: the base.
Column draw_column(Pipeline& pipeline, const Concept& concept_, const SweepOptions& options, const std::optional<double>& weight,
                   const fs::path& folder) {
  Column column{.name = weight ? concat("weight ", *weight) : "base", .weight = weight.value_or(0), .pictures = {}, .likeness = {}};
  const auto all = paired_requests(options.prompts, options.pictures);
  std::vector<ManifestEntry> entries;
  for (const auto& request : all)
    entries.push_back(
        {.image = "", .prompt = weight ? request.prompt : concept_.base(request.prompt), .id = request.id, .seed = options.sampling.seed});
  SampleFolder files(folder, std::move(entries), Json{{"column", column.name}}, Existing::goes_on);
  const bool guided = weight && *weight > 0;
  const AdaptersOnly on(weight ? active_adapters() : 0);
  for (const auto& numbers : groups_of(files.missing(), guided ? options.pictures : 0)) {
    std::vector<GenerateRequest> requests;
    for (const size_t number : numbers) requests.push_back({files.pictures().entries[number].prompt, all[number].id});
    GenerateOptions sampling = options.sampling;
    sampling.title = column.name;
    if (guided) {
      const size_t prompt = numbers[0] / static_cast<size_t>(options.pictures);
      sampling.title += concat(", prompt ", prompt + 1, " of ", options.prompts.size());
      sampling.reward_weight = *weight;
      sampling.base_prompt = concept_.base(options.prompts[prompt]);
    }
    draw(pipeline, requests, numbers, sampling, files);
  }
  column.pictures = files.pictures();
  return column;
}

Json settings_of(const Concept& concept_, const SweepOptions& options, const Json& asked) {
  const GenerateOptions& s = options.sampling;
  Json json = asked;
  json["concept"] = to_json(concept_);
  json["prompts"] = options.prompts;
  json["pictures"] = options.pictures;
  json["scheduler"] = s.sampler;
  json["steps"] = s.steps;
  json["guidance_scale"] = s.guidance_scale;
  json["seed"] = s.seed;
  json["height"] = s.height;
  json["width"] = s.width;
  return json;
}

}  // namespace

std::string column_folder(double weight) { return concat("weight_", weight); }

std::vector<Column> draw_sweep(Pipeline& pipeline, const Concept& concept_, const SweepOptions& options, const Json& asked,
                               const fs::path& folder) {
  const Json now = settings_of(concept_, options, asked);
  const fs::path file = folder / "settings.json";
  if (fs::exists(file) && read_json(file) != now) {
    log_info(folder.string(), " holds pictures that were made otherwise: they are drawn anew");
    remove_folder(folder);
  }
  make_folder(folder);
  write_json(file, now);
  std::vector<Column> columns = {draw_column(pipeline, concept_, options, std::nullopt, folder / "base")};
  for (const double weight : options.weights)
    columns.push_back(draw_column(pipeline, concept_, options, weight, folder / column_folder(weight)));
  return columns;
}

void score_columns(std::vector<Column>& columns, const Likeness& judge, const Concept& concept_, int64_t pictures) {
  for (Column& column : columns) {
    std::map<std::string, std::vector<std::vector<double>>> values;  // by measure, by prompt
    const auto& entries = column.pictures.entries;
    for (size_t i = 0; i < entries.size(); ++i) {
      // Of the base's pictures too it is asked whether they show the subject.
      const auto found = judge.measure(read_image(column.pictures.file(i)), concept_.own(entries[i].prompt));
      for (const auto& [name, value] : found) {
        if (i % static_cast<size_t>(pictures) == 0) values[name].emplace_back();
        values[name].back().push_back(value);
      }
    }
    for (const auto& [name, by_prompt] : values) column.likeness[name] = mean_gain(by_prompt, stable_hash(name));
  }
}

Tensor sweep_grid(const std::vector<Column>& columns, int64_t pictures) {
  std::vector<Tensor> shown;
  for (size_t i = 0; i < columns.at(0).pictures.entries.size(); i += static_cast<size_t>(pictures)) {
    for (const Column& column : columns) shown.push_back(read_image(column.pictures.file(i)));
  }
  const int64_t side = shown.at(0).size(2);
  return picture_grid(torch::stack(shown),
                      {.columns = static_cast<int64_t>(columns.size()), .scale = std::max<int64_t>(1, 96 / side), .gap = 4, .margin = 4});
}

Json to_json(const Column& column) {
  Json json = {{"name", column.name}};
  if (column.name != "base") json["weight"] = column.weight;
  for (const auto& [name, interval] : column.likeness) json[name] = to_json(interval);
  return json;
}

}  // namespace palate
