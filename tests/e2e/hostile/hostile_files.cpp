#include "tests/e2e/hostile/hostile_files.h"

#include <cstdint>

#include "tests/support/paths.h"

namespace palate::test {
namespace {

template <class Number>
std::string bytes_of(Number value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

std::string tensor(const std::string& name, const std::string& shape, const std::string& offsets, const std::string& type = "F32") {
  return "\"" + name + "\":{\"dtype\":\"" + type + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

// A zip archive of one entry, stored, whose table may claim another size.
std::string zip_of(const std::string& name, const std::string& data, uint32_t claimed, uint16_t method = 0) {
  const std::string middle = bytes_of(uint16_t{0}) + bytes_of(method) + std::string(8, '\0') + bytes_of(claimed) + bytes_of(claimed) +
                             bytes_of(static_cast<uint16_t>(name.size()));
  const std::string file = "PK\x03\x04" + std::string(2, '\0') + middle + std::string(2, '\0') + name + data;
  const std::string table = "PK\x01\x02" + std::string(4, '\0') + middle + std::string(12, '\0') + bytes_of(uint32_t{0}) + name;
  return file + table + "PK\x05\x06" + std::string(4, '\0') + bytes_of(uint16_t{1}) + bytes_of(uint16_t{1}) +
         bytes_of(static_cast<uint32_t>(table.size())) + bytes_of(static_cast<uint32_t>(file.size())) + std::string(2, '\0');
}

std::string zip_of(const std::string& pickle) { return zip_of("archive/data.pkl", pickle, static_cast<uint32_t>(pickle.size())); }

}  // namespace

std::string safetensors_of(const std::string& header, const std::string& data) {
  return bytes_of(static_cast<uint64_t>(header.size())) + header + data;
}

std::vector<HostileFile> hostile_safetensors() {
  const std::string four(4, '\0');
  return {
      {"empty.safetensors", ""},
      {"seven-bytes.safetensors", "1234567"},
      {"header-of-8-exabytes.safetensors", bytes_of(uint64_t{1} << 63) + "{}"},
      {"header-of-4-gigabytes.safetensors", bytes_of(uint64_t{4000000000}) + "{}"},
      {"header-is-no-json.safetensors", safetensors_of("not json at all", four)},
      {"header-is-a-list.safetensors", safetensors_of("[1,2,3]", four)},
      {"header-nested.safetensors", safetensors_of(repeated("[", 300000), "")},
      {"shape-overflows.safetensors", safetensors_of("{" + tensor("a", "[4294967296,4294967296,4]", "[0,4]") + "}", four)},
      {"a-terabyte-claimed.safetensors", safetensors_of("{" + tensor("a", "[262144,1048576]", "[0,1099511627776]") + "}", four)},
      {"offsets-backwards.safetensors", safetensors_of("{" + tensor("a", "[1]", "[4,0]") + "}", four)},
      {"negative-shape.safetensors", safetensors_of("{" + tensor("a", "[-1]", "[0,4]") + "}", four)},
      {"unknown-type.safetensors", safetensors_of("{" + tensor("a", "[1]", "[0,4]", "F999") + "}", four)},
      {"two-in-one-place.safetensors", safetensors_of("{" + tensor("a", "[1]", "[0,4]") + "," + tensor("b", "[1]", "[0,4]") + "}", four)},
      {"lfs-pointer.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, 'a') + "\nsize 3438167540\n"},
      {"a-web-page.safetensors", "<!DOCTYPE html><html><body>Sign in</body></html>"}};
}

std::vector<HostileFile> hostile_pickles() {
  return {{"os-system.pt", zip_of("\x80\x02"
                                  "cos\nsystem\nX\x09\0\0\0touch /x\n\x85R.")},
          {"os-system-raw.ckpt",
           "\x80\x02"
           "cos\nsystem\n(X\x02\0\0\0idtR."},
          {"entry-of-4-gigabytes.pt", zip_of("archive/data.pkl", "\x80\x02}.", 0xfffffff0)},
          {"packed-entry.pt", zip_of("archive/data.pkl", "\x80\x02}.", 4, 8)},
          {"no-directory.pt", "PK\x03\x04" + std::string(200, 'x')},
          {"text-of-4-exabytes.bin", zip_of("\x80\x04\x8d" + bytes_of(uint64_t{1} << 62) + "x.")},
          {"nested-tuples.pt", zip_of("\x80\x02N" + repeated("\x85", 1000000) + ".")},
          {"marks-without-end.ckpt", zip_of("\x80\x02" + repeated("(", 1000000))},
          {"not-a-pickle.pt", repeated("random words ", 1000)}};
}

std::vector<HostileFile> hostile_loras() {
  const std::string unet = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.";
  return {{"one-half.safetensors", safetensors_of("{" + tensor(unet + "lora_A.weight", "[1,2]", "[0,8]") + "}", std::string(8, '\0'))},
          {"ranks-differ.safetensors", safetensors_of("{" + tensor(unet + "lora_A.weight", "[1,2]", "[0,8]") + "," +
                                                          tensor(unet + "lora_B.weight", "[2,3]", "[8,32]") + "}",
                                                      std::string(32, '\0'))},
          {"alpha-is-a-picture.safetensors",
           safetensors_of("{" + tensor(unet + "alpha", "[2,2]", "[0,16]") + "," + tensor(unet + "lora_down.weight", "[1,2]", "[16,24]") +
                              "," + tensor(unet + "lora_up.weight", "[3,1]", "[24,36]") + "}",
                          std::string(36, '\0'))},
          {"numbers-of-whole-kind.safetensors", safetensors_of("{" + tensor(unet + "lora_A.weight", "[1,2]", "[0,16]", "I64") + "," +
                                                                   tensor(unet + "lora_B.weight", "[2,1]", "[16,32]", "I64") + "}",
                                                               std::string(32, '\0'))},
          {"empty-lora.safetensors", safetensors_of("{}", "")}};
}

std::vector<HostileFile> hostile_parquets() {
  const std::string whole = read_text(golden("io/table.parquet"));
  std::string other = whole;
  for (size_t i = other.size() / 2; i < other.size() - 8; ++i) other[i] = static_cast<char>(i * 37);
  return {{"magic-only.parquet", "PAR1PAR1"},
          {"footer-of-2-gigabytes.parquet", "PAR1" + std::string(100, 'x') + bytes_of(uint32_t{0x7fffffff}) + "PAR1"},
          {"cut.parquet", whole.substr(0, whole.size() / 2)},
          {"footer-is-noise.parquet", other}};
}

std::vector<HostileFile> hostile_configs() {
  return {{"nested.toml", "a = " + repeated("[", 200000)}, {"dotted.toml", repeated("a.", 100000) + "a = 1\n"},
          {"not-utf8.toml", "model = \"\xff\xfe\"\n"},     {"long-number.toml", "seed = " + std::string(100000, '9') + "\n"},
          {"binary.toml", std::string("\0\1\2\3", 4)},     {"long-key.toml", std::string(3000000, 'k') + " = 1\n"}};
}

std::vector<HostileFile> hostile_indices() {
  return {{"leads-out", "{\"weight_map\":{\"a\":\"../../../../etc/passwd\"}}"},
          {"absolute", "{\"weight_map\":{\"a\":\"/etc/passwd\"}}"},
          {"no-map", "{\"weight_map\":[1,2]}"},
          {"no-file", "{\"weight_map\":{\"a\":\"diffusion_pytorch_model-00001-of-00002.safetensors\"}}"},
          {"nested", repeated("[", 300000)}};
}

}  // namespace palate::test
