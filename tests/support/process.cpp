#include "tests/support/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <thread>
#include <utility>

#include "tests/support/paths.h"

namespace palate::test {
namespace {

namespace fs = std::filesystem;

struct Child {
  pid_t pid;
  fs::path out, err;
};

Child start(const std::vector<std::string>& arguments, const std::vector<std::string>& environment) {
  static int count = 0;
  const fs::path base = fs::temp_directory_path() / ("palate-" + std::to_string(getpid()) + "-" + std::to_string(count++));
  Child child{0, base.string() + ".out", base.string() + ".err"};
  std::vector<std::string> words = {program().string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  child.pid = fork();
  if (child.pid < 0) throw std::runtime_error("fork failed");
  if (child.pid == 0) {
    dup2(open(child.out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
    dup2(open(child.err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
    for (const auto& line : environment) putenv(const_cast<char*>(line.c_str()));
    execv(argv[0], argv.data());
    _exit(127);
  }
  return child;
}

ProcessResult finish(const Child& child, int raw) {
  ProcessResult result;
  result.status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
  result.out = read_text(child.out);
  result.err = read_text(child.err);
  fs::remove(child.out);
  fs::remove(child.err);
  return result;
}

}  // namespace

ProcessResult run_program(const std::vector<std::string>& arguments, const std::vector<std::string>& environment) {
  const Child child = start(arguments, environment);
  int raw = 0;
  rusage used{};
  wait4(child.pid, &raw, 0, &used);
  ProcessResult result = finish(child, raw);
  result.peak_bytes = int64_t{used.ru_maxrss} * 1024;
  return result;
}

Running::Running(const std::vector<std::string>& arguments, const std::vector<std::string>& environment) {
  const Child child = start(arguments, environment);
  pid_ = child.pid;
  out_ = child.out;
  err_ = child.err;
}

Running::~Running() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  wait();
}

void Running::signal(int number) const { kill(pid_, number); }

ProcessResult Running::wait() {
  int raw = 0;
  waitpid(pid_, &raw, 0);
  return finish({std::exchange(pid_, -1), out_, err_}, raw);
}

ProcessResult run_and_signal(const std::vector<std::string>& arguments, int milliseconds, int signal) {
  const Child child = start(arguments, {});
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
  int raw = 0;
  while (waitpid(child.pid, &raw, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() >= end) {
      kill(child.pid, signal);
      waitpid(child.pid, &raw, 0);
      break;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return finish(child, raw);
}

}  // namespace palate::test
