// The actions of palate lora: inspect, convert, verify, merge, resize, zip.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "palate/adapters/lora_check.h"
#include "palate/adapters/lora_merge.h"
#include "palate/cli/flag_checks.h"
#include "palate/cli/lora_commands.h"
#include "palate/cli/lora_flags.h"
#include "palate/core/error.h"
#include "palate/core/log.h"
#include "palate/core/progress.h"
#include "palate/hub/model_path.h"

namespace palate {
namespace {

// The layers of --model, if it was given.
class Layers {
 public:
  explicit Layers(const LoraArguments& given) {
    if (!given.model.empty()) layers_ = read_model_layers(model_path(given.model));
  }
  operator const ModelLayers*() const { return layers_ ? &*layers_ : nullptr; }

 private:
  std::optional<ModelLayers> layers_;
};

LoraSpelling spelling_of(const LoraArguments& given) { return given.to.empty() ? LoraSpelling::diffusers : parse_lora_spelling(given.to); }

std::string counted(const Json& counts) {
  std::string text;
  for (const auto& [value, count] : counts.items()) text += concat(text.empty() ? "" : ", ", value, " (", count.get<int64_t>(), ")");
  return text;
}

void lora_line(const std::string& name, const std::string& value) { std::printf("%-18s %s\n", name.c_str(), value.c_str()); }

void print_lora(const Json& out) {
  lora_line("file", out["file"].get<std::string>());
  lora_line("spelling", out["spelling"].get<std::string>());
  for (const auto& [component, part] : out["components"].items()) {
    std::string dtypes;
    for (const auto& dtype : part["dtypes"]) dtypes += (dtypes.empty() ? "" : ", ") + dtype.get<std::string>();
    lora_line(component, concat(part["layers"].get<int64_t>(), " layers, ", dtypes, "; rank ", counted(part["ranks"]), "; alpha ",
                                counted(part["alphas"])));
    if (part.contains("dora_layers")) lora_line("", concat("DoRA on ", part["dora_layers"].get<int64_t>(), " layers"));
    lora_line("", concat("|delta-W| ", part["delta_norm"].get<double>(), part.contains("dora_layers") ? " before DoRA's magnitudes" : ""));
  }
  for (const auto& key : out["homeless"]) lora_line("no home", key.get<std::string>());
}

}  // namespace

void inspect_lora(const LoraArguments& given) {
  const Json out = describe_lora(read_lora(given.inputs[0], Layers(given)));
  if (given.json)
    std::printf("%s\n", out.dump().c_str());
  else
    print_lora(out);
}

void convert_lora(const LoraArguments& given) {
  const LoraSpelling spelling = parse_lora_spelling(given.to);
  check_parent(given.inputs[1]);
  const Layers layers(given);
  LoraFile lora = read_whole_lora(given.inputs[0], layers);
  if (!given.only.empty()) {
    check<UsageError>(lora.components.contains(given.only), "--only ", given.only, ": ", given.inputs[0], " holds ", count_layers(lora));
    std::erase_if(lora.components, [&](const auto& part) { return part.first != given.only; });
  }
  write_checked_lora(given.inputs[1], lora, spelling, layers);
}

void verify_lora(const LoraArguments& given) {
  const ModelLayers layers = read_model_layers(model_path(given.model));
  const LoraFile lora = read_lora(given.inputs[0], &layers);
  for (const auto& key : lora.homeless) lora_line("no home", key);
  verify_lora(lora, layers, given.model);
  if (!given.against.empty()) {
    std::string worst;
    const double error = compare_loras(lora, read_whole_lora(given.against, &layers), &worst);
    check(error <= 1e-6, given.inputs[0], ": delta-W of ", worst, " differs from ", given.against, " by ", error, " (relative)");
    std::printf("against            %s: largest relative difference of a delta-W %.2g\n", given.against.c_str(), error);
  }
  std::printf("verified           %s: %s layers, every key has a home in %s, every delta-W is finite and the same in %zu spellings\n",
              given.inputs[0].c_str(), count_layers(lora).c_str(), given.model.c_str(), spellings_for(lora).size());
}

void merge_loras(const LoraArguments& given) {
  check<UsageError>(!(given.exact && given.rank > 0), "lora merge: --exact and --rank are two ways to do it: keep one");
  check_parent(given.out);
  const Layers layers(given);
  std::vector<WeightedLora> loras;
  for (const auto& text : given.inputs) {
    const LoraChoice choice = parse_lora_flag(text, "lora merge");
    loras.push_back({read_whole_lora(choice.file, layers), choice.weight});
  }
  if (!given.model.empty() && !given.exact && given.rank == 0) {
    check<UsageError>(given.to.empty(), "lora merge into a model writes a folder, which has no spelling: leave --to out");
    const int64_t changed = merge_into_model(model_path(given.model), given.out, loras);
    log_info(given.out, ": ", given.model, " with ", changed, " weights changed");
    return;
  }
  LoraFile merged = concatenate_loras(loras);
  if (given.rank > 0) {
    double lost = 0;
    merged = resize_lora(merged, {.rank = given.rank}, &lost);
    log_info("rank ", given.rank, ": ", 100 * lost, "% of the sum's norm is left out");
  }
  write_checked_lora(given.out, merged, spelling_of(given), layers);
}

void resize_lora_file(const LoraArguments& given) {
  check<UsageError>(given.rank > 0 || given.keep < 1, "lora resize needs --rank R, --keep SHARE or both");
  check_parent(given.out);
  const Layers layers(given);
  const LoraFile lora = read_whole_lora(given.inputs[0], layers);
  double lost = 0;
  const LoraFile small = resize_lora(lora, {.rank = given.rank, .keep = given.keep}, &lost);
  log_info(100 * lost, "% of the update's norm is left out");
  write_checked_lora(given.out, small, spelling_of(given), layers);
}

void zip_lora_files(const LoraArguments& given) {
  const LoraSpelling spelling = spelling_of(given);
  check_parent(given.out);
  const Layers layers(given);
  const ZipSubject content{read_whole_lora(given.inputs[0], layers), given.content_prompt},
      style{read_whole_lora(given.inputs[1], layers), given.style_prompt};
  Pipeline pipeline(given.model);
  std::optional<Progress> progress;  // after those of the pictures
  ZipLoss start, last;
  const LoraFile zipped = zip_loras(pipeline, content, style, given.zip, given.pictures, [&](int64_t step, const ZipLoss& loss) {
    if (step == 0) start = loss;
    last = loss;
    if (!progress) progress.emplace("zip", given.zip.steps);
    progress->advance(1, concat("overlap ", loss.overlap));
  });
  if (progress) progress->finish();
  log_info("zip: content ", start.content, " to ", last.content, ", style ", start.style, " to ", last.style, ", overlap ", start.overlap,
           " to ", last.overlap, " in ", given.zip.steps, " steps");
  write_checked_lora(given.out, zipped, spelling, layers);
}

}  // namespace palate
