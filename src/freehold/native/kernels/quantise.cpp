#include "kernels/codes.hpp"
#include "kernels/dots.hpp"
#include "kernels/kernels.hpp"

namespace freehold::FREEHOLD_ISA {
namespace {

constexpr int64_t vectors = block_columns / lanes_of<Widest>;
using Block = Widest[vectors];

// Below this a scale, or its inverse, would leave the normal range; such a block counts as zero.
constexpr float smallest_maximum = 0x1p-100f;

// Sums of both halves of a block of codes, each of columns 0, 1 and of columns 2, 3 of every four.
void store_sums(const IntsOf<Widest> (&codes)[vectors], int32_t (&sums)[4]) {
#if defined(__AVX512F__)
    store_pair_sums(sums, first_half(codes[0]) + second_half(codes[0]), first_half(codes[1]) + second_half(codes[1]));
#else
    store_pair_sums(sums, codes[0] + codes[1], codes[2] + codes[3]);
#endif
}

void quantise_block(const Block& values, const QuantisedRows& out, int64_t block) {
    constexpr uint32_t infinity = 0x7f800000;
    const uint32_t magnitude = largest_magnitude(values);
    const float maximum = bits<float>(magnitude);
    const bool usable = maximum >= smallest_maximum && magnitude < infinity;
    const float scale = magnitude >= infinity ? __builtin_nanf("") : usable ? maximum / 127.0f : 0.0f;
    const float inverse = usable ? 127.0f / maximum : 0.0f;

    IntsOf<Widest> codes[vectors] = {};
    if (usable)
        for (int64_t i = 0; i < vectors; ++i) codes[i] = round_to_integer(values[i] * inverse);
    for (int64_t i = 0; i < vectors; ++i)
        store_codes(out.codes + block * block_columns + i * lanes_of<Widest>, codes[i]);
    int32_t sums[4];
    store_sums(codes, sums);
    for (int64_t half = 0; half < 2; ++half)
        out.q6_k_starts[2 * block + half] = scaled_sums(first_sums(sums[2 * half], sums[2 * half + 1]), -q6_k_offset);
    const int32_t first = sums[0] + sums[2], second = sums[1] + sums[3];
    out.code_sums[block] = first_sums(first, second);
    out.scales[block] = scale;
    out.sums[block] = scale * static_cast<float>(first + second);
}

}  // namespace

void quantise(const float* x, int64_t x_stride, int64_t columns, const QuantisedRows& out, int64_t first,
              int64_t last) {
    for (int64_t row = first; row < last; ++row) {
        const float* from = x + row * x_stride;
        for (int64_t block = 0; block < out.blocks; ++block) {
            const int64_t column = block * block_columns;
            const int64_t rest = columns - column;
            float padded[block_columns];
            const float* all = from + column;
            if (rest < block_columns) {
                std::memset(padded, 0, sizeof padded);
                std::memcpy(padded, all, rest * sizeof(float));
                all = padded;
            }
            Block values;
            for (int64_t i = 0; i < vectors; ++i) values[i] = load_as<Widest>(all + i * lanes_of<Widest>);
            quantise_block(values, out, row * out.blocks + block);
        }
    }
}

void to_half(const float* x, int64_t count, uint16_t* out) {
    for (int64_t i = 0; i < count; i += lanes) {
        const int64_t rest = count - i < lanes ? count - i : lanes;
        const Halves halves = to_half(load_some(x + i, rest));
        std::memcpy(out + i, &halves, rest * sizeof(uint16_t));
    }
}

}  // namespace freehold::FREEHOLD_ISA
