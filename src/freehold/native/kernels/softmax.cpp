#include "kernels/mathematics.hpp"
#include "kernels/kernels.hpp"

namespace freehold::FREEHOLD_ISA {
namespace {

// Floats add up this many values before a double takes over.
constexpr int64_t chunk = 1024;

}  // namespace

LogitStatistics logit_statistics(const float* logits, int64_t count) {
    const float infinity = __builtin_inff();
    Floats largest = broadcast(-infinity);
    Ints unusable{};
    for (int64_t i = 0; i < count; i += lanes) {
        Floats values = broadcast(-infinity);
        std::memcpy(&values, logits + i, (count - i < lanes ? count - i : lanes) * sizeof(float));
        largest = values > largest ? values : largest;
        unusable |= ~(values < infinity);  // true for NaN too
    }
    float maximum = largest[0];
    bool usable = unusable[0] == 0;
    for (int64_t lane = 1; lane < lanes; ++lane) {
        maximum = largest[lane] > maximum ? largest[lane] : maximum;
        usable &= unusable[lane] == 0;
    }
    return {maximum, usable && maximum > -infinity};
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
