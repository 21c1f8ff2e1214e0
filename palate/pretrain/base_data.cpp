#include "palate/pretrain/base_data.h"

#include <torch/types.h>

#include "palate/world/render.h"

namespace palate::world {
namespace {

constexpr int64_t chunk_size = 512;

}  // namespace

ExampleStream::~ExampleStream() {
  if (next_.valid()) next_.wait();
}

Examples ExampleStream::make(int64_t chunk) const {
  const torch::NoGradGuard no_grad;
  std::vector<Tensor> pictures;
  std::vector<std::string> captions;
  for (int64_t i = 0; i < chunk_size; ++i) {
    Generator generator({seed_, static_cast<uint64_t>(chunk * chunk_size + i), 0, Purpose::world});
    WebPicture example = web_picture(odds_, generator);
    pictures.push_back(example.picture);
    captions.push_back(std::move(example.caption));
  }
  Examples made;
  made.pictures = torch::stack(pictures).mul_(2).sub_(1);
  if (codec_.encode) made.pictures = codec_.encode(made.pictures);
  if (codec_.tokenize) made.ids = codec_.tokenize(captions);
  return made;
}

const Examples& ExampleStream::chunk(int64_t index) {
  if (index == now_) return current_;
  if (next_.valid() && coming_ != index) next_.get();  // somewhere else: what was made ahead is of no use
  current_ = next_.valid() ? next_.get() : make(index);
  now_ = index;
  coming_ = index + 1;
  next_ = std::async(std::launch::async, [this, ahead = coming_] { return make(ahead); });
  return current_;
}

Examples ExampleStream::get(int64_t first, int64_t count) {
  std::vector<Tensor> pictures, ids;
  while (count > 0) {
    const Examples& from = chunk(first / chunk_size);
    const int64_t at = first % chunk_size, take = std::min(count, chunk_size - at);
    pictures.push_back(from.pictures.narrow(0, at, take));
    if (from.ids.defined()) ids.push_back(from.ids.narrow(0, at, take));
    first += take;
    count -= take;
  }
  return {torch::cat(pictures), ids.empty() ? Tensor() : torch::cat(ids)};
}

CleanPictures clean_pictures(int64_t count, uint64_t seed) {
  CleanPictures clean;
  std::vector<Tensor> pictures;
  for (int64_t i = 0; i < count; ++i) {
    Generator generator({seed, static_cast<uint64_t>(i), 1, Purpose::world});
    clean.scenes.push_back(sample_scene(Odds(), generator));
    pictures.push_back(render(clean.scenes.back(), place(clean.scenes.back(), generator)));
  }
  clean.pictures = torch::stack(pictures);
  return clean;
}

}  // namespace palate::world
