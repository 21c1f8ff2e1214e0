#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/version.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "palate/cli/command.h"
#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/io/json.h"

namespace palate {
namespace {

std::string cuda_state() {
  try {
    parse_device("cuda");
    return "available";
  } catch (const Error&) {
    return "not available";
  }
}

}  // namespace

void add_env(CLI::App& app) {
  auto json = std::make_shared<bool>(false);
  app.add_flag("--json", *json, "one JSON object instead of lines");
  app.footer("Put its output into a bug report.");
  app.callback([json] {
    const Json facts = {{"palate", PALATE_VERSION},
                        {"libtorch", TORCH_VERSION},
                        {"compiler", __VERSION__},
                        {"threads", at::get_num_threads()},
                        {"memory_gb", static_cast<double>(total_memory_bytes()) / 1e9},
                        {"cpu", cpu_features()},
                        {"cuda", cuda_state()},
                        {"assets", asset("")}};
    if (*json) {
      std::printf("%s\n", facts.dump().c_str());
      return;
    }
    for (const auto& [key, value] : facts.items())
      std::printf("%-10s %s\n", key.c_str(), value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
  });
}

}  // namespace palate
