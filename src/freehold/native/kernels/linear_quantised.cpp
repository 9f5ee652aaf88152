#include "kernels/dots.hpp"
#include "kernels/kernels.hpp"
#include "kernels/tiles.hpp"

namespace freehold::FREEHOLD_ISA {
namespace {

struct HalfScale {
    using Element = uint16_t;
    FREEHOLD_INLINE Floats load(const Element* from) { return load_half(from); }
};
struct FloatScale {
    using Element = float;
    FREEHOLD_INLINE Floats load(const Element* from) { return FREEHOLD_ISA::load(from); }
};

// 2^(e - 128): the exponent goes to its place, which makes it 2^(e - 127), or 0 where it has to be subnormal.
struct PowerScale {
    using Element = uint8_t;
    FREEHOLD_INLINE Floats load(const Element* from) {
        const Words exponent = widen_bytes(load_as<EightBytes>(from));
        const Words subnormal = (Words)(exponent == 0) & 0x00400000u;
        return bits<Floats>(exponent << 23 | subnormal) * 0.5f;
    }
};

struct PlainNibbles {
    FREEHOLD_INLINE Bytes codes(Bytes nibbles) { return nibbles; }
};
struct Float4Nibbles {
    FREEHOLD_INLINE Bytes codes(Bytes nibbles) { return float4_codes(nibbles); }
};

// The integer dot products of one block: Tokens x Panels x 8 rows, for each group of the block.
template <typename Meaning>
struct Nibbles {
    static constexpr int64_t block_bytes = q4_block_bytes;

    template <int Tokens, int Panels, int Groups>
    FREEHOLD_INLINE void dot(const LinearJob& job, const uint8_t* codes, int64_t panel_stride, const int8_t* x,
                             int64_t x_stride, const int32_t* pairs, Ints (&totals)[Groups][Tokens][Panels]) {
        static_assert(Groups == 1, "a group of 16 nibbles has no kernel");
        NibbleDot dots[Tokens][Panels];
        for (int t = 0; t < Tokens; ++t)
            for (int p = 0; p < Panels; ++p)
                dots[t][p] = NibbleDot::start(pairs[t * (x_stride / block_columns)],
                                              static_cast<int16_t>(-job.matrix->offset));
#pragma GCC unroll 4
        for (int step = 0; step < 4; ++step) {
            Bytes low[Panels], high[Panels];
            for (int p = 0; p < Panels; ++p) {
                const Bytes both = load_as<Bytes>(codes + p * panel_stride + step * 32);
                low[p] = Meaning::codes(both & 15);
                high[p] = Meaning::codes((Bytes)((Words)both >> 4) & 15);
            }
            for (int t = 0; t < Tokens; ++t) {
                const Quad first = load_quad(x + t * x_stride + step * 4);
                for (int p = 0; p < Panels; ++p) dots[t][p].add(low[p], first);
                const Quad second = load_quad(x + t * x_stride + step * 4 + 16);
                for (int p = 0; p < Panels; ++p) dots[t][p].add(high[p], second);
            }
        }
        for (int t = 0; t < Tokens; ++t)
            for (int p = 0; p < Panels; ++p) totals[0][t][p] = dots[t][p].total();
    }
};

struct SignedBytes8 {
    static constexpr int64_t block_bytes = q8_block_bytes;

    template <int Tokens, int Panels, int Groups>
    FREEHOLD_INLINE void dot(const LinearJob&, const uint8_t* codes, int64_t panel_stride, const int8_t* x,
                             int64_t x_stride, const int32_t*, Ints (&totals)[Groups][Tokens][Panels]) {
        constexpr int steps = 8 / Groups;
#pragma GCC unroll 2
        for (int group = 0; group < Groups; ++group) {
            ByteDot dots[Tokens][Panels];
            for (int t = 0; t < Tokens; ++t)
                for (int p = 0; p < Panels; ++p) dots[t][p] = ByteDot::start();
#pragma GCC unroll 8
            for (int step = group * steps; step < (group + 1) * steps; ++step) {
                ByteCodes weight[Panels];
                for (int p = 0; p < Panels; ++p) weight[p] = ByteCodes::load(codes + p * panel_stride + step * 32);
                for (int t = 0; t < Tokens; ++t) {
                    const Quad quad = load_quad(x + t * x_stride + step * 4);
                    for (int p = 0; p < Panels; ++p) dots[t][p].add(weight[p], quad);
                }
            }
            for (int t = 0; t < Tokens; ++t)
                for (int p = 0; p < Panels; ++p) totals[group][t][p] = dots[t][p].total();
        }
    }
};

// A few tokens are done with a weight faster than the processor looks ahead by itself. The panels of a range lie one
// after the other, so one token soon needs what follows in memory; a tile of several panels and tokens, which takes
// longer, next needs the same block of as many panels behind.
template <int64_t block_bytes>
FREEHOLD_INLINE void prefetch(const uint8_t* codes) {
    constexpr int64_t cache_line = 64;
    for (int64_t line = 0; line < block_bytes; line += cache_line) __builtin_prefetch(codes + line);
}
constexpr int64_t ahead_for_one_token = 4096;

template <typename Codes, typename Scale, int Groups, bool HasMinimum>
struct QuantisedKernel {
    static constexpr int tokens = tile_tokens;
    static constexpr int panels = tile_panels;
    static constexpr int panels_for_one = 1;

    template <int Tokens, int Panels>
    static void tile(const LinearJob& job, int64_t token, int64_t panel) {
        const int64_t blocks = job.quantised.blocks;
        const int64_t panel_stride = blocks * Codes::block_bytes;
        const auto* codes = static_cast<const uint8_t*>(job.matrix->codes) + panel * panel_stride;
        using Element = typename Scale::Element;
        const auto* scales = static_cast<const Element*>(job.matrix->scales) + panel * blocks * Groups * panel_rows;
        const auto* minimums = static_cast<const Element*>(job.matrix->minimums);
        if constexpr (HasMinimum) minimums += panel * blocks * panel_rows;
        const int8_t* x = job.quantised.codes + token * blocks * block_columns;
        const float* x_scales = job.quantised.scales + token * blocks;
        const float* x_sums = job.quantised.sums + token * blocks;
        const int32_t* x_pairs = job.quantised.pairs + token * blocks;

        Floats chains[Tokens][Panels] = {};
        for (int64_t block = 0; block < blocks; ++block) {
            Ints totals[Groups][Tokens][Panels];
            for (int p = 0; p < Panels; ++p) {
                const int64_t ahead = Tokens == 1 ? ahead_for_one_token : Panels * panel_stride;
                prefetch<Codes::block_bytes>(codes + p * panel_stride + block * Codes::block_bytes + ahead);
            }
            Codes::template dot<Tokens, Panels, Groups>(job, codes + block * Codes::block_bytes, panel_stride,
                                                        x + block * block_columns, blocks * block_columns,
                                                        x_pairs + block, totals);
            for (int p = 0; p < Panels; ++p) {
                const int64_t at = (p * blocks + block) * panel_rows;
                for (int group = 0; group < Groups; ++group) {
                    const Floats scale = Scale::load(scales + at * Groups + group * panel_rows);
                    for (int t = 0; t < Tokens; ++t)
                        chains[t][p] = multiply_add(to_floats(totals[group][t][p]),
                                                    scale * x_scales[t * blocks + block], chains[t][p]);
                }
                if constexpr (HasMinimum) {
                    const Floats minimum = Scale::load(minimums + at);
                    for (int t = 0; t < Tokens; ++t)
                        chains[t][p] = multiply_add(minimum, broadcast(x_sums[t * blocks + block]), chains[t][p]);
                }
            }
        }
        for (int t = 0; t < Tokens; ++t)
            for (int p = 0; p < Panels; ++p) store_outputs(job, token + t, panel + p, chains[t][p]);
    }
};

}  // namespace

void linear_quantised(const LinearJob& job, int64_t first_token, int64_t last_token, int64_t first_panel,
                      int64_t last_panel) {
    const auto run = [&](auto kernel) {
        run_tiles<decltype(kernel)>(job, first_token, last_token, first_panel, last_panel);
    };
    const auto with_scale = [&](auto scale) {
        using Scale = decltype(scale);
        const bool minimum = job.matrix->minimums != nullptr;
        if (job.matrix->format == Format::q4)
            minimum ? run(QuantisedKernel<Nibbles<PlainNibbles>, Scale, 1, true>{})
                    : run(QuantisedKernel<Nibbles<PlainNibbles>, Scale, 1, false>{});
        else if (job.matrix->group == 16)
            run(QuantisedKernel<SignedBytes8, Scale, 2, false>{});
        else if (minimum)
            run(QuantisedKernel<SignedBytes8, Scale, 1, true>{});
        else
            run(QuantisedKernel<SignedBytes8, Scale, 1, false>{});
    };
    if (job.matrix->format == Format::mxfp4)
        return run(QuantisedKernel<Nibbles<Float4Nibbles>, PowerScale, 1, false>{});
    job.matrix->half_scales ? with_scale(HalfScale{}) : with_scale(FloatScale{});
}

}  // namespace freehold::FREEHOLD_ISA
