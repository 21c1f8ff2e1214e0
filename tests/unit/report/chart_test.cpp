#include <doctest/doctest.h>

#include <cmath>

#include "palate/report/html.h"

using namespace palate;

namespace {

int times(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

const double none = std::nan("");

}  // namespace

TEST_CASE("charts: points that are not finite are left out, names are escaped") {
  const std::vector<ChartPoint> points = {{"a<b", 1, 2, 1, 3}, {"gone", none, 2, 1, 3}, {"bare", 3, 4, none, none}};
  const std::string scatter = scatter_chart("t", "x", "y", points);
  CHECK(times(scatter, "<circle") == 2);
  CHECK(times(scatter, "stroke-width=\"1.5\"") == 1);  // one bar
  CHECK(scatter.find("a&lt;b") != std::string::npos);
  CHECK(scatter.find("nan") == std::string::npos);
  CHECK(scatter_chart("t", "x", "y", {{"gone", none, none, none, none}}).empty());

  const std::string rows = interval_chart("t", "%", {{"a", 0, 60, 55, 65}, {"failed", 0, none, none, none}}, 50);
  CHECK(times(rows, "<circle") == 1);
  CHECK(rows.find("failed") != std::string::npos);  // its row stays, without a point
  CHECK(rows.find("nan") == std::string::npos);
}

TEST_CASE("charts: names of many series take further rows, each in a colour of its own") {
  const auto chart = [](size_t count) {
    std::vector<Series> series;
    for (size_t i = 0; i < count; ++i) series.push_back({"method-" + std::to_string(i), {{0, 1}, {1, 2}}});
    return line_chart("t", "step", series);
  };
  CHECK(chart(1).find("viewBox=\"0 0 360 200\"") != std::string::npos);
  CHECK(chart(3).find("viewBox=\"0 0 360 200\"") != std::string::npos);
  // A name of 8 letters takes 22 + 8 x 6.2 = 71.6, four of them a row of 308: twelve take three rows, two of 14 more than one.
  CHECK(chart(12).find("viewBox=\"0 0 360 228\"") != std::string::npos);
  const std::string many = chart(12);
  CHECK(times(many, "stroke=\"#2563eb\"") == 1);
  CHECK(times(many, "<rect") == 12);
}
