#include "palate/data/cache/cache_build.h"

#include <torch/types.h>

#include <algorithm>
#include <map>
#include <unordered_set>

#include "palate/core/clock.h"
#include "palate/core/error.h"
#include "palate/core/hash.h"
#include "palate/core/interrupt.h"
#include "palate/core/log.h"
#include "palate/core/progress.h"
#include "palate/data/cache/text_shards.h"
#include "palate/data/readers/row_reader.h"
#include "palate/io/file_lock.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kShardBytes = 64 << 20;
constexpr int64_t kPixelsAtOnce = 512 * 512;  // SD1.5's autoencoder needs about 2 GB for one such image

// Waits for another run that builds the same cache.
FileLock lock_folder(const fs::path& folder) {
  bool told = false;
  return FileLock(folder / "lock", [&] {
    if (!told) log_info("another run is building the cache ", folder.string(), ": waiting for it");
    told = true;
    check(!interrupted(), "interrupted while waiting for another run to build ", folder.string());
  });
}

// Of the rows of one bucket: mean and std [n, 1 or 2, V, C, h, w], time ids [1, V, 6].
struct Latents {
  std::vector<Tensor> mean, std, time_ids;
};

// Of the shard that is being filled.
struct Pending {
  ShardInfo info;
  std::map<std::string, Latents> latents;  // by bucket
  int64_t bytes = 0;
};

void refuse_no_rows(const DataConfig& config, const PairSource& source) {
  check<DataError>(source.rows() > 0, config.images.empty() ? "data.pairs" : "data.images", ": no rows in ",
                   one_of(config.images.empty() ? config.pairs : config.images), ": expected at least one ", example_noun(config));
}

class Builder {
 public:
  explicit Builder(const CacheBuild& build) : build_(build), config_(build.config), source_(build.source) {}

  CacheManifest run() {
    refuse_no_rows(config_, source_);
    const std::string noun = example_noun(config_);
    resume();
    build_pairs();
    check<DataError>(pairs_ > 0, "no ", noun, " can be used: ", source_.rows(), " rows read, of them ", counts_.ties, " dropped ties, ",
                     counts_.unlabelled, " without a label, ", counts_.bad.size(), " unreadable",
                     counts_.bad.empty() ? "" : " (the first: " + counts_.bad[0] + ")");
    const auto text_files = build_text_shards(build_, prompts_.prompts());
    save_manifest(build_.folder, {build_.key, build_.settings, build_.encoders.scaling_factor(), counts_, pair_files_, text_files});
    return load_manifest(build_.folder, build_.key);
  }

 private:
  // Takes over the shards of an interrupted run, up to the first that is missing or broken.
  void resume() {
    for (;; ++shards_) {
      const fs::path path = pair_shard_path(build_.folder, shards_);
      if (!fs::exists(path)) break;
      try {
        const ShardInfo info = pair_shard_info(SafetensorsFile(path), build_.key);
        check<FormatError>(info.begin == next_ && info.end > info.begin, path.string(), ": covers rows ", info.begin, " to ", info.end,
                           ", expected ", next_);
        take(info);
      } catch (const FormatError& error) {
        warn(error.what(), "; it is made again");
        break;
      }
      note_file(path, pair_files_);
    }
    check<DataError>(config_.skip_bad || counts_.bad.empty(), counts_.bad.empty() ? "" : counts_.bad[0]);
    pending_.info.begin = next_;
  }

  void take(const ShardInfo& info) {
    for (const CachedRow& row : info.rows) note_row(row);
    counts_.add(info.counts);
    next_ = info.end;
  }

  void note_row(const CachedRow& row) {
    seen_.insert(row.id);
    prompts_.add(row.prompt);
    for (const std::string& wording : row.wordings) prompts_.add(wording);
    if (!row.base_prompt.empty()) prompts_.add(row.base_prompt);
    ++pairs_;
  }

  static void note_file(const fs::path& path, std::vector<CacheManifest::File>& files) {
    files.push_back({path.filename().string(), static_cast<int64_t>(fs::file_size(path))});
  }

  bool enough() const { return next_ >= source_.rows() || (config_.max_pairs > 0 && pairs_ >= config_.max_pairs); }

  void build_pairs() {
    if (enough()) return;
    Framing framing(config_, build_.encoders.sample_size() * build_.encoders.factor(), build_.encoders.factor());
    RowReader reader(source_, framing, next_);
    const int64_t images = config_.images.empty() ? 2 : 1,
                  at_once = std::clamp<int64_t>(kPixelsAtOnce / (framing.side() * framing.side()), 1, 64);
    const int64_t group = std::max<int64_t>(1, at_once / (images * config_.variants));
    const int64_t total = config_.max_pairs > 0 ? std::min(config_.max_pairs, source_.rows()) : source_.rows();
    Progress progress("caching latents", total, std::min(total, config_.max_pairs > 0 ? pairs_ : next_));
    flushed_ = Clock::now();
    while (!enough()) {
      const int64_t before = config_.max_pairs > 0 ? pairs_ : next_;
      encode(read_group(reader, std::min(source_.rows(), next_ + group)));
      progress.advance((config_.max_pairs > 0 ? pairs_ : next_) - before, left_out());
      const double waited = seconds_since(flushed_);
      if (pending_.bytes >= kShardBytes || waited >= build_.shard_seconds || interrupted()) flush();
      check(!interrupted(), "interrupted: ", next_, " of ", source_.rows(), " rows are in the cache; the same command goes on from there");
    }
    flush();
  }

  // "3 unreadable, 2 duplicates": what gave no example so far, for the progress bar.
  std::string left_out() const {
    RowCounts all = counts_;
    all.add(pending_.info.counts);
    std::string text;
    for (const auto& [count, what] : {std::pair<int64_t, const char*>{static_cast<int64_t>(all.bad.size()), "unreadable"},
                                      {all.ties, "ties"},
                                      {all.duplicates, "duplicates"},
                                      {all.unlabelled, "without a label"}}) {
      if (count > 0) text += concat(text.empty() ? "" : ", ", count, " ", what);
    }
    return text;
  }

  // Rows [next_, end): the kept ones, decoded and cut.
  std::vector<Views> read_group(RowReader& reader, int64_t end) {
    std::vector<Views> group;
    for (; next_ < end && !enough(); ++next_) {
      ReadRow row = reader.take();
      const PairRecord& record = row.record;
      try {
        if (!row.example && !row.error) {
          ++(record.kind == PairRecord::Kind::tie ? pending_.info.counts.ties : pending_.info.counts.unlabelled);
        } else if (seen_.contains(record.id)) {
          ++pending_.info.counts.duplicates;
        } else if (row.error) {
          std::rethrow_exception(row.error);
        } else {
          group.push_back(std::move(row.views));
          pending_.info.rows.push_back({record.id, record.prompt, record.preference, record.origin, record.repeats, group.back().bucket,
                                        record.wordings, record.weight, record.prior, record.notes.base_prompt, record.notes.reward});
          note_row(pending_.info.rows.back());
        }
      } catch (const UsageError&) {
        throw;  // of the settings, not of the row
      } catch (const Error& error) {
        if (!config_.skip_bad) fail<DataError>(error.what(), " (data.skip_bad = true passes over such rows and counts them)");
        pending_.info.counts.bad.push_back(error.what());
      }
    }
    return group;
  }

  // The group's views, one bucket after the other.
  void encode(const std::vector<Views>& group) {
    std::map<std::string, std::vector<const Views*>> buckets;
    for (const Views& views : group) buckets[views.bucket].push_back(&views);
    for (const auto& [name, views] : buckets) encode(views, pending_.latents[name]);
  }

  void encode(const std::vector<const Views*>& group, Latents& pending) {
    std::vector<Tensor> images, means, stds;
    for (const Views* views : group) images.insert(images.end(), views->images.begin(), views->images.end());
    const size_t at_once = static_cast<size_t>(std::clamp<int64_t>(kPixelsAtOnce / (images[0].size(1) * images[0].size(2)), 1, 64));
    for (size_t begin = 0; begin < images.size(); begin += at_once) {
      const size_t end = std::min(images.size(), begin + at_once);
      const Posterior posterior = build_.encoders.images(
          torch::stack(std::vector<Tensor>(images.begin() + static_cast<int64_t>(begin), images.begin() + static_cast<int64_t>(end))));
      means.push_back(posterior.mean.to(torch::kCPU, torch::kFloat32));
      stds.push_back(posterior.logvar.to(torch::kCPU, torch::kFloat32).mul(0.5).exp());
    }
    const Tensor mean = torch::cat(means), std = torch::cat(stds);
    std::vector<int64_t> sizes = {static_cast<int64_t>(group.size()), -1, config_.variants};
    sizes.insert(sizes.end(), mean.sizes().begin() + 1, mean.sizes().end());
    pending.mean.push_back(mean.view(sizes));
    pending.std.push_back(std.view(sizes));
    for (const Views* views : group) pending.time_ids.push_back(torch::tensor(views->time_ids).view({1, config_.variants, 6}));
    check_finite(group, pending);
    pending_.bytes += 8 * mean.numel();
  }

  static void check_finite(const std::vector<const Views*>& group, const Latents& pending) {
    const Tensor good = (pending.mean.back().isfinite() & pending.std.back().isfinite()).flatten(1).all(1);
    for (size_t i = 0; i < group.size(); ++i) {
      check<DataError>(good[static_cast<int64_t>(i)].item<bool>(), group[i]->origin,
                       ": the autoencoder gave values that are not finite; a half-precision autoencoder overflows: hold it in float32");
    }
  }

  // Writes the pending rows as one shard.
  void flush() {
    flushed_ = Clock::now();
    pending_.info.end = next_;
    if (pending_.info.end == pending_.info.begin) return;
    TensorMap tensors;
    for (const auto& [bucket, latents] : pending_.latents) add(tensors, bucket, latents);
    const fs::path path = pair_shard_path(build_.folder, shards_++);
    save_pair_shard(path, build_.key, pending_.info, tensors);
    note_file(path, pair_files_);
    counts_.add(pending_.info.counts);
    pending_ = {.info = {next_, next_, {}, {}, 0}, .latents = {}};
  }

  void add(TensorMap& tensors, const std::string& bucket, const Latents& latents) {
    const Tensor mean = torch::cat(latents.mean), std = torch::cat(latents.std);
    pending_.info.largest_std = std::max(pending_.info.largest_std, std.max().item<double>());
    tensors["win_mean" + bucket] = mean.select(1, 0);
    tensors["win_std" + bucket] = std.select(1, 0);
    if (mean.size(1) == 2) {
      tensors["lose_mean" + bucket] = mean.select(1, 1);
      tensors["lose_std" + bucket] = std.select(1, 1);
    }
    if (build_.encoders.takes_time_ids()) tensors["time_ids" + bucket] = torch::cat(latents.time_ids);
  }

  const CacheBuild& build_;
  const DataConfig& config_;
  PairSource& source_;
  int64_t next_ = 0;    // first row of the source that was not looked at yet
  int64_t pairs_ = 0;   // kept so far
  int64_t shards_ = 0;  // written so far
  std::unordered_set<uint64_t> seen_;
  PromptList prompts_;
  RowCounts counts_;  // of written shards
  Pending pending_;
  Clock::time_point flushed_;
  std::vector<CacheManifest::File> pair_files_;
};

void report(const CacheManifest& manifest) {
  const RowCounts& counts = manifest.counts;
  if (counts.bad.empty()) return;
  std::string text =
      concat(counts.bad.size(), counts.bad.size() == 1 ? " unreadable row was passed over: " : " unreadable rows were passed over: ");
  for (size_t i = 0; i < std::min<size_t>(counts.bad.size(), 5); ++i) text += (i ? "; " : "") + counts.bad[i];
  if (counts.bad.size() > 5) text += concat("; and ", counts.bad.size() - 5, " more");
  warn(text);
}

}  // namespace

std::string cache_settings(const DataConfig& config, Encoders& encoders, const std::string& content) {
  const std::string side = config.resolution > 0 ? concat("resolution ", config.resolution) : concat("latents ", encoders.sample_size());
  std::string text =
      concat("palate pair cache 1\ndata ", content, "\nties ", config.ties, "\nmax_pairs ", config.max_pairs, "\n", side, "\ncrop ",
             config.crop, "\nflip ", config.flip, "\nvariants ", config.variants, "\n", encoders.identity(), "\n");
  if (config.enable_bucket) {
    text += concat("buckets ", config.min_bucket_reso, " to ", config.max_bucket_reso, " by ", config.bucket_reso_steps, " no_upscale ",
                   config.bucket_no_upscale, "\n");
  }
  return text;
}

void check_first_row(const DataConfig& config, PairSource& source) {
  refuse_no_rows(config, source);
  PairRecord record;
  if (!config.skip_bad) source.read(0, record);
  source.rest();
}

CacheManifest build_cache(const CacheBuild& build) {
  std::error_code error;
  fs::create_directories(build.folder, error);
  check<IoError>(!error, build.folder.string(), ": the cache's folder cannot be made: ", error.message());
  const FileLock lock = lock_folder(build.folder);
  if (has_manifest(build.folder)) return load_manifest(build.folder, build.key);  // another run finished while this one waited
  const CacheManifest manifest = Builder(build).run();
  report(manifest);
  return manifest;
}

}  // namespace palate
