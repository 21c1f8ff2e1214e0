// The commands judge and eval, on pictures of the shipped base.
#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/io/image.h"
#include "palate/io/json.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

using namespace palate;
namespace fs = std::filesystem;

namespace {

using Arguments = std::vector<std::string>;

const std::string base = (test::repository() / "assets/base").string();

test::ProcessResult run(const Arguments& arguments, int expected = 0) {
  const auto result = test::run_program(arguments);
  INFO(result.err);
  CHECK(result.status == expected);
  return result;
}

Json json_of(Arguments arguments) {
  arguments.emplace_back("--json");
  return Json::parse(run(arguments).out);
}

// Two pictures for each of two captions, in `steps` steps.
fs::path sampled(const fs::path& folder, const std::string& steps, const std::string& seed = "3") {
  run({"sample", "--model", base, "--prompt", "a big red circle on a white background", "--prompt",
       "a small blue ring above a big green cross on a black background", "--count", "2", "--steps", steps, "--guidance-scale", "3",
       "--seed", seed, "--out", folder.string()});
  return folder;
}

}  // namespace

TEST_CASE("judge: a folder of pictures gets a line of scores for each, whatever the batch") {
  const fs::path pictures = sampled(test::fresh_folder("judge") / "pictures", "8");
  const Json found = json_of({"judge", pictures.string()});
  CHECK(found["pictures"] == 4);
  CHECK(found["prompts"] == 2);
  CHECK(found["scores"] == (pictures / "scores.jsonl").string());
  CHECK(found["judges"][0]["name"] == "oracle");
  double total = 0;
  int64_t lines = 0;
  read_jsonl(pictures / "scores.jsonl", [&](const Json& line, int64_t) {
    CHECK(line["identity"] == found["judges"][0]["identity"]);
    CHECK(line["parts"].contains("acc"));
    CHECK(line["parts"]["relation"].is_null() == (line["prompt"].get<std::string>().find("above") == std::string::npos));
    CHECK(line["seed"] == 3);
    total += line["total"].get<double>();
    ++lines;
  });
  CHECK(lines == 4);
  CHECK(found["judges"][0]["means"]["total"].get<double>() == doctest::Approx(total / 4).epsilon(1e-12));

  const fs::path other = pictures.parent_path() / "other.jsonl";
  run({"judge", (pictures / "manifest.jsonl").string(), "--batch", "3", "--out", other.string()});
  CHECK(test::read_text(other) == test::read_text(pictures / "scores.jsonl"));
}

TEST_CASE("judge: pictures of another world, unknown judges and missing pictures are refused, and no file is left") {
  const fs::path folder = test::fresh_folder("judge_refused");
  write_png(folder / "a.png", torch::zeros({3, 64, 64}, torch::kUInt8));
  test::write_text(folder / "a.txt", "a big red circle on a white background\n");
  CHECK(run({"judge", folder.string()}, 2).err.find("32x32, found 64x64") != std::string::npos);
  CHECK(run({"judge", folder.string(), "--judge", "orakle"}, 2).err.find("did you mean 'oracle'?") != std::string::npos);
  CHECK(run({"judge", folder.string(), "--judge", "oracle", "--judge", "oracle"}, 2).err.find("given twice") != std::string::npos);
  CHECK(run({"judge", (folder / "none").string()}, 2).err.find("none") != std::string::npos);
  CHECK_FALSE(fs::exists(folder / "scores.jsonl"));
}

TEST_CASE("eval: two folders of pictures are compared as the two models that drew them") {
  const fs::path work = test::fresh_folder("eval_folders");
  const fs::path few = sampled(work / "few", "1"), many = sampled(work / "many", "12");
  const auto compare = [&](const fs::path& base_pictures, const fs::path& pictures, const std::string& out) {
    return json_of({"eval", "--base-pictures", base_pictures.string(), "--pictures", pictures.string(), "--out", (work / out).string()});
  };
  const Json better = compare(few, many, "better"), worse = compare(many, few, "worse"), same = compare(many, many, "same");
  CHECK(better["comparisons"][0]["win_rate"]["n"] == 2);
  CHECK(better["comparisons"][0]["gain"]["mean"].get<double>() > 0);  // one step gives noise
  CHECK(worse["comparisons"][0]["gain"]["mean"].get<double>() ==
        doctest::Approx(-better["comparisons"][0]["gain"]["mean"].get<double>()).epsilon(1e-12));
  CHECK(same["comparisons"][0]["win_rate"]["tie"] == 1);
  CHECK(fs::exists(work / "better/sheet_ours.png"));
  CHECK(test::read_text(work / "better/report.html").find("<figure class=\"won\"") != std::string::npos);
  CHECK(read_json(work / "better/eval.json")["hashes"]["ours pictures"].get<std::string>().size() == 64);
}

TEST_CASE("eval: what two models drew is on disk, and judging it again gives the same numbers") {
  const fs::path work = test::fresh_folder("eval_again");
  const fs::path other = work / "other";  // the base with another scheduler: pictures differ
  fs::copy(base, other, fs::copy_options::recursive);
  Json scheduler = read_json(other / "scheduler/scheduler_config.json");
  scheduler["_class_name"] = "EulerDiscreteScheduler";
  write_json(other / "scheduler/scheduler_config.json", scheduler);
  const Json drawn = json_of({"eval", "--model", other.string(), "--base", base, "--count", "6", "--steps", "4", "--guidance-scale", "3",
                              "--batch", "4", "--out", (work / "drawn").string()});
  const Json again = json_of({"eval", "--pictures", (work / "drawn/pictures/ours").string(), "--base-pictures",
                              (work / "drawn/pictures/base").string(), "--batch", "3", "--out", (work / "again").string()});
  CHECK(again["comparisons"] == drawn["comparisons"]);
  CHECK(drawn["comparisons"][0]["gain"]["mean"] != 0);
  CHECK(read_json(work / "drawn/eval.json")["sides"][0]["scores"] == read_json(work / "again/eval.json")["sides"][0]["scores"]);
}

TEST_CASE("eval: refuses before anything is drawn") {
  const fs::path work = test::fresh_folder("eval_refused");
  const std::string out = (work / "out").string(), tiny = test::golden("tiny_pipeline").string();
  // A model whose pictures the judge does not know, on either side; a prompt that it cannot read.
  const auto refused = [&](const Arguments& words, const std::string& expected) {
    Arguments all = {"eval", "--out", out};
    all.insert(all.end(), words.begin(), words.end());
    const auto result = run(all, 2);
    CHECK(result.err.find(expected) != std::string::npos);
    CHECK_FALSE(fs::exists(out));
  };
  refused({"--model", base, "--base", tiny}, "32x32, found 16x16");
  refused({"--model", tiny, "--base", base}, "32x32, found 16x16");
  test::write_text(work / "prompts.txt", "a big red circle on a white background\na photo of a cat\n");
  refused({"--model", tiny, "--base", base, "--prompts", (work / "prompts.txt").string()}, "a photo of a cat");
  refused({"--model", base, "--base", tiny, "--judge", "no-such"}, "there is no 'no-such'");
  refused({}, "expected either --model, or --pictures and --base-pictures");
  const fs::path pictures = sampled(work / "one", "1"), others = sampled(work / "two", "1", "4");
  refused({"--pictures", pictures.string()}, "--base-pictures");
  refused({"--pictures", pictures.string(), "--base-pictures", others.string(), "--model", base}, "expected either");
  refused({"--pictures", pictures.string(), "--base-pictures", pictures.string(), "--steps", "3"}, "--steps says what models draw");
  refused({"--pictures", pictures.string(), "--base-pictures", others.string()}, "has no partner among the 4 pictures");
}
