#include "palate/eval/scoring.h"

#include <torch/types.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/core/progress.h"
#include "palate/io/atomic_file.h"
#include "palate/io/image.h"

namespace palate {

void ScoreTable::add(const Tensor& pictures, const std::vector<std::string>& prompts) {
  for (size_t j = 0; j < judges_.size(); ++j) {
    Scores scores = judges_[j]->score(pictures, prompts);
    check(scores.total.numel() == static_cast<int64_t>(prompts.size()), "[", judges_[j]->name(), "] expected ", prompts.size(),
          " scores, one a picture, got ", scores.total.numel());
    parts_[j].push_back(std::move(scores));
  }
}

std::vector<Scores> ScoreTable::scores() const {
  std::vector<Scores> all;
  for (const auto& batches : parts_) all.push_back(concatenate(batches));
  return all;
}

void require_all(const Judges& judges, int64_t height, int64_t width, const std::vector<std::string>& prompts) {
  for (const auto& judge : judges) judge->require(height, width, prompts);
}

std::vector<Scores> score_pictures(const PictureSet& pictures, const Judges& judges, int64_t batch, Hash* hash) {
  ScoreTable table(judges);
  Progress progress("judging", static_cast<int64_t>(pictures.entries.size()));
  std::vector<Tensor> read;
  std::vector<std::string> prompts;
  const auto score = [&] {
    table.add(torch::stack(read), prompts);
    progress.advance(static_cast<int64_t>(read.size()));
    read.clear();
    prompts.clear();
  };
  int64_t height = 0, width = 0;
  for (size_t i = 0; i < pictures.entries.size(); ++i) {
    const std::string bytes = read_file(pictures.file(i));
    if (hash) hash->update(bytes);
    Tensor picture = decode_image(bytes, pictures.file(i).string());
    if (picture.size(1) != height || picture.size(2) != width) {
      if (!read.empty()) score();
      height = picture.size(1), width = picture.size(2);
      require_all(judges, height, width, i == 0 ? pictures.prompts() : std::vector<std::string>{});
    }
    read.push_back(std::move(picture));
    prompts.push_back(pictures.entries[i].prompt);
    if (static_cast<int64_t>(read.size()) == batch) score();
  }
  if (!read.empty()) score();
  return table.scores();
}

Json mean_scores(const Scores& scores) {
  Json means = {{"total", torch::nanmean(scores.total).item<double>()}};
  for (const auto& [name, values] : scores.parts) means[name] = torch::nanmean(values).item<double>();
  return means;
}

Json to_json(const Judge& judge) {
  Json margin;
  if (judge.tie_margin()) margin = *judge.tie_margin();
  return {{"name", judge.name()}, {"identity", judge.identity()}, {"tie_margin", margin}};
}

void write_scores(const std::filesystem::path& file, const PictureSet& pictures, const Judges& judges, const std::vector<Scores>& scores) {
  AtomicFile out(file);
  for (size_t i = 0; i < pictures.entries.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    for (size_t j = 0; j < judges.size(); ++j) {
      Json line = to_json(pictures.entries[i]), parts = Json::object();
      line["judge"] = judges[j]->name();
      line["identity"] = judges[j]->identity();
      line["total"] = scores[j].total[row].item<double>();
      for (const auto& [name, values] : scores[j].parts) parts[name] = values[row].item<double>();
      line["parts"] = parts;
      out.write(line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
    }
  }
  out.commit();
}

}  // namespace palate
