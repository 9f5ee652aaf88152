#include "runtime/selection.hpp"

#include <algorithm>
#include <bit>

namespace freehold {
namespace {

// A weight's bucket is its exponent and the first three bits of its fraction: order is kept, and few share one.
constexpr int bucket_shift = 20;
constexpr uint32_t buckets = (std::bit_cast<uint32_t>(1.0f) >> bucket_shift) + 1;

uint32_t bucket_of(float weight) { return std::min(std::bit_cast<uint32_t>(weight) >> bucket_shift, buckets - 1); }

// The highest bucket from which on upwards weights add up to `enough`, and there is at least one.
uint32_t lowest_bucket(const float* weights, int64_t count, double enough) {
    double sums[buckets] = {};
    for (int64_t i = 0; i < count; ++i) sums[bucket_of(weights[i])] += weights[i];
    double reached = 0;
    uint32_t bucket = buckets;
    while (bucket > 0 && (reached == 0 || reached < enough)) reached += sums[--bucket];
    return bucket;
}

}  // namespace

void select_largest(const float* values, int64_t count, int64_t wanted, std::vector<Candidate>& found) {
    found.clear();
    // A heap whose top is the least of those kept.
    for (int64_t i = 0; i < count; ++i) {
        const Candidate candidate{values[i], static_cast<int32_t>(i)};
        if (static_cast<int64_t>(found.size()) == wanted) {
            if (wanted == 0 || !before(candidate, found.front())) continue;
            std::pop_heap(found.begin(), found.end(), before);
            found.pop_back();
        }
        found.push_back(candidate);
        std::push_heap(found.begin(), found.end(), before);
    }
    std::sort_heap(found.begin(), found.end(), before);
}

void select_nucleus(const float* weights, int64_t count, double share, double total, std::vector<Candidate>& found) {
    const double enough = share * total;
    uint32_t bucket = lowest_bucket(weights, count, enough);
    found.clear();
    for (int64_t i = 0; i < count; ++i)
        if (bucket_of(weights[i]) >= bucket) found.push_back({weights[i], static_cast<int32_t>(i)});
    std::sort(found.begin(), found.end(), before);
    double reached = 0;
    size_t kept = 0;
    while (kept < found.size() && (kept == 0 || reached < enough)) reached += found[kept++].value;
    found.resize(kept);
}

}  // namespace freehold
