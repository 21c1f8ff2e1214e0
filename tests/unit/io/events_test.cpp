// Event files: our framing against a file that TensorBoard's own writer made, and our file read back field by field.
#include "palate/io/events.h"

#include <torch/types.h>

#include <cstring>

#include "palate/core/error.h"
#include "palate/io/image.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"
#include "tests/unit/io/message.h"

using namespace palate;
using namespace palate::test;

namespace {

// CRC-32C bit by bit, apart from the table of the code under test.
uint32_t masked_crc(const std::string& bytes) {
  uint32_t crc = ~0u;
  for (const char byte : bytes) {
    crc ^= static_cast<uint8_t>(byte);
    for (int k = 0; k < 8; ++k) crc = (crc >> 1) ^ (0x82F63B78u & (0u - (crc & 1)));
  }
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
}

template <class T>
T number(const std::string& bytes, size_t at) {
  T value;
  REQUIRE(at + sizeof value <= bytes.size());
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::vector<std::string> records(const std::string& bytes) {
  std::vector<std::string> all;
  for (size_t at = 0; at < bytes.size();) {
    const auto length = number<uint64_t>(bytes, at);
    CHECK(number<uint32_t>(bytes, at + 8) == masked_crc(bytes.substr(at, 8)));
    all.push_back(bytes.substr(at + 12, length));
    CHECK(number<uint32_t>(bytes, at + 12 + length) == masked_crc(all.back()));
    at += 16 + length;
  }
  return all;
}

// A record without its wall time: field 1, a double, comes first.
std::string timeless(const std::string& record) {
  REQUIRE(record.size() > 9);
  CHECK(record[0] == '\x09');
  return record.substr(9);
}

std::string events_of(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) return read_text(entry.path());
  }
  FAIL("no event file");
  return "";
}

}  // namespace

TEST_CASE("events: version and scalars equal the records of TensorBoard's writer, but for the time") {
  const auto folder = fresh_folder("events");
  const auto theirs = records(read_text(golden("io/events.tfevents")));
  const Tensor image = torch::arange(3 * 6 * 5).reshape({3, 6, 5}).to(torch::kUInt8);
  {
    EventWriter writer(folder);
    writer.scalar("loss", 0.75, 0);
    writer.scalar("rewards/margins", -1.5, 3);
    writer.image("grid", image, 300);
  }
  const auto ours = records(events_of(folder));
  REQUIRE(ours.size() == 4);
  REQUIRE(theirs.size() == 4);
  CHECK(has(timeless(ours[0]), "brain.Event:2"));
  CHECK(timeless(ours[1]) == timeless(theirs[1]));
  CHECK(timeless(ours[2]) == timeless(theirs[2]));
  // The picture differs in its PNG bytes only; the fields before them are alike.
  const std::string mine = timeless(ours[3]), png = encode_png(image);
  CHECK(mine.starts_with("\x10\xAC\x02"));  // step 300
  CHECK(mine.ends_with(png));
  CHECK(has(mine, std::string("\x08\x06\x10\x05\x18\x03\x22", 7)));  // height 6, width 5, three colours, encoded
  CHECK(has(timeless(theirs[3]), std::string("\x08\x06\x10\x05\x18\x03\x22", 7)));
}

TEST_CASE("events: a missing folder is an IoError") { CHECK_THROWS_AS(EventWriter(fresh_folder("none") / "not" / "there"), IoError); }
