#include "palate/io/tar_reader.h"

#include <algorithm>
#include <charconv>

#include "palate/core/error.h"
#include "palate/io/lfs_pointer.h"

namespace palate {
namespace {

constexpr uint64_t block = 512, longest_name = 64 << 10, longest_pax = 1 << 20;

class TarTable {
 public:
  TarTable(std::string_view bytes, const std::string& origin) : bytes_(bytes), origin_(origin) {}

  std::vector<TarEntry> read() {
    if (bytes_.starts_with("\x1f\x8b"))
      complain("is compressed with gzip, and files in it cannot be read in place: unpack it to a plain .tar once (gunzip)");
    if (bytes_.starts_with("BZh") ||
        bytes_.starts_with("\xfd"
                           "7zXZ") ||
        bytes_.starts_with("\x28\xb5\x2f\xfd"))
      complain("is compressed, and files in it cannot be read in place: unpack it to a plain .tar once");
    refuse_lfs_pointer(bytes_, origin_);
    while (at_ < bytes_.size()) {
      if (bytes_.size() - at_ < block) complain("is truncated inside a header at byte ", at_);
      const std::string_view header = bytes_.substr(at_, block);
      if (header.find_first_not_of('\0') == std::string_view::npos) break;  // the end
      check_sum(header);
      at_ += block;
      read_entry(header);
    }
    if (!name_.empty() || has_size_) complain("ends after a header that describes the next file");
    return std::move(entries_);
  }

 private:
  template <class... Parts>
  [[noreturn]] void complain(const Parts&... parts) const {
    fail<FormatError>(origin_, ": the tar archive ", parts...);
  }

  static std::string_view text(std::string_view field) { return field.substr(0, std::min(field.find('\0'), field.size())); }

  // Octal digits between blanks, or GNU's big-endian number with the highest bit set.
  uint64_t number(std::string_view field, const char* what) const {
    if (static_cast<unsigned char>(field[0]) & 0x80) {
      uint64_t value = static_cast<unsigned char>(field[0]) & 0x7f;
      for (const char c : field.substr(1)) {
        if (value >> 55) complain("has a ", what, " out of range at byte ", at_);
        value = value << 8 | static_cast<unsigned char>(c);
      }
      return value;
    }
    std::string_view digits = text(field);
    while (!digits.empty() && digits.front() == ' ') digits.remove_prefix(1);
    while (!digits.empty() && digits.back() == ' ') digits.remove_suffix(1);
    uint64_t value = 0;
    const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), value, 8);
    if (!digits.empty() && (end.ec != std::errc() || end.ptr != digits.data() + digits.size()))
      complain("has a broken ", what, " at byte ", at_);
    return value;
  }

  void check_sum(std::string_view header) const {
    uint64_t sum = 0;
    int64_t signed_sum = 0;  // of old writers
    for (size_t i = 0; i < block; ++i) {
      const char c = i >= 148 && i < 156 ? ' ' : header[i];
      sum += static_cast<unsigned char>(c);
      signed_sum += static_cast<signed char>(c);
    }
    const std::string_view field = header.substr(148, 8);
    const bool octal = text(field).find_first_not_of("01234567 ") == std::string_view::npos;
    const uint64_t written = octal ? number(field, "checksum") : 0;
    if (!octal || (written != sum && static_cast<int64_t>(written) != signed_sum)) {
      complain(at_ == 0 ? "is none: its first header's checksum is wrong" : concat("has a wrong checksum at byte ", at_));
    }
  }

  std::string name_of(std::string_view header) const {
    const bool posix = header.substr(257, 6) == std::string_view("ustar\0", 6);
    const std::string_view prefix = posix ? text(header.substr(345, 155)) : std::string_view();
    return prefix.empty() ? std::string(text(header.substr(0, 100))) : concat(prefix, "/", text(header.substr(0, 100)));
  }

  // `at_` stands behind the header.
  void read_entry(std::string_view header) {
    const char kind = header[156];
    const bool described = kind == 'L' || kind == 'K' || kind == 'x' || kind == 'g';
    uint64_t size = number(header.substr(124, 12), "size");
    if (!described && has_size_) size = size_;
    const std::string name = !described && !name_.empty() ? name_ : name_of(header);
    // Links, devices and folders have no bytes, whatever they say.
    const bool empty = kind >= '1' && kind <= '6';
    if (empty) size = 0;
    if (size > bytes_.size() - at_)
      complain("has the file '", name, "' of ", size, " bytes, which reaches beyond its end: it is truncated or broken");
    const std::string_view data = bytes_.substr(at_, size);
    if (described) {
      describe(kind, data);
    } else {
      if (kind == 'S' || sparse_) complain("has the sparse file '", name, "', which is not supported: pack it again without --sparse");
      if (kind == '0' || kind == '\0' || kind == '7') {
        if (!name.ends_with('/')) entries_.push_back({name, at_, size});
      } else if (!empty) {
        complain("has the entry '", name, "' of the unknown kind '", kind, "'");
      }
      name_.clear();
      has_size_ = false;
    }
    const uint64_t padded = (size + block - 1) / block * block;
    at_ += std::min<uint64_t>(padded, bytes_.size() - at_);  // the last file's padding may be missing
  }

  void describe(char kind, std::string_view data) {
    if (kind == 'K') return;
    if (kind == 'L') {
      if (data.size() > longest_name) complain("has a name of ", data.size(), " bytes");
      name_ = text(data);
      return;
    }
    if (data.size() > longest_pax) complain("has a pax header of ", data.size(), " bytes");
    while (!data.empty() && data.front() != '\0') pax_record(data, kind == 'g');
  }

  // "LENGTH KEY=VALUE\n", where LENGTH counts itself.
  void pax_record(std::string_view& data, bool global) {
    uint64_t length = 0;
    const auto end = std::from_chars(data.data(), data.data() + data.size(), length);
    const auto digits = static_cast<uint64_t>(end.ptr - data.data());
    if (end.ec != std::errc() || digits == 0 || length < digits + 3 || length > data.size() || data[digits] != ' ' ||
        data[length - 1] != '\n')
      complain("has a broken pax header before byte ", at_);
    const std::string_view record = data.substr(digits + 1, length - digits - 2);
    data.remove_prefix(length);
    const size_t equals = record.find('=');
    if (equals == std::string_view::npos) complain("has a broken pax header before byte ", at_);
    const std::string_view key = record.substr(0, equals), value = record.substr(equals + 1);
    if (key.starts_with("GNU.sparse.")) sparse_ = true;
    if (key != "path" && key != "size") return;
    if (global) complain("gives all of its files one ", key, " in a global pax header");
    if (key == "path") {
      if (value.size() > longest_name) complain("has a name of ", value.size(), " bytes");
      name_ = text(value);
    } else {
      const auto stop = std::from_chars(value.data(), value.data() + value.size(), size_);
      if (value.empty() || stop.ec != std::errc() || stop.ptr != value.data() + value.size())
        complain("has a broken size in a pax header before byte ", at_);
      has_size_ = true;
    }
  }

  std::string_view bytes_;
  const std::string& origin_;
  uint64_t at_ = 0, size_ = 0;
  bool has_size_ = false, sparse_ = false;  // of the next entry, said by a header of its own
  std::string name_;
  std::vector<TarEntry> entries_;
};

}  // namespace

std::vector<TarEntry> read_tar_table(std::string_view bytes, const std::string& origin) { return TarTable(bytes, origin).read(); }

}  // namespace palate
