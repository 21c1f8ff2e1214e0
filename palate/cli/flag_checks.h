// What flags have in common: limits of numbers that say what they expect.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <string>

namespace palate {

// "expected a whole number from 1 to 4096, found 'many'"; nan and infinity are no numbers here. It leaves no trace in the help.
CLI::Validator whole(int64_t low, int64_t high);
CLI::Validator number(double low, double high);
CLI::Validator a_seed();
CLI::Validator a_thread_count();  // 0: as many as there are cores

// UsageError when the file that a flag names is not there, or is a folder. "" is no file.
void check_input(const std::string& flag, const std::filesystem::path& file);

// UsageError when the folder that the file is to be written to is not there. "" is no file.
void check_parent(const std::filesystem::path& file);

}  // namespace palate
