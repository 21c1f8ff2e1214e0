// palate lora merge and resize.
#include "palate/adapters/lora_merge.h"
#include "palate/cli/flag_checks.h"
#include "palate/cli/lora_commands.h"
#include "palate/cli/lora_flags.h"
#include "palate/core/error.h"
#include "palate/core/log.h"
#include "palate/hub/model_path.h"

namespace palate {
void merge_loras(const LoraArguments& given) {
  check<UsageError>(!(given.exact && given.rank > 0), "lora merge: --exact and --rank are two ways to do it: keep one");
  const auto layers = given.layers();
  std::vector<WeightedLora> loras;
  for (const auto& text : given.inputs) {
    const LoraFlag flag = parse_lora_flag(text, "lora merge");
    loras.push_back({read_whole_lora(flag.file.string(), layers), flag.weight});
  }
  if (layers && !given.exact && given.rank == 0) {
    check<UsageError>(given.to.empty(), "lora merge into a model writes a folder, which has no spelling: leave --to out");
    check_parent(given.out);
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
  write_checked(given.out, merged, given.spelling(), layers);
}

void resize_lora_file(const LoraArguments& given) {
  check<UsageError>(given.rank > 0 || given.keep < 1, "lora resize needs --rank R, --keep SHARE or both");
  const auto layers = given.layers();
  const LoraFile lora = read_whole_lora(given.inputs[0], layers);
  double lost = 0;
  const LoraFile small = resize_lora(lora, {.rank = given.rank, .keep = given.keep}, &lost);
  log_info(100 * lost, "% of the update's norm is left out");
  write_checked(given.out, small, given.spelling(), layers);
}

}  // namespace palate
