#include "palate/personalize/personalize.h"

#include <torch/types.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <regex>

#include "palate/config/config.h"
#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/core/interrupt.h"
#include "palate/core/log.h"
#include "palate/io/atomic_file.h"
#include "palate/io/file_lock.h"
#include "palate/io/prompt_file.h"
#include "palate/personalize/captions.h"
#include "palate/personalize/page.h"
#include "palate/personalize/personalised_model.h"
#include "palate/train/train.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

std::string quoted(const fs::path& path) { return Json(path.string()).dump(); }

// The folder is new, empty, or this very personalisation's.
void claim_folder(const PersonalizeOptions& options) {
  const fs::path& out = options.out;
  check<UsageError>(!fs::exists(out) || fs::is_directory(out), "personalize: --out ", out.string(), " is a file, expected a folder");
  const fs::path file = out / "personalize.json";
  const Json now = {
      {"images", fs::weakly_canonical(options.images).string()}, {"model", options.model}, {"concept", to_json(options.concept_)}};
  if (fs::exists(file)) {
    const Json before = read_json(file);
    for (const auto& [key, value] : now.items()) {
      check<UsageError>(before.value(key, Json()) == value, "personalize: --out ", out.string(), " is another one's (", key, " is ",
                        before.value(key, Json()).dump(), " there and ", value.dump(), " now): name another folder");
    }
    return;
  }
  check<UsageError>(!fs::exists(out) || fs::is_empty(out), "personalize: --out ", out.string(),
                    " holds something else: name a new folder, or one that palate personalize began");
  make_folder(out);
  write_json(file, now);
}

// The words of the captions, tokens of the longest of which fit into the text encoder.
void check_lengths(Pipeline& pipeline, const PersonalizeOptions& options, const std::vector<Captioned>& all) {
  PromptEncoder& prompts = pipeline.prompt_encoder();
  for (const size_t which : prompts.present()) {
    const ClipTokenizer& words = prompts.tokenizer(which);
    for (const Captioned& it : all) {
      const auto tokens = static_cast<int64_t>(words.tokens(options.concept_.base(it.caption)).size());
      check<UsageError>(tokens + 2 <= words.max_length(), "personalize: the caption of ", it.picture.filename().string(), " has ", tokens,
                        " tokens, and the text encoder takes ", words.max_length() - 2, ": make it shorter, what is behind is not read");
    }
  }
}

std::vector<Captioned> gather_captions(const PersonalizeOptions& options) {
  const auto pictures = pictures_in(options.images);
  const fs::path own = options.out / "captions.jsonl";
  std::map<std::string, std::string> captions;
  std::string origin = options.captions;
  if (options.captions == "plain") {
    log_info("captions: \"", plain_caption(options.concept_), "\" for all; captions that say what else a picture shows keep it out of ",
             options.concept_.word);
    for (const auto& picture : pictures) captions[picture.filename().string()] = plain_caption(options.concept_);
  } else {
    captions = read_captions(options.images, pictures, options.captions);
    if (origin.empty()) origin = options.images.string();
    if (captions.empty() && options.captions.empty() && fs::exists(own))
      captions = read_captions(options.images, pictures, own), origin = own.string();
  }
  if (captions.empty()) {
    claim_folder(options);
    write_template(own, pictures, options.concept_);
    fail<UsageError>("personalize: the pictures in ", options.images.string(), " have no captions: ", own.string(),
                     " has a line for each of the ", pictures.size(),
                     " now; put in each what the picture shows besides (view, pose, background, lighting, style), keep ",
                     options.concept_.word, " in it once, and give the same command again (or --captions plain, which does worse)");
  }
  return checked_captions(pictures, captions, options.concept_, origin);
}

void write_images(const fs::path& file, const std::vector<Captioned>& all) {
  std::string text;
  for (const Captioned& it : all)
    text +=
        Json{{"file_name", fs::absolute(it.picture).string()}, {"text", it.caption}}.dump(-1, ' ', false, Json::error_handler_t::replace) +
        "\n";
  if (!fs::exists(file) || read_file(file) != text) write_file(file, text);
}

bool has_checkpoint(const fs::path& run) {
  for (const auto& entry : fs::directory_iterator(run)) {
    if (entry.path().filename().string().starts_with("checkpoint-")) return true;
  }
  return false;
}

bool finished(const RunConfig& config) {
  const fs::path summary = fs::path(config.output) / "run.json";
  return fs::exists(summary) && read_json(summary).value("steps", int64_t{0}) >= config.train.steps;
}

void train_or_go_on(RunConfig config) {
  const fs::path run = config.output;
  if (finished(config)) {
    const auto changed = changed_settings(run, config);
    check<UsageError>(changed.empty(), "personalize: ", run.string(), " was trained with other settings (",
                      changed.empty() ? "" : changed[0], "): give those, or name another --out");
    return log_info(run.string(), " is trained already");
  }
  if (fs::exists(run) && has_checkpoint(run)) {
    config.resume = "latest";
  } else if (fs::exists(run)) {  // killed before its first checkpoint
    const auto refuse = [&] {
      fail<UsageError>("personalize: ", run.string(), " is in use by another process: wait for it, or name another --out");
    };
    { const FileLock lock(run / ".lock", refuse, 0644); }
    remove_folder(run);
  }
  const InterruptGuard guard;  // the first Ctrl-C writes a checkpoint; while pictures are drawn it ends the program, and those made stay
  const TrainResult result = train(config);
  check(!result.interrupted, "interrupted at step ", result.steps, "; the same command goes on");
}

std::vector<std::string> test_prompts(const PersonalizeOptions& options, const Likeness* judge) {
  auto prompts = !options.prompts_file.empty() ? read_prompt_file(options.prompts_file)
                 : judge                       ? judge->prompts()
                                               : default_prompts(options.concept_);
  for (auto& prompt : prompts) {
    prompt = options.concept_.own(prompt);
    check<UsageError>(!places_of(prompt, options.concept_.word).empty(), "personalize: --prompts: \"", prompt, "\" asks for no ",
                      options.concept_.word, options.concept_.style ? "" : concat(" and no ", options.concept_.noun),
                      ": every test prompt should");
  }
  return prompts;
}

Json evaluate(const PersonalizeOptions& options, const RunConfig& config, const std::vector<Captioned>& captions) {
  const Given given = given_pictures(options.concept_, captions);
  const auto judge = make_likeness(given);
  PersonalisedModel model(config.model, config, {fs::path(config.output)});
  SweepOptions sweep{
      .prompts = test_prompts(options, judge.get()), .weights = options.weights, .pictures = options.pictures, .sampling = {}};
  sweep.sampling = sampling_of(config);
  auto columns = draw_sweep(model.pipeline(), options.concept_, sweep,
                            {{"run", read_json(fs::path(config.output) / "run.json").at("result_sha256")}}, options.out / "samples");
  if (judge) score_columns(columns, *judge, options.concept_, options.pictures);
  write_png(options.out / "grid.png", sweep_grid(columns, options.pictures));
  PageContent page{.title = "Personalised: " + options.concept_.word,
                   .lines = {},
                   .caution = caution_of(judge.get()),
                   .parts = {{"", columns}},
                   .pictures = options.pictures,
                   .distances = {}};
  if (options.distance.draws > 0) {
    page.distances = {{"given pictures", model.distance_on(given, options.distance)},
                      {options.concept_.style ? "the base's pictures" : "pictures of the class",
                       model.distance_on(columns.at(0), options.concept_, options.distance)}};
  }
  page.lines = {concat(captions.size(), " pictures of ", options.images.string(), ", ", config.objective.loss, ", ", config.train.steps,
                       " steps, model ", config.model, ".")};
  if (judge) page.lines.push_back("Sought: " + judge->describe() + ".");
  Json json = {{"concept", to_json(options.concept_)},
               {"model", config.model},
               {"loss", config.objective.loss},
               {"steps", config.train.steps},
               {"train_seconds", read_json(fs::path(config.output) / "run.json").at("seconds")},
               {"judge", judge ? Json("oracle") : Json()},
               {"sought", judge ? Json(judge->describe()) : Json()},
               {"prompts", sweep.prompts},
               {"pictures", options.pictures}};
  json["columns"] = Json::array();
  for (const Column& column : columns) json["columns"].push_back(to_json(column));
  if (!page.distances.empty())
    json["noise_distance"] = {{"given", to_json(page.distances[0].second)}, {"class", to_json(page.distances[1].second)}};
  json["peak_bytes"] = peak_resident_bytes();
  write_json(options.out / "evaluation.json", json);
  json["report"] = write_page(options.out, page).string();
  return json;
}

}  // namespace

Concept make_concept(bool style, const std::string& noun, const std::string& word) {
  if (style) {
    check<UsageError>(
        !word.empty(),
        "personalize: --style needs --word, the words that the captions name the style with: --word \"flat cartoon illustration\"");
    return {.style = true, .word = word, .noun = noun};
  }
  check<UsageError>(
      !noun.empty(),
      "personalize: a subject needs --class, the noun that the model knows such things by: --class dog (or --style for a style)");
  const std::string name = word.empty() ? default_word(noun) : word;
  check<UsageError>(places_of(name, noun).empty(), "personalize: --word ", name, " has the class \"", noun,
                    "\" in it: name the subject otherwise, for example ", default_word(noun));
  return {.style = false, .word = name, .noun = noun};
}

RunConfig personalize_config(const PersonalizeOptions& options) {
  const Concept& concept_ = options.concept_;
  std::vector<std::string> all = preset_overrides(concept_.style ? "dco-style" : "dco-subject");
  const auto other_loss = [](const std::string& text) { return text.starts_with("objective.loss=") && text != "objective.loss=dco"; };
  if (std::any_of(options.overrides.begin(), options.overrides.end(), other_loss)) {  // which has constants of its own
    std::erase_if(all, [](const std::string& text) { return text.starts_with("objective.beta"); });
  }
  const std::vector<std::string> own = {"model=" + Json(options.model).dump(),
                                        "output=" + quoted(options.out / "run"),
                                        "data.images=[" + quoted(options.out / "images.jsonl") + "]",
                                        "data.cache=" + quoted(options.out / "cache"),
                                        "data.held_out=0",
                                        "train.validate_every=0"};
  all.insert(all.end(), own.begin(), own.end());
  if (!concept_.style) {
    all.push_back("text.word=" + Json(concept_.word).dump());
    all.push_back("text.initializer=" + Json(concept_.noun).dump());
    Pipeline pipeline(options.model);
    PromptEncoder& prompts = pipeline.prompt_encoder();
    all.push_back(concat("text.vectors=", prompts.tokenizer(prompts.present().at(0)).tokens(concept_.noun).size()));
  }
  all.insert(all.end(), options.overrides.begin(), options.overrides.end());
  RunConfig config;
  load_config({.file_name = "", .file_text = "", .overrides = all}, [&](Fields& f) { config.visit(f); });
  return config;
}

Json personalize(const PersonalizeOptions& options) {
  const auto captions = gather_captions(options);
  const RunConfig config = personalize_config(options);
  {
    Pipeline pipeline(options.model);
    check_lengths(pipeline, options, captions);
  }
  claim_folder(options);
  write_images(options.out / "images.jsonl", captions);
  train_or_go_on(config);
  return evaluate(options, config, captions);
}

}  // namespace palate
