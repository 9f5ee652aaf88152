#include "kernels/mathematics.hpp"
#include "kernels/kernels.hpp"

namespace freehold::FREEHOLD_ISA {
namespace {

// Floats add up this many values before a double takes over.
constexpr int64_t chunk = 1024;

}  // namespace

LogitStatistics logit_statistics(const float* logits, int64_t count) {
    constexpr int64_t chains = 4;  // that do not wait for each other
    const float infinity = __builtin_inff();
    Floats largest[chains];
    Ints unusable[chains]{};
    for (Floats& one : largest) one = broadcast(-infinity);
    const auto note = [&](Floats values, int64_t chain) {
        largest[chain] = larger_of(values, largest[chain]);
        unusable[chain] |= ~(values < infinity);  // true for NaN too
    };
    int64_t i = 0;
    for (; i + chains * lanes <= count; i += chains * lanes)
        for (int64_t chain = 0; chain < chains; ++chain) note(load(logits + i + chain * lanes), chain);
    for (; i < count; i += lanes) {
        Floats values = broadcast(-infinity);
        std::memcpy(&values, logits + i, (count - i < lanes ? count - i : lanes) * sizeof(float));
        note(values, 0);
    }
    float maximum = -infinity;
    Ints all_unusable{};
    for (int64_t chain = 0; chain < chains; ++chain) {
        all_unusable |= unusable[chain];
        for (int64_t lane = 0; lane < lanes; ++lane)
            maximum = largest[chain][lane] > maximum ? largest[chain][lane] : maximum;
    }
    return {maximum, lane_bits(all_unusable) == 0 && maximum > -infinity};
}

int64_t at_least(const float* values, int64_t begin, int64_t end, float bound, int32_t* found) {
    int64_t count = 0;
    const auto note = [&](uint32_t bits, int64_t first) {
        for (; bits != 0; bits &= bits - 1) found[count++] = static_cast<int32_t>(first + __builtin_ctz(bits));
    };
    int64_t i = begin;
    for (; i + lanes <= end; i += lanes) note(lane_bits(load(values + i) >= bound), i);
    if (i < end) note(lane_bits(load_some(values + i, end - i) >= bound) & ((1u << (end - i)) - 1), i);
    return count;
}

double exponentials(const float* x, int64_t count, float maximum, float factor, float* out) {
    double total = 0;
    for (int64_t begin = 0; begin < count; begin += chunk) {
        const int64_t end = begin + chunk < count ? begin + chunk : count;
        Floats sums{};
        for (int64_t i = begin; i < end; i += lanes) {
            const int64_t rest = end - i;
            const Floats values = rest >= lanes ? load(x + i) : load_some(x + i, rest);
            Floats powers = exponential((values - maximum) * factor);
            if (rest < lanes) powers = load_some(reinterpret_cast<const float*>(&powers), rest);
            sums += powers;
            if (out != nullptr) {
                if (rest >= lanes)
                    store(out + i, powers);
                else
                    store_some(out + i, powers, rest);
            }
        }
        total += sum(sums);
    }
    return total;
}

}  // namespace freehold::FREEHOLD_ISA
