#include "palate/data/readers/kohya.h"

#include <functional>
#include <map>

#include "palate/config/toml_read.h"
#include "palate/core/error.h"
#include "palate/data/pairs.h"
#include "palate/io/atomic_file.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

enum Level { general = 1, dataset = 2, subset = 4, sizes = general | dataset, anywhere = general | dataset | subset };

// What a subset gets, with the sizes of its dataset.
struct Values {
  KohyaSubset subset;
  std::optional<KohyaFile::Said> batch_size, caption_dropout_rate;
};

// "" or what is wrong with the value.
using Set = std::function<std::string(Values&, const TomlValue&)>;
struct KohyaKey {
  const char* name;
  int levels;
  Set set;
};

Set flag(bool ImageRule::*field) {
  return [field](Values& v, const TomlValue& value) -> std::string {
    if (value.kind != TomlValue::Kind::boolean) return "expected true or false";
    v.subset.rule.*field = value.boolean;
    return "";
  };
}

std::string whole(const TomlValue& value, int64_t least, int64_t& field) {
  if (value.kind != TomlValue::Kind::integer || value.integer < least || value.integer > 1'000'000)
    return concat("expected a whole number of at least ", least);
  field = value.integer;
  return "";
}

Set side(int64_t ImageRule::*field) {
  return [field](Values& v, const TomlValue& value) { return whole(value, 1, v.subset.rule.*field); };
}

Set number(int64_t KohyaSubset::*field, int64_t least) {
  return [field, least](Values& v, const TomlValue& value) { return whole(value, least, v.subset.*field); };
}

Set text(std::string KohyaSubset::*field) {
  return [field](Values& v, const TomlValue& value) -> std::string {
    if (value.kind != TomlValue::Kind::text) return "expected text in quotes";
    v.subset.*field = value.text;
    return "";
  };
}

// One number is both sides; two are width and height.
std::string resolution(Values& v, const TomlValue& value) {
  std::vector<TomlValue> sides = value.kind == TomlValue::Kind::list ? value.items : std::vector<TomlValue>{value, value};
  ImageSize size;
  if (sides.size() != 2 || !whole(sides[0], 1, size.width).empty() || !whole(sides[1], 1, size.height).empty())
    return "expected a side in pixels, or [width, height]";
  v.subset.rule.resolution = size;
  return "";
}

Set said(std::optional<KohyaFile::Said> Values::*field) {
  return [field](Values& v, const TomlValue& value) -> std::string {
    if (value.kind != TomlValue::Kind::integer && value.kind != TomlValue::Kind::number) return "expected a number";
    v.*field = KohyaFile::Said{value.number, value.where};
    return "";
  };
}

// Accepted when it is what happens anyway; else the reason why it is not supported.
Set only(std::function<bool(const TomlValue&)> harmless, std::string reason) {
  return [=](Values&, const TomlValue& value) { return harmless(value) ? "" : "is not supported here: " + reason; };
}
bool is_false(const TomlValue& v) { return v.kind == TomlValue::Kind::boolean && !v.boolean; }
bool is_true(const TomlValue& v) { return v.kind == TomlValue::Kind::boolean && v.boolean; }
bool is_flag(const TomlValue& v) { return v.kind == TomlValue::Kind::boolean; }
bool is_zero(const TomlValue& v) { return (v.kind == TomlValue::Kind::integer || v.kind == TomlValue::Kind::number) && v.number == 0; }
bool is_one(const TomlValue& v) { return (v.kind == TomlValue::Kind::integer || v.kind == TomlValue::Kind::number) && v.number == 1; }
bool is_empty(const TomlValue& v) { return v.kind == TomlValue::Kind::text && v.text.empty(); }
bool never(const TomlValue&) { return false; }

std::string image_dir(Values& v, const TomlValue& value) {
  if (value.kind != TomlValue::Kind::text || value.text.empty()) return "expected a folder in quotes";
  v.subset.image_dir = value.text;
  return "";
}

std::string extension(Values& v, const TomlValue& value) {
  if (value.kind != TomlValue::Kind::text || !value.text.starts_with('.')) return "expected an extension such as \".txt\"";
  v.subset.caption_extension = value.text;
  return "";
}

// The one table of keys: those of sd-scripts' library/config_util.py, and cache_latents, which other tools write into the file.
const std::vector<KohyaKey>& keys() {
  static const std::vector<KohyaKey> all = {
      {"resolution", sizes, resolution},
      {"batch_size", sizes, said(&Values::batch_size)},
      {"enable_bucket", sizes, flag(&ImageRule::buckets)},
      {"min_bucket_reso", sizes, side(&ImageRule::min_side)},
      {"max_bucket_reso", sizes, side(&ImageRule::max_side)},
      {"bucket_reso_steps", sizes, side(&ImageRule::step)},
      {"bucket_no_upscale", sizes, flag(&ImageRule::no_upscale)},
      {"image_dir", subset, image_dir},
      {"num_repeats", anywhere, number(&KohyaSubset::num_repeats, 1)},
      {"class_tokens", anywhere, text(&KohyaSubset::class_tokens)},
      {"caption_extension", anywhere, extension},
      {"caption_separator", anywhere, text(&KohyaSubset::caption_separator)},
      {"caption_prefix", anywhere, text(&KohyaSubset::prefix)},
      {"caption_suffix", anywhere, text(&KohyaSubset::suffix)},
      {"shuffle_caption", anywhere,
       [](Values& v, const TomlValue& value) -> std::string {
         v.subset.shuffle_caption = value.boolean;
         return is_flag(value) ? "" : "expected true or false";
       }},
      {"keep_tokens", anywhere, number(&KohyaSubset::keep_tokens, 0)},
      {"flip_aug", anywhere, flag(&ImageRule::flip)},
      {"random_crop", anywhere, flag(&ImageRule::random_crop)},
      {"caption_dropout_rate", anywhere, said(&Values::caption_dropout_rate)},
      {"cache_info", anywhere, only(is_flag, "expected true or false")},
      {"cache_latents", anywhere, only(is_true, "latents are always cached")},
      {"is_reg", subset,
       [](Values& v, const TomlValue& value) -> std::string {
         v.subset.is_reg = value.boolean;
         return is_flag(value) ? "" : "expected true or false";
       }},
      {"color_aug", anywhere, only(is_false, "latents are cached, so colours cannot change from step to step")},
      {"face_crop_aug_range", anywhere, only(never, "faces are not looked for")},
      {"alpha_mask", anywhere, only(is_false, "losses are not masked")},
      {"enable_wildcard", anywhere, only(is_false, "captions are taken as they are")},
      {"keep_tokens_separator", anywhere, only(is_empty, "count the tags that stay with keep_tokens")},
      {"secondary_separator", anywhere, only(is_empty, "captions have one separator, caption_separator")},
      {"caption_dropout_every_n_epochs", anywhere, only(is_zero, "captions are dropped by rate, data.caption_dropout")},
      {"caption_tag_dropout_rate", anywhere, only(is_zero, "text states are cached, so tags cannot be dropped from step to step")},
      {"token_warmup_min", anywhere, only(is_one, "text states are cached, so captions cannot grow from step to step")},
      {"token_warmup_step", anywhere, only(is_zero, "text states are cached, so captions cannot grow from step to step")},
      {"metadata_file", subset, only(never, "captions stand beside the pictures, in metadata.jsonl or in metadata.csv")},
      {"conditioning_data_dir", subset, only(never, "control networks are not trained")},
      {"custom_attributes", anywhere, only(never, "nothing here reads them")},
      {"network_multiplier", sizes, only(is_one, "adapters are trained at their full strength")},
      {"resize_interpolation", anywhere,
       only([](const TomlValue& v) { return v.kind == TomlValue::Kind::text && v.text == "bilinear"; },
            "pictures are resized as Pillow's bilinear filter does")},
      {"validation_split", anywhere, only(is_zero, "the share that is held out is data.held_out")},
      {"validation_seed", anywhere, only(is_zero, "the split is drawn from the run's seed")},
  };
  return all;
}

const char* level_name(int level) { return level == general ? "[general]" : level == dataset ? "[[datasets]]" : "[[datasets.subsets]]"; }

class Kohya {
 public:
  Kohya(const fs::path& path, const DataConfig& config) : path_(path) {
    start_.subset.rule = config_rule(config);
    start_.subset.rule.kohya = true;
    start_.subset.class_tokens = config.caption;
    start_.subset.caption_extension = config.caption_extension;
    start_.subset.num_repeats = config.num_repeats;
    start_.subset.shuffle_caption = config.shuffle_caption;
    start_.subset.keep_tokens = config.keep_tokens;
  }

  KohyaFile read() {
    const TomlValue root = parse_toml(read_file(path_), path_.string());
    if (const TomlValue* table = item(root, "general")) apply(start_, *table, general);
    const TomlValue* datasets = item(root, "datasets");
    if (datasets) each(*datasets, dataset, start_, [&](const Values& values, const TomlValue& table) { read_subsets(values, table); });
    for (size_t i = 0; i < root.keys.size(); ++i) {
      if (root.keys[i] == "general" || root.keys[i] == "datasets") continue;
      complain(root.items[i], concat("unknown key '", root.keys[i], "'", did_you_mean(root.keys[i], {"general", "datasets"}),
                                     "; a dataset TOML holds [general] and [[datasets]] with [[datasets.subsets]]"));
    }
    if (errors_.empty() && file_.subsets.empty())
      errors_ = path_.string() + ": names no pictures: expected [[datasets]] with [[datasets.subsets]], each with an image_dir";
    if (!errors_.empty()) throw ConfigError(errors_);
    return file_;
  }

 private:
  static const TomlValue* item(const TomlValue& table, const std::string& key) {
    for (size_t i = 0; i < table.keys.size(); ++i) {
      if (table.keys[i] == key) return &table.items[i];
    }
    return nullptr;
  }

  void complain(const TomlValue& at, const std::string& what) { errors_ += (errors_.empty() ? "" : "\n") + at.where + ": " + what; }

  void each(const TomlValue& list, Level level, const Values& above, const std::function<void(const Values&, const TomlValue&)>& use) {
    if (list.kind != TomlValue::Kind::list) return complain(list, concat("expected ", level_name(level), ", found ", describe(list)));
    for (const TomlValue& table : list.items) {
      Values values = above;
      apply(values, table, level);
      use(values, table);
    }
  }

  void apply(Values& values, const TomlValue& table, Level level) {
    if (table.kind != TomlValue::Kind::table) return complain(table, concat("expected ", level_name(level), ", found ", describe(table)));
    for (size_t i = 0; i < table.keys.size(); ++i) {
      if (level == dataset && table.keys[i] == "subsets") continue;
      set(values, table.keys[i], table.items[i], level);
    }
  }

  void set(Values& values, const std::string& name, const TomlValue& value, Level level) {
    std::vector<std::string> known;
    for (const KohyaKey& key : keys()) {
      known.push_back(key.name);
      if (name != key.name) continue;
      if (!(key.levels & level))
        return complain(value, concat("'", name, "' does not belong into ", level_name(level), ", but into ",
                                      level_name(key.levels & dataset ? dataset : subset)));
      const std::string problem = key.set(values, value);
      if (!problem.empty())
        complain(value, concat("'", name, "'", problem.starts_with("is ") ? " " : ": ", problem,
                               problem.starts_with("is ") ? "" : ", found " + describe(value)));
      return;
    }
    complain(value, concat("unknown key '", name, "' in ", level_name(level), did_you_mean(name, known)));
  }

  void read_subsets(const Values& values, const TomlValue& table) {
    note(values.batch_size, file_.batch_size, "batch_size", "a run has one");
    ++datasets_;
    const TomlValue* subsets = item(table, "subsets");
    if (!subsets) return complain(table, "[[datasets]] without [[datasets.subsets]]");
    each(*subsets, subset, values, [&](const Values& found, const TomlValue& place) {
      if (found.subset.image_dir.empty()) return complain(place, "[[datasets.subsets]] without image_dir");
      note(found.caption_dropout_rate, file_.caption_dropout_rate, "caption_dropout_rate", "a run has one");
      file_.subsets.push_back(found.subset);
      file_.subsets.back().dataset = datasets_;
      fs::path& folder = file_.subsets.back().image_dir;
      const fs::path beside = path_.parent_path() / folder;
      if (fs::is_directory(folder)) return;
      if (!fs::is_directory(beside))
        return complain(*item(place, "image_dir"), concat("image_dir '", folder.string(), "' is no folder, neither from here (",
                                                          fs::current_path().string(), ") nor from the file's own folder"));
      folder = beside;
    });
  }

  void note(const std::optional<KohyaFile::Said>& found, std::optional<KohyaFile::Said>& kept, const char* name, const char* why) {
    if (found && kept && found->value != kept->value) {
      errors_ += concat(errors_.empty() ? "" : "\n", found->where, ": ", name, " is ", found->value, ", but ", kept->value, " at ",
                        kept->where, ": ", why);
    }
    if (found) kept = found;
  }

  fs::path path_;
  Values start_;
  KohyaFile file_;
  int64_t datasets_ = 0;  // read so far
  std::string errors_;
};

}  // namespace

KohyaFile read_kohya(const fs::path& path, const DataConfig& config) { return Kohya(path, config).read(); }

}  // namespace palate
