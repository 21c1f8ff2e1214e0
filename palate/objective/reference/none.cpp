// No reference: for losses that need none.
#include "palate/config/member.h"
#include "palate/objective/reference.h"

namespace palate {

Member<Reference, ReferenceSetup> no_reference() {
  return {[] { return Constants(NoConstants{}); },
          [](const Constants&, const ReferenceSetup&) -> std::unique_ptr<Reference> { return nullptr; }};
}

}  // namespace palate
