#include "palate/io/pickle_machine.h"

#include <array>
#include <cstring>
#include <limits>

#include "palate/core/error.h"

namespace palate {
namespace {

constexpr size_t most_items = 4'000'000;  // in all lists, dicts, tuples and shapes together

}  // namespace

PickleValue pickle_value(PickleKind kind, size_t at) {
  PickleValue value;
  value.kind = kind;
  value.at = static_cast<uint32_t>(at);
  return value;
}

const char* name_of(PickleKind kind) {
  constexpr std::array names = {"None",   "a bool",  "a number", "a number",  "text",     "a list",
                                "a dict", "a tuple", "a global", "a storage", "a tensor", "an object"};
  return names[static_cast<size_t>(kind)];
}

std::string_view PickleMachine::take(uint64_t count) {
  if (count > bytes_.size() - at_) complain("is truncated at its byte ", bytes_.size());
  const std::string_view taken = bytes_.substr(at_, count);
  at_ += count;
  return taken;
}

std::string_view PickleMachine::take_line() {
  const size_t end = bytes_.find('\n', at_);
  if (end == std::string_view::npos) complain("is truncated at its byte ", bytes_.size());
  const std::string_view line = take(end - at_);
  ++at_;
  return line;
}

template <class Number>
Number PickleMachine::number() {
  Number value;
  std::memcpy(&value, take(sizeof value).data(), sizeof value);
  return value;
}

void PickleMachine::push(PickleValue value) {
  if (stack_.size() >= most_pickle_values) complain("puts more than ", most_pickle_values, " values on its stack");
  stack_.push_back(value);
}

void PickleMachine::push_whole(int64_t whole) {
  PickleValue value = pickle_value(PickleKind::whole, 0);
  value.whole = whole;
  push(value);
}

void PickleMachine::push_text(std::string_view text) {
  if (texts_.size() >= most_pickle_values) complain("holds more than ", most_pickle_values, " texts");
  texts_.push_back(text);
  push(pickle_value(PickleKind::text, texts_.size() - 1));
}

void PickleMachine::count_items(size_t count) {
  item_count_ += count;
  if (item_count_ > most_items) complain("holds more than ", most_items, " items in its lists and dicts");
}

void PickleMachine::push_container(PickleKind kind, std::vector<PickleValue> items) {
  if (items_.size() >= most_pickle_values) complain("holds more than ", most_pickle_values, " lists and dicts");
  count_items(items.size());
  items_.push_back(std::move(items));
  push(pickle_value(kind, items_.size() - 1));
}

PickleValue PickleMachine::pop() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) complain("takes a value from an empty stack at its byte ", at_ - 1);
  const PickleValue value = stack_.back();
  stack_.pop_back();
  return value;
}

PickleValue& PickleMachine::top() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) complain("looks at an empty stack at its byte ", at_ - 1);
  return stack_.back();
}

std::vector<PickleValue> PickleMachine::pop_to_mark() {
  if (marks_.empty()) complain("has no mark at its byte ", at_ - 1);
  std::vector<PickleValue> items(stack_.begin() + static_cast<int64_t>(marks_.back()), stack_.end());
  stack_.resize(marks_.back());
  marks_.pop_back();
  return items;
}

std::vector<PickleValue> PickleMachine::pop_many(size_t count) {
  std::vector<PickleValue> items(count);
  while (count > 0) items[--count] = pop();
  return items;
}

PickleValue PickleMachine::run() {
  stack_.clear();
  marks_.clear();
  memo_.clear();
  while (step(number<uint8_t>())) {
  }
  const PickleValue result = pop();
  if (!stack_.empty() || !marks_.empty()) complain("ends with values left on its stack");
  return result;
}

bool PickleMachine::step(uint8_t opcode) {
  if (opcode == '.') return false;  // STOP
  if (step_constant(opcode) || step_container(opcode) || step_memo(opcode)) return true;
  switch (opcode) {
    case 0x80:  // PROTO
      if (const int protocol = number<uint8_t>(); protocol > 5) complain("is of protocol ", protocol, ", which is not known here");
      return true;
    case 0x95:
      take(8);
      return true;  // FRAME: the length of what follows, which is read all the same
    case 'c': {     // GLOBAL
      const std::string_view module = take_line(), name = take_line();
      push_global(module, name);
      return true;
    }
    case 0x93: {  // STACK_GLOBAL
      const PickleValue name = pop(), module = pop();
      if (name.kind != PickleKind::text || module.kind != PickleKind::text) complain("names a global by ", name_of(name.kind));
      push_global(text(module), text(name));
      return true;
    }
    case 'R':
      reduce();
      return true;  // REDUCE
    case 'b':
      build();
      return true;  // BUILD
    case 'Q':
      resolve_storage();
      return true;  // BINPERSID
    default:
      break;
  }
  constexpr std::string_view hex = "0123456789abcdef";
  complain("uses opcode 0x", hex[opcode >> 4], hex[opcode & 15],
           opcode > 32 && opcode < 127 ? std::string(" ('") + static_cast<char>(opcode) + "')" : "", " at its byte ", at_ - 1,
           ", which tensors do not need and which is not read here");
}

bool PickleMachine::step_constant(uint8_t opcode) {
  switch (opcode) {
    case 'N':
      push({});
      return true;  // NONE
    case 0x88:      // NEWTRUE
    case 0x89: {    // NEWFALSE
      PickleValue value = pickle_value(PickleKind::boolean, 0);
      value.whole = opcode == 0x88;
      push(value);
      return true;
    }
    case 'K':
      push_whole(number<uint8_t>());
      return true;  // BININT1
    case 'M':
      push_whole(number<uint16_t>());
      return true;  // BININT2
    case 'J':
      push_whole(number<int32_t>());
      return true;  // BININT
    case 0x8a:
      push_long(number<uint8_t>());
      return true;  // LONG1
    case 0x8b:
      push_long(number<uint32_t>());
      return true;  // LONG4
    case 'G': {     // BINFLOAT, big-endian
      uint64_t bits = 0;
      for (const char byte : take(8)) bits = bits << 8 | static_cast<uint8_t>(byte);
      PickleValue value = pickle_value(PickleKind::real, 0);
      std::memcpy(&value.real, &bits, 8);
      push(value);
      return true;
    }
    case 0x8c:  // SHORT_BINUNICODE
    case 'U':   // SHORT_BINSTRING
    case 'C':
      push_text(take(number<uint8_t>()));
      return true;  // SHORT_BINBYTES
    case 'X':       // BINUNICODE
    case 'T':       // BINSTRING
    case 'B':
      push_text(take(number<uint32_t>()));
      return true;  // BINBYTES
    case 0x8d:      // BINUNICODE8
    case 0x8e:
      push_text(take(number<uint64_t>()));
      return true;  // BINBYTES8
    default:
      return false;
  }
}

bool PickleMachine::step_container(uint8_t opcode) {
  switch (opcode) {
    case '(':  // MARK
      if (marks_.size() >= most_pickle_values) complain("puts more than ", most_pickle_values, " marks on its stack");
      marks_.push_back(stack_.size());
      return true;
    case '0':
      pop();
      return true;  // POP
    case '1':
      pop_to_mark();
      return true;  // POP_MARK
    case '2':
      push(top());
      return true;  // DUP
    case ']':
      push_container(PickleKind::list, {});
      return true;  // EMPTY_LIST
    case 'l':
      push_container(PickleKind::list, pop_to_mark());
      return true;  // LIST
    case '}':
      push_container(PickleKind::dict, {});
      return true;  // EMPTY_DICT
    case ')':
      push_container(PickleKind::tuple, {});
      return true;  // EMPTY_TUPLE
    case 't':
      push_container(PickleKind::tuple, pop_to_mark());
      return true;  // TUPLE
    case 0x85:      // TUPLE1
    case 0x86:      // TUPLE2
    case 0x87:
      push_container(PickleKind::tuple, pop_many(opcode - 0x84u));
      return true;  // TUPLE3
    case 'd': {     // DICT
      auto items = pop_to_mark();
      if (items.size() % 2 != 0) complain("has a dict with a key but no value");
      push_container(PickleKind::dict, std::move(items));
      return true;
    }
    case 'a':  // APPEND
    case 's':  // SETITEM
    case 'e':  // APPENDS
    case 'u':
      append(opcode, opcode == 's' || opcode == 'u');
      return true;  // SETITEMS
    default:
      return false;
  }
}

bool PickleMachine::step_memo(uint8_t opcode) {
  uint64_t index = memo_.size();
  const bool get = opcode == 'h' || opcode == 'j';
  switch (opcode) {
    case 0x94:
      break;   // MEMOIZE
    case 'h':  // BINGET
    case 'q':
      index = number<uint8_t>();
      break;   // BINPUT
    case 'j':  // LONG_BINGET
    case 'r':
      index = number<uint32_t>();
      break;  // LONG_BINPUT
    default:
      return false;
  }
  if (get) {
    if (index >= memo_.size()) complain("asks for entry ", index, " of its memo, which holds ", memo_.size());
    push(memo_[index]);
    return true;
  }
  if (index >= most_pickle_values) complain("keeps more than ", most_pickle_values, " values in its memo");
  const PickleValue value = top();
  if (index >= memo_.size()) memo_.resize(index + 1);
  memo_[index] = value;
  return true;
}

// Of a long integer only those that fit are numbers; the others (torch's magic number among them) are kept as their bytes.
void PickleMachine::push_long(uint64_t size) {
  const std::string_view digits = take(size);
  if (digits.size() > 8) return push_text(digits);
  uint64_t whole = !digits.empty() && (digits.back() & 0x80) ? ~uint64_t{0} : 0;
  for (size_t i = digits.size(); i-- > 0;) whole = whole << 8 | static_cast<uint8_t>(digits[i]);
  push_whole(static_cast<int64_t>(whole));
}

void PickleMachine::append(uint8_t opcode, bool pairs) {
  const bool many = opcode == 'e' || opcode == 'u';
  const auto added = many ? pop_to_mark() : pop_many(pairs ? 2 : 1);
  const PickleValue target = top();
  if (target.kind == PickleKind::other) return;
  if (target.kind != (pairs ? PickleKind::dict : PickleKind::list)) complain("adds items to ", name_of(target.kind));
  if (pairs && added.size() % 2 != 0) complain("has a dict with a key but no value");
  count_items(added.size());
  auto& held = items_[target.at];
  held.insert(held.end(), added.begin(), added.end());
}

}  // namespace palate
