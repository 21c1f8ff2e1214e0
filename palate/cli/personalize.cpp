// palate personalize: a few pictures of a subject or in a style, and a model that knows it.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "palate/cli/command.h"
#include "palate/cli/flag_checks.h"
#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/personalize/merge.h"
#include "palate/personalize/personalize.h"

namespace palate {
namespace {

struct PersonalizeFlags {
  PersonalizeOptions options;
  MergeOptions merging;
  std::string noun, word;
  std::vector<std::string> merge;
  bool style = false, json = false;
  int64_t threads = 0;
};

void print_columns(const std::string& title, const Json& columns) {
  if (!title.empty()) std::printf("%s\n", title.c_str());
  for (const Json& column : columns) {
    std::printf("  %-10s", column.at("name").get<std::string>().c_str());
    for (const auto& [name, value] : column.items()) {
      if (!value.is_object()) continue;
      std::printf("  %s %.3f [%.3f, %.3f]", name.c_str(), value.at("mean").get<double>(), value.at("low").get<double>(),
                  value.at("high").get<double>());
    }
    std::printf("\n");
  }
}

// The mean over all timesteps.
double mean_distance(const Json& buckets) {
  double sum = 0;
  for (const Json& bucket : buckets) sum += bucket.at("distance").get<double>();
  return sum / static_cast<double>(buckets.size());
}

void print_result(const Json& result) {
  if (result.contains("columns")) print_columns("", result.at("columns"));
  for (const char* part : {"sum", "zip"}) {
    if (result.contains(part)) print_columns(part, result.at(part));
  }
  if (result.contains("noise_distance")) {  // which a merge and --distance-draws 0 leave out
    std::printf("noise distance to the base: %.4g on the given pictures, %.4g on the base's own\n",
                mean_distance(result.at("noise_distance").at("given")), mean_distance(result.at("noise_distance").at("class")));
  }
  if (result.at("judge").is_null()) std::printf("image and text similarity: no judge of them is there for this model\n");
  std::printf("%s\n", result.at("report").get<std::string>().c_str());
}

Json merge_folders(PersonalizeFlags& flags) {
  check<UsageError>(flags.merge.size() == 2, "personalize: --merge takes two folders, the subject's and the style's, found ",
                    flags.merge.size());
  check<UsageError>(flags.options.images.empty() && flags.noun.empty() && !flags.style && flags.options.overrides.empty(),
                    "personalize: --merge takes what is trained already: leave out --images, --class, --style and KEY=VALUE");
  MergeOptions& m = flags.merging;
  m.subject = flags.merge[0], m.style = flags.merge[1], m.out = flags.options.out;
  m.prompts_file = flags.options.prompts_file, m.weights = flags.options.weights, m.pictures = flags.options.pictures;
  return merge_concepts(m);
}

Json train_and_look(PersonalizeFlags& flags) {
  PersonalizeOptions& o = flags.options;
  check<UsageError>(!o.images.empty(), "personalize needs --images, the folder with three to six pictures of what the model is to learn");
  check<UsageError>(!o.model.empty(), "personalize needs --model, the base model's folder (or ORG/NAME of the hub)");
  if (flags.threads > 0) o.overrides.insert(o.overrides.begin(), concat("threads=", flags.threads));
  o.concept_ = make_concept(flags.style, flags.noun, flags.word);
  return personalize(o);
}

void run(PersonalizeFlags& flags) {
  set_threads(flags.threads);
  const Json result = flags.merge.empty() ? train_and_look(flags) : merge_folders(flags);
  if (flags.json)
    std::printf("%s\n", result.dump().c_str());
  else
    print_result(result);
}

void add_looking(CLI::App& app, PersonalizeFlags& flags) {
  app.add_option("--prompts", flags.options.prompts_file,
                 "file of test prompts, one a line, with the word or the class (default: ten for the class)")
      ->type_name("FILE");
  app.add_option("--weights", flags.options.weights, "weights of reward guidance to draw at; 0: ordinary guidance")
      ->delimiter(',')
      ->check(number(0, 100))
      ->capture_default_str();
  app.add_option("--pictures", flags.options.pictures, "pictures of each test prompt at each weight")
      ->check(whole(1, 10000))
      ->capture_default_str();
  app.add_option("--distance-draws", flags.options.distance.draws,
                 "draws of (picture, t, noise) in each tenth of the timesteps, for the noise distance; 0: it is not measured")
      ->check(whole(0, 100000))
      ->capture_default_str();
}

}  // namespace

void add_personalize(CLI::App& app) {
  auto flags = std::make_shared<PersonalizeFlags>();
  PersonalizeOptions& o = flags->options;
  app.add_option("--images", o.images, "folder with three to six pictures of the subject, or in the style")->type_name("DIR");
  app.add_option("--class", flags->noun, "what the model knows such subjects by: dog, \"toy car\"")->type_name("NOUN");
  app.add_flag("--style", flags->style, "learn a style instead of a subject");
  app.add_option("--word", flags->word,
                 "the subject's new word (default: <dog-1> for dog); with --style, the words that captions name it with")
      ->type_name("WORD");
  app.add_option("--model", o.model, "base model folder, or ORG/NAME of the hub")->type_name("DIR");
  app.add_option("--out", o.out, "folder for all that is made; the same command goes on with it")->required()->type_name("DIR");
  app.add_option("--captions", o.captions,
                 "JSON lines or CSV with file_name and text; plain: one short caption for all (default: those beside the pictures)")
      ->type_name("FILE");
  add_looking(app, *flags);
  app.add_option("--merge", flags->merge,
                 "instead of training: two folders of this command, a subject's and a style's; their LoRAs added and zipped, compared")
      ->expected(2)
      ->type_name("DIR");
  app.add_option("--zip-steps", flags->merging.zip.steps, "merge: steps of ZipLoRA")->check(whole(0, 1'000'000))->capture_default_str();
  app.add_option("--zip-learning-rate", flags->merging.zip.learning_rate, "merge: of ZipLoRA's coefficients")
      ->check(number(0, 10))
      ->capture_default_str();
  app.add_option("KEY=VALUE", o.overrides,
                 "settings of the training over those of the preset dco-subject or dco-style: train.steps=500 objective.beta=2000");
  app.add_option("--threads", flags->threads, "0: as many as there are cores")->capture_default_str()->check(a_thread_count());
  app.add_flag("--json", flags->json, "one JSON object on stdout");
  app.footer(
      "Captions say what each picture shows besides the subject (view, pose, background, lighting, style), so that the new word need not "
      "mean it.\n"
      "Without any a template is written to OUT/captions.jsonl, to be completed. Training is Direct Consistency Optimization (arXiv "
      "2402.12004);\n"
      "sample.steps and sample.guidance_scale hold for the pictures. OUT/ gets run/ (LoRA, new word), samples/, grid.png, evaluation.json, "
      "report.html.\n"
      "Examples:\n  palate personalize --images photos/rex --class dog --model models/sdxl --out runs/rex\n"
      "  palate personalize --images drawings --style --word \"flat cartoon illustration\" --model models/sdxl --out runs/flat\n"
      "  palate personalize --merge runs/rex runs/flat --out runs/rex-flat");
  app.callback([flags] { run(*flags); });
}

}  // namespace palate
