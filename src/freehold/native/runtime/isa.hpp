// Which instruction set's kernels are in use.
#pragma once

#include <string>
#include <vector>

#include "kernels/table.hpp"

namespace freehold {

// The kernels in use: FREEHOLD_ISA, or else the best that this processor runs.
// Throws std::invalid_argument when the variable names one that is unknown or that the processor lacks.
const Kernels& kernels();

// Names of the instruction sets that were compiled and that this processor runs, plainest first.
std::vector<std::string> available_isas();

// Switches to the named one. Not to be called while another thread computes.
void use_isa(const std::string& name);

}  // namespace freehold
