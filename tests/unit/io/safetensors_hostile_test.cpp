// What docs/formats.md, section 1, refuses. Vectors ported from the reference's tests (safetensors/src/tensor.rs) and attacks/.
#include <string>

#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/io/safetensors.h"
#include "palate/io/safetensors_header.h"
#include "tests/support/paths.h"
#include "tests/unit/io/message.h"

using namespace palate;
using namespace palate::test;

namespace {

std::string file_of(const std::string& header, size_t data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + std::string(data, '\0');
}

std::string refused(const std::string& bytes) {
  return message<FormatError>([&] { parse_safetensors_header(bytes, bytes.size(), "f"); });
}

SafetensorsHeader accepted(const std::string& bytes) { return parse_safetensors_header(bytes, bytes.size(), "f"); }

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

}  // namespace

TEST_CASE("safetensors: whitespace around the header is accepted, empty and rank-0 tensors too") {
  CHECK(accepted(file_of("{}", 0)).entries.empty());
  CHECK(accepted(file_of("\t{\"__metadata__\":{}} \r\n\t ", 0)).entries.empty());
  CHECK(accepted(file_of("{" + tensor("t", "I32", "[2,2]", "[0,16]") + "}       ", 16)).entries.size() == 1);
  CHECK(accepted(file_of("  {" + tensor("t", "I32", "[2,0]", "[0,0]") + "}", 0)).entries[0].shape == std::vector<int64_t>{2, 0});
  CHECK(accepted(file_of("{" + tensor("t", "F32", "[]", "[0,4]") + "}", 4)).entries[0].shape.empty());
  CHECK(accepted(file_of("{" + tensor("t", "F4", "[2]", "[0,1]") + "}", 1)).entries.size() == 1);
}

TEST_CASE("safetensors: files that are too short, too long or no safetensors at all") {
  CHECK(has(refused(""), "too short"));
  CHECK(has(refused("\x01\x02\x03"), "too short"));
  CHECK(has(refused(std::string("\x3c\0\0\0\0\xff\xff\xff", 8)), "not a safetensors file"));
  CHECK(has(refused(std::string("\x01\0\0\0\0\0\0\0", 8)), "truncated inside its header"));
  CHECK(has(refused(file_of("\xff", 0)), "not valid JSON"));
  CHECK(has(refused(file_of("{", 0)), "not valid JSON"));
  CHECK(has(refused(file_of("", 0)), "not valid JSON"));
  CHECK(has(refused(file_of("{} {}", 0)), "not valid JSON"));
  CHECK(has(refused(file_of("[]", 0)), "expected a JSON object"));
  CHECK(has(refused("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n"), "git lfs pull"));
  const uint64_t large = 100'000'001;
  CHECK(has(refused(std::string(reinterpret_cast<const char*>(&large), 8) + "{}"), "not a safetensors file"));
}

TEST_CASE("safetensors: offsets must cover the data without hole, overlap or rest") {
  const std::string a = tensor("a", "I32", "[2,2]", "[0,16]");
  CHECK(has(refused(file_of("{" + a + "," + tensor("b", "I32", "[2,2]", "[0,16]") + "}", 16)), "overlap"));
  CHECK(has(refused(file_of("{" + a + "," + tensor("b", "I32", "[2,2]", "[12,28]") + "}", 28)), "overlap"));
  CHECK(has(refused(file_of("{" + tensor("b", "I32", "[2,2]", "[4,20]") + "}", 20)), "hole"));
  CHECK(has(refused(file_of("{" + a + "," + tensor("b", "I32", "[2,2]", "[20,36]") + "}", 36)), "hole"));
  CHECK(has(refused(file_of("{" + a + "}", 15)), "truncated"));
  CHECK(has(refused(file_of("{" + a + "}extra", 16)), "not valid JSON"));
  CHECK(has(refused(file_of("{" + a + "}", 17)), "1 bytes follow"));
  CHECK(has(refused(file_of("{" + tensor("a", "I32", "[2,2]", "[16,0]") + "}", 16)), "needs 16 bytes"));
  CHECK(has(refused(file_of("{" + tensor("a", "I32", "[2,2]", "[0,4]") + "}", 4)), "needs 16 bytes"));
  CHECK(has(refused(file_of("{" + tensor("a", "I32", "[2,2]", "[0,18446744073709551615]") + "}", 4)), "needs 16 bytes"));
}

TEST_CASE("safetensors: shapes whose product overflows, and sub-byte totals") {
  CHECK(has(refused(file_of("{" + tensor("a", "I32", "[2,18446744073709551614]", "[0,16]") + "}", 16)), "a side of"));
  CHECK(has(refused(file_of("{" + tensor("a", "I32", "[2,9223372036854775807]", "[0,16]") + "}", 16)), "larger than any file"));
  // No bytes, but strides that overflow.
  CHECK(has(refused(file_of("{" + tensor("a", "I32", "[0,4611686018427387904,4611686018427387904]", "[0,0]") + "}", 0)),
            "larger than any file"));
  CHECK(has(refused(file_of("{" + tensor("a", "F4", "[3]", "[0,1]") + "}", 1)), "whole bytes"));
  std::string ones = "[1";
  for (int i = 0; i < 100; ++i) ones += ",1";
  CHECK(has(refused(file_of("{" + tensor("a", "U8", ones + "]", "[0,1]") + "}", 1)), "dimensions"));
}

TEST_CASE("safetensors: what is not the header's form") {
  CHECK(has(refused(file_of("{" + tensor("a", "F99", "[]", "[0,1]") + "}", 1)), "unknown dtype 'F99'"));
  CHECK(has(refused(file_of("{" + tensor("a", "U8", "[-1]", "[0,1]") + "}", 1)), "a negative number"));
  CHECK(has(refused(file_of("{" + tensor("a", "U8", "[1.0]", "[0,1]") + "}", 1)), "not whole"));
  CHECK(has(refused(file_of("{" + tensor("a", "U8", "[[1]]", "[0,1]") + "}", 1)), "a list"));
  CHECK(has(refused(file_of("{" + tensor("a", "U8", "[1]", "[0,1,2]") + "}", 1)), "more than two data_offsets"));
  CHECK(has(refused(file_of("{" + tensor("a", "U8", "[1]", "[0]") + "}", 1)), "1 data_offsets"));
  CHECK(has(refused(file_of("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1)), "expected dtype, shape and data_offsets"));
  CHECK(has(refused(file_of("{\"a\":{\"dtype\":\"U8\",\"shape\":1,\"data_offsets\":[0,1]}}", 1)), "found a number"));
  CHECK(has(refused(file_of("{\"a\":3}", 0)), "found a number"));
  CHECK(has(refused(file_of("{\"a\":\"x\"}", 0)), "found text"));
  CHECK(has(refused(file_of("{\"a\":[]}", 0)), "found a list"));
  CHECK(has(refused(file_of("{\"__metadata__\":{\"a\":1}}", 0)), "expected an object of text"));
  CHECK(has(refused(file_of("{\"__metadata__\":{\"a\":{}}}", 0)), "expected an object of text"));
  CHECK(has(refused(file_of("{\"__metadata__\":null}", 0)), "expected an object of text"));
  CHECK(has(refused(file_of("{\"__metadata__\":\"x\"}", 0)), "expected an object of text"));
}

TEST_CASE("safetensors: equal keys are refused at every level") {
  const std::string a = tensor("a", "U8", "[1]", "[0,1]");
  CHECK(has(refused(file_of("{" + a + "," + a + "}", 1)), "names 'a' twice"));
  CHECK(has(refused(file_of("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1)), "'dtype' twice"));
  CHECK(has(refused(file_of("{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0)), "names 'k' twice"));
  CHECK(has(refused(file_of("{\"__metadata__\":{},\"__metadata__\":{}}", 0)), "twice"));
}

TEST_CASE("safetensors: a hostile header takes no more memory than a small multiple of itself") {
  // Deep nesting must not overflow the stack, and long lists must not become a document of many times their size.
  CHECK(has(refused(file_of(std::string(5'000'000, '['), 0)), "expected a JSON object"));
  CHECK(has(refused(file_of("{\"a\":" + std::string(5'000'000, '{'), 0)), "not valid JSON"));
  std::string nested;
  for (int i = 0; i < 500'000; ++i) nested += "{\"dtype\":";
  CHECK(has(refused(file_of("{\"a\":" + nested, 0)), "found an object"));
  std::string zeros = "0";
  for (int i = 0; i < 5'000'000; ++i) zeros += ",0";
  const std::string bytes = file_of("{" + tensor("a", "U8", "[" + zeros + "]", "[0,0]") + "}", 0);
  const int64_t before = peak_resident_bytes();
  CHECK(has(refused(bytes), "dimensions"));
  CHECK(peak_resident_bytes() - before < 32 << 20);
}

TEST_CASE("safetensors: a truncated file and a missing file name themselves") {
  const auto folder = fresh_folder("truncated");
  std::string bytes = read_text(golden("io/mixed.safetensors"));
  write_text(folder / "t.safetensors", bytes.substr(0, bytes.size() - 5));
  const std::string text = message<FormatError>([&] { SafetensorsFile file(folder / "t.safetensors"); });
  CHECK(has(text, "t.safetensors: the file is truncated"));
  write_text(folder / "e.safetensors", "");
  CHECK(has(message<FormatError>([&] { SafetensorsFile file(folder / "e.safetensors"); }), "too short"));
  CHECK(has(message<IoError>([&] { SafetensorsFile file(folder / "no.safetensors"); }), "No such file"));
  CHECK_THROWS_AS(SafetensorsFile file(folder), Error);
}
