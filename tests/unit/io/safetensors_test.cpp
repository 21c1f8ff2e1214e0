#include "palate/io/safetensors.h"

#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/io/atomic_file.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"
#include "tests/unit/io/message.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

// Reads a golden file and writes what was read: the bytes must come back.
void rewrite(const std::string& name) {
  const SafetensorsFile file(golden("io/" + name));
  TensorMap tensors;
  for (const auto& key : file.names()) tensors[key] = file.tensor(key);
  const fs::path copy = fresh_folder("rewrite") / name;
  save_safetensors(copy, tensors, file.metadata());
  INFO(name);
  CHECK(read_file(copy) == read_file(golden("io/" + name)));
}

}  // namespace

TEST_CASE("safetensors: a file of the reference writer with every dtype is read and written again with the same bytes") {
  rewrite("mixed.safetensors");
  rewrite("metadata.safetensors");
  rewrite("nothing.safetensors");
}

TEST_CASE("safetensors: values, shapes, dtypes and metadata of the reference's file") {
  const SafetensorsFile file(golden("io/mixed.safetensors"));
  expect_equal("zeta", file.tensor("zeta"), torch::arange(6, torch::kFloat32).reshape({2, 3}));
  expect_equal("alpha", file.tensor("alpha"), torch::scalar_tensor(2.5));
  expect_equal("empty", file.tensor("empty"), torch::zeros({0, 4}));
  expect_equal("flags", file.tensor("flags"), torch::tensor(std::vector<int64_t>{1, 0, 1}).to(torch::kBool));
  expect_equal("brain", file.tensor("brain"), torch::arange(5).to(torch::kBFloat16));
  expect_equal("f8a", file.tensor("f8a").to(torch::kFloat32), torch::arange(7, torch::kFloat32));
  CHECK((file.tensor("f8b").scalar_type() == torch::kFloat8_e5m2));
  CHECK((file.tensor("u16").scalar_type() == torch::kUInt16));
  CHECK((file.tensor("u64").scalar_type() == torch::kUInt64));
  CHECK(file.dtype("brain") == "BF16");
  CHECK(file.shape("empty") == std::vector<int64_t>{0, 4});
  CHECK(file.metadata() == Metadata{{"format", "pt"}});
  CHECK(has(message<FormatError>([&] { file.tensor("zetta"); }), "holds no tensor 'zetta' (did you mean 'zeta'?)"));
}

TEST_CASE("safetensors: what is handed over instead is named") {
  const auto folder = test::fresh_folder("other_kinds");
  for (const auto& [bytes, kind] : std::vector<std::pair<std::string, std::string>>{{"\x89PNG\r\n\x1A\n....", "it is a PNG picture"},
                                                                                    {"GGUF\x03\x01\x01\x01\x01\x01\x01\x01", "GGUF"},
                                                                                    {"a list of prompts", "it is text"},
                                                                                    {"<!DOCTYPE html><html>", "HTML page"},
                                                                                    {"\xF0\x01\x02\x03\x04\x05\x06\x07", "header of"}}) {
    write_file(folder / "x.safetensors", bytes);
    CHECK_THROWS_WITH_AS(SafetensorsFile(folder / "x.safetensors"), doctest::Contains(kind.c_str()), FormatError);
  }
}

TEST_CASE("safetensors: tensors outlive the file object, and writing to them never reaches the disk") {
  const fs::path path = fresh_folder("mapping") / "a.safetensors";
  save_safetensors(path, {{"w", torch::ones({4})}});
  const std::string before = read_file(path);
  Tensor kept;
  {
    const SafetensorsFile file(path);
    kept = file.tensor("w");
  }
  fs::remove(path);  // the mapping holds the data
  kept.mul_(3);
  expect_equal("kept", kept, torch::full({4}, 3.0f));
  write_file(path, before);
  const SafetensorsFile again(path);
  again.tensor("w").add_(1);
  CHECK(read_file(path) == before);
}

TEST_CASE("safetensors: forget hands a tensor's pages back, and no neighbour's") {
  const fs::path file = fresh_folder("forget") / "x.safetensors";
  save_safetensors(file, {{"a", torch::full({100'003}, 1.f)}, {"b", torch::full({100'003}, 2.f)}});
  const SafetensorsFile read(file);
  const Tensor a = read.tensor("a"), b = read.tensor("b");
  a.fill_(3);  // private pages: they differ from the file's for as long as they are held
  b.fill_(4);
  read.forget("a");
  CHECK(a[50'000].item<float>() == 1);
  CHECK((b == 4).all().item<bool>());
}

TEST_CASE("safetensors: non-contiguous tensors, and overwriting the file that a tensor was read from") {
  const fs::path path = fresh_folder("layout") / "a.safetensors";
  const Tensor value = torch::arange(6, torch::kFloat32).reshape({2, 3}).t();
  save_safetensors(path, {{"t", value}});
  expect_equal("t", SafetensorsFile(path).tensor("t"), value.contiguous());
  const Tensor mapped = SafetensorsFile(path).tensor("t");
  save_safetensors(path, {{"t", mapped}, {"u", mapped.to(torch::kHalf)}});  // renamed over, not written into
  expect_equal("mapped", mapped, value.contiguous());
  expect_equal("t again", SafetensorsFile(path).tensor("t"), value.contiguous());
}

TEST_CASE("safetensors: nothing is left behind when a save fails") {
  const fs::path folder = fresh_folder("failed");
  CHECK(has(message<Error>([&] { save_safetensors(folder / "a", {{"q", torch::zeros({1}, torch::kComplexDouble)}}); }), "'q' has a dtype"));
  CHECK_THROWS_AS(save_safetensors(folder / "a", {{"\xff", torch::zeros({1})}}), IoError);
  CHECK(fs::is_empty(folder));
}

TEST_CASE("safetensors: data at odd addresses is read right") {
  // A header of 9 bytes more than a multiple of 8 puts the F32 data at an odd address.
  std::string header = R"({"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  header.append((8 - header.size() % 8) % 8 + 1, ' ');
  const uint64_t length = header.size();
  const float values[2] = {1.5f, -2.0f};
  const fs::path path = fresh_folder("odd") / "a.safetensors";
  write_file(path, std::string(reinterpret_cast<const char*>(&length), 8) + header + std::string(reinterpret_cast<const char*>(values), 8));
  expect_equal("b", SafetensorsFile(path).tensor("b"), torch::tensor(std::vector<float>{1.5f, -2.0f}));
}

TEST_CASE("safetensors: a real file of another writer" * doctest::test_suite("shared") *
          doctest::skip(shared_missing({"safetensors_real"}))) {
  const fs::path folder = shared_data("safetensors_real");
  int files = 0;
  bool scalar = false;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".safetensors") continue;
    ++files;
    const SafetensorsFile file(entry.path());
    for (const auto& name : file.names()) scalar |= file.tensor(name).dim() == 0;
    CHECK(file.metadata().empty());
  }
  CHECK_MESSAGE(scalar, "one of the real files holds a rank-0 tensor");
  CHECK(files > 0);
}
