#include "palate/cli/bench_operators.h"

#include <ATen/core/Tensor.h>
#include <ATen/record_function.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <mutex>
#include <vector>

namespace palate {
namespace {

struct Spent {
  double seconds = 0;
  int64_t calls = 0;
};

std::mutex guard;
std::map<std::string, Spent> spent;

double thread_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct Call : at::ObserverContext {
  std::string name;
  double begin = 0, inner = 0;
  Call* outer = nullptr;
};
thread_local Call* current = nullptr;

std::string shapes(const at::RecordFunction& function) {
  std::string text;
  for (const auto& input : function.inputs()) {
    if (!input.isTensor() || !input.toTensor().defined()) continue;
    text += text.empty() ? " " : ", ";
    for (const int64_t size : input.toTensor().sizes()) text += std::to_string(size) + "x";
    if (text.ends_with('x')) text.pop_back();
  }
  return text;
}

std::unique_ptr<at::ObserverContext> enter(const at::RecordFunction& function) {
  auto call = std::make_unique<Call>();
  call->name = function.name() + shapes(function);
  call->outer = current;
  current = call.get();
  call->begin = thread_seconds();
  return call;
}

void leave(const at::RecordFunction&, at::ObserverContext* context) {
  auto* call = static_cast<Call*>(context);
  const double seconds = thread_seconds() - call->begin;
  current = call->outer;
  if (current) current->inner += seconds;
  const std::lock_guard lock(guard);
  Spent& entry = spent[call->name];
  entry.seconds += seconds - call->inner;
  ++entry.calls;
}

}  // namespace

OperatorTimes::OperatorTimes() {
  spent.clear();
  handle_ = at::addGlobalCallback(
      at::RecordFunctionCallback(enter, leave).needsInputs(true).scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
}
OperatorTimes::~OperatorTimes() { at::removeCallback(handle_); }

std::string OperatorTimes::table(size_t rows) {
  std::vector<std::pair<std::string, Spent>> sorted(spent.begin(), spent.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  if (sorted.size() > rows) sorted.resize(rows);
  std::string text;
  for (const auto& [name, entry] : sorted) {
    char line[64];
    std::snprintf(line, sizeof line, "%9.3f %6lld  ", entry.seconds, static_cast<long long>(entry.calls));
    text += line + name + "\n";
  }
  return text;
}

}  // namespace palate
