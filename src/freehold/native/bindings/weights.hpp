// Weights as Python holds them.
#pragma once

#include <vector>

#include "bindings/arrays.hpp"
#include "runtime/weight.hpp"

namespace freehold {

// A packed matrix and the arrays that its memory belongs to.
struct Matrix {
    PackedMatrix packed;
    Array codes, scales, minimums;
    int64_t offset = 0;  // as it was given; `packed` has what the format makes of it

    int64_t bytes() const {
        return static_cast<int64_t>(codes.nbytes() + (scales.is_valid() ? scales.nbytes() : 0) +
                                    (minimums.is_valid() ? minimums.nbytes() : 0));
    }
};

struct LinearWeight {
    Weight weight;
    std::vector<Matrix> matrices;  // they keep the memory alive
};

}  // namespace freehold
