// palate sample over many prompts: going on after it was stopped, editing with a mask, new words.
#include <doctest/doctest.h>
#include <torch/types.h>

#include <fstream>

#include "palate/io/atomic_file.h"
#include "palate/io/image.h"
#include "palate/io/safetensors.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

using namespace palate;
namespace fs = std::filesystem;

namespace {

using Arguments = std::vector<std::string>;

Arguments command(const fs::path& folder, const std::string& out, const Arguments& more = {}) {
  Arguments all = {"sample",
                   "--model",
                   test::golden("tiny_pipeline").string(),
                   "--prompts",
                   (folder / "p.txt").string(),
                   "--count",
                   "2",
                   "--steps",
                   "2",
                   "--batch",
                   "2",
                   "--out",
                   (folder / out).string()};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

void succeed(const Arguments& arguments) {
  const auto result = test::run_program(arguments);
  INFO(result.err);
  CHECK(result.status == 0);
}

std::string refused(const Arguments& arguments) {
  const auto result = test::run_program(arguments);
  CHECK(result.status == 2);
  return result.err;
}

}  // namespace

// A killed run leaves pictures with their lines, perhaps a picture without its line and half a line. The rest is made as if nothing had
// happened.
TEST_CASE("sample --resume: the pictures that are missing are made, the same to the byte, and no others") {
  const fs::path folder = test::fresh_folder("resume");
  std::ofstream(folder / "p.txt") << "a red circle\na blue square\na cat\n";
  succeed(command(folder, "whole"));
  succeed(command(folder, "part"));
  const std::string manifest = read_file(folder / "whole/manifest.jsonl");
  const std::string first = manifest.substr(0, manifest.find('\n') + 1);
  std::ofstream(folder / "part/manifest.jsonl") << first << "{\"image\": \"000";
  fs::remove(folder / "part/00003.png");
  std::ofstream(folder / "part/00001.png") << "not a picture";
  const auto before = fs::last_write_time(folder / "part/00000.png");
  CHECK(refused(command(folder, "part")).find("already in use") != std::string::npos);
  succeed(command(folder, "part", {"--resume"}));
  CHECK(fs::last_write_time(folder / "part/00000.png") == before);
  CHECK(read_file(folder / "part/manifest.jsonl") == manifest);
  for (const char* name : {"00000.png", "00001.png", "00002.png", "00003.png", "00004.png", "00005.png"}) {
    CAPTURE(name);
    CHECK(read_file(folder / "part" / name) == read_file(folder / "whole" / name));
  }
  CHECK(refused(command(folder, "part", {"--resume", "--seed", "3"})).find("seed is 0 there and 3 now") != std::string::npos);
  CHECK(
      refused(command(folder, "part", {"--resume", "--save-latents", (folder / "l.safetensors").string()})).find("leave one of them out") !=
      std::string::npos);
}

TEST_CASE("sample --mask: what is black in the mask keeps its latents") {
  const fs::path folder = test::fresh_folder("mask");
  std::ofstream(folder / "p.txt") << "a red circle\n";
  const Tensor picture = torch::randint(0, 256, {3, 16, 16}, torch::kUInt8);
  Tensor mask = torch::zeros({3, 16, 16}, torch::kUInt8);
  mask.slice(2, 8).fill_(255);
  write_png(folder / "picture.png", picture);
  write_png(folder / "mask.png", mask);
  const auto latents = [&](const std::string& name, const Arguments& more) {
    Arguments all = {"--init-image",   (folder / "picture.png").string(),          "--strength", "1",
                     "--save-latents", (folder / (name + ".safetensors")).string()};
    all.insert(all.end(), more.begin(), more.end());
    succeed(command(folder, name, all));
    return SafetensorsFile(folder / (name + ".safetensors")).tensor("latents").clone();
  };
  const Arguments masked = {"--mask", (folder / "mask.png").string()};
  const Tensor one = latents("one", masked);
  const int64_t half = one.size(3) / 2;
  CHECK(one[0].narrow(2, 0, half).equal(one[1].narrow(2, 0, half)));
  CHECK_FALSE(one[0].narrow(2, half, half).equal(one[1].narrow(2, half, half)));
  const Tensor without = latents("without", {});
  CHECK_FALSE(without[0].narrow(2, 0, half).equal(without[1].narrow(2, 0, half)));
  write_png(folder / "mask.png", torch::zeros({3, 16, 16}, torch::kUInt8));
  CHECK(refused(command(folder, "black", {"--init-image", (folder / "picture.png").string(), "--mask", (folder / "mask.png").string()}))
            .find("black everywhere") != std::string::npos);
  CHECK(refused(command(folder, "none", {"--init-image", (folder / "none.png").string()})).find("--init-image") != std::string::npos);
  CHECK(refused(command(folder, "strength", {"--strength", "0.5"})).find("--init-image") != std::string::npos);
  CHECK(refused(command(folder, "alone", masked)).find("--init-image") != std::string::npos);
}

TEST_CASE("sample --embedding: a word of a file changes the picture of the prompt that uses it, under its own name and another") {
  const fs::path folder = test::fresh_folder("embedding");
  std::ofstream(folder / "p.txt") << "a photo of <cat-toy>\n";
  save_safetensors(folder / "toy.safetensors", {{"<cat-toy>", torch::full({2, 16}, 0.7F)}});
  succeed(command(folder, "plain"));
  succeed(command(folder, "own", {"--embedding", (folder / "toy.safetensors").string()}));
  succeed(command(folder, "named", {"--embedding", (folder / "toy.safetensors").string() + "=<cat-toy>"}));
  succeed(command(folder, "other", {"--embedding", (folder / "toy.safetensors").string() + "=<elsewhere>"}));
  CHECK(read_file(folder / "own/00000.png") != read_file(folder / "plain/00000.png"));
  CHECK(read_file(folder / "named/00000.png") == read_file(folder / "own/00000.png"));
  CHECK(read_file(folder / "other/00000.png") == read_file(folder / "plain/00000.png"));
  save_safetensors(folder / "wide.safetensors", {{"<wide>", torch::ones({2, 24})}});
  CHECK(refused(command(folder, "wide", {"--embedding", (folder / "wide.safetensors").string()})).find("another kind of model") !=
        std::string::npos);
  save_safetensors(folder / "xl.safetensors", {{"clip_l", torch::ones({2, 16})}, {"clip_g", torch::ones({2, 24})}});
  CHECK(
      refused(command(folder, "xl", {"--embedding", (folder / "xl.safetensors").string()})).find("2 text encoders, but this model has 1") !=
      std::string::npos);
  CHECK(refused(command(folder, "blank", {"--embedding", (folder / "toy.safetensors").string() + "="})).find("is blank") !=
        std::string::npos);
}

TEST_CASE("sample: a prompt that is cut is said once, and what fails before the first picture leaves no folder") {
  const fs::path folder = test::fresh_folder("cut");
  std::string many = "cat";
  for (int i = 1; i < 100; ++i) many += ",cat";
  std::ofstream(folder / "p.txt") << many << "\n";
  const auto cut = test::run_program(command(folder, "cut"));
  CHECK(cut.status == 0);
  const size_t said = cut.err.find("warning: the prompt \"cat,cat");
  REQUIRE(said != std::string::npos);
  CHECK(cut.err.find("are cut", cut.err.find("are cut") + 1) == std::string::npos);
  CHECK(test::run_program(command(folder, "long", {"--long-prompts"})).err.find("are cut") == std::string::npos);
  refused(command(folder, "sampler", {"--scheduler", "eulr"}));
  CHECK_FALSE(fs::exists(folder / "sampler"));
}
