#include "palate/data/pairs.h"

namespace palate {

void DataConfig::visit(Fields& f) {
  f("pairs", pairs, "preference pairs: .parquet (Pick-a-Pic) and .jsonl files, or folders of them", {.aliases = {"train_data_dir"}});
  f("ties", ties, "rows without a preference: drop them, or keep them with the soft label 0.5", {.choices = {"drop", "soft"}});
  f("skip_bad", skip_bad, "go on past unreadable rows and count them; else the first one stops the run");
  f("held_out", held_out, "share of the prompts kept out of training for validation; 0: none", {.min = 0, .max = 0.9});
  f("max_pairs", max_pairs, "use the first N pairs only; 0: all", {.min = 0, .max = 1e12, .aliases = {"max_train_samples"}});
  f("resolution", resolution, "side of the square crop in pixels; 0: what the model was made for", {.min = 0, .max = 8192});
  f("crop", crop, "where the square is cut from the longer side, the same place in both images", {.choices = {"center", "random"}});
  f("flip", flip, "flip at random from left to right, both images of a pair alike", {.aliases = {"random_flip"}});
  f("variants", variants, "crops and flips that the cache keeps of each pair", {.min = 1, .max = 1024});
  f("caption_dropout", caption_dropout, "share of draws with the empty prompt",
    {.min = 0, .max = 1, .aliases = {"proportion_empty_prompts"}});
  f("cache", cache, "folder of the caches of latents and text states; \"\": OUTPUT/cache");
  f.require(variants == 1 || crop == "random" || flip,
            "data.variants above 1 would keep equal copies: set data.crop = \"random\" or data.flip = true, or data.variants = 1");
}

}  // namespace palate
