// Tar archives: what Python's tarfile writes (tests/golden/make_images.py), and what nobody should.
#include <doctest/doctest.h>

#include <cstdio>

#include "palate/core/error.h"
#include "palate/io/csv.h"
#include "palate/io/tar_reader.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;

namespace {

struct Packed {
  std::string name, data;
  char kind = '0';
  std::string size = "";  // "" for the data's, as written into the header
};

std::string header(const Packed& entry) {
  std::string block(512, '\0');
  const auto put = [&](size_t at, const std::string& text) { block.replace(at, text.size(), text); };
  char digits[16];
  std::snprintf(digits, sizeof digits, "%011zo", entry.data.size());
  put(0, entry.name);
  put(100, "0000644");
  put(124, entry.size.empty() ? digits : entry.size);
  block[156] = entry.kind;
  put(257, std::string("ustar\0", 6) + "00");
  put(148, "        ");
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  std::snprintf(digits, sizeof digits, "%06o", sum);
  put(148, std::string(digits) + '\0' + ' ');
  return block;
}

std::string tar(const std::vector<Packed>& entries, bool end = true) {
  std::string bytes;
  for (const Packed& entry : entries) bytes += header(entry) + entry.data + std::string((512 - entry.data.size() % 512) % 512, '\0');
  return end ? bytes + std::string(1024, '\0') : bytes;
}

std::string error_of(const std::string& bytes) {
  try {
    read_tar_table(bytes, "x.tar");
  } catch (const FormatError& error) {
    return error.what();
  }
  return "";
}

void expect_refused(const std::string& bytes, const std::string& part) {
  const std::string error = error_of(bytes);
  CAPTURE(error);
  CAPTURE(part);
  CHECK(error.find(part) != std::string::npos);
  CHECK(error.starts_with("x.tar"));
}

std::string pax(const std::string& key, const std::string& value) {
  const std::string rest = " " + key + "=" + value + "\n";
  size_t length = rest.size() + 1;
  while (std::to_string(length).size() + rest.size() != length) ++length;
  return std::to_string(length) + rest;
}

}  // namespace

TEST_CASE("tar: regular files in their order, with their place; folders and links left out") {
  const std::string bytes = read_text(golden("images_ustar.tar"));
  const auto entries = read_tar_table(bytes, "x.tar");
  REQUIRE(entries.size() == 20);  // six pictures, six hidden files, five captions, __meta__, .cls and README
  CHECK(entries[0].name == "__meta__");
  CHECK(entries[1].name == "dir/000.jpg");
  CHECK(bytes.substr(entries[1].begin, 2) == "\xff\xd8");
  CHECK(bytes.substr(entries[3].begin, entries[3].size) == "caption 0\r\n");
}

TEST_CASE("tar: v7, missing end, padding cut off, names with a prefix, GNU's large numbers") {
  const std::string one = tar({{"a.txt", "hello"}}, false);
  CHECK(read_tar_table(one, "x.tar").size() == 1);
  CHECK(read_tar_table(one.substr(0, 517), "x.tar")[0].size == 5);
  Packed large{"a.txt", "hello"};
  large.size = std::string("\x80\0\0\0\0\0\0\0\0\0\0\5", 12);
  CHECK(read_tar_table(tar({large, {"b", ""}}), "x.tar")[0].size == 5);
  const auto renamed = read_tar_table(
      tar({{"pax", pax("path", "new/name.txt") + pax("mtime", "1.5"), 'x'}, {"old.txt", "hello"}, {"next.txt", "x"}}), "x.tar");
  CHECK(renamed[0].name == "new/name.txt");
  CHECK(renamed[1].name == "next.txt");
  CHECK(read_tar_table(std::string(1024, '\0'), "x.tar").empty());
}

TEST_CASE("tar: what is broken, hostile or of another kind is refused") {
  const std::string good = tar({{"a.txt", "hello"}, {"b.txt", "world"}});
  expect_refused("\x1f\x8b and so on", "is compressed with gzip");
  expect_refused("BZh91AY", "is compressed");
  expect_refused("version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer");
  expect_refused(std::string(512, 'x'), "is none: its first header's checksum is wrong");
  expect_refused(good.substr(0, 1100), "is truncated inside a header at byte 1024");
  expect_refused(good.substr(0, 514), "has the file 'a.txt' of 5 bytes, which reaches beyond its end");
  std::string flipped = good;
  flipped[1024] = 'c';
  expect_refused(flipped, "has a wrong checksum at byte 1024");
  Packed huge{"a", "x"};
  huge.size = "77777777777";
  expect_refused(tar({huge}), "reaches beyond its end");
  huge.size = std::string("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12);
  expect_refused(tar({huge}), "has a size out of range");
  huge.size = "12x";
  expect_refused(tar({huge}), "has a broken size");
  expect_refused(tar({{"a", "x", 'S'}}), "has the sparse file 'a'");
  expect_refused(tar({{"p", pax("GNU.sparse.major", "1"), 'x'}, {"a", "x"}}), "has the sparse file 'a'");
  expect_refused(tar({{"a", "x", 'M'}}), "has the entry 'a' of the unknown kind 'M'");
  expect_refused(tar({{"p", "12 path=x", 'x'}, {"a", "x"}}), "has a broken pax header");
  expect_refused(tar({{"p", "99999999999999999999999 path=x\n", 'x'}, {"a", "x"}}), "has a broken pax header");
  expect_refused(tar({{"p", "6 abc\n", 'x'}, {"a", "x"}}), "has a broken pax header");
  expect_refused(tar({{"p", pax("size", "-1"), 'x'}, {"a", "x"}}), "has a broken size");
  expect_refused(tar({{"p", pax("size", "18446744073709551615"), 'x'}, {"a", "x"}}), "reaches beyond its end");
  expect_refused(tar({{"p", pax("path", "b"), 'g'}, {"a", "x"}}), "in a global pax header");
  expect_refused(tar({{"p", std::string(70000, 'n'), 'L'}, {"a", "x"}}), "has a name of 70000 bytes");
  expect_refused(tar({{"p", pax("path", "b"), 'x'}}), "ends after a header that describes the next file");
}

TEST_CASE("tar: a real WebDataset shard" * doctest::test_suite("shared") * doctest::skip(shared_missing({"webdataset_sample"}))) {
  const auto path = shared_data("webdataset_sample/tendata.tar");
  const std::string bytes = read_text(path);
  const auto entries = read_tar_table(bytes, "tendata.tar");
  REQUIRE(entries.size() > 90);
  for (const auto& entry : entries) CHECK(entry.size == 12736);
  CHECK(entries[7].name == "000007.ten");
  CHECK(error_of(read_text(shared_data("webdataset_sample/sample.tgz"))).find("is compressed with gzip") != std::string::npos);
}

TEST_CASE("csv: quotes, line ends and mistakes") {
  const auto rows = parse_csv(
      "\xEF\xBB\xBF"
      "a,b\r\n\"x, \"\"y\"\"\nz\",\n\n,last",
      "f.csv");
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].fields == std::vector<std::string>{"a", "b"});
  CHECK(rows[1].fields == std::vector<std::string>{"x, \"y\"\nz", ""});
  CHECK(rows[1].line == 2);
  CHECK(rows[2].fields == std::vector<std::string>{"", "last"});
  CHECK(rows[2].line == 5);
  for (const char* text : {"a,\"b", "a,\"b\"c\n", "a b\"c\"\n"}) CHECK_THROWS_AS(parse_csv(text, "f.csv"), FormatError);
}
