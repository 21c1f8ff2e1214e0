// The numbers that a step logs, by the names of docs/objectives.md, section 0.11.
#pragma once

#include "palate/objective/objective.h"

namespace palate {

// loss; model_w_err, model_l_err; with a reference also ref_w_err, ref_l_err, w_diff, l_diff (policy minus reference) and
// TRL's rewards/{chosen,rejected,margins,accuracies}; and the loss's own terms; with logits inside_term (their mean) and implicit_acc (z >
// 0, a tie counting one half). Batch means. One transfer from the device.
std::map<std::string, double> step_metrics(const ObjectiveOutput& output);

}  // namespace palate
