// What the allocator holds.
#pragma once

namespace palate {

// Gives freed pages back to the system. The program keeps them otherwise (cli/allocator.cpp): between two phases of a run, as when the
// encoders make room for training, the next phase's tensors may not fit into the holes of the last.
void give_back_memory();

}  // namespace palate
