#include "palate/io/safetensors_header.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "palate/core/error.h"
#include "palate/io/json.h"

namespace palate {
namespace {

constexpr uint64_t largest_header = 100'000'000;

struct Kind {
  const char* name;
  uint64_t bits;
};
// In the order of the reference's enum (safetensors/src/tensor.rs).
constexpr std::array<Kind, 21> kinds = {{{"BOOL", 8},    {"F4", 4},          {"F6_E2M3", 6},     {"F6_E3M2", 6}, {"U8", 8},
                                         {"I8", 8},      {"F8_E5M2", 8},     {"F8_E4M3", 8},     {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
                                         {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},        {"F16", 16},    {"BF16", 16},
                                         {"I32", 32},    {"U32", 32},        {"F32", 32},        {"C64", 64},    {"F64", 64},
                                         {"I64", 64}}};

// The parser keeps the last of two equal keys without a word; the format forbids them, so keys are counted as they come.
nlohmann::json parse_without_duplicates(std::string_view text, const std::string& origin) {
  std::vector<std::set<std::string>> keys;
  const auto watch = [&](int, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    using Event = nlohmann::json::parse_event_t;
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key) {
      check<FormatError>(keys.back().insert(value.get<std::string>()).second, origin, ": the header holds the key '", value.get<std::string>(), "' twice");
    }
    return true;
  };
  try {
    return nlohmann::json::parse(text.begin(), text.end(), watch);
  } catch (const nlohmann::json::exception&) {
    fail<FormatError>(origin, ": the safetensors header is not valid JSON");
  }
}

uint64_t checked_product(const std::vector<int64_t>& shape, uint64_t bits, const std::string& where) {
  uint64_t total = bits;
  for (const int64_t size : shape) {
    uint64_t next = 0;
    check<FormatError>(!__builtin_mul_overflow(total, static_cast<uint64_t>(size), &next), where, ": shape ", show_shape(shape), " is larger than any file");
    total = next;
  }
  return total;
}

uint64_t unsigned_number(const nlohmann::json& value, const std::string& where) {
  check<FormatError>(value.is_number_unsigned(), where, ": expected whole numbers in shape and data_offsets");
  return value.get<uint64_t>();
}

SafetensorsEntry parse_entry(const std::string& name, const nlohmann::json& value, const std::string& origin) {
  const std::string where = origin + ": tensor '" + name + "'";
  check<FormatError>(value.is_object() && value.size() == 3 && value.contains("dtype") && value.contains("shape") && value.contains("data_offsets"), where,
                     ": expected dtype, shape and data_offsets");
  check<FormatError>(value["dtype"].is_string() && safetensors_bits(value["dtype"].get<std::string>()) > 0, where, ": unknown dtype ", value["dtype"].dump());
  check<FormatError>(value["shape"].is_array() && value["data_offsets"].is_array() && value["data_offsets"].size() == 2, where,
                     ": expected shape as a list and data_offsets as two numbers");
  SafetensorsEntry entry{name, value["dtype"].get<std::string>(), {}, 0, 0};
  for (const auto& size : value["shape"]) {
    const uint64_t n = unsigned_number(size, where);
    check<FormatError>(n <= INT64_MAX, where, ": a side of ", n, " is larger than any file");
    entry.shape.push_back(static_cast<int64_t>(n));
  }
  entry.begin = unsigned_number(value["data_offsets"][0], where);
  entry.end = unsigned_number(value["data_offsets"][1], where);
  const uint64_t bits = checked_product(entry.shape, safetensors_bits(entry.dtype), where);
  check<FormatError>(bits % 8 == 0 && entry.end >= entry.begin && entry.end - entry.begin == bits / 8, where, ": ", entry.dtype, " ", show_shape(entry.shape), " needs ",
                     bits / 8, " bytes, its data_offsets hold ", entry.end >= entry.begin ? entry.end - entry.begin : 0);
  return entry;
}

void check_contiguous(const std::vector<SafetensorsEntry>& entries, uint64_t available, const std::string& origin) {
  uint64_t next = 0;
  for (const auto& entry : entries) {
    check<FormatError>(entry.begin == next, origin, ": tensor '", entry.name, "' starts at byte ", entry.begin, " of the data, expected ", next,
                       entry.begin < next ? " (tensors overlap)" : " (a hole)");
    next = entry.end;
  }
  check<FormatError>(next <= available, origin, ": the file is truncated: its header promises ", next, " bytes of data, ", available, " are there; fetch it again");
  check<FormatError>(next == available, origin, ": ", available - next, " bytes follow the last tensor, expected none");
}

}  // namespace

uint64_t safetensors_bits(std::string_view dtype) {
  const int rank = safetensors_rank(dtype);
  return rank < 0 ? 0 : rank == 21 ? 64 : kinds[static_cast<size_t>(rank)].bits;
}

int safetensors_rank(std::string_view dtype) {
  for (size_t i = 0; i < kinds.size(); ++i) {
    if (dtype == kinds[i].name) return static_cast<int>(i);
  }
  return dtype == "U64" ? 21 : -1;
}

SafetensorsHeader parse_safetensors_header(std::string_view start, uint64_t file_size, const std::string& origin) {
  check<FormatError>(!start.starts_with("version https://git-lfs"), origin,
                     ": is a Git LFS pointer, not the weights: run 'git lfs pull' in that folder, or download the file itself");
  check<FormatError>(start.size() >= 8, origin, ": is too short for a safetensors file (", file_size, " bytes)");
  uint64_t length = 0;
  std::memcpy(&length, start.data(), 8);
  check<FormatError>(length <= largest_header, origin, ": is not a safetensors file (it would have a header of ", length, " bytes)");
  check<FormatError>(length <= file_size - 8, origin, ": the file is truncated inside its header: ", length, " bytes promised, ", file_size - 8,
                     " are there; fetch it again, or it is no safetensors file");
  const nlohmann::json json = parse_without_duplicates(start.substr(8, length), origin);
  check<FormatError>(json.is_object(), origin, ": the safetensors header is not a JSON object");
  SafetensorsHeader header;
  header.data_start = 8 + length;
  for (const auto& [name, value] : json.items()) {
    if (name != "__metadata__") {
      header.entries.push_back(parse_entry(name, value, origin));
      continue;
    }
    check<FormatError>(value.is_object(), origin, ": __metadata__ is not an object");
    for (const auto& [key, text] : value.items()) {
      check<FormatError>(text.is_string(), origin, ": __metadata__ '", key, "' is not text");
      header.metadata[key] = text.get<std::string>();
    }
  }
  std::sort(header.entries.begin(), header.entries.end(), [](const auto& a, const auto& b) { return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name); });
  check_contiguous(header.entries, file_size - header.data_start, origin);
  return header;
}

}  // namespace palate
