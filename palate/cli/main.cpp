// palate: the table of commands, and what an error looks like.
#include <c10/util/Exception.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <new>

#include "palate/cli/command.h"
#include "palate/cli/parse_error.h"
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
    {"personalize", "teach a model a subject or a style from a few pictures, and see what it learned", palate::add_personalize},
    {"sample", "make pictures from prompts", palate::add_sample},
    {"eval", "compare two models or two sets of pictures blindly: win rates with intervals", palate::add_eval},
    {"compare", "methods x seeds under equal compute, each tuned under one budget, in one table", palate::add_compare},
    {"judge", "score pictures against their prompts", palate::add_judge},
    {"report", "run folders to one self-contained HTML page", palate::add_report},
    {"world", "the embedded world: scenes, captions, labelled pairs", palate::add_world},
    {"pretrain", "train a base model from nothing (how assets/base was made)", palate::add_pretrain},
    {"forward", "run one component of a model on given tensors", palate::add_forward},
    {"step", "evaluate one objective on given tensors: loss, errors, gradients", palate::add_step},
    {"lora", "LoRA files: inspect, convert, verify, merge, zip, resize", palate::add_lora},
    {"inspect", "say what a model folder, a weights file or a run holds", palate::add_inspect},
    {"convert", "a model from a single file to a diffusers folder, or back", palate::add_convert},
    {"pull", "a model or data set of the Hugging Face hub into the local cache", palate::add_pull},
    {"list", "names of losses, error spaces, timestep policies, references, presets, judges, models, samplers, keys", palate::add_list},
    {"explain", "what a preset or a loss minimises: formula, constants, sources, known pitfalls", palate::add_explain},
    {"bench", "time a training step, encoding or sampling, as JSON", palate::add_bench},
    {"env", "versions, processor, memory, devices", palate::add_env},
};

// Each line, without the middle of what a file of strangers may hold in it (a key of a megabyte).
std::string shown(const std::string& message) {
  constexpr size_t longest = 2000, kept = 400;
  std::string text;
  for (size_t start = 0; start <= message.size();) {
    const size_t end = std::min(message.find('\n', start), message.size());
    const std::string line = message.substr(start, end - start);
    text += (start > 0 ? "\n" : "") + (line.size() <= longest ? line : line.substr(0, kept) + " ... " + line.substr(line.size() - kept));
    start = end + 1;
  }
  return text;
}

int failed(const std::string& message, int status) {
  std::fprintf(stderr, "palate: %s\n", shown(message).c_str());
  return status;
}

std::vector<std::string> command_names() {
  std::vector<std::string> names;
  for (const auto& command : commands) names.push_back(command.name);
  return names;
}

// CLI11 would only say that a subcommand is required.
void refuse_unknown_command(const std::string& given) {
  const auto known = command_names();
  palate::check<palate::UsageError>(!given.empty(), "expected a command: ", palate::one_of(known), "; palate --help says what each does");
  if (given.starts_with('-')) return;
  palate::check<palate::UsageError>(std::find(known.begin(), known.end(), given) != known.end(), "unknown command '", given, "'",
                                    palate::did_you_mean(given, known), "; palate --help lists them");
}

// Before CLI11 looks at what is missing: a flag that is misspelt is the likelier reason.
void refuse_unknown_flag(const CLI::App& command, const std::vector<std::string>& words) {
  for (const auto& word : words) {
    if (word == "--") return;
    const std::string name = word.substr(0, word.find('='));
    if (!name.starts_with("--") || name.find('.') != std::string::npos || command.get_option_no_throw(name)) continue;
    std::vector<std::string> known;
    for (const auto* option : command.get_options()) {
      for (const auto& flag : option->get_lnames()) known.push_back("--" + flag);
    }
    palate::fail<palate::UsageError>(command.get_name(), ": unknown flag '", name, "'", palate::did_you_mean(name, known), "; palate ",
                                     command.get_name(), " --help lists them");
  }
}

// A shell expands ~ at the start of a word only, not in --out=~/runs or data.cache=~/cache.
std::string with_home(std::string word) {
  const char* home = std::getenv("HOME");
  const size_t at = word.find("=~/");
  if (home && at != std::string::npos && word.find(' ') > at) word.replace(at + 1, 1, home);
  return word;
}

// palate help, palate help VERB: as people ask git.
std::vector<std::string> without_help(std::vector<std::string> words) {
  if (words.empty() || words[0] != "help") return words;
  words.erase(words.begin());
  words.emplace_back("--help");
  return words;
}

// A result that could not be printed was not given.
int finished() {
  errno = 0;
  if (std::fflush(stdout) == 0 && !std::ferror(stdout)) return 0;
  return failed(std::string("standard output cannot be written: ") + std::strerror(errno ? errno : EIO), 1);
}

bool out_of_memory(const std::string& text) {
  return text.find("allocate memory") != std::string::npos || text.find("Storage size calculation overflowed") != std::string::npos;
}

constexpr const char* needs_less = "out of memory: a smaller batch or resolution, bf16 or gradient checkpointing needs less";

int run(int argc, char** argv) {
  CLI::App app("Teach a diffusion model taste: preferences in, an aligned model out, with the evidence.", "palate");
  app.require_subcommand(1);
  app.set_version_flag("--version", PALATE_VERSION);
  app.get_formatter()->column_width(34);
  for (const auto& command : commands) {
    CLI::App* sub = app.add_subcommand(command.name, command.summary);
    sub->add_flag_callback(
        "-q,--quiet", [] { palate::set_log_level(palate::LogLevel::quiet); }, "warnings only");
    sub->add_flag_callback(
        "-v,--verbose", [] { palate::set_log_level(palate::LogLevel::verbose); }, "details too");
    command.add(*sub);
  }
  std::vector<std::string> words;
  for (int i = 1; i < argc; ++i) words.push_back(with_home(argv[i]));
  // The flags that every command has may stand before it, too.
  const auto at = std::find_if_not(words.begin(), words.end(), [](const std::string& word) {
    return word == "-q" || word == "-v" || word == "--quiet" || word == "--verbose";
  });
  if (at != words.end()) std::rotate(words.begin(), at, at + 1);
  words = without_help(std::move(words));
  const std::string name = words.empty() ? "" : words[0];
  refuse_unknown_command(name);
  if (name == "lora") palate::narrow_lora_help(*app.get_subcommand(name), words);
  if (name == "train") words = palate::fold_foreign_flags(words);
  const bool command = !name.starts_with('-');
  if (command) refuse_unknown_flag(*app.get_subcommand(name), {words.begin() + 1, words.end()});
  try {
    std::reverse(words.begin(), words.end());  // as CLI11 takes them
    app.parse(words);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error) == 0 ? finished() : 2;
    return failed(palate::parse_error(command ? name : "", error, app.remaining(true)), 2);
  }
  return finished();
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of that write, not the end of the program
  try {
    return run(argc, argv);
  } catch (const palate::Error& error) {
    return failed(error.what(), error.exit_status());
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    return failed(out_of_memory(text) ? palate::concat(needs_less, " (", text, ")") : "libtorch failed: " + text, 1);
  } catch (const std::filesystem::filesystem_error& error) {
    return failed(palate::concat(error.path1().string(), ": ", error.code().message()), 1);
  } catch (const std::bad_alloc&) {
    return failed(needs_less, 1);
  } catch (const std::exception& error) {
    return failed(error.what(), 1);
  }
}
