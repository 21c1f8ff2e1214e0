#include "palate/data/readers/prior.h"

#include <algorithm>

#include "palate/core/error.h"
#include "palate/data/readers/kohya.h"
#include "palate/data/readers/pair_files.h"

namespace palate {
namespace {

class Prior : public PairSource {
 public:
  Prior(std::unique_ptr<PairSource> source, std::vector<int64_t> repeats, double weight)
      : source_(std::move(source)), repeats_(std::move(repeats)), weight_(weight) {}

  int64_t rows() const override { return static_cast<int64_t>(repeats_.size()); }
  bool read(int64_t row, PairRecord& record) override {
    const bool found = source_->read(row, record);
    record.repeats = repeats_[static_cast<size_t>(row)];
    record.weight = weight_;
    record.prior = true;
    return found;
  }
  std::string content(const HashFile& hash) const override {
    std::string text = concat(source_->content(hash), "\nprior pictures ", weight_);
    for (const int64_t repeats : repeats_) text += concat(" ", repeats);
    return text;
  }
  void rest() override { source_->rest(); }

 private:
  std::unique_ptr<PairSource> source_;
  std::vector<int64_t> repeats_;
  double weight_;
};

// The learned pictures, each `times` as often, and then those of the class.
class Both : public PairSource {
 public:
  Both(std::unique_ptr<PairSource> learned, std::unique_ptr<PairSource> prior, int64_t times)
      : learned_(std::move(learned)), prior_(std::move(prior)), times_(times) {}

  int64_t rows() const override { return learned_->rows() + prior_->rows(); }
  bool read(int64_t row, PairRecord& record) override {
    if (row >= learned_->rows()) return prior_->read(row - learned_->rows(), record);
    const bool found = learned_->read(row, record);
    record.repeats *= times_;
    return found;
  }
  std::string content(const HashFile& hash) const override {
    return concat(learned_->content(hash), "\ntimes ", times_, "\n", prior_->content(hash));
  }
  void rest() override {
    learned_->rest();
    prior_->rest();
  }

 private:
  std::unique_ptr<PairSource> learned_, prior_;
  int64_t times_;
};

}  // namespace

std::unique_ptr<PairSource> as_prior(std::unique_ptr<PairSource> source, std::vector<int64_t> repeats, double weight) {
  return std::make_unique<Prior>(std::move(source), std::move(repeats), weight);
}

std::unique_ptr<PairSource> with_prior(std::unique_ptr<PairSource> source, const std::filesystem::path& folder,
                                       const std::string& class_prompt, double weight) {
  FolderOptions options;
  options.caption = class_prompt;
  options.concepts = options.recursive = false;
  auto pictures = open_image_folder(folder, options);
  int64_t draws = 0;
  for (int64_t row = 0; row < source->rows(); ++row) {
    PairRecord record;
    source->notes(row, record);
    draws += record.repeats;
  }
  source->rest();
  const int64_t count = pictures->rows(), times = std::max<int64_t>(1, (count + draws - 1) / std::max<int64_t>(1, draws));
  const std::vector<int64_t> repeats = prior_repeats(std::vector<int64_t>(static_cast<size_t>(count), 1), draws * times);
  return std::make_unique<Both>(std::move(source), as_prior(std::move(pictures), repeats, weight), times);
}

}  // namespace palate
