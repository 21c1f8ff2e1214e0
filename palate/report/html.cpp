#include "palate/report/html.h"

#include <openssl/evp.h>

namespace palate {
namespace {

constexpr const char* style = R"(
:root{--ink:#1c1b19;--soft:#6b6860;--line:#e4e1d9;--paper:#fafaf8;--card:#fff;--win:#16a34a;--warn:#b45309}
@media(prefers-color-scheme:dark){:root{--ink:#eceae5;--soft:#a3a099;--line:#3a3833;--paper:#1b1a18;--card:#242320;--win:#4ade80;
--warn:#fbbf24}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1120px;padding:32px 20px 80px;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
h1{font-size:28px;margin:0 0 4px}h2{font-size:20px;margin:40px 0 10px}p{margin:8px 0;max-width:76ch}
table{border-collapse:collapse;margin:12px 0;font-variant-numeric:tabular-nums;display:block;overflow-x:auto}
th,td{padding:5px 14px 5px 0;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left}th{color:var(--soft);font-weight:500}
.caution{border-left:3px solid var(--warn);padding:4px 12px;color:var(--soft);max-width:76ch}
.numbers{display:flex;flex-wrap:wrap;gap:12px;margin:16px 0}
.number{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px 18px}.number b{display:block;font-size:30px}
.number span{color:var(--soft);font-size:14px}
.sheet{display:grid;grid-template-columns:repeat(auto-fill,minmax(230px,1fr));gap:14px}
.pair{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:8px}.pair div{display:flex;gap:6px}
.pair figure{margin:0;flex:1}.pair img{width:100%;display:block;image-rendering:pixelated;border:3px solid transparent}
.pair .won img{border-color:var(--win)}
.pair figcaption{font-size:12px;color:var(--soft)}.pair .won figcaption{color:var(--win);font-weight:600}
.pair p{font-size:13px;margin:6px 0 0}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(340px,1fr));gap:14px}
.chart{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px}.chart b{font-size:14px;font-weight:600}
svg{width:100%;height:auto;display:block}svg text{fill:var(--soft);font-size:11px}details{margin:10px 0}summary{cursor:pointer}
pre{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px;font-size:13px}
)";

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string data_uri(std::string_view png) {
  std::string coded(4 * ((png.size() + 2) / 3) + 1, '\0');  // EVP_EncodeBlock ends with a zero
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(coded.data()), reinterpret_cast<const unsigned char*>(png.data()),
                                     static_cast<int>(png.size()));
  coded.resize(static_cast<size_t>(length));
  return "data:image/png;base64," + coded;
}

Page::Page(const std::string& title) : title_(title) { body_ = "<h1>" + escape_html(title) + "</h1>\n"; }

void Page::heading(const std::string& text) { body_ += "<h2>" + escape_html(text) + "</h2>\n"; }
void Page::paragraph(const std::string& text) { body_ += "<p>" + escape_html(text) + "</p>\n"; }
void Page::caution(const std::string& text) { body_ += "<p class=\"caution\">" + escape_html(text) + "</p>\n"; }
void Page::raw(const std::string& html) { body_ += html; }

void Page::big_number(const std::string& number, const std::string& caption) {
  body_ += "<div class=\"number\"><b>" + escape_html(number) + "</b><span>" + escape_html(caption) + "</span></div>\n";
}

void Page::table(const std::vector<std::string>& head, const std::vector<std::vector<std::string>>& rows) {
  const auto line = [&](const std::vector<std::string>& cells, const char* tag) {
    body_ += "<tr>";
    for (const auto& cell : cells) body_ += std::string("<") + tag + ">" + escape_html(cell) + "</" + tag + ">";
    body_ += "</tr>\n";
  };
  body_ += "<table>\n";
  line(head, "th");
  for (const auto& row : rows) line(row, "td");
  body_ += "</table>\n";
}

void Page::folded(const std::string& title, const std::string& text) {
  body_ += "<details><summary>" + escape_html(title) + "</summary><pre>" + escape_html(text) + "</pre></details>\n";
}

std::string Page::str() const {
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
         "content=\"width=device-width,initial-scale=1\">"
         "<title>" +
         escape_html(title_) + "</title><style>" + style + "</style></head>\n<body>\n" + body_ + "</body></html>\n";
}

}  // namespace palate
