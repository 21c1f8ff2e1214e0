// Runs on good pictures alone, and on pictures with thumbs or rewards: dreambooth with pictures of the class, dco, kto, rwr.
#include <doctest/doctest.h>
#include <signal.h>
#include <torch/types.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/io/image.h"
#include "palate/io/safetensors.h"
#include "tests/e2e/train/tiny_run.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

struct Settings : Words {
  using Words::Words;
};
Settings operator+(Settings a, const Words& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// FOLDER/NAME.png ..., `count` of them, and a list of them with `notes` behind each caption.
fs::path list_of(const fs::path& folder, int count, const std::function<std::string(int)>& notes) {
  std::string lines;
  for (int i = 0; i < count; ++i) {
    const std::string name = concat("picture", i, ".png");
    write_text(folder / name, encode_png((torch::arange(3 * 20 * 20) * (2 * i + 3) % 251).to(torch::kByte).view({3, 20, 20})));
    lines += concat("{\"image\": \"", name, "\", \"text\": \"a picture of thing ", i, "\"", notes(i), "}\n");
  }
  write_text(folder / "list.jsonl", lines);
  return folder / "list.jsonl";
}

Settings on_list(const fs::path& list, const std::string& loss) {
  return {"data.pairs=[]",          "data.images=[\"" + list.string() + "\"]",
          "objective.loss=" + loss, "data.held_out=0",
          "train.keep_best=false",  "train.validate_every=0"};
}

fs::path prior_folder(const fs::path& caches) {
  for (const auto& entry : fs::directory_iterator(caches)) {
    if (entry.is_directory() && entry.path().filename().string().starts_with("prior-")) return entry.path();
  }
  return {};
}

double last_of(const fs::path& run, const char* metric) { return Json::parse(timeless_metrics(run).back())[metric].get<double>(); }

}  // namespace

TEST_CASE("dreambooth: killed while pictures of the class are drawn, it goes on with the same pictures and ends with the same bits") {
  const TinyRun tiny("prior_killed");
  const fs::path list = list_of(tiny.folder, 3, [](int) { return ""; });
  const Settings settings = on_list(list, "dreambooth") + Words{"model=" + (repository() / "assets/base").string(),
                                                                "data.resolution=0",
                                                                "objective.reference=none",
                                                                "prior.class_prompt=a red circle",
                                                                "prior.pictures=10",
                                                                "prior.steps=4",
                                                                "prior.batch=3",
                                                                "train.batch=2",
                                                                "train.steps=4",
                                                                "train.checkpoint_every=2",
                                                                "data.prior_loss_weight=0.5",
                                                                "resume=latest"};
  const fs::path first = tiny.folder / "first", second = tiny.folder / "second";
  const auto whole = tiny.train("whole", settings + Words{"data.cache=" + first.string()});
  INFO(whole.err);
  REQUIRE(whole.status == 0);
  CHECK(whole.err.find("0 of 10 pictures of \"a red circle\" are in") != std::string::npos);
  CHECK(last_of(tiny.output("whole"), "prior") > 0);
  const fs::path drawn = prior_folder(first), again = second / drawn.filename();
  {
    Background part(tiny.arguments("parts", settings + Words{"data.cache=" + second.string()}), tiny.folder / "part.txt");
    REQUIRE(part.wait_for(again / "manifest.jsonl", 4));
    part.signal(SIGKILL);
    CHECK(part.finish() == 128 + SIGKILL);
  }
  const std::string lines = read_text(again / "manifest.jsonl");
  REQUIRE(std::count(lines.begin(), lines.end(), '\n') < 10);
  fs::remove(again / "00001.png");  // one that is lost, and its line with it
  const auto rest = tiny.train("parts", settings + Words{"data.cache=" + second.string()});
  INFO(rest.err);
  REQUIRE(rest.status == 0);
  for (int i = 0; i < 10; ++i) CHECK(read_text(again / concat("0000", i, ".png")) == read_text(drawn / concat("0000", i, ".png")));
  expect_same_run(tiny.output("parts"), tiny.output("whole"), 4);
}

TEST_CASE("dco: a base prompt that the list names is another run than the prompt itself; a new word needs none") {
  const TinyRun tiny("dco_base");
  const Words settings = {"objective.reference=adapters_off", "objective.beta=100", "train.steps=4"};
  const auto run = [&](const std::string& name, const char* note, const Words& more) {
    fs::create_directories(tiny.folder / name);
    const fs::path list = list_of(tiny.folder / name, 4, [&](int) { return note; });
    const auto ran = tiny.train(name + "_run", on_list(list, "dco") + settings + more);
    INFO(ran.err);
    REQUIRE(ran.status == 0);
    return last_of(tiny.output(name + "_run"), "loss");
  };
  const double plain = run("plain", "", {}), same = run("same", "", {}), asked = run("asked", ", \"base_prompt\": \"a cat\"", {});
  CHECK(plain == same);
  CHECK(plain != asked);
  CHECK(run("word", "", {"text.word=thing", "text.initializer=cat"}) != plain);
}

TEST_CASE("kto and rwr on lists: thumbs at their share, rewards as weights, other losses without the thumbs down") {
  const TinyRun tiny("thumbs");
  const fs::path list = list_of(tiny.folder, 8, [](int i) { return concat(", \"label\": ", i < 6, ", \"reward\": ", 0.25 * i); });
  const auto kto = tiny.train("kto", on_list(list, "kto") + Words{"data.positive_ratio=0.5", "train.batch=4", "train.steps=4"});
  INFO(kto.err);
  REQUIRE(kto.status == 0);
  CHECK(last_of(tiny.output("kto"), "kl") >= 0);
  const auto rwr = tiny.train("rwr", on_list(list, "rwr") + Words{"objective.reference=none", "train.batch=4", "train.steps=4"});
  INFO(rwr.err);
  REQUIRE(rwr.status == 0);
  CHECK(last_of(tiny.output("rwr"), "reward_weight") > 0.5);
  const auto sft = tiny.train("sft", on_list(list, "sft") + Words{"objective.reference=none", "train.steps=1"});
  REQUIRE(sft.status == 0);
  CHECK(sft.err.find("2 pictures with a thumb down are left out: the loss 'sft' learns from good ones alone") != std::string::npos);
  const auto seen = run_program({"inspect", list.string(), "--json"});
  const Json said = Json::parse(seen.out);
  CHECK(said["thumbs_up"] == 6);
  CHECK(said["thumbs_down"] == 2);
  CHECK(said["rewards"] == 8);
}

TEST_CASE("single pictures: mistakes are one sentence each, and nothing is made") {
  const TinyRun tiny("single_wrong");
  int number = 0;
  const auto refused = [&](const Words& more, const std::string& words, int status) {
    const std::string name = concat("wrong", number++);
    const auto ran = tiny.train(name, more);
    INFO(ran.err);
    CHECK(ran.status == status);
    CHECK(ran.err.find(words) != std::string::npos);
    CHECK_FALSE(fs::exists(tiny.output(name)));
  };
  const auto list = [&](const std::string& name, const std::function<std::string(int)>& notes) {
    fs::create_directories(tiny.folder / name);
    return list_of(tiny.folder / name, 4, notes);
  };
  const auto up = list("up", [](int) { return ", \"label\": true"; });
  refused(on_list(up, "kto"), "all 4 pictures have a thumb up: the loss 'kto' learns from the difference", 1);
  const auto some = list("some", [](int i) { return i == 2 ? "" : concat(", \"label\": ", i % 2); });
  refused(on_list(some, "kto"), "list.jsonl:3: 'label' is missing", 1);
  const auto nan = list("nan", [](int i) { return concat(", \"reward\": ", i == 1 ? "\"nan\"" : "0.5"); });
  refused(on_list(nan, "rwr") + Words{"objective.reference=none"}, "list.jsonl:2: 'reward' is nan", 1);
  const auto both = list("both", [](int i) { return concat(", \"label\": ", i % 2); });
  refused(on_list(both, "kto") + Words{"train.batch=1"}, "needs at least 2 of them, found 1", 2);
  refused(on_list(both, "sft") + Words{"objective.reference=none", "data.positive_ratio=0.8"}, "does not learn from thumbs", 2);
  refused({"objective.loss=rwr", "objective.reference=none"}, "weighs pictures by their rewards, which preference pairs do not have", 2);
  refused({"prior.class_prompt=a dog"}, "pictures of the class go with data.images and a loss on good pictures", 2);
  refused(on_list(both, "dreambooth") + Words{"objective.reference=none", "prior.preservation=true"},
          "prior preservation needs pictures of the class", 2);
  refused(on_list(both, "dreambooth") + Words{"objective.reference=none", "prior.class_prompt=a dog", "prior.folder=nowhere"},
          "there is no folder 'nowhere'", 2);
}
