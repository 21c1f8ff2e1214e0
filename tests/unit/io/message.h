// The text of the error that `work` throws; fails the test when it throws none or another kind.
#pragma once

#include <doctest/doctest.h>

#include <string>

namespace palate::test {

template <class E, class Work>
std::string message(Work&& work) {
  try {
    work();
  } catch (const E& error) {
    return error.what();
  } catch (const std::exception& error) {
    FAIL("another kind of error: ", error.what());
  }
  FAIL("no error");
  return "";
}

inline bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace palate::test
