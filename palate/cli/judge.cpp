// palate judge: pictures that are there already, with their prompts, to scores.
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "palate/cli/command.h"
#include "palate/cli/flag_checks.h"
#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/eval/scoring.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

struct JudgeFlags {
  std::string pictures, out;
  std::vector<std::string> judges = {"oracle"};
  int64_t batch = 8, threads = 0;
  bool json = false;
};

Json summary(const PictureSet& pictures, const Judges& judges, const std::vector<Scores>& scores, const fs::path& file) {
  const auto prompts = pictures.prompts();
  Json all = {
      {"pictures", prompts.size()}, {"prompts", std::set<std::string>(prompts.begin(), prompts.end()).size()}, {"scores", file.string()}};
  for (size_t j = 0; j < judges.size(); ++j) {
    Json judge = to_json(*judges[j]);
    judge["means"] = mean_scores(scores[j]);
    all["judges"].push_back(judge);
  }
  return all;
}

void print(const Json& summary) {
  std::printf("%s pictures of %s prompts: %s\n", summary["pictures"].dump().c_str(), summary["prompts"].dump().c_str(),
              summary["scores"].get<std::string>().c_str());
  for (const auto& judge : summary["judges"]) {
    for (const auto& [name, mean] : judge["means"].items()) {
      if (std::isnan(mean.get<double>())) continue;  // no prompt asks for it
      std::printf("%-12s %-12s %.3f\n", judge["name"].get<std::string>().c_str(), name.c_str(), mean.get<double>());
    }
  }
}

void run(const JudgeFlags& flags) {
  set_threads(flags.threads);
  const Judges judges = make_judges(flags.judges);
  const PictureSet pictures = read_pictures(flags.pictures);
  const fs::path file = flags.out.empty() ? pictures.folder / "scores.jsonl" : fs::path(flags.out);
  check_parent(file);
  const auto scores = score_pictures(pictures, judges, flags.batch);
  write_scores(file, pictures, judges, scores);
  const Json result = summary(pictures, judges, scores, file);
  if (flags.json) {
    std::printf("%s\n", result.dump().c_str());
  } else {
    print(result);
  }
}

}  // namespace

void add_judge(CLI::App& app) {
  auto flags = std::make_shared<JudgeFlags>();
  app.add_option("PICTURES", flags->pictures, "manifest.jsonl, or a folder that holds it, metadata.jsonl, or a caption beside each picture")
      ->required()
      ->type_name("PATH");
  app.add_option("--judge", flags->judges, "what scores the pictures, repeatable: " + one_of(judge_names()))
      ->type_name("NAME")
      ->allow_extra_args(false)
      ->capture_default_str();
  app.add_option("--batch", flags->batch, "pictures at once; changes no score but for rounding")
      ->check(whole(1, 4096))
      ->capture_default_str();
  app.add_option("--threads", flags->threads, "0: as many as there are cores")->check(a_thread_count())->capture_default_str();
  app.add_option("--out", flags->out, "file to write (default: scores.jsonl beside the pictures)")->type_name("FILE");
  app.add_flag("--json", flags->json, "means and counts as one JSON object on stdout");
  app.footer(
      "Writes one line for each picture and judge: what the picture is, the judge's name and identity, the total, the parts. A file that "
      "is\n"
      "there already is replaced.\n"
      "Example:\n  palate sample --model assets/base --prompt \"a big red circle on a white background\" --count 4 --out pictures\n"
      "  palate judge pictures");
  app.callback([flags] { run(*flags); });
}

}  // namespace palate
