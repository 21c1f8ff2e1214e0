// Files of torch.save against what torch.load gives (golden/make_pickle.py), and real ones where they are there.
#include "palate/io/tensor_file.h"

#include <torch/types.h>

#include <map>

#include "palate/core/error.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"
#include "tests/unit/io/message.h"

using namespace palate;
using namespace palate::test;

namespace fs = std::filesystem;

TEST_CASE("torch.save: both formats, every dtype, views, parameters, lists and nested dicts are what torch.load gives, to the bit") {
  std::map<std::string, std::map<std::string, Tensor>> expected;
  for (const auto& [key, tensor] : load_golden("pickle/expected.safetensors")) {
    const size_t colon = key.find(':');
    expected[key.substr(0, colon)][key.substr(colon + 1)] = tensor;
  }
  CHECK(expected.size() == 11);
  for (const auto& [file, tensors] : expected) {
    INFO(file);
    const TensorFile read = TensorFile(golden("pickle/" + file));
    CHECK(read.pickled());
    CHECK(read.names().size() == tensors.size());
    for (const auto& [name, tensor] : tensors) {
      REQUIRE(read.contains(name));
      CHECK(read.shape(name) == tensor.sizes().vec());
      CHECK(torch_type(read.dtype(name)) == tensor.scalar_type());
      CHECK(read.tensor(name).is_contiguous());
      expect_equal(file + " " + name, read.tensor(name), tensor);
    }
  }
}

TEST_CASE("torch.save: state_dict is unwrapped, and what stands beside it is metadata") {
  for (const char* name : {"pickle/views.ckpt", "pickle/views_old.ckpt"}) {
    const TensorFile file = TensorFile(golden(name));
    CHECK(file.metadata() == Metadata{{"done", "true"}, {"epoch", "3"}, {"global_step", "875000"}, {"lr", "0.5"}, {"name", "tiny"}});
    CHECK(file.contains("buffer.scalar"));
    CHECK(!file.contains("optimizer_states.0.state.0"));
  }
}

TEST_CASE("torch.save: a tensor outlives its file, can be forgotten and read again, and writing to it stays in memory") {
  const fs::path path = fresh_folder("outlives") / "list.pt";
  fs::copy(golden("pickle/list.pt"), path);
  const std::string before = read_text(path);
  auto file = std::make_unique<TensorFile>(path);
  const Tensor first = file->tensor("0").clone();
  file->tensor("0").zero_();
  file->forget("0");
  Tensor again = file->tensor("0");
  file.reset();
  again.add_(1);
  CHECK(again.isfinite().all().item<bool>());
  CHECK(first.sizes() == again.sizes());
  CHECK(read_text(path) == before);
}

TEST_CASE("tensor file: safetensors by another name, and pickles by its name, are told apart by their bytes") {
  const fs::path folder = fresh_folder("by_content");
  fs::copy(golden("io/mixed.safetensors"), folder / "model.bin");
  fs::copy(golden("pickle/list.pt"), folder / "model.safetensors");
  CHECK(!TensorFile(folder / "model.bin").pickled());
  CHECK(TensorFile(folder / "model.safetensors").pickled());
  // A header of 640 bytes begins as a pickle of protocol 2 does.
  const std::string header = "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
  write_text(folder / "headed.safetensors", std::string("\x80\x02\0\0\0\0\0\0", 8) + header + std::string(640 - header.size(), ' ') + "x");
  CHECK(!TensorFile(folder / "headed.safetensors").pickled());
  write_text(folder / "words.ckpt", "this is a text, and no file of tensors at all");
  CHECK(has(message<FormatError>([&] { TensorFile(folder / "words.ckpt"); }), "neither a zip archive nor a pickle"));
  write_text(folder / "pointer.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n");
  CHECK(has(message<FormatError>([&] { TensorFile(folder / "pointer.bin"); }), "git lfs pull"));
  CHECK(has(message<FormatError>([&] { TensorFile{folder}; }), "no regular file"));
  CHECK(has(message<IoError>([&] { TensorFile(folder / "none.pt"); }), "cannot be opened"));
  CHECK(has(message<FormatError>([&] { TensorFile(golden("pickle/list.pt")).tensor("9"); }), "holds no tensor '9'"));
}

TEST_CASE("torch.save: files that strangers made" * doctest::test_suite("shared") *
          doctest::skip(shared_missing({"lora_legacy_pt", "aesthetic_head"}))) {
  const fs::path lora = shared_data("lora_legacy_pt"), head = shared_data("aesthetic_head");
  const TensorFile unet = TensorFile(lora / "color_lora_weight.pt"), text = TensorFile(lora / "color_lora_weight.text_encoder.pt");
  CHECK(unet.names().size() == 256);
  CHECK(text.names().size() == 184);
  for (const TensorFile* file : {&unet, &text}) {
    for (const auto& name : file->names()) {
      CHECK(file->dtype(name) == "F16");
      REQUIRE(file->tensor(name).to(torch::kFloat32).isfinite().all().item<bool>());
    }
  }
  const TensorFile mlp = TensorFile(head / "sac+logos+ava1-l14-linearMSE.pth");
  CHECK(mlp.names().size() == 10);
  CHECK(mlp.tensor("layers.0.weight").sizes() == torch::IntArrayRef({1024, 768}));
  CHECK(mlp.tensor("layers.7.bias").isfinite().all().item<bool>());
}
