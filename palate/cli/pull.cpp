// palate pull: a repository of the Hugging Face hub into the local cache.
#include "palate/hub/pull.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "palate/cli/command.h"
#include "palate/cli/flag_checks.h"
#include "palate/core/error.h"
#include "palate/hub/environment.h"

namespace palate {
namespace {

struct PullFlags {
  std::string name, revision, type = "model";
  PullOptions options;
  bool json = false;
};

void run_pull(PullFlags& flags) {
  PullOptions& options = flags.options;
  options.at = parse_repo(flags.name, flags.type == "model" ? RepoType::model : RepoType::dataset);
  if (!flags.revision.empty()) {
    check<UsageError>(flags.name.find('@') == std::string::npos, flags.name, ": names a revision, and --revision another: keep one");
    options.at = parse_repo(flags.name + "@" + flags.revision, options.at.repo.type);
  }
  const Pulled done = hub_offline() ? pull_offline(hub_cache(), options) : pull(hub_cache(), {hub_endpoint(), hub_token()}, options);
  if (flags.json) {
    const Json line = {{"snapshot", done.snapshot.string()},
                       {"commit", done.commit},
                       {"files", done.files},
                       {"bytes", done.bytes},
                       {"fetched", done.fetched}};
    std::printf("%s\n", line.dump().c_str());
  } else {
    std::printf("%s\n", done.snapshot.c_str());
  }
}

}  // namespace

void add_pull(CLI::App& app) {
  auto flags = std::make_shared<PullFlags>();
  app.add_option("name", flags->name, "repository, with a branch, tag or commit if wanted")->required()->type_name("ORG/NAME[@REVISION]");
  app.add_option("--revision", flags->revision, "the branch, tag or commit by a flag (default: main)")->type_name("REVISION");
  app.add_option("--variant", flags->options.choose.variant, "of the weights, where a folder has it: fp16 takes *.fp16.safetensors")
      ->type_name("NAME");
  app.add_option("--include", flags->options.choose.include, "only files that match the glob, in place of what a model needs; repeatable")
      ->type_name("GLOB")
      ->allow_extra_args(false);
  app.add_option("--exclude", flags->options.choose.exclude, "no files that match the glob; repeatable")
      ->type_name("GLOB")
      ->allow_extra_args(false);
  app.add_option("--repo-type", flags->type, "model or dataset")
      ->check(CLI::IsMember({"model", "dataset"}))
      ->type_name("TYPE")
      ->capture_default_str();
  app.add_option("--jobs", flags->options.jobs, "files fetched at once")->check(whole(1, 64))->capture_default_str();
  app.add_flag("--json", flags->json, "one JSON object instead of the snapshot's folder");
  app.footer(
      "Fetches what a model needs (configs, vocabularies, weights once: safetensors rather than .bin) into the cache that\n"
      "huggingface_hub, diffusers and transformers use too, and prints the snapshot's folder. Wherever palate takes a model\n"
      "folder it then takes ORG/NAME or ORG/NAME@REVISION, without a network. What was broken off goes on where it stopped.\n"
      "Environment: HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN (or the file $HF_HOME/token), HF_HUB_OFFLINE=1, HTTPS_PROXY.\n"
      "Examples:\n"
      "  palate pull stable-diffusion-v1-5/stable-diffusion-v1-5 --exclude 'safety_checker/*'\n"
      "  palate pull stabilityai/stable-diffusion-xl-base-1.0 --variant fp16\n"
      "  palate pull --repo-type dataset yuvalkirstain/pickapic_v2 --include 'data/validation_unique-*'");
  app.callback([flags] { run_pull(*flags); });
}

}  // namespace palate
