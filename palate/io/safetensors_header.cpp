#include "palate/io/safetensors_header.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <tuple>
#include <unordered_set>

#include "palate/core/error.h"
#include "palate/io/lfs_pointer.h"

namespace palate {
namespace {

constexpr uint64_t largest_header = 100'000'000;
constexpr size_t largest_rank = 64;

struct DtypeName {
  std::string_view name;
  uint64_t bits;
};
// In the order of the reference's enum (safetensors/src/tensor.rs).
constexpr std::array<DtypeName, 22> kinds = {
    {{"BOOL", 8},    {"F4", 4},          {"F6_E2M3", 6},     {"F6_E3M2", 6}, {"U8", 8},   {"I8", 8},   {"F8_E5M2", 8}, {"F8_E4M3", 8},
     {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16}, {"F16", 16}, {"BF16", 16},   {"I32", 32},
     {"U32", 32},    {"F32", 32},        {"C64", 64},        {"F64", 64},    {"I64", 64}, {"U64", 64}}};

// Reads the header as it comes, with no document in between: a hostile header of 100 MB must not become gigabytes.
// The only shape is {NAME: {"dtype": text, "shape": [n...], "data_offsets": [a, b]}..., "__metadata__": {text: text...}}.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderReader(SafetensorsHeader& header, const std::string& origin) : header_(header), origin_(origin) {}

  bool key(std::string& name) override {
    if (depth_ == 1) {
      if (!names_.insert(name).second) complain("the header names '", name, "' twice");
      in_metadata_ = name == "__metadata__";
      current_ = {};
      current_.name = name;
      seen_dtype_ = seen_shape_ = seen_offsets_ = false;
    } else if (in_metadata_) {
      if (header_.metadata.count(name)) complain("__metadata__ names '", name, "' twice");
      field_ = name;
    } else {
      bool* seen = name == "dtype" ? &seen_dtype_ : name == "shape" ? &seen_shape_ : name == "data_offsets" ? &seen_offsets_ : nullptr;
      if (!seen) complain("tensor '", current_.name, "' has the unknown key '", name, "'");
      if (*seen) complain("tensor '", current_.name, "' has '", name, "' twice");
      *seen = true;
      field_ = name;
    }
    return true;
  }
  bool string(std::string& value) override {
    if (depth_ == 2 && in_metadata_) {
      header_.metadata[field_] = value;
    } else if (depth_ == 2 && field_ == "dtype") {
      if (safetensors_bits(value) == 0) complain("tensor '", current_.name, "' has the unknown dtype '", value, "'");
      current_.dtype = value;
    } else {
      unexpected("text");
    }
    return true;
  }
  bool number_unsigned(uint64_t value) override {
    if (depth_ != 3) unexpected("a number");
    if (field_ == "shape") {
      if (value > INT64_MAX) complain("tensor '", current_.name, "' has a side of ", value);
      if (current_.shape.size() == largest_rank) complain("tensor '", current_.name, "' has more than ", largest_rank, " dimensions");
      current_.shape.push_back(static_cast<int64_t>(value));
    } else {
      if (offsets_ == 2) complain("tensor '", current_.name, "' has more than two data_offsets");
      (offsets_++ == 0 ? current_.begin : current_.end) = value;
    }
    return true;
  }
  bool start_object(std::size_t) override {
    if (depth_ == 0 || depth_ == 1) {
      ++depth_;
      field_.clear();
      return true;
    }
    return unexpected("an object");
  }
  bool end_object() override {
    if (depth_ == 2 && !in_metadata_) finish_entry();
    --depth_;
    return true;
  }
  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_metadata_ || (field_ != "shape" && field_ != "data_offsets")) unexpected("a list");
    depth_ = 3;
    offsets_ = 0;
    return true;
  }
  bool end_array() override {
    if (field_ == "data_offsets" && offsets_ != 2) complain("tensor '", current_.name, "' has ", offsets_, " data_offsets, expected two");
    depth_ = 2;
    return true;
  }
  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("true or false"); }
  bool number_integer(int64_t) override { return unexpected("a negative number"); }
  bool number_float(double, const std::string&) override { return unexpected("a number that is not whole"); }
  bool binary(nlohmann::json::binary_t&) override { return unexpected("binary"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    complain("the header is not valid JSON at its byte ", position);
  }

 private:
  template <class... Parts>
  [[noreturn]] void complain(const Parts&... parts) const {
    fail<FormatError>(origin_, ": ", parts...);
  }
  bool unexpected(const char* found) const {
    if (depth_ == 0) complain("expected a JSON object as header, found ", found);
    if (in_metadata_) complain("__metadata__: expected an object of text, found ", found);
    complain("tensor '", current_.name, "': expected dtype as text, shape and data_offsets as lists of whole numbers, found ", found);
  }

  void finish_entry() {
    const std::string where = "tensor '" + current_.name + "'";
    if (!seen_dtype_ || !seen_shape_ || !seen_offsets_) complain(where, ": expected dtype, shape and data_offsets");
    // The product without zeros is checked too: strides are such products.
    uint64_t total = safetensors_bits(current_.dtype), strides = 1;
    bool overflow = false;
    for (const int64_t size : current_.shape) {
      const auto side = static_cast<uint64_t>(size);
      overflow |= __builtin_mul_overflow(total, side, &total);
      overflow |= __builtin_mul_overflow(strides, std::max<uint64_t>(side, 1), &strides) || strides > INT64_MAX;
    }
    if (overflow) complain(where, ": shape ", show_shape(current_.shape), " is larger than any file");
    if (total % 8 != 0) complain(where, ": ", current_.dtype, " ", show_shape(current_.shape), " does not fill whole bytes");
    if (current_.end < current_.begin || current_.end - current_.begin != total / 8) {
      complain(where, ": ", current_.dtype, " ", show_shape(current_.shape), " needs ", total / 8, " bytes, its data_offsets are ",
               current_.begin, " to ", current_.end);
    }
    header_.entries.push_back(std::move(current_));
  }

  SafetensorsHeader& header_;
  const std::string& origin_;
  std::unordered_set<std::string> names_;
  SafetensorsEntry current_;
  std::string field_;
  int depth_ = 0, offsets_ = 0;
  bool in_metadata_ = false, seen_dtype_ = false, seen_shape_ = false, seen_offsets_ = false;
};

void check_contiguous(const std::vector<SafetensorsEntry>& entries, uint64_t available, const std::string& origin) {
  uint64_t next = 0;
  for (const auto& entry : entries) {
    check<FormatError>(entry.begin == next, origin, ": tensor '", entry.name, "' starts at byte ", entry.begin, " of the data, expected ",
                       next, entry.begin < next ? " (tensors overlap)" : " (a hole)");
    next = entry.end;
  }
  check<FormatError>(next <= available, origin, ": the file is truncated: its header promises ", next, " bytes of data, ", available,
                     " are there; fetch it again");
  check<FormatError>(next == available, origin, ": ", available - next, " bytes follow the last tensor, expected none");
}

// What people hand over instead, by its first bytes; "" when it is none of these.
std::string other_kind(std::string_view start) {
  static const std::pair<std::string_view, const char*> known[] = {{"\x89PNG", "a PNG picture"},
                                                                   {"\xFF\xD8\xFF", "a JPEG picture"},
                                                                   {"RIFF", "a RIFF file (a WebP picture, for example)"},
                                                                   {"GGUF", "a GGUF file of llama.cpp's kind"},
                                                                   {"\x1F\x8B", "compressed with gzip"},
                                                                   {"7z\xBC\xAF", "a 7z archive"},
                                                                   {"<!DOCTYPE", "an HTML page, as a failed download leaves"},
                                                                   {"<html", "an HTML page, as a failed download leaves"},
                                                                   {"PAR1", "a parquet file"}};
  for (const auto& [magic, kind] : known) {
    if (start.starts_with(magic)) return kind;
  }
  const bool text =
      std::all_of(start.begin(), start.begin() + 8, [](char c) { return c == '\n' || c == '\r' || c == '\t' || (c >= ' ' && c < 127); });
  return text ? "text" : "";
}

}  // namespace

uint64_t safetensors_bits(std::string_view dtype) {
  const int rank = safetensors_rank(dtype);
  return rank < 0 ? 0 : kinds[static_cast<size_t>(rank)].bits;
}

int safetensors_rank(std::string_view dtype) {
  for (size_t i = 0; i < kinds.size(); ++i) {
    if (dtype == kinds[i].name) return static_cast<int>(i);
  }
  return -1;
}

SafetensorsHeader parse_safetensors_header(std::string_view start, uint64_t file_size, const std::string& origin) {
  refuse_lfs_pointer(start, origin);
  check<FormatError>(start.size() >= 8, origin, ": is too short for a safetensors file (", file_size, " bytes)");
  uint64_t length = 0;
  std::memcpy(&length, start.data(), 8);
  if (length > largest_header) {
    const std::string other = other_kind(start);
    fail<FormatError>(origin, ": is not a safetensors file",
                      other.empty() ? concat(" (it would have a header of ", length, " bytes)") : ", it is " + other);
  }
  check<FormatError>(length <= file_size - 8 && length <= start.size() - 8, origin, ": the file is truncated inside its header: ", length,
                     " bytes promised, ", file_size - 8, " are there; fetch it again, or it is no safetensors file");
  SafetensorsHeader header;
  header.data_start = 8 + length;
  HeaderReader reader(header, origin);
  const std::string_view text = start.substr(8, length);
  nlohmann::json::sax_parse(text.begin(), text.end(), &reader);
  auto& entries = header.entries;
  const auto key = [](const SafetensorsEntry& e) { return std::tie(e.begin, e.end, e.name); };
  std::sort(entries.begin(), entries.end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });
  check_contiguous(entries, file_size - header.data_start, origin);
  return header;
}

}  // namespace palate
