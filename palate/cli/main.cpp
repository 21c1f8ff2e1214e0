// palate: the table of commands, and what an error looks like.
#include <c10/util/Exception.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <algorithm>
#include <exception>
#include <new>

#include "palate/cli/command.h"
#include "palate/core/error.h"
#include "palate/core/log.h"

namespace {

struct Command {
  const char* name;
  const char* summary;
  void (*add)(CLI::App& app);
};

constexpr Command commands[] = {
    {"demo", "the whole job on the embedded world: preferences in, aligned model and report out", palate::add_demo},
    {"train", "align a model with preferences", palate::add_train},
    {"sample", "make pictures from prompts", palate::add_sample},
    {"eval", "compare two models or two sets of pictures blindly: win rates with intervals", palate::add_eval},
    {"report", "run folders to one self-contained HTML page", palate::add_report},
    {"world", "the embedded world: scenes, captions, labelled pairs", palate::add_world},
    {"pretrain", "train a base model from nothing (how assets/base was made)", palate::add_pretrain},
    {"forward", "run one component of a model on given tensors", palate::add_forward},
    {"step", "evaluate one objective on given tensors: loss, errors, gradients", palate::add_step},
    {"inspect", "say what a model folder, a weights file or a run holds", palate::add_inspect},
    {"list", "names of losses, error spaces, presets, models, samplers", palate::add_list},
    {"bench", "time a training step, encoding or sampling, as JSON", palate::add_bench},
    {"env", "versions, processor, memory, devices", palate::add_env},
};

int failed(const std::string& message, int status) {
  std::fprintf(stderr, "palate: %s\n", message.c_str());
  return status;
}

// CLI11 would only say that a subcommand is required.
void refuse_unknown_command(int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return;
  std::vector<std::string> known;
  for (const auto& command : commands) known.push_back(command.name);
  const std::string given = argv[1];
  palate::check<palate::UsageError>(std::find(known.begin(), known.end(), given) != known.end(), "unknown command '", given, "'", palate::did_you_mean(given, known),
                                    "; palate --help lists them");
}

int run(int argc, char** argv) {
  CLI::App app("Teach a diffusion model taste: preferences in, an aligned model out, with the evidence.", "palate");
  app.require_subcommand(1);
  app.set_version_flag("--version", PALATE_VERSION);
  app.get_formatter()->column_width(34);
  for (const auto& command : commands) {
    CLI::App* sub = app.add_subcommand(command.name, command.summary);
    sub->add_flag_callback("-q,--quiet", [] { palate::set_log_level(palate::LogLevel::quiet); }, "warnings only");
    sub->add_flag_callback("-v,--verbose", [] { palate::set_log_level(palate::LogLevel::verbose); }, "details too");
    command.add(*sub);
  }
  refuse_unknown_command(argc, argv);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const palate::Error& error) {
    return failed(error.what(), error.exit_status());
  } catch (const c10::Error& error) {
    return failed(std::string("libtorch failed: ") + error.what_without_backtrace(), 1);
  } catch (const std::bad_alloc&) {
    return failed("out of memory: a smaller batch or resolution, bf16 or gradient checkpointing needs less", 1);
  } catch (const std::exception& error) {
    return failed(error.what(), 1);
  }
}
