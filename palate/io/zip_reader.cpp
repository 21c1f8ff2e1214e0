#include "palate/io/zip_reader.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "palate/core/error.h"

namespace palate {
namespace {

constexpr uint64_t end_size = 22, end64_size = 56, locator_size = 20, central_size = 46, local_size = 30, longest_comment = 65535;
constexpr uint32_t end_mark = 0x06054b50, end64_mark = 0x06064b50, locator_mark = 0x07064b50, central_mark = 0x02014b50,
                   local_mark = 0x04034b50;

class ZipTable {
 public:
  ZipTable(std::string_view bytes, const std::string& origin) : bytes_(bytes), origin_(origin) {}

  std::vector<ZipEntry> read() {
    find_directory();
    std::vector<ZipEntry> entries;
    std::unordered_set<std::string> names;
    uint64_t at = directory_;
    for (uint64_t i = 0; i < count_; ++i) {
      entries.push_back(read_entry(at));
      if (!names.insert(entries.back().name).second) complain("names the entry '", entries.back().name, "' twice");
    }
    refuse_overlaps(entries);
    return entries;
  }

 private:
  template <class... Parts>
  [[noreturn]] void complain(const Parts&... parts) const {
    fail<FormatError>(origin_, ": the zip archive ", parts...);
  }

  // The little-endian number at `at`.
  template <class Number>
  Number number(uint64_t at) const {
    if (at > bytes_.size() || bytes_.size() - at < sizeof(Number)) complain("is truncated");
    Number value;
    std::memcpy(&value, bytes_.data() + at, sizeof value);
    return value;
  }

  void find_directory() {
    if (bytes_.size() < end_size) complain("is truncated");
    const uint64_t last = bytes_.size() - end_size, first = last > longest_comment ? last - longest_comment : 0;
    uint64_t end = last;
    while (number<uint32_t>(end) != end_mark || number<uint16_t>(end + 20) != last - end) {
      if (end-- == first) complain("has no table of contents at its end: the file is truncated");
    }
    uint64_t size = number<uint32_t>(end + 12);
    count_ = number<uint16_t>(end + 10);
    directory_ = number<uint32_t>(end + 16);
    limit_ = end;
    if (number<uint16_t>(end + 4) != 0 && number<uint16_t>(end + 4) != 0xffff) complain("is one of several volumes");
    if (end >= locator_size && number<uint32_t>(end - locator_size) == locator_mark) {
      const auto end64 = number<uint64_t>(end - locator_size + 8);
      if (end64 > end - locator_size || end - locator_size - end64 < end64_size || number<uint32_t>(end64) != end64_mark) {
        complain("has a broken table of contents");
      }
      count_ = number<uint64_t>(end64 + 32);
      size = number<uint64_t>(end64 + 40);
      directory_ = number<uint64_t>(end64 + 48);
      limit_ = end64;
    }
    if (directory_ > limit_ || size > limit_ - directory_ || count_ > size / central_size) complain("has a broken table of contents");
  }

  ZipEntry read_entry(uint64_t& at) {
    if (limit_ < central_size || at > limit_ - central_size || number<uint32_t>(at) != central_mark)
      complain("has a broken table of contents");
    const auto flags = number<uint16_t>(at + 8), method = number<uint16_t>(at + 10);
    const uint64_t name_size = number<uint16_t>(at + 28), extra = number<uint16_t>(at + 30), comment = number<uint16_t>(at + 32);
    uint64_t stored = number<uint32_t>(at + 20), local = number<uint32_t>(at + 42);
    ZipEntry entry;
    entry.size = number<uint32_t>(at + 24);
    if (limit_ - at - central_size < name_size + extra + comment) complain("has a broken table of contents");
    entry.name = bytes_.substr(at + central_size, name_size);
    read_zip64(at + central_size + name_size, extra, entry.size, stored, local);
    if (flags & 1) complain("has the encrypted entry '", entry.name, "'");
    if (method != 0) complain("has the compressed entry '", entry.name, "'; torch.save stores its entries as they are");
    if (stored != entry.size) complain("has the entry '", entry.name, "' with two different sizes, ", stored, " and ", entry.size);
    place(entry, local);
    at += central_size + name_size + extra + comment;
    return entry;
  }

  // Sizes and offsets that do not fit 32 bits are in an extra field, in this order.
  void read_zip64(uint64_t at, uint64_t length, uint64_t& size, uint64_t& stored, uint64_t& local) {
    const uint64_t end = at + length;
    while (end - at >= 4) {
      const auto kind = number<uint16_t>(at);
      const uint64_t field_end = at + 4 + number<uint16_t>(at + 2);
      if (field_end > end) complain("has a broken table of contents");
      at += 4;
      for (uint64_t* value : {&size, &stored, &local}) {
        if (kind != 1 || *value != 0xffffffff || field_end - at < 8) continue;
        *value = number<uint64_t>(at);
        at += 8;
      }
      at = field_end;
    }
  }

  void place(ZipEntry& entry, uint64_t local) {
    if (directory_ < local_size || local > directory_ - local_size || number<uint32_t>(local) != local_mark) {
      complain("has the entry '", entry.name, "' where there is none");
    }
    const uint64_t name_size = number<uint16_t>(local + 26), extra = number<uint16_t>(local + 28);
    entry.begin = local + local_size + name_size + extra;
    if (entry.begin > directory_ || entry.size > directory_ - entry.begin)
      complain("has the entry '", entry.name, "', which reaches outside the file");
    if (bytes_.substr(local + local_size, name_size) != entry.name)
      complain("has the entry '", entry.name, "' under another name at its place");
  }

  void refuse_overlaps(std::vector<ZipEntry>& entries) {
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.begin < b.begin; });
    for (size_t i = 1; i < entries.size(); ++i) {
      const auto &one = entries[i - 1], &next = entries[i];
      if (next.begin - one.begin < one.size + local_size) complain("has the entries '", one.name, "' and '", next.name, "' in one place");
    }
  }

  std::string_view bytes_;
  const std::string& origin_;
  uint64_t directory_ = 0, count_ = 0, limit_ = 0;
};

}  // namespace

std::vector<ZipEntry> read_zip_table(std::string_view bytes, const std::string& origin) { return ZipTable(bytes, origin).read(); }

}  // namespace palate
