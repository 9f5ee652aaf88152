#include "runtime/philox.hpp"

namespace freehold {
namespace {

constexpr uint32_t multipliers[2] = {0xD2511F53, 0xCD9E8D57};
constexpr uint32_t key_steps[2] = {0x9E3779B9, 0xBB67AE85};
constexpr int rounds = 10;

uint32_t low(uint64_t value) { return static_cast<uint32_t>(value); }
uint32_t high(uint64_t value) { return static_cast<uint32_t>(value >> 32); }

}  // namespace

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
    for (int round = 0; round < rounds; ++round) {
        const uint64_t first = uint64_t{multipliers[0]} * counter[0];
        const uint64_t second = uint64_t{multipliers[1]} * counter[2];
        counter = {high(second) ^ counter[1] ^ key[0], low(second), high(first) ^ counter[3] ^ key[1], low(first)};
        key[0] += key_steps[0];
        key[1] += key_steps[1];
    }
    return counter;
}

double uniform(uint64_t seed, uint64_t position) {
    const auto words = philox({low(position), high(position), 0, 0}, {low(seed), high(seed)});
    const uint64_t bits = (uint64_t{words[0]} << 32 | words[1]) >> 11;
    return static_cast<double>(bits) * 0x1p-53;
}

}  // namespace freehold
