// Where tests find things: the repository, a scratch folder of their own, the program, the handed-down real inputs.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <string>

namespace palate::test {

std::filesystem::path repository();                           // the source folder
std::filesystem::path golden(const std::string& name);        // tests/golden/NAME; fails the test when it is missing
std::filesystem::path fresh_folder(const std::string& name);  // an empty scratch folder
std::filesystem::path program();                              // the palate binary under test
// ../shared/data/NAME, or "" where shared/ is not there: real inputs that are too large to come with the source. A case that needs one is
//   TEST_CASE("..." * doctest::test_suite("shared") * doctest::skip(shared_missing({"NAME"})))
// and its test is SHARED (cmake/palate.cmake), so that it is seen to be skipped.
std::filesystem::path shared_data(const std::string& name);
bool shared_missing(std::initializer_list<const char*> names);  // any of them

std::string read_text(const std::filesystem::path& path);
void write_text(const std::filesystem::path& path, const std::string& text);

}  // namespace palate::test
