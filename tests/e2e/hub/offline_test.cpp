// A Python user's path: the cache that huggingface_hub wrote (tests/golden/make_hub_cache.py) is used as it is, without a network.
#include <doctest/doctest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstddef>
#include <nlohmann/json.hpp>
#include <thread>

#include "palate/io/json.h"
#include "tests/e2e/hub/hub_case.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

// From here on this thread, and the programs that it starts, are killed when they ask for a socket.
bool forbid_sockets() {
  const auto killed_if = [](uint32_t call) { return sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1); };
  const sock_filter kill = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                          killed_if(SYS_socket),
                          kill,
                          killed_if(SYS_socketpair),
                          kill,
                          killed_if(SYS_connect),
                          kill,
                          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const sock_fprog program{static_cast<unsigned short>(std::size(filter)), filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

bool forbidden = false;

// The program's result when every request for a socket ends it. (Where a machine has no seccomp, it is only said that it has none.)
ProcessResult run_without_sockets(const std::vector<std::string>& arguments, const std::vector<std::string>& environment) {
  ProcessResult result;
  std::thread([&] {
    forbidden = forbid_sockets();
    result = run_program(arguments, environment);
  }).join();
  if (!forbidden) MESSAGE("this machine has no seccomp: requests for sockets are not seen");
  return result;
}

std::vector<std::string> reference_cache(const char* offline = "HF_HUB_OFFLINE=1") {
  return {"HF_HUB_CACHE=" + golden("hub_cache").string(),
          "HF_HOME=/nowhere",
          "HF_TOKEN=hf_secret",
          "HF_ENDPOINT=http://127.0.0.1:9",
          "no_proxy=127.0.0.1",
          offline};
}

fs::path snapshot(const std::string& revision = "main") {
  const fs::path folder = golden("hub_cache/models--tiny--pipeline");
  return folder / "snapshots" / read_text(folder / "refs" / revision);
}

}  // namespace

TEST_CASE("hub offline: palate pull gives the reference client's snapshot without asking for a socket") {
  const auto result = run_without_sockets({"pull", "tiny/pipeline"}, reference_cache());
  INFO(result.err);
  CHECK(result.status == 0);
  CHECK(result.out == snapshot().string() + "\n");
  CHECK(run_without_sockets({"pull", "tiny/pipeline", "--revision", "v1"}, reference_cache()).out == snapshot("v1").string() + "\n");
  const auto data = run_without_sockets({"pull", "tiny/pairs", "--repo-type", "dataset"}, reference_cache());
  CHECK(data.status == 0);
  CHECK(data.out.find("/datasets--tiny--pairs/snapshots/") != std::string::npos);
  const auto missing = run_without_sockets({"pull", "tiny/nothing"}, reference_cache());
  CHECK(missing.status == 2);
  CHECK(missing.err.find("HF_HUB_OFFLINE forbids to fetch it") != std::string::npos);
  // The filter does kill: online, the same command asks for a socket.
  const auto online = run_without_sockets({"pull", "tiny/pipeline"}, reference_cache("HF_HUB_OFFLINE=0"));
  CHECK(online.status == (forbidden ? 128 + SIGSYS : 1));
}

TEST_CASE("hub offline: a snapshot whose blobs are gone is said to be broken") {
  const fs::path cache = fresh_folder("offline_broken");
  fs::copy(golden("hub_cache"), cache, fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  fs::remove(fs::canonical(cache / snapshot().lexically_relative(golden("hub_cache")) / "vae/config.json"));
  const auto result = run_program({"pull", "tiny/pipeline"}, {"HF_HUB_CACHE=" + cache.string(), "HF_HUB_OFFLINE=1"});
  CHECK(result.status == 2);
  CHECK(result.err.find("vae/config.json") != std::string::npos);
}

TEST_CASE("hub offline: ORG/NAME stands for a model folder everywhere, and no command asks for a socket") {
  const fs::path out = fresh_folder("offline_commands");
  const std::string folder = golden("tiny_pipeline").string();
  const std::vector<std::string> online = reference_cache("HF_HUB_OFFLINE=");  // nothing but pull uses a network, whatever is set
  const auto same = [&](std::vector<std::string> words, const std::string& written = "") {
    INFO(words[0], " ", words.back());
    std::string results[2];
    for (const bool hub : {false, true}) {
      auto arguments = words;
      for (auto& word : arguments) {
        if (const size_t at = word.find("MODEL"); at != std::string::npos) word.replace(at, 5, hub ? "tiny/pipeline" : folder);
        if (word == "OUT") word = (out / (words[0] + (hub ? "-hub" : "-folder") + written)).string();
      }
      const auto result = run_without_sockets(arguments, online);
      INFO(result.err);
      CHECK(result.status == 0);
      results[hub] = result.out + (written.empty() ? "" : read_text(out / (words[0] + (hub ? "-hub" : "-folder") + written)));
    }
    return std::pair(results[0], results[1]);
  };
  const auto [here, cached] = same({"inspect", "MODEL", "--json"});
  Json a = parse_json(here, "here"), b = parse_json(cached, "cached");
  CHECK(a["components"] == b["components"]);
  CHECK(b["folder"] == snapshot().string());
  const auto tokens = same({"forward", "--model", "MODEL", "--component", "tokenize", "--text", "a fox"});
  CHECK(tokens.first == tokens.second);
  same({"sample", "--model", "MODEL", "--prompt", "a fox", "--steps", "2", "--out", "OUT"});
  CHECK(read_text(out / "sample-hub/00000.png") == read_text(out / "sample-folder/00000.png"));
  CHECK_FALSE(read_text(out / "sample-hub/00000.png").empty());
  const auto wrong = run_program({"inspect", "tiny/nothing"}, online);
  CHECK(wrong.status == 2);
  CHECK(wrong.err.find("palate pull tiny/nothing") != std::string::npos);
}

TEST_CASE(
    "hub offline: a model of the cache is trained on, and the run says which commit; merged and converted it is whole, without links") {
  const fs::path out = fresh_folder("offline_written");
  write_text(out / "run.toml",
             "model = \"tiny/pipeline\"\noutput = \"" + (out / "run").string() + "\"\ndata.pairs = [\"" +
                 golden("data_pickapic.parquet").string() + "\"]\ndata.cache = \"" + (out / "cache").string() +
                 "\"\ndata.resolution = 16\ndata.skip_bad = true\nthreads = 1\n[train]\nsteps = 1\nbatch = 1\nvalidate_every = 0\n");
  const auto succeeds = [](const std::vector<std::string>& words) {
    const auto result = run_without_sockets(words, reference_cache());
    INFO(result.err);
    REQUIRE(result.status == 0);
  };
  succeeds({"train", (out / "run.toml").string(), "--dry-run"});
  succeeds({"train", (out / "run.toml").string()});
  const Json run = read_json(out / "run/run.json");
  CHECK(run["model"] == "tiny/pipeline");
  CHECK(run["model_commit"] == snapshot().filename().string());
  succeeds({"lora", "merge", (out / "run/pytorch_lora_weights.safetensors").string(), "--model", "tiny/pipeline", "--out",
            (out / "merged").string()});
  succeeds({"convert", "tiny/pipeline", (out / "one.safetensors").string(), "--to", "single"});
  size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(out / "merged")) {
    CHECK_FALSE_MESSAGE(entry.is_symlink(), entry.path());
    files += entry.is_regular_file();
  }
  CHECK(files == 10);
  CHECK(read_text(out / "merged/vae/config.json") == read_text(snapshot() / "vae/config.json"));
  CHECK_FALSE(fs::exists(out.parent_path() / "blobs"));
}
