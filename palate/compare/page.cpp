#include "palate/compare/page.h"

#include <nlohmann/json.hpp>

#include "palate/compare/table.h"
#include "palate/report/html.h"

namespace palate {

std::string compare_page(const CompareConfig&, const CompareRunner&, const Json& table) {
  Page page("Palate: methods compared");
  page.paragraph(equal_text(table));
  page.folded("table", show_table(table));
  return page.str();
}

}  // namespace palate
