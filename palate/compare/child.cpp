#include "palate/compare/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include "palate/core/error.h"
#include "palate/core/interrupt.h"
#include "palate/io/atomic_file.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

int64_t peak_of(pid_t child) {
  std::ifstream status("/proc/" + std::to_string(child) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return 1024 * std::stoll(line.substr(6));
  }
  return 0;  // it has ended
}

pid_t start(const std::vector<std::string>& arguments, const fs::path& log, const fs::path& out) {
  std::vector<std::string> words = {"palate"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const int error_file = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  const int out_file = open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  check<IoError>(error_file >= 0 && out_file >= 0, log.string(), ": cannot be written: ", std::strerror(errno));
  const pid_t parent = getpid(), child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);  // which died meanwhile
    dup2(out_file, STDOUT_FILENO);
    dup2(error_file, STDERR_FILENO);
    execv("/proc/self/exe", argv.data());
    _exit(127);
  }
  const int reason = errno;
  close(error_file);
  close(out_file);
  check<IoError>(child > 0, "a child process could not be started: ", std::strerror(reason));
  return child;
}

}  // namespace

ChildResult run_self(const std::vector<std::string>& arguments, const fs::path& log) {
  const fs::path out = log.string() + ".out";
  const pid_t child = start(arguments, log, out);
  ChildResult result;
  int raw = 0;
  rusage usage{};
  bool told = false;
  while (wait4(child, &raw, WNOHANG, &usage) == 0) {
    result.peak_bytes = std::max(result.peak_bytes, peak_of(child));
    if (interrupted() != 0 && !told) {
      kill(child, SIGTERM);
      told = true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  result.status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
  const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); };
  result.processor_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  result.out = read_file(out);
  std::error_code ignored;
  fs::remove(out, ignored);
  return result;
}

std::string last_complaint(const fs::path& log) {
  std::istringstream lines(fs::exists(log) ? read_file(log) : "");
  const std::string mark = "palate: ";
  std::string last;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(mark)) last = line.substr(mark.size());
  }
  return last;
}

}  // namespace palate
