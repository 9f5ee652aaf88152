#include "runtime/selection.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>

#include "runtime/isa.hpp"

namespace freehold {
namespace {

// A weight's bucket is its exponent and the first three bits of its fraction: order is kept, and few share one.
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr int64_t chunk = 1024;  // values that are compared with the same bound

constexpr int bucket_shift = 20;
constexpr uint32_t buckets = (std::bit_cast<uint32_t>(1.0f) >> bucket_shift) + 1;

uint32_t bucket_of(float weight) { return std::min(std::bit_cast<uint32_t>(weight) >> bucket_shift, buckets - 1); }

float least_of(uint32_t bucket) { return std::bit_cast<float>(bucket << bucket_shift); }

// Some of the weights, in the order of their indices.
struct Chosen {
    const float* weights;
    const int32_t* indices;
    int64_t count;
};

// The highest bucket from which on upwards weights add up to `enough`, and there is at least one. All weights of the
// buckets from `floor` on are among the chosen; nothing where these are too few.
std::optional<uint32_t> lowest_bucket(const Chosen& chosen, double enough, uint32_t floor) {
    double sums[buckets] = {};
    for (int64_t i = 0; i < chosen.count; ++i) {
        const float weight = chosen.weights[chosen.indices[i]];
        sums[bucket_of(weight)] += weight;
    }
    double reached = 0;
    uint32_t bucket = buckets;
    while (bucket > floor && (reached == 0 || reached < enough)) reached += sums[--bucket];
    if (floor > 0 && reached < enough) return std::nullopt;
    return bucket;
}

// Puts weights in [0, 1], whose ids rise, into that order: a radix sort over their bits, of which the upper two are zero.
void sort_weights(std::vector<Candidate>& weights, std::vector<Candidate>& spare) {
    constexpr int digit_bits = 10;
    constexpr uint32_t digits = 1u << digit_bits;
    spare.resize(weights.size());
    for (int shift = 0; shift < 3 * digit_bits; shift += digit_bits) {
        const auto digit = [&](const Candidate& one) {
            return ~std::bit_cast<uint32_t>(one.value) >> shift & (digits - 1);  // larger first
        };
        std::array<size_t, digits + 1> places{};
        for (const Candidate& one : weights) ++places[digit(one) + 1];
        std::partial_sum(places.begin(), places.end(), places.begin());
        for (const Candidate& one : weights) spare[places[digit(one)]++] = one;
        weights.swap(spare);
    }
}

}  // namespace

void select_largest(const float* values, int64_t count, int64_t wanted, std::vector<Candidate>& found) {
    found.clear();
    if (wanted <= 0) return;
    // A heap whose top is the least of those kept; only what is larger can still come in.
    const auto is_full = [&] { return static_cast<int64_t>(found.size()) == wanted; };
    int32_t indices[chunk];
    for (int64_t begin = 0; begin < count; begin += chunk) {
        const float bound = is_full() ? std::nextafter(found.front().value, infinity) : -infinity;
        const int64_t many = kernels().at_least(values, begin, std::min(begin + chunk, count), bound, indices);
        for (int64_t i = 0; i < many; ++i) {
            const Candidate candidate{values[indices[i]], indices[i]};
            if (is_full()) {
                if (!before(candidate, found.front())) continue;
                std::pop_heap(found.begin(), found.end(), before);
                found.pop_back();
            }
            found.push_back(candidate);
            std::push_heap(found.begin(), found.end(), before);
        }
    }
    std::sort_heap(found.begin(), found.end(), before);
}

void select_nucleus(const float* weights, int64_t count, double share, double total, int32_t* indices,
                    std::vector<Candidate>& spare, std::vector<Candidate>& found) {
    const double enough = share * total;
    // All weights below this together make up half of what may be left out, at most. They are looked at only where the
    // total was rounded so much that the others are too few.
    const auto negligible = static_cast<float>((1 - share) * total / static_cast<double>(count) / 2);
    Chosen chosen{};
    std::optional<uint32_t> bucket;
    for (const uint32_t floor : {bucket_of(negligible), 0u}) {
        chosen = {weights, indices, kernels().at_least(weights, 0, count, least_of(floor), indices)};
        bucket = lowest_bucket(chosen, enough, floor);
        if (bucket) break;
    }
    found.clear();
    for (int64_t i = 0; i < chosen.count; ++i) {
        const float weight = weights[indices[i]];
        if (bucket_of(weight) >= *bucket) found.push_back({weight, indices[i]});
    }
    sort_weights(found, spare);
    double reached = 0;
    size_t kept = 0;
    while (kept < found.size() && (kept == 0 || reached < enough)) reached += found[kept++].value;
    found.resize(kept);
}

}  // namespace freehold
