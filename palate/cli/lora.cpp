// palate lora: LoRA files inspected, converted, verified, merged, zipped, resized.
#include <CLI/CLI.hpp>
#include <algorithm>

#include "palate/cli/command.h"
#include "palate/cli/flag_checks.h"
#include "palate/cli/lora_commands.h"
#include "palate/core/device.h"
#include "palate/core/error.h"

namespace palate {
namespace {

struct Action {
  const char* name;
  size_t least, most;  // files it takes
  const char* files;
  std::vector<std::string> flags, needed;
  void (*run)(const LoraArguments& given);
};

const std::vector<Action>& actions() {
  static const std::vector<Action> all = {
      {"inspect", 1, 1, "one file", {"--model", "--json"}, {}, inspect_lora},
      {"convert", 2, 2, "IN and OUT", {"--to", "--model", "--only"}, {"--to"}, convert_lora},
      {"verify", 1, 1, "one file", {"--model", "--against"}, {"--model"}, verify_lora},
      {"merge", 1, 64, "one file or more", {"--out", "--rank", "--exact", "--model", "--to"}, {"--out"}, merge_loras},
      {"zip",
       2,
       2,
       "CONTENT and STYLE",
       {"--out", "--model", "--to", "--content-prompt", "--style-prompt", "--steps", "--learning-rate", "--penalty", "--pictures",
        "--sample-steps", "--seed", "--threads"},
       {"--out", "--model", "--content-prompt", "--style-prompt"},
       zip_lora_files},
      {"resize", 1, 1, "one file", {"--out", "--rank", "--keep", "--model", "--to"}, {"--out"}, resize_lora_file},
  };
  return all;
}

std::vector<std::string> action_names() {
  std::vector<std::string> names;
  for (const auto& action : actions()) names.push_back(action.name);
  return names;
}

// No flag is passed over: what an action does not know is refused, and what it needs is asked for.
void check_flags(const CLI::App& app, const Action& action) {
  for (const auto* option : app.get_options()) {
    if (option->get_lnames().empty() || option->count() == 0) continue;
    const std::string name = "--" + option->get_lnames()[0];
    if (name == "--quiet" || name == "--verbose" || name == "--help") continue;
    check<UsageError>(std::find(action.flags.begin(), action.flags.end(), name) != action.flags.end(), "lora ", action.name,
                      " has no flag ", name, ": it takes ", one_of(action.flags));
  }
  for (const auto& name : action.needed)
    check<UsageError>(app.get_option(name)->count() > 0, "lora ", action.name, " needs ", name, "; palate lora --help shows how");
}

// "merge, resize: at most this rank": those that have the flag said it already.
std::string without_actions(const std::string& text) {
  const size_t colon = text.find(": ");
  if (colon == std::string::npos) return text;
  for (const auto& action : actions()) {
    if (text.starts_with(action.name)) return text.substr(colon + 2);
  }
  return text;
}

void run(const CLI::App& app, const LoraArguments& given) {
  for (const auto& action : actions()) {
    if (given.action != action.name) continue;
    check<UsageError>(given.inputs.size() >= action.least && given.inputs.size() <= action.most, "lora ", action.name, " takes ",
                      action.files, ", found ", given.inputs.size());
    check_flags(app, action);
    set_threads(given.threads);
    return action.run(given);
  }
  fail<UsageError>("lora ", given.action, ": expected ", one_of(action_names()), did_you_mean(given.action, action_names()));
}

}  // namespace

void narrow_lora_help(CLI::App& app, const std::vector<std::string>& words) {
  const auto asked =
      std::find_if(actions().begin(), actions().end(), [&](const Action& action) { return words.size() > 1 && words[1] == action.name; });
  if (asked == actions().end()) return;
  for (auto* option : app.get_options()) {
    if (option->get_lnames().empty()) continue;
    const std::string name = "--" + option->get_lnames()[0];
    const bool shared = name == "--help" || name == "--quiet" || name == "--verbose";
    if (!shared && std::find(asked->flags.begin(), asked->flags.end(), name) == asked->flags.end())
      option->group("");
    else
      option->description(without_actions(option->get_description()));
  }
}

void add_lora(CLI::App& app) {
  auto given = std::make_shared<LoraArguments>();
  LoraArguments& g = *given;
  app.add_option("action", g.action, "inspect, convert, verify, merge, zip or resize")->required()->type_name("ACTION");
  app.add_option("files", g.inputs, "LoRA files or folders, as the action takes them")->required()->type_name("FILE[:WEIGHT]");
  app.add_option("--to", g.to, "diffusers, peft (a folder), kohya, or kohya-sgm (SDXL as kohya's trainer names it)")->type_name("SPELLING");
  app.add_option("--model", g.model, "model folder in diffusers' layout: its layers' names and shapes decide")->type_name("DIR");
  app.add_option("--out", g.out, "file to write; merge into a model: folder to write")->type_name("FILE");
  app.add_option("--only", g.only, "convert: this component alone (unet, text_encoder, text_encoder_2)")->type_name("COMPONENT");
  app.add_option("--against", g.against, "verify: another file that should hold the same updates")->type_name("FILE");
  app.add_option("--rank", g.rank, "merge, resize: at most this rank, by SVD of each layer's update")->check(whole(1, 4096));
  app.add_flag("--exact", g.exact, "merge: halves side by side, so the ranks add up and nothing is lost");
  app.add_option("--keep", g.keep, "resize: share of each layer's squared norm to keep, which picks its rank")->check(number(0, 1));
  app.add_option("--content-prompt", g.content_prompt, "zip: what CONTENT was trained with")->type_name("TEXT");
  app.add_option("--style-prompt", g.style_prompt, "zip: what STYLE was trained with")->type_name("TEXT");
  app.add_option("--steps", g.zip.steps, "zip: steps of the optimiser")->capture_default_str()->check(whole(0, 1'000'000));
  app.add_option("--learning-rate", g.zip.learning_rate, "zip: of the coefficients")->capture_default_str()->check(number(0, 10));
  app.add_option("--penalty", g.zip.penalty, "zip: lambda on mean |m1 * m2|")->capture_default_str()->check(number(0, 1e6));
  app.add_option("--pictures", g.pictures.count, "zip: pictures of each LoRA's own that it is tuned on")
      ->capture_default_str()
      ->check(whole(1, 1024));
  app.add_option("--sample-steps", g.pictures.sample_steps, "zip: sampling steps of these")->capture_default_str()->check(whole(1, 1000));
  app.add_option("--seed", g.pictures.seed, "zip: of pictures, noise and time steps")->capture_default_str()->check(a_seed());
  app.add_option("--threads", g.threads, "zip: 0: as many as there are cores")->capture_default_str()->check(a_thread_count());
  app.add_flag("--json", g.json, "inspect: one JSON object instead of lines");
  app.footer(
      "Actions (palate lora ACTION --help shows one's flags alone):\n"
      "  palate lora inspect FILE [--model DIR] [--json]\n"
      "  palate lora convert IN OUT --to diffusers|peft|kohya [--model DIR]\n"
      "  palate lora verify FILE --model DIR [--against FILE]\n"
      "  palate lora merge A[:W] B[:W] --out FILE [--rank R | --exact]\n"
      "  palate lora merge A[:W] ... --model DIR --out FOLDER\n"
      "  palate lora zip CONTENT STYLE --model DIR --content-prompt TEXT --style-prompt TEXT --out FILE\n"
      "  palate lora resize FILE --out FILE [--rank R] [--keep SHARE]\n"
      "Every spelling is read (diffusers with and without metadata, peft, kohya with either block names, older diffusers; DoRA, LoCon).\n"
      "What is written is read again and every delta-W compared; a key without a home is an error that names it.\n"
      "Example:\n  palate lora convert runs/dpo/pytorch_lora_weights.safetensors dpo.safetensors --to kohya");
  app.callback([given, &app] { run(app, *given); });
}

}  // namespace palate
