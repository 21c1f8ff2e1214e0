// Python's pickle as far as tensors need it. Nothing is ever executed: a global is a name in a short list, and calling one
// builds a value of the kinds below; every other global and opcode is refused by name.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "palate/core/error.h"

namespace palate {

enum class PickleKind : uint8_t { none, boolean, whole, real, text, list, dict, tuple, global, storage, tensor, other };

// Small, so that a hostile file of a few megabytes stays a few dozen: `at` is a place in the machine's tables.
struct PickleValue {
  PickleKind kind = PickleKind::none;
  uint32_t at = 0;
  union {
    int64_t whole = 0;
    double real;
  };
};

// A reference to bytes beside the pickle: torch.FloatStorage with key "3".
struct PickleStorage {
  std::string_view key;
  const char* dtype = "";  // as safetensors names it
  uint64_t count = 0;      // elements
};

struct PickleTensor {
  uint32_t storage = 0;  // place in storages()
  const char* dtype = "";
  uint64_t offset = 0;  // elements
  std::vector<int64_t> shape, strides;
};

inline constexpr size_t most_pickle_values = 1'000'000;  // of each kind, on the stack and in the memo: a checkpoint has some thousands

PickleValue pickle_value(PickleKind kind, size_t at);
const char* name_of(PickleKind kind);  // "a list", for messages

class PickleMachine {
 public:
  // `bytes` and `origin` live as long as the machine. FormatError for what is refused.
  PickleMachine(std::string_view bytes, const std::string& origin) : bytes_(bytes), origin_(origin) {}

  PickleValue run();  // one pickle, from `at()` to its STOP
  size_t at() const { return at_; }

  const std::vector<PickleValue>& items(PickleValue value) const { return items_[value.at]; }  // of a dict: key, value, key, ...
  std::string_view text(PickleValue value) const { return texts_[value.at]; }
  const PickleTensor& tensor(PickleValue value) const { return tensors_[value.at]; }
  const std::vector<PickleStorage>& storages() const { return storages_; }

 private:
  template <class... Parts>
  [[noreturn]] void complain(const Parts&... parts) const {
    fail<FormatError>(origin_, ": the pickle ", parts...);
  }
  std::string_view take(uint64_t count);
  std::string_view take_line();
  template <class Number>
  Number number();
  void push(PickleValue value);
  void push_whole(int64_t value);
  void push_text(std::string_view value);
  void count_items(size_t count);
  void push_container(PickleKind kind, std::vector<PickleValue> items);
  PickleValue pop();
  std::vector<PickleValue> pop_to_mark();
  std::vector<PickleValue> pop_many(size_t count);
  PickleValue& top();
  bool step(uint8_t opcode);  // false at STOP
  bool step_constant(uint8_t opcode);
  bool step_container(uint8_t opcode);
  bool step_memo(uint8_t opcode);
  void push_long(uint64_t size);
  void push_global(std::string_view module, std::string_view name);
  void append(uint8_t opcode, bool pairs);
  void build();
  void reduce();
  void resolve_storage();
  void rebuild_tensor(const std::vector<PickleValue>& arguments, bool typed);
  uint64_t whole_of(PickleValue value, const char* what) const;
  std::vector<int64_t> wholes_of(PickleValue value, const char* what) const;

  std::string_view bytes_;
  const std::string& origin_;
  size_t at_ = 0, item_count_ = 0;
  std::vector<PickleValue> stack_, memo_;
  std::vector<size_t> marks_;
  std::deque<std::vector<PickleValue>> items_;
  std::vector<std::string_view> texts_;
  std::vector<PickleStorage> storages_;
  std::deque<PickleTensor> tensors_;
};

}  // namespace palate
