#include "palate/io/tensor_file.h"

#include <torch/types.h>

#include <cstring>
#include <optional>
#include <unordered_map>

#include "palate/core/error.h"
#include "palate/io/lfs_pointer.h"
#include "palate/io/mapped_file.h"
#include "palate/io/pickle_reader.h"

namespace palate {
namespace {

// The same questions as SafetensorsFile answers, about a file of torch.save.
class PickledTensors {
 public:
  PickledTensors(std::shared_ptr<MappedFile> mapping, const std::filesystem::path& path) : path_(path), mapping_(std::move(mapping)) {
    contents_ = parse_pickle_file(mapping_->bytes(), path.string());
    for (size_t i = 0; i < contents_.entries.size(); ++i) {
      names_.push_back(contents_.entries[i].name);
      index_[names_.back()] = i;
    }
  }

  const std::vector<std::string>& names() const { return names_; }
  bool contains(const std::string& name) const { return index_.count(name) > 0; }
  const Metadata& metadata() const { return contents_.metadata; }

  const PickleEntry& entry(const std::string& name) const {
    const auto found = index_.find(name);
    if (found == index_.end()) fail<FormatError>(path_.string(), ": holds no tensor '", name, "'", did_you_mean(name, names_));
    return contents_.entries[found->second];
  }

  Tensor tensor(const std::string& name) const {
    const PickleEntry& found = entry(name);
    const auto options = torch::TensorOptions().dtype(*torch_type(found.dtype));  // the reader knows no dtype that libtorch has not
    if (found.extent == 0) return torch::empty(found.shape, options);
    char* data = mapping_->data() + found.begin;
    const auto keep = mapping_;  // the mapping lives as long as any of its tensors
    const auto width = static_cast<uintptr_t>(torch::elementSize(*torch_type(found.dtype)));
    if (reinterpret_cast<uintptr_t>(data) % width == 0)
      return torch::from_blob(
                 data, found.shape, found.strides, [keep](void*) {}, options)
          .contiguous();
    // Older torch lays storages at odd addresses.
    const Tensor aligned = torch::empty({static_cast<int64_t>(found.extent)}, options);
    std::memcpy(aligned.data_ptr(), data, aligned.nbytes());
    return aligned.as_strided(found.shape, found.strides).contiguous();
  }

  void forget(const std::string& name) const {
    const PickleEntry& found = entry(name);
    const auto width = static_cast<uint64_t>(torch::elementSize(*torch_type(found.dtype)));
    mapping_->forget(found.begin, found.begin + found.extent * width);
  }

 private:
  std::filesystem::path path_;
  std::shared_ptr<MappedFile> mapping_;
  PickleContents contents_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, size_t> index_;
};

}  // namespace

struct TensorFile::State {
  std::filesystem::path path;
  std::optional<SafetensorsFile> plain;  // one of the two
  std::optional<PickledTensors> pickled;
};

TensorFile::TensorFile(const std::filesystem::path& path) : state_(std::make_unique<State>()) {
  state_->path = path;
  auto mapping = map_file(path, "file of tensors");
  if (looks_pickled(mapping->bytes())) {
    state_->pickled.emplace(std::move(mapping), path);
    return;
  }
  const bool pickle_name =
      path.extension() == ".bin" || path.extension() == ".ckpt" || path.extension() == ".pt" || path.extension() == ".pth";
  refuse_lfs_pointer(mapping->bytes().substr(0, 64), path.string());
  const bool tar = mapping->size() > 262 && mapping->bytes().substr(257, 5) == "ustar";
  check<FormatError>(!tar, path.string(),
                     ": is a tar archive, as torch 0.1 wrote it, or no file of tensors: load and save it with a current torch");
  const bool header = mapping->size() > 8 && mapping->bytes().substr(5, 3) == std::string_view("\0\0\0", 3);
  check<FormatError>(!pickle_name || header, path.string(), ": expected a file of torch.save, found neither a zip archive nor a pickle");
  state_->plain.emplace(path);
}

TensorFile::~TensorFile() = default;
TensorFile::TensorFile(TensorFile&&) noexcept = default;

const std::vector<std::string>& TensorFile::names() const { return state_->plain ? state_->plain->names() : state_->pickled->names(); }
bool TensorFile::contains(const std::string& name) const {
  return state_->plain ? state_->plain->contains(name) : state_->pickled->contains(name);
}
std::vector<int64_t> TensorFile::shape(const std::string& name) const {
  return state_->plain ? state_->plain->shape(name) : state_->pickled->entry(name).shape;
}
std::string TensorFile::dtype(const std::string& name) const {
  return state_->plain ? state_->plain->dtype(name) : state_->pickled->entry(name).dtype;
}
Tensor TensorFile::tensor(const std::string& name) const {
  return state_->plain ? state_->plain->tensor(name) : state_->pickled->tensor(name);
}
void TensorFile::forget(const std::string& name) const { state_->plain ? state_->plain->forget(name) : state_->pickled->forget(name); }
const Metadata& TensorFile::metadata() const { return state_->plain ? state_->plain->metadata() : state_->pickled->metadata(); }
const std::filesystem::path& TensorFile::path() const { return state_->path; }
bool TensorFile::pickled() const { return state_->pickled.has_value(); }

}  // namespace palate
