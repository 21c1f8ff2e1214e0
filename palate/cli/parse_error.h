// What is wrong with the words of a command line, in a sentence of ours in place of CLI11's.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace palate {

// `command`: "" where none was given; `rest`: the arguments that nothing takes.
std::string parse_error(const std::string& command, const CLI::ParseError& error, const std::vector<std::string>& rest);

}  // namespace palate
