// A command is one file with one function that declares its flags and, in a callback, runs it.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace palate {

// A file or folder that comes with the program: beside it where it was installed, in the source tree where it was built.
std::string asset(const std::string& name);

void add_bench(CLI::App& app);
void add_compare(CLI::App& app);
void add_convert(CLI::App& app);
void add_demo(CLI::App& app);
void add_env(CLI::App& app);
void add_eval(CLI::App& app);
void add_explain(CLI::App& app);
void add_forward(CLI::App& app);
void add_inspect(CLI::App& app);
void add_judge(CLI::App& app);
void add_list(CLI::App& app);
void add_lora(CLI::App& app);
// Leaves the flags of the action that the words name ("lora", "merge", ...); all of them where they name none.
void narrow_lora_help(CLI::App& app, const std::vector<std::string>& words);
void add_personalize(CLI::App& app);
void add_pretrain(CLI::App& app);
void add_pull(CLI::App& app);
void add_report(CLI::App& app);
void add_sample(CLI::App& app);
void add_step(CLI::App& app);
void add_train(CLI::App& app);
// Flags of other trainers, --train_batch_size 4, as palate train takes them: --foreign train_batch_size=4.
std::vector<std::string> fold_foreign_flags(const std::vector<std::string>& words);
void add_world(CLI::App& app);

}  // namespace palate
