// Where tests find things: the repository, a scratch folder of their own, the program, the handed-down real inputs.
#pragma once

#include <filesystem>
#include <string>

namespace palate::test {

std::filesystem::path repository();                           // the source folder
std::filesystem::path golden(const std::string& name);        // tests/golden/NAME; fails the test when it is missing
std::filesystem::path fresh_folder(const std::string& name);  // an empty scratch folder
std::filesystem::path program();                              // the palate binary under test
// ../shared/data/NAME, or "" where shared/ is not there: real inputs that CI has and a stranger has not.
std::filesystem::path shared_data(const std::string& name);

std::string read_text(const std::filesystem::path& path);
void write_text(const std::filesystem::path& path, const std::string& text);

}  // namespace palate::test
