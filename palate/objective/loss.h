// Loss axis: errors of policy and reference for winner and loser -> loss and implicit rewards.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "palate/config/fields.h"
#include "palate/objective/terms.h"

namespace palate {

class Loss {
 public:
  virtual ~Loss() = default;
  virtual LossOutput operator()(const PairErrors& errors, const Draw& draw) const = 0;
  virtual bool needs_reference() const = 0;
  virtual bool needs_loser() const = 0;  // false: the loser's forward passes are not run
  virtual void visit(Fields& f) = 0;     // its constants, as keys of [objective]
};

}  // namespace palate
