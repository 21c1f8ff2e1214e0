#include "palate/adapters/lora.h"

namespace palate {

void LoraConfig::visit(Fields& f) {
  f("rank", rank, "rank of the update of each layer", {.min = 1, .max = 4096, .aliases = {"r", "lora_rank"}});
  f("alpha", alpha, "the update is scaled by alpha / rank; 0 means alpha = rank", {.min = 0, .aliases = {"lora_alpha"}});
  f("dropout", dropout, "share of a layer's inputs that its adapter does not see while training; 0 is off",
    {.min = 0, .max = 0.99, .aliases = {"lora_dropout"}});
  f("targets", targets, "layers to adapt: the end of a name (\"to_q\", \"to_out.0\"), or a pattern with * for any text",
    {.aliases = {"target_modules", "lora_target"}});
  f.require(!targets.empty(), "lora.targets is empty: name at least one layer, for example [\"to_q\", \"to_k\", \"to_v\", \"to_out.0\"]");
}

}  // namespace palate
