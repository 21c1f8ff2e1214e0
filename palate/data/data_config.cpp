#include "palate/data/pairs.h"

#include <algorithm>

namespace palate {

void DataConfig::visit(Fields& f) {
  f("pairs", pairs, "preference pairs: .parquet (Pick-a-Pic) and .jsonl files, or folders of them", {.aliases = {"train_data_dir"}});
  f("images", images,
    "instead of pairs, pictures with captions: image folders, .jsonl and .csv lists, WebDataset .tar shards ({000..012} too), .parquet, or "
    "kohya's dataset .toml",
    {.aliases = {"image_dir", "image_folder", "instance_data_dir", "dataset_config"}});
  f("caption", caption, "caption of the pictures of data.images that bring none; \"\": such a picture is an error",
    {.aliases = {"instance_prompt"}});
  f("caption_extension", caption_extension, "of caption files beside pictures; \"\": .txt and .caption");
  f("image_column", image_column, "column of the pictures in .parquet; \"\": the one that is an image");
  f("caption_column", caption_column, "column of the captions in .parquet and metadata files; \"\": text, caption or prompt");
  f("num_repeats", num_repeats, "how often each picture of data.images comes in an epoch",
    {.min = 1, .max = 1e6, .aliases = {"repeats", "dataset_repeats"}});
  f("shuffle_caption", shuffle_caption,
    "comma-separated tags of a caption of data.images in eight orders, which are cached and take turns");
  f("keep_tokens", keep_tokens, "how many of the first tags stay where they are", {.min = 0, .max = 1000});
  f("prior_loss_weight", prior_loss_weight,
    "weight of the loss of pictures of the class: those of [prior], and subsets of kohya's dataset TOML with is_reg = true", {.min = 0});
  f("positive_ratio", positive_ratio, "share of draws with a thumb up, of pictures that have thumbs; 0: as the data has them",
    {.min = 0, .max = 1});
  f("ties", ties, "rows without a preference: drop them, or keep them with the soft label 0.5", {.choices = {"drop", "soft"}});
  f("skip_bad", skip_bad, "go on past unreadable rows and count them; else the first one stops the run");
  f("held_out", held_out, "share of the prompts kept out of training for validation; 0: none", {.min = 0, .max = 0.9});
  f("max_pairs", max_pairs, "use the first N pairs only; 0: all", {.min = 0, .max = 1e12, .aliases = {"max_train_samples"}});
  f("resolution", resolution, "side of the square crop in pixels; 0: what the model was made for", {.min = 0, .max = 8192});
  f("enable_bucket", enable_bucket,
    "keep pictures in their shape: aspect-ratio buckets of at most resolution x resolution pixels, by kohya's rules");
  f("min_bucket_reso", min_bucket_reso, "shortest side of a bucket in pixels", {.min = 1, .max = 8192});
  f("max_bucket_reso", max_bucket_reso, "longest side of a bucket in pixels", {.min = 1, .max = 8192});
  f("bucket_reso_steps", bucket_reso_steps, "sides of buckets are multiples of it", {.min = 1, .max = 8192});
  f("bucket_no_upscale", bucket_no_upscale,
    "never enlarge a picture: buckets follow from the pictures, min_bucket_reso and max_bucket_reso do not matter");
  f("crop", crop, "where the square is cut from the longer side, the same place in both images", {.choices = {"center", "random"}});
  f("flip", flip, "flip at random from left to right, both images of a pair alike", {.aliases = {"random_flip"}});
  f("variants", variants, "crops and flips that the cache keeps of each pair", {.min = 1, .max = 1024});
  f("caption_dropout", caption_dropout, "share of draws with the empty prompt",
    {.min = 0, .max = 1, .aliases = {"proportion_empty_prompts"}});
  f("cache", cache, "folder of the caches of latents and text states; \"\": OUTPUT/cache");
  f.require(pairs.empty() || images.empty(), "data.pairs and data.images are both given: keep one, preference pairs or pictures alone");
  f.require(positive_ratio == 0 || !images.empty(),
            "data.positive_ratio is for data.images with labels: of pairs as many pictures have a thumb up as down");
  f.require(positive_ratio < 1, "data.positive_ratio is 1: no picture with a thumb down would be drawn; 0.8 is usual");
  const bool own_rules = std::any_of(images.begin(), images.end(), [](const std::string& name) { return name.ends_with(".toml"); });
  f.require(variants == 1 || own_rules || crop == "random" || flip,
            "data.variants above 1 would keep equal copies: set data.crop = \"random\" or data.flip = true, or data.variants = 1");
}

}  // namespace palate
