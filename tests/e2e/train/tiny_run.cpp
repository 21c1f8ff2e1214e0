#include "tests/e2e/train/tiny_run.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <torch/types.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "palate/core/generator.h"
#include "palate/io/image.h"
#include "palate/io/safetensors.h"
#include "palate/train/checkpoint.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

namespace palate::test {
namespace fs = std::filesystem;

namespace {

// Four by four blocks of one colour each. Winners are warm, losers are cold: a preference that can be learned.
Tensor picture(uint64_t sample) {
  Tensor blocks = 0.4 * Generator({5, sample, 0, Purpose::test}).uniform(std::vector<int64_t>{3, 4, 4});
  blocks[sample % 2 == 0 ? 0 : 2].add_(0.6);
  return from_unit(blocks.repeat_interleave(4, 1).repeat_interleave(4, 2));
}

constexpr const char* settings = R"(
seed = 3
threads = 1
[objective]
loss = "dpo"
[lora]
rank = 4
dropout = 0.1
[optimizer]
lr = 2e-3
warmup_steps = 3
weight_decay = 0.1
clip_norm = 0.5
[train]
steps = 12
batch = 3
accumulation = 2
ema = 0.9
checkpoint_every = 4
validate_every = 5
validation_pairs = 6
validation_draws = 2
keep_best = true
log_every = 3
)";

}  // namespace

TinyRun::TinyRun(const std::string& name) : folder(fresh_folder(name)) {
  std::string lines;
  for (uint64_t i = 0; i < 28; ++i) {
    const std::string win = "win" + std::to_string(i) + ".png", lose = "lose" + std::to_string(i) + ".png";
    write_png(folder / win, picture(2 * i));
    write_png(folder / lose, picture(2 * i + 1));
    lines += Json{{"prompt", "a picture of thing " + std::to_string(i / 2)}, {"chosen", win}, {"rejected", lose}}.dump() + "\n";
  }
  write_text(folder / "pairs.jsonl", lines);
  write_text(folder / "run.toml", "model = \"" + (repository() / "tests/golden/tiny_pipeline").string() + "\"\noutput = \"unnamed\"\n" +
                                      settings + "[data]\npairs = [\"" + (folder / "pairs.jsonl").string() +
                                      "\"]\nheld_out = 0.25\ncaption_dropout = 0.2\nresolution = 16\n");
}

std::vector<std::string> TinyRun::arguments(const std::string& name, const std::vector<std::string>& more) const {
  std::vector<std::string> all = {"train", (folder / "run.toml").string(), "output=" + output(name).string(),
                                  "data.cache=" + (folder / "cache").string()};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

ProcessResult TinyRun::train(const std::string& name, const std::vector<std::string>& more) const {
  return run_program(arguments(name, more));
}

Background::Background(const std::vector<std::string>& arguments, const fs::path& log) : log_(log) {
  std::vector<std::string> words = {program().string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_ = fork();
  REQUIRE(pid_ >= 0);
  if (pid_ == 0) {
    const int file = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(file, STDOUT_FILENO);
    dup2(file, STDERR_FILENO);
    execv(argv[0], argv.data());
    _exit(127);
  }
}

Background::~Background() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

bool Background::wait_for(const fs::path& file, int lines) {
  for (;;) {
    if (fs::exists(file)) {
      const std::string text = read_text(file);
      if (std::count(text.begin(), text.end(), '\n') >= lines) return true;
    }
    siginfo_t info{};
    if (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void Background::signal(int number) const { kill(pid_, number); }

int Background::finish() {
  int raw = 0;
  waitpid(pid_, &raw, 0);
  pid_ = -1;
  return WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
}

std::string Background::errors() const { return read_text(log_); }

std::vector<std::string> timeless_metrics(const fs::path& run) {
  std::vector<std::string> lines;
  read_jsonl(run / "metrics.jsonl", [&](const Json& line, int64_t) {
    Json kept = line;
    for (const char* name : {"pairs_per_second", "rows_per_second", "rollouts_per_second", "memory_gb"}) kept.erase(name);
    lines.push_back(kept.dump());
  });
  return lines;
}

void expect_same_run(const fs::path& got, const fs::path& expected, int64_t step) {
  CHECK(timeless_metrics(got) == timeless_metrics(expected));
  const Checkpoint a = load_checkpoint(checkpoint_path(got, step)), b = load_checkpoint(checkpoint_path(expected, step));
  REQUIRE(a.tensors.size() == b.tensors.size());
  REQUIRE(!a.tensors.empty());
  for (const auto& [name, tensor] : b.tensors) expect_equal(name, a.tensors.at(name), tensor);
  CHECK(a.state.best_step == b.state.best_step);
  CHECK(a.state.best_value == b.state.best_value);
  for (const char* name :
       {"pytorch_lora_weights.safetensors", "pytorch_lora_weights.kohya.safetensors", "unet/diffusion_pytorch_model.safetensors"}) {
    REQUIRE(fs::exists(got / name) == fs::exists(expected / name));
    if (!fs::exists(expected / name)) continue;
    INFO(name);
    CHECK(read_text(got / name) == read_text(expected / name));
  }
}

}  // namespace palate::test
