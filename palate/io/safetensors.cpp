#include "palate/io/safetensors.h"

#include <torch/types.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "palate/core/error.h"
#include "palate/io/atomic_file.h"
#include "palate/io/json.h"
#include "palate/io/mapped_file.h"
#include "palate/io/safetensors_header.h"

namespace palate {
namespace {

const std::vector<std::pair<std::string, torch::ScalarType>>& dtypes() {
  static const std::vector<std::pair<std::string, torch::ScalarType>> table = {{"BOOL", torch::kBool},
                                                                               {"U8", torch::kUInt8},
                                                                               {"I8", torch::kInt8},
                                                                               {"F8_E5M2", torch::kFloat8_e5m2},
                                                                               {"F8_E4M3", torch::kFloat8_e4m3fn},
                                                                               {"I16", torch::kInt16},
                                                                               {"U16", torch::kUInt16},
                                                                               {"F16", torch::kHalf},
                                                                               {"BF16", torch::kBFloat16},
                                                                               {"I32", torch::kInt32},
                                                                               {"U32", torch::kUInt32},
                                                                               {"F32", torch::kFloat32},
                                                                               {"C64", torch::kComplexFloat},
                                                                               {"F64", torch::kFloat64},
                                                                               {"I64", torch::kInt64},
                                                                               {"U64", torch::kUInt64}};
  return table;
}

}  // namespace

struct SafetensorsFile::State {
  std::filesystem::path path;
  std::shared_ptr<MappedFile> mapping;
  SafetensorsHeader header;
  std::vector<std::string> names;
  std::unordered_map<std::string, size_t> index;

  const SafetensorsEntry& entry(const std::string& name) const {
    const auto found = index.find(name);
    if (found == index.end()) fail<FormatError>(path.string(), ": holds no tensor '", name, "'", did_you_mean(name, names));
    return header.entries[found->second];
  }
};

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : state_(std::make_unique<State>()) {
  state_->path = path;
  state_->mapping = map_file(path, "safetensors file");
  state_->header = parse_safetensors_header(state_->mapping->bytes(), state_->mapping->size(), path.string());
  for (size_t i = 0; i < state_->header.entries.size(); ++i) {
    state_->names.push_back(state_->header.entries[i].name);
    state_->index[state_->names.back()] = i;
  }
}

SafetensorsFile::~SafetensorsFile() = default;
SafetensorsFile::SafetensorsFile(SafetensorsFile&&) noexcept = default;

const std::vector<std::string>& SafetensorsFile::names() const { return state_->names; }
bool SafetensorsFile::contains(const std::string& name) const { return state_->index.count(name) > 0; }
std::vector<int64_t> SafetensorsFile::shape(const std::string& name) const { return state_->entry(name).shape; }
std::string SafetensorsFile::dtype(const std::string& name) const { return state_->entry(name).dtype; }
const Metadata& SafetensorsFile::metadata() const { return state_->header.metadata; }
const std::filesystem::path& SafetensorsFile::path() const { return state_->path; }

std::optional<c10::ScalarType> torch_type(const std::string& dtype) {
  for (const auto& [name, type] : dtypes()) {
    if (name == dtype) return type;
  }
  return {};
}

Tensor SafetensorsFile::tensor(const std::string& name) const {
  const auto& entry = state_->entry(name);
  const auto kind = torch_type(entry.dtype);
  check<FormatError>(kind.has_value(), state_->path.string(), ": tensor '", name, "' has dtype ", entry.dtype,
                     ", which libtorch has no type for");
  char* data = state_->mapping->data() + state_->header.data_start + entry.begin;
  const auto keep = state_->mapping;  // the mapping lives as long as any of its tensors
  Tensor view = torch::from_blob(
      data, entry.shape, [keep](void*) {}, torch::TensorOptions().dtype(*kind));
  if (reinterpret_cast<uintptr_t>(data) % view.element_size() == 0) return view;
  Tensor aligned = torch::empty(entry.shape, view.options());  // files of other writers may lie at odd addresses
  std::memcpy(aligned.data_ptr(), data, aligned.nbytes());
  return aligned;
}

void SafetensorsFile::forget(const std::string& name) const {
  const auto& entry = state_->entry(name);
  state_->mapping->forget(state_->header.data_start + entry.begin, state_->header.data_start + entry.end);
}

void save_safetensors(const std::filesystem::path& path, const TensorMap& tensors, const Metadata& metadata) {
  struct Item {
    std::string name, dtype;
    Tensor tensor;
  };
  std::vector<Item> items;
  const auto& table = dtypes();
  for (const auto& [name, tensor] : tensors) {
    const auto kind =
        std::find_if(table.begin(), table.end(), [type = tensor.scalar_type()](const auto& line) { return line.second == type; });
    check(kind != table.end(), path.string(), ": tensor '", name, "' has a dtype that safetensors cannot hold");
    items.push_back({name, kind->first, tensor.detach()});
  }
  std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
    return std::make_pair(-safetensors_rank(a.dtype), a.name) < std::make_pair(-safetensors_rank(b.dtype), b.name);
  });
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const auto& item : items) {
    const uint64_t end = offset + item.tensor.nbytes();
    header[item.name] = {{"dtype", item.dtype}, {"shape", item.tensor.sizes().vec()}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::exception&) {
    fail<IoError>(path.string(), ": a tensor's name or the metadata is not UTF-8 text");
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t length = text.size();
  AtomicFile file(path);
  file.write({reinterpret_cast<const char*>(&length), 8});
  file.write(text);
  for (const auto& item : items) {
    const Tensor plain = item.tensor.to(torch::kCPU).contiguous();  // one at a time: the whole may not fit twice
    file.write({static_cast<const char*>(plain.data_ptr()), plain.nbytes()});
  }
  file.commit();
}

}  // namespace palate
