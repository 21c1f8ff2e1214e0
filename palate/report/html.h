// A self-contained HTML page, piece by piece. All text is escaped; pictures are embedded; nothing is loaded from outside.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace palate {

std::string escape_html(std::string_view text);
std::string data_uri(std::string_view png);

class Page {
 public:
  explicit Page(const std::string& title);
  void heading(const std::string& text);
  void paragraph(const std::string& text);
  void caution(const std::string& text);  // set apart: what a reader must know
  void table(const std::vector<std::string>& head, const std::vector<std::vector<std::string>>& rows);
  void big_number(const std::string& number, const std::string& caption);
  void raw(const std::string& html);  // already HTML: charts, figures
  void folded(const std::string& title, const std::string& preformatted);
  std::string str() const;

 private:
  std::string title_, body_;
};

// A line chart as inline SVG. Points with a value that is not finite are left out.
struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;
};
std::string line_chart(const std::string& title, const std::string& x_label, const std::vector<Series>& series);

// Named points, each with its name beside it and a bar from low to high where these are finite. Points that are not finite are left out.
struct ChartPoint {
  std::string name;
  double x = 0, y = 0, low = 0, high = 0;
};
std::string scatter_chart(const std::string& title, const std::string& x_label, const std::string& y_label,
                          const std::vector<ChartPoint>& points);
// One row a point: y with its bar, along a common axis with a line at `reference`; x is not looked at.
std::string interval_chart(const std::string& title, const std::string& label, const std::vector<ChartPoint>& rows, double reference);

}  // namespace palate
