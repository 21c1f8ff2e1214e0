// palate personalize on the shipped base and a subject and a style of the embedded world: a few steps, everything that is made, and what is
// refused.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "palate/io/json.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

using namespace palate;
namespace fs = std::filesystem;

namespace {

using Arguments = std::vector<std::string>;
const std::string base = (test::repository() / "assets/base").string();

// Pictures of a subject and of a style in FOLDER/world.
fs::path world_pictures(const fs::path& folder) {
  const auto made =
      test::run_program({"world", "--scenes", "0", "--subject", "3", "--style", "3", "--seed", "1", "--out", (folder / "world").string()});
  INFO(made.err);
  REQUIRE(made.status == 0);
  return folder / "world";
}

Arguments command(const fs::path& images, const fs::path& out, const Arguments& more) {
  Arguments all = {"personalize", "--images", images.string(), "--model", base, "--out", out.string()};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

Arguments quick(const fs::path& images, const fs::path& out, Arguments more) {
  for (const char* setting : {"--weights", "0,3", "--distance-draws", "2", "train.steps=6", "train.checkpoint_every=3", "sample.steps=2",
                              "train.log_every=1", "lora.rank=4"})
    more.emplace_back(setting);
  return command(images, out, more);
}

void refused(const Arguments& arguments, const std::string& part) {
  const auto run = test::run_program(arguments);
  CAPTURE(part);
  INFO(run.err);
  CHECK(run.status == 2);
  CHECK(run.err.find(part) != std::string::npos);
}

}  // namespace

TEST_CASE("personalize: a subject and a style are trained, drawn and measured; a second call goes on; both are merged") {
  const fs::path folder = test::fresh_folder("personalize"), pictures = world_pictures(folder), out = folder / "ring",
                 look = folder / "look";
  const Arguments subject = quick(pictures / "subject", out, {"--class", "big red ring", "--json"});
  const auto first = test::run_program(subject);
  INFO(first.err);
  REQUIRE(first.status == 0);
  const Json found = Json::parse(first.out);
  CHECK(found.at("judge") == "oracle");
  CHECK(found.at("sought") == "a big red ring with a purple middle");
  REQUIRE(found.at("columns").size() == 3);  // the base, and two weights
  for (const Json& column : found.at("columns")) {
    CHECK(column.at("subject").at("mean").get<double>() >= 0);
    CHECK(column.at("prompt").at("high").get<double>() <= 1);
  }
  for (const char* part : {"given", "class"}) {
    REQUIRE(found.at("noise_distance").at(part).size() == 10);
    CHECK(found.at("noise_distance").at(part)[5].at("distance").get<double>() > 0);
  }
  for (const char* name :
       {"personalize.json", "images.jsonl", "grid.png", "evaluation.json", "report.html", "run/pytorch_lora_weights.safetensors",
        "run/learned_embeds.safetensors", "samples/base/manifest.jsonl", "samples/weight_3/00000.png"})
    CHECK(fs::exists(out / name));
  CHECK(test::read_text(out / "report.html").find("Noise distance to the base") != std::string::npos);

  // Again: nothing is trained or drawn anew, and the numbers are the same.
  const auto drawn = fs::last_write_time(out / "samples/weight_3/00000.png");
  const auto again = test::run_program(subject);
  REQUIRE(again.status == 0);
  CHECK(again.err.find("is trained already") != std::string::npos);
  CHECK(fs::last_write_time(out / "samples/weight_3/00000.png") == drawn);
  CHECK(Json::parse(again.out).at("columns") == found.at("columns"));

  // More steps: on from the checkpoint, and the pictures are of the new state.
  Arguments more = subject;
  more.emplace_back("train.steps=8");
  const auto longer = test::run_program(more);
  INFO(longer.err);
  REQUIRE(longer.status == 0);
  CHECK(Json::parse(longer.out).at("steps") == 8);
  CHECK(fs::last_write_time(out / "samples/weight_3/00000.png") != drawn);

  const auto style = test::run_program(quick(pictures / "style", look, {"--style", "--word", "zwx", "--class", "a", "--json"}));
  INFO(style.err);
  REQUIRE(style.status == 0);
  CHECK(Json::parse(style.out).at("columns")[1].contains("style"));
  CHECK_FALSE(fs::exists(look / "run/learned_embeds.safetensors"));

  const auto merged = test::run_program({"personalize", "--merge", out.string(), look.string(), "--out", (folder / "both").string(),
                                         "--weights", "0", "--threads", "1", "--zip-steps", "2", "--json"});
  INFO(merged.err);
  REQUIRE(merged.status == 0);
  for (const char* way : {"sum", "zip"}) {
    CHECK(Json::parse(merged.out).at(way)[1].contains("style"));
    CHECK(fs::exists(folder / "both" / (std::string(way) + ".safetensors")));
  }
  refused({"personalize", "--merge", look.string(), out.string(), "--out", (folder / "turned").string()}, "expected a subject");
}

TEST_CASE("personalize: without captions there is a template, which is to be completed") {
  const fs::path folder = test::fresh_folder("personalize_template"), images = world_pictures(folder) / "subject", out = folder / "out";
  fs::remove(images / "metadata.jsonl");
  const Arguments arguments = quick(images, out, {"--class", "big red ring"});
  refused(arguments, (out / "captions.jsonl").string() + " has a line for each of the 3");
  CHECK_FALSE(fs::exists(images / "captions.jsonl"));
  refused(arguments, "still has [view]");
  test::write_text(out / "captions.jsonl",
                   "{\"file_name\":\"00.png\",\"text\":\"a <ring-1> on a black background\"}\n"
                   "{\"file_name\":\"01.png\",\"text\":\"a big red ring on a grey background\"}\n"
                   "{\"file_name\":\"02.png\",\"text\":\"a <ring-1> on a white background\"}\n");
  const auto run = test::run_program(arguments);
  INFO(run.err);
  CHECK(run.status == 0);
  CHECK(test::read_text(out / "images.jsonl").find("a <ring-1> on a grey background") != std::string::npos);
}

TEST_CASE("personalize: a model without a judge gets its noise distance measured, and says so; plain captions") {
  const fs::path folder = test::fresh_folder("personalize_plain"), images = world_pictures(folder) / "subject";
  const auto run = test::run_program(quick(images, folder / "out", {"--class", "ring", "--captions", "plain"}));
  INFO(run.err);
  REQUIRE(run.status == 0);
  CHECK(run.err.find("captions that say what else a picture shows") != std::string::npos);
  CHECK(run.out.find("no judge of them is there") != std::string::npos);
  CHECK(run.out.find("noise distance to the base") != std::string::npos);
}

TEST_CASE("personalize: wrong inputs are refused in one sentence, and leave nothing behind") {
  const fs::path folder = test::fresh_folder("personalize_refused"), pictures = world_pictures(folder), images = pictures / "subject",
                 out = folder / "out";
  const auto captions = [&](const std::string& name, const std::string& text) {
    test::write_text(folder / name, text);
    return (folder / name).string();
  };
  const std::string one = "{\"file_name\":\"00.png\",\"text\":\"a photo of a ring\"}\n",
                    two = "{\"file_name\":\"01.png\",\"text\":\"a photo of a ring\"}\n";
  const std::string three = "{\"file_name\":\"02.png\",\"text\":\"a photo of a ";
  fs::create_directories(folder / "empty");
  refused(command(folder / "empty", out, {"--class", "ring"}), "holds no picture");
  refused(command(images, out, {}), "--class");
  refused(command(images, out, {"--style"}), "--word");
  refused(command(images, out, {"--class", "ring", "--captions", captions("cat.jsonl", one + two + three + "cat\"}\n")}), "two subjects");
  refused(command(images, out, {"--class", "ring", "--captions", captions("few.jsonl", one + two)}), "no caption for 02.png");
  refused(command(images, out,
                  {"--class", "ring", "--captions",
                   captions("more.jsonl", one + two + three + "ring\"}\n{\"file_name\":\"9.png\",\"text\":\"a ring\"}\n")}),
          "which is not in");
  refused(command(images, out,
                  {"--class", "ring", "--captions", captions("long.jsonl", one + two + three + "ring " + std::string(60, '!') + "\"}\n")}),
          "tokens");
  refused(command(images, pictures, {"--class", "big red ring"}), "holds something else");
  refused(command(images, out, {"--class", "big red ring", "train.stps=3"}), "train.steps");
  refused({"personalize", "--out", out.string()}, "--images");
  CHECK_FALSE(fs::exists(out));
}
