// The largest of many values without sorting them all.
#pragma once

#include <cstdint>
#include <vector>

namespace freehold {

struct Candidate {
    float value;
    int32_t id;
};

// Larger first; of equal values the lower id.
inline bool before(const Candidate& a, const Candidate& b) {
    return a.value > b.value || (a.value == b.value && a.id < b.id);
}

// The `wanted` first of values[0, count) in that order, into `found`.
void select_largest(const float* values, int64_t count, int64_t wanted, std::vector<Candidate>& found);

// The fewest of weights[0, count), in that order, that add up to at least `share` of `total`, into `found`.
// Weights are in [0, 1], one of them 1; total is their sum. `indices` has room for `count`; `spare` is scratch.
void select_nucleus(const float* weights, int64_t count, double share, double total, int32_t* indices,
                    std::vector<Candidate>& spare, std::vector<Candidate>& found);

}  // namespace freehold
