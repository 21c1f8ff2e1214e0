#include "palate/io/pickle_reader.h"

#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "palate/core/error.h"
#include "palate/io/pickle_machine.h"
#include "palate/io/safetensors_header.h"
#include "palate/io/zip_reader.h"

namespace palate {
namespace {

constexpr uint64_t largest_pickle = 64u << 20;  // without the tensors' data: a checkpoint's is some hundred kilobytes
constexpr int deepest_pickle = 64;
constexpr size_t most_visits = 4'000'000;
constexpr uint64_t most_repetition = 8, always_allowed = 1u << 20;
// 0x1950a86a20f9469cfc6c, the least byte first: the first pickle of the format before torch 1.6.
constexpr std::string_view magic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);

struct Place {
  uint64_t begin = 0, size = 0;  // bytes in the file
};
using Places = std::unordered_map<std::string_view, Place>;

// Walks what the pickle built and writes down its tensors.
class Flattening {
 public:
  Flattening(const PickleMachine& machine, const Places& places, uint64_t file_size, const std::string& origin)
      : machine_(machine), places_(places), most_bytes_(most_repetition * file_size + always_allowed), origin_(origin) {}

  PickleContents run(PickleValue root) {
    for (int depth = 0; depth < deepest_pickle; ++depth) {
      const PickleValue* inner = find(root, "state_dict");
      if (!inner || inner->kind != PickleKind::dict) break;
      note_scalars(root);
      root = *inner;
    }
    visit(root, root.kind == PickleKind::tensor ? "tensor" : "", 0);
    return std::move(contents_);
  }

 private:
  template <class... Parts>
  [[noreturn]] void complain(const Parts&... parts) const {
    fail<FormatError>(origin_, ": ", parts...);
  }

  const PickleValue* find(PickleValue dict, std::string_view key) const {
    if (dict.kind != PickleKind::dict) return nullptr;
    const auto& items = machine_.items(dict);
    for (size_t i = 0; i + 1 < items.size(); i += 2) {
      if (items[i].kind == PickleKind::text && machine_.text(items[i]) == key) return &items[i + 1];
    }
    return nullptr;
  }

  void note_scalars(PickleValue dict) {
    const auto& items = machine_.items(dict);
    for (size_t i = 0; i + 1 < items.size(); i += 2) {
      if (items[i].kind != PickleKind::text) continue;
      const PickleValue value = items[i + 1];
      std::string text;
      if (value.kind == PickleKind::text && machine_.text(value).size() <= 4096) text = machine_.text(value);
      if (value.kind == PickleKind::whole) text = std::to_string(value.whole);
      if (value.kind == PickleKind::real) text = concat(value.real);
      if (value.kind == PickleKind::boolean) text = value.whole ? "true" : "false";
      if (!text.empty()) contents_.metadata[std::string(machine_.text(items[i]))] = text;
    }
  }

  void visit(PickleValue value, const std::string& name, int depth) {
    if (depth > deepest_pickle) complain("its lists and dicts lie more than ", deepest_pickle, " deep in each other, or one in itself");
    if (++visits_ > most_visits) complain("its lists and dicts hold each other more than ", most_visits, " times");
    const std::string prefix = name.empty() ? "" : name + ".";
    if (value.kind == PickleKind::tensor) return add(machine_.tensor(value), name);
    if (value.kind == PickleKind::list || value.kind == PickleKind::tuple) {
      const auto& items = machine_.items(value);
      for (size_t i = 0; i < items.size(); ++i) visit(items[i], prefix + std::to_string(i), depth + 1);
    } else if (value.kind == PickleKind::dict) {
      const auto& items = machine_.items(value);
      for (size_t i = 0; i + 1 < items.size(); i += 2) visit(items[i + 1], prefix + key_of(items[i], items[i + 1]), depth + 1);
    }
  }

  std::string key_of(PickleValue key, PickleValue value) const {
    if (key.kind == PickleKind::whole) return std::to_string(key.whole);
    if (key.kind != PickleKind::text) {
      const bool simple = value.kind < PickleKind::list || value.kind == PickleKind::other || value.kind == PickleKind::global;
      if (!simple) complain("a dict's key is neither text nor a whole number, so that what it holds has no name");
      return "";
    }
    if (machine_.text(key).size() > 4096) complain("a dict's key has ", machine_.text(key).size(), " bytes");
    return std::string(machine_.text(key));
  }

  void add(const PickleTensor& tensor, const std::string& name) {
    const PickleStorage& storage = machine_.storages()[tensor.storage];
    const auto place = places_.find(storage.key);
    if (place == places_.end())
      complain("tensor '", name, "' lies in storage '", storage.key.substr(0, 80), "', which the file does not hold");
    const uint64_t bytes = safetensors_bits(tensor.dtype) / 8;
    const uint64_t held = storage.count > UINT64_MAX / 8 ? UINT64_MAX : storage.count * (safetensors_bits(storage.dtype) / 8);
    if (held > place->second.size)
      complain("tensor '", name, "': its storage should hold ", held, " bytes, the file has ", place->second.size);
    const uint64_t capacity = held / bytes;
    uint64_t count = 1, extent = 1;
    bool overflow = false, empty = false;
    for (size_t i = 0; i < tensor.shape.size(); ++i) {
      const auto side = static_cast<uint64_t>(tensor.shape[i]), stride = static_cast<uint64_t>(tensor.strides[i]);
      const uint64_t steps = side > 0 ? side - 1 : 0;
      uint64_t reach = 0;
      empty |= side == 0;
      // The product without zeros is checked too: strides are such products.
      overflow |= __builtin_mul_overflow(count, steps + 1, &count) || count > INT64_MAX / 16;
      overflow |= __builtin_mul_overflow(steps, stride, &reach) || __builtin_add_overflow(extent, reach, &extent);
    }
    if (empty) count = extent = 0;
    const bool inside = !overflow && tensor.offset <= capacity && extent <= capacity - tensor.offset;
    if (!inside) complain("tensor '", name, "' ", show_shape(tensor.shape), " reaches outside its storage of ", capacity, " elements");
    if (count > capacity)
      complain("tensor '", name, "' ", show_shape(tensor.shape), " repeats its storage of ", capacity,
               " elements: save a contiguous copy instead");
    used_ += count * bytes;
    if (used_ > most_bytes_)
      complain("its tensors share their bytes so often that together they are ", most_repetition, " times larger than the file");
    if (!names_.insert(name).second) complain("the name '", name, "' comes twice");
    contents_.entries.push_back({name, tensor.dtype, tensor.shape, tensor.strides, place->second.begin + tensor.offset * bytes, extent});
  }

  const PickleMachine& machine_;
  const Places& places_;
  const uint64_t most_bytes_;
  const std::string& origin_;
  size_t visits_ = 0;
  uint64_t used_ = 0;
  std::unordered_set<std::string> names_;
  PickleContents contents_;
};

PickleContents parse_zip(std::string_view bytes, const std::string& origin) {
  const auto entries = read_zip_table(bytes, origin);
  std::string prefix;
  const ZipEntry* pickle = nullptr;
  for (const auto& entry : entries) {
    const size_t slash = entry.name.find('/');
    const bool found = entry.name.substr(slash + 1) == "data.pkl";
    check<FormatError>(!found || !pickle, origin, ": the zip archive holds more than one data.pkl");
    if (!found) continue;
    pickle = &entry;
    prefix = entry.name.substr(0, slash + 1);
  }
  check<FormatError>(pickle, origin, ": is a zip archive, but none of torch.save: it holds no data.pkl");
  Places places;
  for (const auto& entry : entries) {
    check<FormatError>(entry.name != prefix + "constants.pkl", origin, ": is a TorchScript program, not a file of tensors");
    const std::string_view name = entry.name;
    const bool big = name == prefix + "byteorder" && bytes.substr(entry.begin, entry.size) != "little";
    check<FormatError>(!big, origin, ": was saved on a big-endian machine, which is not read here");
    if (name.starts_with(prefix + "data/")) places[name.substr(prefix.size() + 5)] = {entry.begin, entry.size};
  }
  check<FormatError>(pickle->size <= largest_pickle, origin, ": data.pkl has ", pickle->size, " bytes, expected at most ", largest_pickle);
  PickleMachine machine(bytes.substr(pickle->begin, pickle->size), origin);
  const PickleValue root = machine.run();
  return Flattening(machine, places, bytes.size(), origin).run(root);
}

// Five pickles: magic number, version, the machine's sizes, the tensors, the storages' keys in the order in which their data follows.
PickleContents parse_row(std::string_view bytes, const std::string& origin) {
  PickleMachine machine(bytes, origin);
  const PickleValue first = machine.run();
  check<FormatError>(first.kind == PickleKind::text && machine.text(first) == magic, origin,
                     ": is a pickle, but none that torch.save wrote");
  const PickleValue version = machine.run();
  check<FormatError>(version.kind == PickleKind::whole && version.whole == 1001, origin, ": is of an unknown version of torch's format");
  machine.run();
  const PickleValue root = machine.run(), keys = machine.run();
  check<FormatError>(machine.at() <= largest_pickle, origin, ": its pickle has ", machine.at(), " bytes, expected at most ",
                     largest_pickle);
  check<FormatError>(keys.kind == PickleKind::list, origin, ": expected the storages' keys after the pickle, found none");
  std::unordered_map<std::string_view, const PickleStorage*> storages;
  for (const auto& storage : machine.storages()) storages[storage.key] = &storage;
  Places places;
  uint64_t at = machine.at();
  for (const auto& item : machine.items(keys)) {
    const auto storage = item.kind == PickleKind::text ? storages.find(machine.text(item)) : storages.end();
    check<FormatError>(storage != storages.end(), origin, ": lists a storage that no tensor names");
    check<FormatError>(bytes.size() - at >= 8, origin, ": is truncated: the data of storage '", storage->first.substr(0, 80),
                       "' is missing");
    uint64_t count = 0;
    std::memcpy(&count, bytes.data() + at, 8);
    at += 8;
    const uint64_t width = safetensors_bits(storage->second->dtype) / 8;
    check<FormatError>(count <= (bytes.size() - at) / width, origin, ": is truncated: storage '", storage->first.substr(0, 80),
                       "' should hold ", count, " elements");
    check<FormatError>(places.insert({storage->first, {at, count * width}}).second, origin, ": lists a storage twice");
    at += count * width;
  }
  return Flattening(machine, places, bytes.size(), origin).run(root);
}

}  // namespace

bool looks_pickled(std::string_view start) {
  if (start.starts_with("PK\x03\x04")) return true;
  // A safetensors file whose header has 128 + 256 n bytes begins alike; its length ends in zeros and a '{' follows.
  const bool safetensors = start.size() > 8 && start.substr(4, 4) == std::string_view("\0\0\0\0", 4) &&
                           std::string_view("{ \t\r\n").find(start[8]) != std::string_view::npos;
  return start.size() >= 2 && start[0] == '\x80' && start[1] >= 1 && start[1] <= 5 && !safetensors;
}

PickleContents parse_pickle_file(std::string_view bytes, const std::string& origin) {
  check<FormatError>(looks_pickled(bytes), origin, ": expected a file of torch.save, found neither a zip archive nor a pickle");
  return bytes.starts_with("PK") ? parse_zip(bytes, origin) : parse_row(bytes, origin);
}

}  // namespace palate
