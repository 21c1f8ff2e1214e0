// The members of the grid: one file each, named here and in registry.cpp.
#pragma once

#include <memory>

#include "palate/objective/make_reference.h"

namespace palate {

std::shared_ptr<Loss> make_sft();  // loss/sft.cpp
std::shared_ptr<Loss> make_dpo();  // loss/dpo.cpp

std::shared_ptr<ErrorSpace> make_output_error();  // error_space/output.cpp

std::shared_ptr<TimestepPolicy> make_uniform();  // timestep/uniform.cpp
std::shared_ptr<TimestepPolicy> make_turbo();    // timestep/turbo.cpp

std::unique_ptr<Reference> make_adapters_off(const ObjectiveConfig& config, const ReferenceSetup& setup);
std::unique_ptr<Reference> make_frozen_copy(const ObjectiveConfig& config, const ReferenceSetup& setup);
std::unique_ptr<Reference> make_cached(const ObjectiveConfig& config, const ReferenceSetup& setup);

}  // namespace palate
