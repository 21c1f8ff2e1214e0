// The results of a comparison in one table: compare.json, and the same as text, CSV and LaTeX.
#pragma once

#include <string>

#include "palate/compare/runner.h"

namespace palate {

// Of what is there; a method without reported runs has a row that says why. Win rates, gains and parts are means over seeds and prompts
// with intervals of two_way.h: by each judge, against the base ("judges" of a method) and against each other ("pairwise": the row's method
// against the column's, over the seeds that both have). Drift is the mean over seeds of Examiner's. What a clock or the machine gives
// stands under "cost" alone. DataError when the base was not measured yet.
Json compare_table(const CompareConfig& config, const CompareRunner& runner);

// "equal network passes: 30720 each (a pair of a step costs ...)": what was equal, for whoever reads the table.
std::string equal_text(const Json& table);
std::string show_table(const Json& table);      // for the terminal
std::string table_to_csv(const Json& table);    // one line a method and judge
std::string table_to_latex(const Json& table);  // a tabular of booktabs, by the first judge

// "57.2 [52.1, 62.3]" of an interval of shares, in percent.
std::string percent_interval(const Json& interval);
std::string number_text(const Json& value, const char* pattern);  // "-" for null

}  // namespace palate
