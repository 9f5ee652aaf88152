#include "runtime/routing.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/isa.hpp"
#include "runtime/thread_pool.hpp"

namespace freehold {
namespace {

constexpr int64_t grain = 4096;  // logits
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

// The `count` largest values, the largest first and the earlier of two equal ones first: their indices, and themselves.
struct Best {
    int32_t* indices;
    float* values;
    int64_t count;

    void of(const float* from, int64_t size) const {
        for (int64_t i = 0; i < size; ++i) {
            const int64_t held = std::min(i, count);
            if (held == count && !(from[i] > values[count - 1])) continue;
            int64_t place = held == count ? count - 1 : held;
            for (; place > 0 && from[i] > values[place - 1]; --place) {
                indices[place] = indices[place - 1];
                values[place] = values[place - 1];
            }
            indices[place] = static_cast<int32_t>(i);
            values[place] = from[i];
        }
    }
};

// One row's scratch.
struct Ranking {
    float* scores;  // [experts]
    float* ranked;  // [experts]
    float* worth;   // [groups]
    Best kept;      // groups

    static int64_t size(int64_t experts) { return 5 * experts; }
    Ranking(float* memory, int64_t experts, const Routing& routing)
        : scores(memory),
          ranked(memory + experts),
          worth(memory + 2 * experts),
          kept{reinterpret_cast<int32_t*>(memory + 3 * experts), memory + 4 * experts, routing.groups_kept} {}
};

// False where there is something that cannot be compared.
bool score(const float* logits, int64_t experts, const Routing& routing, float* scores) {
    const Kernels& kernel = kernels();
    if (!routing.softmax) {
        std::copy_n(logits, experts, scores);
        kernel.activate({scores, 1, 1, experts, experts, experts}, Activation::sigmoid, 0, 1);
        return std::none_of(scores, scores + experts, [](float value) { return std::isnan(value); });
    }
    const LogitStatistics statistics = kernel.logit_statistics(logits, experts);
    if (!statistics.finite) return false;
    const auto total = static_cast<float>(kernel.exponentials(logits, experts, statistics.maximum, 1.0f, scores));
    for (int64_t i = 0; i < experts; ++i) scores[i] /= total;
    return true;
}

float two_best(const float* values, int64_t count) {
    if (count == 1) return values[0];
    float first = std::max(values[0], values[1]);
    float second = std::min(values[0], values[1]);
    for (int64_t i = 2; i < count; ++i) {
        second = std::max(second, std::min(first, values[i]));
        first = std::max(first, values[i]);
    }
    return first + second;
}

void leave_best_groups(const Ranking& ranking, int64_t experts, const Routing& routing) {
    const int64_t size = experts / routing.groups;
    for (int64_t group = 0; group < routing.groups; ++group)
        ranking.worth[group] = two_best(ranking.ranked + group * size, size);
    ranking.kept.of(ranking.worth, routing.groups);
    const int32_t* begin = ranking.kept.indices;
    const int32_t* end = begin + routing.groups_kept;
    for (int64_t group = 0; group < routing.groups; ++group)
        if (std::find(begin, end, group) == end)
            std::fill_n(ranking.ranked + group * size, size, -infinity);
}

// From the order of their ranks to that of their numbers: a few elements, so by insertion.
void sort_by_expert(int32_t* experts, float* weights, int64_t count) {
    for (int64_t i = 1; i < count; ++i)
        for (int64_t place = i; place > 0 && experts[place] < experts[place - 1]; --place) {
            std::swap(experts[place], experts[place - 1]);
            std::swap(weights[place], weights[place - 1]);
        }
}

void fill_with(float weight, int32_t* experts, float* weights, int64_t count) {
    std::fill_n(experts, count, -1);
    std::fill_n(weights, count, weight);
}

void route_row(const float* logits, const float* bias, int64_t count, const Routing& routing, const Ranking& ranking,
               int32_t* experts, float* weights) {
    const int64_t top_k = routing.top_k;
    if (!score(logits, count, routing, ranking.scores)) return fill_with(not_a_number, experts, weights, top_k);
    const float* plain = routing.groups > 1 ? ranking.scores : logits;
    for (int64_t i = 0; i < count; ++i) {
        ranking.ranked[i] = bias == nullptr ? plain[i] : ranking.scores[i] + bias[i];
        if (std::isnan(ranking.ranked[i])) return fill_with(not_a_number, experts, weights, top_k);
    }
    if (routing.groups > 1) leave_best_groups(ranking, count, routing);
    Best{experts, weights, top_k}.of(ranking.ranked, count);

    float total = 0;
    for (int64_t i = 0; i < top_k; ++i) total += weights[i] = ranking.scores[experts[i]];
    for (int64_t i = 0; i < top_k; ++i) {
        if (routing.normalise) weights[i] /= total;
        weights[i] *= routing.scale;
        if (std::isnan(weights[i])) return fill_with(not_a_number, experts, weights, top_k);
        if (weights[i] == 0.0f) experts[i] = -1;
    }
    sort_by_expert(experts, weights, top_k);
}

}  // namespace

void route(const RouterLogits& logits, const Routing& routing, const Routes& out, Scratch& scratch) {
    const int64_t size = Ranking::size(logits.experts);
    auto* memory = scratch.reserve<float>(size * logits.rows);
    parallel_ranges(logits.rows, std::max<int64_t>(grain / logits.experts, 1), [&](int64_t first, int64_t last) {
        for (int64_t row = first; row < last; ++row)
            route_row(logits.data + row * logits.stride, logits.bias, logits.experts, routing,
                      Ranking(memory + row * size, logits.experts, routing), out.experts + row * routing.top_k,
                      out.weights + row * routing.top_k);
    });
}

}  // namespace freehold
