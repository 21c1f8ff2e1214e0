// Training examples as people store them, read lazily: preference pairs (data.pairs), or single pictures with captions
// (data.images), which are records without a loser.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "palate/config/fields.h"
#include "palate/data/picture_notes.h"

namespace palate {

struct ImageRule;  // data/buckets.h

struct DataConfig {
  std::vector<std::string> pairs;            // files or folders: .parquet (Pick-a-Pic), .jsonl; folders with win/ and lose/
  std::vector<std::string> images;           // or pictures alone: folders, lists, .tar shards, .parquet, kohya's dataset .toml
  std::string caption;                       // of pictures that bring none
  std::string caption_extension;             // of caption files; "": .txt and .caption
  std::string image_column, caption_column;  // of parquet and metadata files; "": the usual names
  int64_t num_repeats = 1;                   // of every picture of data.images in an epoch
  bool shuffle_caption = false;              // orders of a caption's tags take turns, after the first keep_tokens
  int64_t keep_tokens = 0;
  double prior_loss_weight = 1;  // of regularisation pictures (prior preservation)
  double positive_ratio = 0;     // share of draws that have a thumb up; 0: as the data has them
  std::string ties = "drop";     // drop | soft
  bool skip_bad = false;         // go on past unreadable rows, and count them
  double held_out = 0.05;        // share of the prompts kept for validation
  int64_t max_pairs = 0;         // 0: all
  int64_t resolution = 0;        // side in pixels; 0: what the model was made for
  bool enable_bucket = false;    // aspect-ratio buckets, kohya's keys and rules; resolution squared is their area
  int64_t min_bucket_reso = 256, max_bucket_reso = 1024, bucket_reso_steps = 64;
  bool bucket_no_upscale = false;
  std::string crop = "center";  // center | random
  bool flip = false;            // random horizontal flip, the same for both images of a pair
  int64_t variants = 1;         // crops and flips kept in the cache for each pair
  double caption_dropout = 0;   // share of draws with the empty prompt
  std::string cache;            // folder of the caches; "" is OUTPUT/cache

  void visit(Fields& f);  // data/data_config.cpp
};

// One row, images still encoded.
struct PairRecord {
  uint64_t id = 0;  // stable_hash of prompt and both images' bytes: the same in any file and order
  std::string prompt;
  std::string win, lose;            // JPEG, PNG or WebP bytes; on a kept tie, the first and the second image; lose is empty in a single
  double preference = 1;            // P(win is preferred): 1, or 0.5 for a kept tie, or the row's confidence; -1: a single, thumb down
  std::string origin;               // "pairs.parquet row 7" (from 0), "pairs.jsonl line 3" (from 1), for error messages
  std::string win_name, lose_name;  // the column or the file of each image, for error messages
  enum class Kind { pair, tie, unlabelled, single };
  Kind kind = Kind::pair;                 // unlabelled rows and dropped ties are those for which read() returns false
  int64_t repeats = 1;                    // how often it comes in an epoch
  double weight = 1;                      // of its loss
  bool prior = false;                     // of the class, for prior preservation
  PictureNotes notes;                     // of a single picture; of a pair the base prompt alone
  std::vector<std::string> wordings;      // other captions that take turns with the prompt (shuffled tags)
  std::shared_ptr<const ImageRule> rule;  // its size, crop and flip; null: the config's
};

class PairSource {
 public:
  virtual ~PairSource() = default;
  virtual int64_t rows() const = 0;
  // Rows from 0. false when the row is a tie that is dropped or has no label (record.kind says which); the record then
  // holds no images. DataError or FormatError names the row. Ascending rows are fast.
  virtual bool read(int64_t row, PairRecord& record) = 0;
  // record.origin, notes and repeats alone: cheaper than read() where a source keeps them apart from its pictures.
  virtual void notes(int64_t row, PairRecord& record) { read(row, record); }
  // Text that changes with whatever read() gives; `hash` gives the hash of a file's bytes. Names and places do not matter.
  using HashFile = std::function<std::string(const std::filesystem::path&)>;
  virtual std::string content(const HashFile& hash) const = 0;
  virtual void rest() {}  // gives memory and files back until the next read
};

// All files of the config, one after the other. UsageError for a missing file or an unknown kind.
std::unique_ptr<PairSource> open_pairs(const DataConfig& config);

// Whether a file or folder holds preference pairs and not pictures alone, by what only pairs have: Pick-a-Pic's columns, the name
// "chosen", folders win/ and lose/.
bool holds_pairs(const std::filesystem::path& path);

// UsageError when a file of data.images (kohya's TOML) asks for another batch size than the run's.
void check_batch_size(const DataConfig& config, int64_t batch);

// Side in pixels of the square that has as many as the largest cut: of the config, or of a file with rules of its own; 0: what the
// model was made for.
int64_t largest_side(const DataConfig& config);

// "pair" or "picture": what the config's examples are called.
std::string example_noun(const DataConfig& config);

}  // namespace palate
