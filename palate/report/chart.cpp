// Line charts as inline SVG: no script, no font, no file from outside.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "palate/report/html.h"

namespace palate {
namespace {

constexpr double width = 360, height = 200, left = 52, right = 8, top = 8, bottom = 34;
constexpr const char* colours[] = {"#2563eb", "#dc2626", "#16a34a", "#9333ea", "#d97706", "#0891b2"};

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

  std::string svg = "<div class=\"chart\"><b>" + escape_html(title) + "</b><svg viewBox=\"0 0 360 200\" role=\"img\" aria-label=\"" +
                    escape_html(title) + "\">";
  const double step = tick_step(ys);
  for (double y = std::ceil(ys.low / step) * step; y <= ys.high + step * 1e-9; y += step) {
    svg += "<line x1=\"52\" x2=\"352\" y1=\"" + number(py(y)) + "\" y2=\"" + number(py(y)) + "\" stroke=\"#8884\"/>";
    svg += text_at(left - 5, py(y) + 4, "end", number(std::abs(y) < step * 1e-6 ? 0 : y));
  }
  svg +=
      text_at(left, height - bottom + 14, "start", number(xs.low)) + text_at(width - right, height - bottom + 14, "end", number(xs.high));
  svg += text_at((left + width) / 2, height - bottom + 14, "middle", x_label);
  double legend = left;
  for (size_t i = 0; i < series.size(); ++i) {
    const std::string colour = colours[i % std::size(colours)];
    svg += "<polyline fill=\"none\" stroke-width=\"1.5\" stroke=\"" + colour + "\" points=\"";
    for (const auto& [x, y] : series[i].points) {
      if (std::isfinite(x) && std::isfinite(y)) svg += number(px(x)) + "," + number(py(y)) + " ";
    }
    svg += "\"/>";
    if (series.size() > 1) {
      svg += "<rect x=\"" + number(legend) + "\" y=\"188\" width=\"10\" height=\"3\" fill=\"" + colour + "\"/>" +
             text_at(legend + 14, 193, "start", series[i].name);
      legend += 26 + 6.5 * static_cast<double>(series[i].name.size());
    }
  }
  return svg + "</svg></div>\n";
}

}  // namespace palate
