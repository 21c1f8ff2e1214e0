#include "palate/data/cache/pixel_cache.h"

#include <ATen/Parallel.h>
#include <torch/types.h>

#include <algorithm>
#include <unordered_set>

#include "palate/core/clock.h"
#include "palate/core/error.h"
#include "palate/core/hash.h"
#include "palate/core/interrupt.h"
#include "palate/core/log.h"
#include "palate/core/progress.h"
#include "palate/data/cache/content_hash.h"
#include "palate/data/cache/split.h"
#include "palate/io/file_lock.h"
#include "palate/io/image.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

constexpr int64_t shard_bytes = 64 << 20;
constexpr double shard_seconds = 30;  // a shard is written at least this often, so that little is lost when a run dies
constexpr int64_t rows_at_once = 64;  // decoded by all threads together

// Of the shard that is being filled.
struct PendingPixels {
  ShardInfo info;
  std::vector<Tensor> win, lose;
  int64_t bytes = 0;
};

class PixelBuilder {
 public:
  PixelBuilder(const PixelFit& fit, const DataConfig& config, PairSource& source, const fs::path& folder, const std::string& key)
      : fit_(fit), config_(config), source_(source), folder_(folder), key_(key) {}

  CacheManifest run(const std::string& settings) {
    take_over();
    Progress progress("reading pairs", source_.rows(), pending_.info.begin);
    Clock::time_point flushed = Clock::now();
    while (!enough()) {
      const int64_t before = next_;
      add(read_group());
      progress.advance(next_ - before);
      if (pending_.bytes >= shard_bytes || seconds_since(flushed) >= shard_seconds || interrupted()) {
        flush();
        flushed = Clock::now();
      }
      check(!interrupted(), "interrupted: ", next_, " of ", source_.rows(), " rows are in the cache; the same command goes on from there");
    }
    flush();
    check<DataError>(pairs_ > 0, "data.pairs: no pair can be used: ", source_.rows(), " rows read, of them ", counts_.ties,
                     " dropped ties, ", counts_.unlabelled, " without a label, ", counts_.bad.size(), " unreadable");
    save_manifest(folder_,
                  {.key = key_, .settings = settings, .scaling_factor = 1, .counts = counts_, .pair_shards = files_, .text_shards = {}});
    return load_manifest(folder_, key_);
  }

 private:
  // The shards that an interrupted run left, up to the first that is missing or broken.
  void take_over() {
    for (;; ++shards_) {
      const fs::path path = pair_shard_path(folder_, shards_);
      if (!fs::exists(path)) break;
      try {
        const ShardInfo info = pair_shard_info(SafetensorsFile(path), key_);
        check<FormatError>(info.begin == next_ && info.end > next_, path.string(), ": covers other rows than those from ", next_, " on");
        for (const CachedRow& row : info.rows) seen_.insert(row.id);
        pairs_ += static_cast<int64_t>(info.rows.size());
        counts_.add(info.counts);
        next_ = info.end;
      } catch (const FormatError& error) {
        warn(error.what(), "; it is made again");
        break;
      }
      note_file(path);
    }
    pending_.info.begin = next_;
  }

  bool enough() const { return next_ >= source_.rows() || (config_.max_pairs > 0 && pairs_ >= config_.max_pairs); }
  void note_file(const fs::path& path) { files_.push_back({path.filename().string(), static_cast<int64_t>(fs::file_size(path))}); }

  void bad(const Error& error) {
    if (!config_.skip_bad) fail<DataError>(error.what(), " (data.skip_bad = true passes over such rows and counts them)");
    pending_.info.counts.bad.push_back(error.what());
  }

  std::vector<PairRecord> read_group() {
    std::vector<PairRecord> group;
    for (; !enough() && static_cast<int64_t>(group.size()) < rows_at_once; ++next_) {
      PairRecord record;
      try {
        if (!source_.read(next_, record)) {
          ++(record.kind == PairRecord::Kind::tie ? pending_.info.counts.ties : pending_.info.counts.unlabelled);
        } else if (!seen_.insert(record.id).second) {
          ++pending_.info.counts.duplicates;
        } else {
          ++pairs_;
          group.push_back(std::move(record));
        }
      } catch (const UsageError&) {
        throw;  // of the settings, not of the row
      } catch (const Error& error) {
        bad(error);
      }
    }
    return group;
  }

  Tensor picture(const std::string& bytes, const PairRecord& record, const std::string& name) const {
    return fit_.fit(decode_image(bytes, concat(record.origin, ": ", name)));
  }

  void add(const std::vector<PairRecord>& group) {
    std::vector<std::pair<Tensor, Tensor>> fitted(group.size());
    std::vector<std::exception_ptr> errors(group.size());
    at::parallel_for(0, static_cast<int64_t>(group.size()), 1, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
        try {
          fitted[i] = {picture(group[i].win, group[i], group[i].win_name), picture(group[i].lose, group[i], group[i].lose_name)};
        } catch (...) {
          errors[i] = std::current_exception();
        }
      }
    });
    for (size_t i = 0; i < group.size(); ++i) {
      try {
        if (errors[i]) std::rethrow_exception(errors[i]);
      } catch (const Error& error) {
        bad(error);
        --pairs_;
        continue;
      }
      const PairRecord& record = group[i];
      pending_.info.rows.push_back({.id = record.id,
                                    .prompt = record.prompt,
                                    .preference = record.preference,
                                    .origin = record.origin,
                                    .repeats = record.repeats,
                                    .bucket = {},
                                    .wordings = {},
                                    .weight = record.weight});
      pending_.win.push_back(fitted[i].first);
      pending_.lose.push_back(fitted[i].second);
      pending_.bytes += 2 * pending_.win.back().numel();
    }
  }

  void flush() {
    pending_.info.end = next_;
    if (pending_.info.end == pending_.info.begin) return;
    TensorMap tensors;
    if (!pending_.win.empty()) tensors = {{"win", torch::stack(pending_.win)}, {"lose", torch::stack(pending_.lose)}};
    const fs::path path = pair_shard_path(folder_, shards_++);
    save_pair_shard(path, key_, pending_.info, tensors);
    note_file(path);
    counts_.add(pending_.info.counts);
    pending_ = {};
    pending_.info.begin = next_;
  }

  const PixelFit& fit_;
  const DataConfig& config_;
  PairSource& source_;
  const fs::path& folder_;
  const std::string& key_;
  int64_t next_ = 0, pairs_ = 0, shards_ = 0;
  std::unordered_set<uint64_t> seen_;
  RowCounts counts_;  // of written shards
  PendingPixels pending_;
  std::vector<CacheManifest::File> files_;
};

CacheManifest build_pixels(const PixelFit& fit, const DataConfig& config, PairSource& source, const fs::path& folder,
                           const std::string& key, const std::string& settings) {
  std::error_code error;
  fs::create_directories(folder, error);
  check<IoError>(!error, folder.string(), ": the cache's folder cannot be made: ", error.message());
  bool told = false;
  const FileLock lock(folder / "lock", [&] {
    if (!told) log_info("another run is building the cache ", folder.string(), ": waiting for it");
    told = true;
    check(!interrupted(), "interrupted while waiting for another run to build ", folder.string());
  });
  if (has_manifest(folder)) return load_manifest(folder, key);  // another run finished while this one waited
  return PixelBuilder(fit, config, source, folder, key).run(settings);
}

}  // namespace

PixelCache PixelCache::open(const PixelFit& fit, const DataConfig& config, PairSource& source, const fs::path& folder, uint64_t seed) {
  std::error_code error;
  fs::create_directories(folder, error);
  check<IoError>(!error, folder.string(), ": the folder for caches cannot be made: ", error.message());
  const std::string settings = concat("palate pixel cache 1\ndata ", content_hash(source, folder / "hashes.json"), "\nties ", config.ties,
                                      "\nmax_pairs ", config.max_pairs, "\n", fit.identity, "\n");
  const std::string key = sha256(settings);
  const CacheManifest manifest =
      has_manifest(folder / key) ? load_manifest(folder / key, key) : build_pixels(fit, config, source, folder / key, key, settings);
  const auto& bad = manifest.counts.bad;
  check<DataError>(config.skip_bad || bad.empty(), bad.empty() ? "" : bad[0],
                   " (data.skip_bad = true passes over such rows and counts them)");
  PixelCache cache(folder / key, manifest);
  std::vector<std::string> prompts;
  for (const CachedRow& row : cache.rows_) prompts.push_back(row.prompt);
  const auto held = hold_out(prompts, config.held_out, seed);
  for (size_t i = 0; i < held.size(); ++i) (held[i] ? cache.held_out_ : cache.train_).push_back(static_cast<int64_t>(i));
  const RowCounts& counts = manifest.counts;
  log_info("data: ", cache.rows_.size(), " pairs, ", cache.held_out_.size(), " of them held out, ", counts.ties, " ties dropped, ",
           counts.duplicates, " duplicates, ", counts.unlabelled, " without a label, ", bad.size(), " unreadable");
  return cache;
}

PixelCache::PixelCache(const fs::path& folder, const CacheManifest& manifest) : key_(manifest.key) {
  for (const auto& shard : manifest.pair_shards) {
    const SafetensorsFile file(folder / shard.name);
    const ShardInfo info = pair_shard_info(file, key_);
    if (info.rows.empty()) continue;
    const Tensor win = file.tensor("win"), lose = file.tensor("lose");
    const auto count = static_cast<int64_t>(info.rows.size());
    check<FormatError>(win.dim() == 4 && win.size(0) == count && win.sizes() == lose.sizes(), file.path().string(), ": expected ", count,
                       " pairs of pictures, found ", show_shape(win.sizes()), " and ", show_shape(lose.sizes()));
    shards_.push_back({static_cast<int64_t>(rows_.size()), win, lose});
    rows_.insert(rows_.end(), info.rows.begin(), info.rows.end());
  }
}

PixelBatch PixelCache::batch(const std::vector<int64_t>& rows, const std::vector<uint64_t>& numbers) const {
  PixelBatch batch;
  std::vector<Tensor> win, lose;
  std::vector<float> labels;
  for (size_t i = 0; i < rows.size(); ++i) {
    const CachedRow& of = row(rows[i]);
    const auto after =
        std::upper_bound(shards_.begin(), shards_.end(), rows[i], [](int64_t number, const Shard& it) { return number < it.first; });
    const Shard& shard = *std::prev(after);
    batch.visits.push_back({.id = of.id, .row = rows[i], .visit = numbers.at(i), .draw = numbers.at(i)});
    batch.prompts.push_back(of.prompt);
    labels.push_back(static_cast<float>(of.preference));
    win.push_back(shard.win[rows[i] - shard.first]);
    lose.push_back(shard.lose[rows[i] - shard.first]);
  }
  win.insert(win.end(), lose.begin(), lose.end());
  batch.pictures = torch::stack(win);
  batch.label = torch::tensor(labels);
  return batch;
}

}  // namespace palate
