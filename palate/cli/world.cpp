#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "palate/cli/command.h"
#include "palate/cli/flag_checks.h"
#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/io/atomic_file.h"
#include "palate/pretrain/pairs.h"
#include "palate/world/dataset.h"
#include "palate/world/subject.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

struct WorldFlags {
  std::string out, base = asset("base");
  int64_t scenes = 100, subject = 0, style = 0, seed = 0, threads = 0;
  bool pairs = false, json = false;
  world::PairOptions options;
};

void run(WorldFlags flags) {
  set_threads(flags.threads);
  const fs::path out = flags.out;
  check<UsageError>(flags.scenes + flags.subject + flags.style > 0 || flags.pairs,
                    "world: --scenes 0 without --pairs, --subject or --style makes nothing: give one of them");
  check_new_folder(out);
  std::optional<Pipeline> base;
  if (flags.pairs) base.emplace(flags.base);  // a model that is not there is said before anything is made
  make_folder(out);
  Json result;
  if (flags.scenes > 0) result["scenes"] = world::write_scenes(out, flags.scenes, static_cast<uint64_t>(flags.seed));
  if (flags.subject > 0) result["subject"] = world::write_subject(out / "subject", flags.subject, static_cast<uint64_t>(flags.seed));
  if (flags.style > 0) result["style"] = world::write_style(out / "style", flags.style, static_cast<uint64_t>(flags.seed));
  if (flags.pairs) {
    flags.options.seed = static_cast<uint64_t>(flags.seed);
    result["pairs"] = world::make_pairs(*base, flags.options, out / "pairs.parquet");
  }
  if (flags.json) {
    std::printf("%s\n", result.dump().c_str());
    return;
  }
  for (const auto& [part, numbers] : result.items()) {
    std::printf("%s", part.c_str());
    for (const auto& [name, value] : numbers.items()) std::printf("  %s %s", name.c_str(), value.dump().c_str());
    std::printf("\n");
  }
}

}  // namespace

void add_world(CLI::App& app) {
  auto flags = std::make_shared<WorldFlags>();
  app.add_option("--out", flags->out, "folder to write; must be empty or missing")->required();
  app.add_option("--scenes", flags->scenes, "pictures as the base was trained on, with captions; 0: none")
      ->capture_default_str()
      ->check(whole(0, 10'000'000));
  app.add_option_function<int64_t>(
         "--pairs", [flags](int64_t count) { flags->pairs = count > 0, flags->options.prompts = count; },
         "prompts to sample preference pairs for, with a simulated person's choice")
      ->check(whole(0, 1'000'000'000));
  app.add_option("--subject", flags->subject,
                 "pictures of a thing that the base has never seen, for palate personalize: a ring with another colour in it")
      ->check(whole(0, 100'000));
  app.add_option("--style", flags->style, "pictures in a look that it has never seen: diagonal bands")->check(whole(0, 100'000));
  app.add_option("--base", flags->base, "model that the pairs are sampled from (default: the shipped one)");
  app.add_option("--pictures", flags->options.pictures, "pictures of each prompt, of which the best and the worst make the pair")
      ->capture_default_str()
      ->check(whole(2, 1000));
  app.add_option("--steps", flags->options.steps, "sampling steps")->capture_default_str()->check(whole(1, 1'000'000));
  app.add_option("--guidance-scale", flags->options.guidance_scale, "classifier-free guidance; 1 is none")
      ->capture_default_str()
      ->check(number(-1000, 1000));
  app.add_option("--noise", flags->options.noise, "scale of the person's Gumbel noise on the oracle's reward")
      ->capture_default_str()
      ->check(number(0, 1000));
  app.add_option("--min-gap", flags->options.min_gap, "a person who sees less difference than this skips the prompt")
      ->capture_default_str()
      ->check(number(0, 1000));
  app.add_option("--batch", flags->options.batch, "pictures at once")->capture_default_str()->check(whole(1, 4096));
  app.add_option("--seed", flags->seed, "another seed gives other scenes and pairs")->capture_default_str()->check(a_seed());
  app.add_option("--threads", flags->threads, "0: as many as there are cores")->capture_default_str()->check(a_thread_count());
  app.add_flag("--json", flags->json, "one JSON object on stdout");
  app.footer(
      "Writes scenes/*.png with scenes/metadata.jsonl, sheet.png, and, with --pairs, pairs.parquet in the form of Pick-a-Pic;\n"
      "with --subject and --style, folders of these names, pictures with metadata.jsonl.\n"
      "Example:\n  palate world --out runs/world --pairs 500");
  app.callback([flags] { run(*flags); });
}

}  // namespace palate
