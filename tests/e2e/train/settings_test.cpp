// Settings that ask for something that a run does not need, or that it cannot do as they say.
#include <doctest/doctest.h>

#include <ATen/Parallel.h>

#include <csignal>

#include "palate/config/config.h"
#include "palate/core/error.h"
#include "palate/train/train.h"
#include "tests/e2e/train/tiny_run.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

const std::vector<std::string> short_run = {"train.steps=2", "train.ema=0", "train.keep_best=false", "lora.dropout=0"};

std::vector<std::string> with(std::vector<std::string> more) {
  more.insert(more.begin(), short_run.begin(), short_run.end());
  return more;
}

}  // namespace

TEST_CASE("settings: fine-tuning the whole U-Net asks for no reference, and loads none") {
  const TinyRun tiny("sft_full");
  const auto plain = tiny.train("plain", with({"full=true", "objective.loss=sft"}));
  INFO(plain.err);
  CHECK(plain.status == 0);
  const auto copy = tiny.train("copy", with({"full=true", "objective.loss=sft", "objective.reference=frozen_copy"}));
  CHECK(copy.status == 0);
  CHECK(has(copy.err, "objective.reference = \"frozen_copy\" is not used: the loss 'sft' compares with none"));
  // Where a loss compares, the whole network has no adapters to switch off.
  const auto dpo = tiny.train("dpo", with({"full=true"}));
  CHECK(dpo.status == 2);
  CHECK(has(dpo.err, "there are no adapters to switch off"));
}

TEST_CASE("settings: another number of steps moves a decaying rate, and that is said") {
  const TinyRun tiny("more_steps");
  REQUIRE(tiny.train("cosine", with({"optimizer.lr_schedule=cosine"})).status == 0);
  const auto longer = tiny.train("cosine", with({"optimizer.lr_schedule=cosine", "train.steps=3", "resume=latest"}));
  INFO(longer.err);
  CHECK(longer.status == 0);
  CHECK(has(longer.err, "train.steps: 2 -> 3"));
  CHECK(has(longer.err, "the learning rate jumps"));
  REQUIRE(tiny.train("constant", short_run).status == 0);
  const auto same = tiny.train("constant", with({"train.steps=3", "resume=latest"}));
  CHECK(same.status == 0);
  CHECK_FALSE(has(same.err, "train.steps"));
}

TEST_CASE("settings: a key that no chosen member reads is a mistake; at its default it stands in complete files of earlier versions") {
  const TinyRun tiny("stray_keys");
  const auto stray = tiny.train("stray", with({"optimizer.prodigy_d_coef=2"}));
  CHECK(stray.status == 2);
  CHECK(has(stray.err, "optimizer.prodigy_d_coef is a key of optimizer.name = \"prodigy\", but optimizer.name is \"adamw\""));
  CHECK(has(tiny.train("stray", with({"optimizer.num_cycles=3"})).err, "is a key of optimizer.lr_schedule = \"cosine_with_restarts\""));
  CHECK(tiny.train("defaults", with({"optimizer.prodigy_d_coef=1", "optimizer.num_cycles=1", "objective.feedback=pair"})).status == 0);
}

TEST_CASE("forecast: pairs that become single pictures count twice, and are not said to give the same result one by one") {
  const TinyRun tiny("advice");
  const auto told = [&](const char* loss) {
    RunConfig config;
    const auto source = read_config_source(tiny.folder / "run.toml",
                                           {"output=o", concat("objective.loss=", loss), "train.batch=65536", "data.resolution=512"});
    load_config(source, [&](Fields& f) { config.visit(f); });
    return forecast(config);
  };
  const Forecast dpo = told("dpo"), kto = told("kto");
  CHECK(kto.activation_bytes == dpo.activation_bytes);
  CHECK(has(dpo.advice, "it would with train.batch = 1 with train.accumulation raised to match (the same result)"));
  CHECK(has(kto.advice, "does not fit"));
  CHECK_FALSE(has(kto.advice, "the same result"));
}

TEST_CASE("library: train() and forecast() leave the process's threads and signal handlers as they were") {
  const TinyRun tiny("process_state");
  RunConfig config;
  auto overrides = with({"output=" + tiny.output("run").string(), "threads=1"});
  load_config(read_config_source(tiny.folder / "run.toml", overrides), [&](Fields& f) { config.visit(f); });
  at::set_num_threads(2);
  const auto handler = [](int) {};
  std::signal(SIGINT, handler);
  train(config);
  CHECK(at::get_num_threads() == 2);
  forecast(config);
  CHECK(at::get_num_threads() == 2);
  CHECK((std::signal(SIGINT, SIG_DFL) == static_cast<void (*)(int)>(handler)));
  CHECK((std::signal(SIGXFSZ, SIG_DFL) == SIG_DFL));
  at::set_num_threads(1);
}
