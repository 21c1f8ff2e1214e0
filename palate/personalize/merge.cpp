#include "palate/personalize/merge.h"

#include <torch/types.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "palate/adapters/lora_merge.h"
#include "palate/config/config.h"
#include "palate/core/error.h"
#include "palate/core/hash.h"
#include "palate/core/log.h"
#include "palate/core/progress.h"
#include "palate/io/atomic_file.h"
#include "palate/io/image.h"
#include "palate/io/prompt_file.h"
#include "palate/personalize/page.h"
#include "palate/personalize/personalised_model.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

// What a folder of palate personalize says of itself.
struct Personalised {
  fs::path folder;
  Concept concept_;
  RunConfig config;
  std::vector<Captioned> captions;
  fs::path run() const { return folder / "run"; }
  fs::path lora() const { return run() / "pytorch_lora_weights.safetensors"; }
};

Personalised open_personalised(const fs::path& folder, bool style) {
  const char* kind = style ? "style" : "subject";
  check<UsageError>(fs::exists(folder / "personalize.json") && fs::exists(folder / "run" / "run.json"),
                    "personalize: --merge: ", folder.string(), " is no finished folder of palate personalize: expected a ", kind, "'s");
  Personalised found{
      .folder = folder, .concept_ = concept_from(read_json(folder / "personalize.json").at("concept")), .config = {}, .captions = {}};
  check<UsageError>(found.concept_.style == style, "personalize: --merge: ", folder.string(), " holds a ", style ? "subject" : "style",
                    ", expected a ", kind, ": give the subject's folder first and the style's second");
  load_config(read_config_source(found.run() / "config.resolved.toml", {}), [&](Fields& f) { found.config.visit(f); });
  read_jsonl(folder / "images.jsonl", [&](const Json& line, int64_t) {
    found.captions.push_back({line.at("file_name").get<std::string>(), line.at("text").get<std::string>()});
  });
  return found;
}

LoraFile zipped(const Personalised& subject, const Personalised& style, const MergeOptions& options) {
  PersonalisedModel words(subject.config.model, subject.config, {subject.run()});  // the subject's word has to be known
  words.hang({});
  std::optional<Progress> progress;
  return zip_loras(words.pipeline(), {read_lora(subject.lora()), subject.captions.at(0).caption},
                   {read_lora(style.lora()), style.captions.at(0).caption}, options.zip, options.zip_pictures,
                   [&](int64_t, const ZipLoss& loss) {
                     if (!progress) progress.emplace("zip", options.zip.steps);
                     progress->advance(1, concat("overlap ", loss.overlap));
                   });
}

std::vector<std::string> merge_prompts(const MergeOptions& options, const Concept& subject, const Concept& style, const Likeness* judge) {
  if (options.prompts_file.empty() && judge) return judge->prompts();
  auto prompts = options.prompts_file.empty() ? default_prompts(subject) : read_prompt_file(options.prompts_file);
  for (auto& prompt : prompts) {
    if (options.prompts_file.empty()) prompt += " in " + style.word + " style";
    prompt = subject.own(prompt);
    check<UsageError>(!places_of(prompt, subject.word).empty() && !places_of(prompt, style.word).empty(), "personalize: --prompts: \"",
                      prompt, "\" should ask for ", subject.word, " and for \"", style.word, "\"");
  }
  return prompts;
}

}  // namespace

Json merge_concepts(const MergeOptions& options) {
  const Personalised subject = open_personalised(options.subject, false), style = open_personalised(options.style, true);
  check<UsageError>(subject.config.model == style.config.model, "personalize: --merge: the subject's model is ", subject.config.model,
                    " and the style's ", style.config.model, ": LoRAs of one model can be merged");
  const fs::path mark = options.out / "merge.json";
  check<UsageError>(!fs::exists(options.out) || (fs::is_directory(options.out) && (fs::is_empty(options.out) || fs::exists(mark))),
                    "personalize: --out ", options.out.string(), " holds something else: name a new folder");
  make_folder(options.out);
  write_json(mark, {{"subject", options.subject.string()}, {"style", options.style.string()}});

  const fs::path sum_file = options.out / "sum.safetensors", zip_file = options.out / "zip.safetensors";
  if (!fs::exists(sum_file))
    write_lora(sum_file, concatenate_loras({{read_lora(subject.lora())}, {read_lora(style.lora())}}), LoraSpelling::diffusers);
  if (!fs::exists(zip_file)) write_lora(zip_file, zipped(subject, style, options), LoraSpelling::diffusers);

  const auto judge = make_likeness(given_pictures(subject.concept_, subject.captions), given_pictures(style.concept_, style.captions));
  PersonalisedModel model(subject.config.model, subject.config, {subject.run()});
  SweepOptions sweep{.prompts = merge_prompts(options, subject.concept_, style.concept_, judge.get()),
                     .weights = options.weights,
                     .pictures = options.pictures,
                     .sampling = sampling_of(subject.config)};
  PageContent page{
      .title = "Merged: " + subject.concept_.word + " in " + style.concept_.word,
      .lines = {concat(subject.folder.string(), " and ", style.folder.string(), ": both LoRAs added (sum), and merged by ZipLoRA (zip).")},
      .caution = caution_of(judge.get()),
      .parts = {},
      .pictures = options.pictures,
      .distances = {}};
  Json json = {{"subject", to_json(subject.concept_)},
               {"style", to_json(style.concept_)},
               {"judge", judge ? Json("oracle") : Json()},
               {"prompts", sweep.prompts},
               {"pictures", options.pictures}};
  for (const fs::path& file : {sum_file, zip_file}) {
    const std::string name = file.stem().string();
    model.hang({file});
    auto columns = draw_sweep(model.pipeline(), subject.concept_, sweep, {{"lora", sha256_file(file)}}, options.out / "samples" / name);
    if (judge) score_columns(columns, *judge, subject.concept_, options.pictures);
    write_png(options.out / ("grid_" + name + ".png"), sweep_grid(columns, options.pictures));
    json[name] = Json::array();
    for (const Column& column : columns) json[name].push_back(to_json(column));
    page.parts.emplace_back(name, std::move(columns));
  }
  write_json(options.out / "evaluation.json", json);
  json["report"] = write_page(options.out, page).string();
  return json;
}

}  // namespace palate
