// The fuzz targets on their seeds and on a few thousand mutations that are the same in every run.
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <random>
#include <vector>

#include "palate/core/error.h"
#include "palate/io/safetensors_header.h"
#include "tests/fuzz/targets.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;

namespace {

using Random = std::mt19937_64;

size_t below(Random& random, size_t limit) { return limit == 0 ? 0 : random() % limit; }

// One change of the kinds that break parsers: flipped bits, extreme numbers, cuts, repeats, words of the format.
std::string mutate(std::string bytes, Random& random, const std::vector<std::string>& words) {
  const size_t at = below(random, bytes.size() + 1), length = below(random, 16) + 1;
  switch (below(random, 8)) {
    case 0:
      if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(random, 8)));
      break;
    case 1:
      if (at < bytes.size()) bytes[at] = static_cast<char>(std::array<int, 6>{0, 255, 127, 128, 1, 64}[below(random, 6)]);
      break;
    case 2:
      bytes.resize(at);
      break;
    case 3:
      bytes.erase(at, length);
      break;
    case 4:
      bytes.insert(at, bytes.substr(below(random, bytes.size() + 1), length * 4));
      break;
    case 5:
      bytes.insert(at, words[below(random, words.size())]);
      break;
    case 6:
      bytes.replace(at, std::min(length, bytes.size() - at), words[below(random, words.size())]);
      break;
    default:
      for (size_t i = at; i < std::min(at + length, bytes.size()); ++i) bytes[i] = static_cast<char>(random());
  }
  return bytes;
}

struct Result {
  int accepted = 0, refused = 0;
};

Result replay(void (*target)(std::string_view), const std::vector<std::string>& seeds, const std::vector<std::string>& words, int count) {
  Result result;
  Random random(20240611);
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < count + static_cast<int>(seeds.size()); ++i) {
    std::string bytes = seeds[static_cast<size_t>(i) % seeds.size()];
    const size_t changes = i < static_cast<int>(seeds.size()) ? 0 : 1 + below(random, 4);
    for (size_t k = 0; k < changes; ++k) bytes = mutate(std::move(bytes), random, words);
    try {
      target(bytes);
      ++result.accepted;
    } catch (const Error&) {
      ++result.refused;
    } catch (const std::exception& error) {
      FAIL("mutation ", i, " of ", bytes.size(), " bytes: ", error.what());
    }
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  MESSAGE(result.accepted, " accepted, ", result.refused, " refused, ", seconds, " s");
  return result;
}

std::string golden_bytes(const std::string& name) { return read_text(golden("io/" + name)); }

// The image files that the golden carries as tensors of bytes.
std::vector<std::string> image_seeds() {
  const std::string whole = golden_bytes("images.safetensors");
  const SafetensorsHeader header = parse_safetensors_header(whole, whole.size(), "images");
  std::vector<std::string> seeds;
  for (const auto& entry : header.entries) {
    if (entry.name.starts_with("file.")) seeds.push_back(whole.substr(header.data_start + entry.begin, entry.end - entry.begin));
  }
  return seeds;
}

const std::vector<std::string> binary_words = {std::string(4, '\0'),
                                               std::string(4, '\xff'),
                                               std::string("\x7f\xff\xff\xff"),
                                               std::string("\xff\xd8"),
                                               std::string("\xff\xc0"),
                                               std::string("\xff\xda"),
                                               "IDAT",
                                               "PLTE",
                                               "tRNS",
                                               "eXIf",
                                               "VP8L",
                                               "VP8X",
                                               "ALPH",
                                               "EXIF",
                                               "PAR1"};

}  // namespace

TEST_CASE("fuzz: safetensors headers") {
  const auto result = replay(fuzz::safetensors,
                             {golden_bytes("mixed.safetensors"), golden_bytes("nothing.safetensors"), golden_bytes("metadata.safetensors")},
                             {"\"dtype\":", "\"shape\":[", "[0,", "18446744073709551615", "-1", "1e3", "\"__metadata__\":{}", "\"", "{",
                              "}", ",", "\\u0000", "\"F4\"", "null", "\xff"},
                             8000);
  CHECK(result.accepted >= 3);
  CHECK(result.refused > 1000);
}

TEST_CASE("fuzz: files of torch.save") {
  std::vector<std::string> seeds;
  for (const char* name : {"views.ckpt", "views_old.ckpt", "nested.bin", "protocol4_old.bin", "list.pt"}) {
    seeds.push_back(read_text(golden(std::string("pickle/") + name)));
  }
  const auto result = replay(fuzz::pickle, seeds,
                             {"(",
                              "]",
                              "}",
                              "t",
                              "\x85",
                              "\x86",
                              "\x87",
                              "R",
                              "b",
                              "e",
                              "u",
                              "Q",
                              "h\x02",
                              "q\x01",
                              "2",
                              "N",
                              std::string("K\0", 2),
                              "J\xff\xff\xff\xff",
                              "J\xff\xff\xff\x7f",
                              "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
                              "cos\nsystem\n",
                              "PK\x01\x02",
                              "PK\x05\x06",
                              "."},
                             20000);
  CHECK(result.accepted > 100);
  CHECK(result.refused > 5000);
}

TEST_CASE("fuzz: LoRAs in each spelling") {
  std::vector<std::string> seeds;
  for (const char* name : {"diffusers", "peft", "older", "oldest", "kohya", "sgm", "locon", "dora", "dora_peft"}) {
    seeds.push_back(read_text(repository() / "tests/fuzz/lora/seeds" / (std::string(name) + ".safetensors")));
    fuzz::lora(seeds.back());  // the seeds themselves are whole
  }
  const auto result = replay(fuzz::lora, seeds,
                             {"[]",
                              "[1]",
                              "[0,",
                              "[2,2]",
                              "\"shape\":[",
                              "\"F32\"",
                              "\"BF16\"",
                              "\"I64\"",
                              "\"F8_E4M3\"",
                              "lora_up",
                              "lora_down",
                              "lora_mid",
                              "dora_scale",
                              ".alpha",
                              "lora_A",
                              "lora_B",
                              "text_encoder_2",
                              "unet.",
                              "\\\"use_rslora\\\":true",
                              "*",
                              std::string(4, '\0'),
                              std::string("\0\0\xc0\x7f", 4),
                              std::string("\0\0\x80\xff", 4)},
                             2000);
  CHECK(result.accepted > 30);
  CHECK(result.refused > 1000);
}

TEST_CASE("fuzz: tar archives") {
  std::vector<std::string> seeds;
  for (const char* name : {"images_ustar.tar", "images_gnu.tar", "images_pax.tar"})
    seeds.push_back(read_text(golden(name)).substr(0, 8192));
  const auto result = replay(fuzz::tar, seeds,
                             {"ustar", "0000644", "77777777777", std::string(512, '\0'), "L", "x", "30 path=", "12 size=9\n", "\x80",
                              "\x1f\x8b", "GNU.sparse.major=1"},
                             8000);
  CHECK(result.accepted >= 3);
  CHECK(result.refused > 1000);
}

TEST_CASE("fuzz: CSV") {
  const auto result = replay(fuzz::csv, {"file_name,text\na.png,\"x, \"\"y\"\"\"\n", "a,b\r\n1,2\r\n"},
                             {"\"", "\"\"", ",", "\n", "\r", "\xef\xbb\xbf", "\","}, 8000);
  CHECK(result.accepted > 1000);
  CHECK(result.refused > 500);
}

TEST_CASE("fuzz: JSON") {
  const std::string config = R"({"_class_name": "UNet2DConditionModel", "block_out_channels": [320, 640], "eps": 1e-05, "flag": true, )"
                             R"("none": null, "s": "\u00e9\ud83d\ude00"})";
  const auto result = replay(
      fuzz::json, {config, "[]", "{\"weight_map\": {\"a.b\": \"model-00001-of-00002.safetensors\"}}"},
      {"[", "]", "{", "}", "\"", "\\", "\\ud800", "1e999", "-", "0123", "\xef\xbb\xbf", "\xff", "null", ":", ",", std::string(300, '[')},
      20000);
  CHECK(result.accepted > 100);
  CHECK(result.refused > 1000);
}

TEST_CASE("fuzz: a repository's listing") {
  const std::string hash(40, 'a'), large(64, 'b');
  const std::string page = R"([{"type":"file","path":"unet/config.json","size":3,"oid":")" + hash +
                           R"("},{"type":"directory","path":"unet"},)" +
                           R"({"type":"file","path":"unet/diffusion_pytorch_model.fp16.safetensors","size":9,"oid":")" + hash +
                           R"(","lfs":{"oid":")" + large + R"(","size":70}}])";
  const auto result = replay(fuzz::hub, {page, R"([{"unet":["diffusers","U"],"type":"file","path":"model_index.json"}])"},
                             {"../", "..", "/", "\\\\", "//", "\\u0000", "\\n", "-1", "1e30", "18446744073709551615", "null", "\"lfs\":{}",
                              "\"type\":\"file\"", ".safetensors", "-00001-of-00002", "model.", ","},
                             20000);
  CHECK(result.accepted > 100);
  CHECK(result.refused > 1000);
}

TEST_CASE("fuzz: images") {
  const auto seeds = image_seeds();
  REQUIRE(seeds.size() > 40);
  const auto result = replay(fuzz::image, seeds, binary_words, 5000);
  CHECK(result.accepted > static_cast<int>(seeds.size()) - 2);
  CHECK(result.refused > 1000);
}

TEST_CASE("fuzz: parquet") {
  const auto result = replay(fuzz::parquet, {golden_bytes("table.parquet")}, binary_words, 600);
  CHECK(result.accepted >= 1);
  CHECK(result.refused > 100);
}

TEST_CASE("fuzz: TOML and overrides") {
  const std::string file =
      "steps=3\ntext = \"a\"\nflag = true\nsizes = [1, 2]\nweights = [0.5, inf]\n[table]\nrate = 1e-4\nnames = ['x', \"y\"]\nkind = "
      "\"y\"\n";
  const auto result = replay(fuzz::toml, {file, "table.lr=0.1\n", "\n[table]\nlr = 2\n"},
                             {"[", "]]", "{", "}", "=", ".", "\"\"\"", "'", "#", "\n", "nan", "0x", "1979-05-27", "table.", "steps", "\xff",
                              "\\u0000", std::string(600, '.'), "a = {a = {"},
                             5000);
  CHECK(result.accepted > 100);
  CHECK(result.refused > 1000);
}
