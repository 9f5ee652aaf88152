// A counter-based random generator: the same key and counter give the same numbers, in any order, on any machine.
#pragma once

#include <array>
#include <cstdint>

namespace freehold {

// Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011).
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// A double in [0, 1) with 53 random bits, for token number `position` of a request with this seed.
double uniform(uint64_t seed, uint64_t position);

}  // namespace freehold
