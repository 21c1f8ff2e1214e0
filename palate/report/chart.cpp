// Charts as inline SVG: no script, no font, no file from outside.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "palate/report/html.h"

namespace palate {
namespace {

constexpr double width = 360, height = 200, left = 52, right = 8, top = 8, bottom = 34;
constexpr const char* colours[] = {"#2563eb", "#dc2626", "#16a34a", "#9333ea", "#d97706", "#0891b2", "#db2777",
                                   "#65a30d", "#7c2d12", "#4f46e5", "#0d9488", "#a16207", "#6b7280", "#be123c"};

struct Range {
  double low = INFINITY, high = -INFINITY;
  void take(double v) {
    low = std::min(low, v);
    high = std::max(high, v);
  }
  void widen() {  // a flat line gets room above and below
    if (high - low < 1e-12 * std::max(1.0, std::abs(high))) {
      const double room = std::max(1e-6, std::abs(high) * 0.05);
      low -= room;
      high += room;
    }
  }
};

std::string number(double v) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", v);
  return text;
}

// A round step that gives about four ticks.
double tick_step(const Range& range) {
  const double raw = (range.high - range.low) / 4, power = std::pow(10, std::floor(std::log10(raw)));
  for (const double m : {1.0, 2.0, 5.0}) {
    if (raw <= m * power) return m * power;
  }
  return 10 * power;
}

std::string text_at(double x, double y, const char* anchor, const std::string& text) {
  return "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" text-anchor=\"" + anchor + "\">" + escape_html(text) + "</text>";
}

double text_width(const std::string& text) { return 6.2 * static_cast<double>(text.size()); }

std::string line_between(double x1, double y1, double x2, double y2, const std::string& colour, double stroke = 1) {
  return "<line x1=\"" + number(x1) + "\" y1=\"" + number(y1) + "\" x2=\"" + number(x2) + "\" y2=\"" + number(y2) + "\" stroke=\"" +
         colour + "\" stroke-width=\"" + number(stroke) + "\"/>";
}

std::string dot_at(double x, double y, const std::string& colour) {
  return "<circle cx=\"" + number(x) + "\" cy=\"" + number(y) + "\" r=\"3\" fill=\"" + colour + "\"/>";
}

std::string opened(const std::string& title, double chart_width, double chart_height) {
  return "<div class=\"chart\"><b>" + escape_html(title) + "</b><svg viewBox=\"0 0 " + number(chart_width) + " " + number(chart_height) +
         "\" role=\"img\" aria-label=\"" + escape_html(title) + "\">";
}

// Ticks of the y axis with their lines from `from` to `to`.
template <class Place>
std::string y_ticks(const Range& ys, double from, double to, Place py) {
  std::string svg;
  const double step = tick_step(ys);
  for (double y = std::ceil(ys.low / step) * step; y <= ys.high + step * 1e-9; y += step) {
    svg += line_between(from, py(y), to, py(y), "#8884");
    svg += text_at(from - 5, py(y) + 4, "end", number(std::abs(y) < step * 1e-6 ? 0 : y));
  }
  return svg;
}

// The names of series in rows below the chart; returns the height that they take.
double legend_rows(const std::vector<Series>& series, double top_y, std::string& svg) {
  if (series.size() < 2) return 0;
  double x = left, y = top_y;
  for (size_t i = 0; i < series.size(); ++i) {
    const double needed = 22 + text_width(series[i].name);
    if (x > left && x + needed > width) x = left, y += 14;
    svg += "<rect x=\"" + number(x) + "\" y=\"" + number(y - 5) + "\" width=\"10\" height=\"3\" fill=\"" + colours[i % std::size(colours)] +
           "\"/>" + text_at(x + 14, y, "start", series[i].name);
    x += needed;
  }
  return y - top_y + 14;
}

// Where a label stands that covers no other: beside its point, else above or below.
class Labels {
 public:
  std::string place(double x, double y, double right_edge, const std::string& text) {
    const double w = text_width(text);
    for (const double shift : {0.0, -11.0, 11.0, -22.0, 22.0, -33.0, 33.0}) {
      for (const double at : {x + 6, x - 6 - w}) {
        const std::array<double, 4> box = {at, y + shift - 5, at + w, y + shift + 5};
        if (at < left || at + w > right_edge ||
            std::any_of(taken_.begin(), taken_.end(), [&](const auto& other) { return meet(box, other); }))
          continue;
        taken_.push_back(box);
        return text_at(at, y + shift + 4, "start", text);
      }
    }
    return text_at(x + 6, y + 4, "start", text);
  }
  void take(double x, double y) { taken_.push_back({x - 3, y - 3, x + 3, y + 3}); }

 private:
  static bool meet(const std::array<double, 4>& a, const std::array<double, 4>& b) {
    return a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
  }
  std::vector<std::array<double, 4>> taken_;
};

}  // namespace

std::string line_chart(const std::string& title, const std::string& x_label, const std::vector<Series>& series) {
  Range xs, ys;
  for (const auto& line : series) {
    for (const auto& [x, y] : line.points) {
      if (std::isfinite(x) && std::isfinite(y)) {
        xs.take(x);
        ys.take(y);
      }
    }
  }
  if (!std::isfinite(xs.low)) return "";
  xs.widen();
  ys.widen();
  const auto px = [&](double x) { return left + (x - xs.low) / (xs.high - xs.low) * (width - left - right); };
  const auto py = [&](double y) { return height - bottom - (y - ys.low) / (ys.high - ys.low) * (height - top - bottom); };

  std::string names;
  const double legend = legend_rows(series, height - 7, names);
  std::string svg = opened(title, width, height + std::max(0.0, legend - 14));
  svg += y_ticks(ys, left, width - right, py);
  svg +=
      text_at(left, height - bottom + 14, "start", number(xs.low)) + text_at(width - right, height - bottom + 14, "end", number(xs.high));
  svg += text_at((left + width) / 2, height - bottom + 14, "middle", x_label);
  for (size_t i = 0; i < series.size(); ++i) {
    svg += "<polyline fill=\"none\" stroke-width=\"1.5\" stroke=\"" + std::string(colours[i % std::size(colours)]) + "\" points=\"";
    for (const auto& [x, y] : series[i].points) {
      if (std::isfinite(x) && std::isfinite(y)) svg += number(px(x)) + "," + number(py(y)) + " ";
    }
    svg += "\"/>";
  }
  return svg + names + "</svg></div>\n";
}

std::string scatter_chart(const std::string& title, const std::string& x_label, const std::string& y_label,
                          const std::vector<ChartPoint>& points) {
  constexpr double wide = 560, high = 320, edge = 12;
  Range xs, ys;
  for (const auto& point : points) {
    if (!std::isfinite(point.x) || !std::isfinite(point.y)) continue;
    xs.take(point.x);
    for (const double y : {point.y, point.low, point.high}) {
      if (std::isfinite(y)) ys.take(y);
    }
  }
  if (!std::isfinite(xs.low)) return "";
  xs.widen();
  ys.widen();
  const auto px = [&](double x) { return left + 8 + (x - xs.low) / (xs.high - xs.low) * (wide - left - 90); };  // names stand to the right
  const auto py = [&](double y) { return high - 40 - (y - ys.low) / (ys.high - ys.low) * (high - 40 - edge); };
  std::string svg = opened(title + ": " + y_label + " over " + x_label, wide, high) + y_ticks(ys, left, wide - edge, py);
  const double step = tick_step(xs);
  for (double x = std::ceil(xs.low / step) * step; x <= xs.high + step * 1e-9; x += step)
    svg += text_at(px(x), high - 24, "middle", number(std::abs(x) < step * 1e-6 ? 0 : x));
  svg += text_at((left + wide) / 2, high - 6, "middle", x_label);
  Labels labels;
  for (const auto& point : points) labels.take(px(point.x), py(point.y));
  for (size_t i = 0; i < points.size(); ++i) {
    const ChartPoint& point = points[i];
    if (!std::isfinite(point.x) || !std::isfinite(point.y)) continue;
    const std::string colour = colours[i % std::size(colours)];
    if (std::isfinite(point.low) && std::isfinite(point.high))
      svg += line_between(px(point.x), py(point.low), px(point.x), py(point.high), colour + "88", 1.5);
    svg += dot_at(px(point.x), py(point.y), colour) + labels.place(px(point.x), py(point.y), wide, point.name);
  }
  return svg + "</svg></div>\n";
}

std::string interval_chart(const std::string& title, const std::string& label, const std::vector<ChartPoint>& rows, double reference) {
  constexpr double wide = 560, row_height = 20, edge = 16;
  Range range;
  range.take(reference);
  double names = 0;
  for (const auto& row : rows) {
    for (const double value : {row.y, row.low, row.high}) {
      if (std::isfinite(value)) range.take(value);
    }
    names = std::max(names, text_width(row.name) + 16);
  }
  if (rows.empty()) return "";
  range.widen();
  const double below = row_height * static_cast<double>(rows.size()) + 8;
  const auto place = [&](double value) { return names + (value - range.low) / (range.high - range.low) * (wide - names - edge); };
  std::string svg = opened(title, wide, below + 34);
  const double step = tick_step(range);
  for (double v = std::ceil(range.low / step) * step; v <= range.high + step * 1e-9; v += step) {
    svg += line_between(place(v), 0, place(v), below, "#8884") +
           text_at(place(v), below + 14, "middle", number(std::abs(v) < step * 1e-6 ? 0 : v));
  }
  svg += line_between(place(reference), 0, place(reference), below, "#888", 1.5) + text_at((names + wide) / 2, below + 30, "middle", label);
  for (size_t i = 0; i < rows.size(); ++i) {
    const double y = row_height * (static_cast<double>(i) + 0.5) + 4;
    const std::string colour = colours[i % std::size(colours)];
    svg += text_at(names - 10, y + 4, "end", rows[i].name);
    if (!std::isfinite(rows[i].y)) continue;
    if (std::isfinite(rows[i].low) && std::isfinite(rows[i].high))
      svg += line_between(place(rows[i].low), y, place(rows[i].high), y, colour + "88", 2);
    svg += dot_at(place(rows[i].y), y, colour);
  }
  return svg + "</svg></div>\n";
}

}  // namespace palate
