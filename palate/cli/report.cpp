#include <CLI/CLI.hpp>
#include <cstdio>

#include "palate/cli/command.h"
#include "palate/report/report.h"

namespace palate {

void add_report(CLI::App& app) {
  struct ReportFlags {
    std::vector<std::string> runs;
    std::string title;
  };
  auto flags = std::make_shared<ReportFlags>();
  app.add_option("RUN", flags->runs, "run folders, or folders of runs with an eval.json")->required();
  app.add_option("--title", flags->title, "the page's title");
  app.footer(
      "Example:\n  palate report runs/demo-1\nwrites runs/demo-1/report.html, one page with pictures, win rates, curves and "
      "configuration.");
  app.callback([flags] {
    for (const auto& run : flags->runs) std::printf("%s\n", write_report(run, flags->title).c_str());
  });
}

}  // namespace palate
