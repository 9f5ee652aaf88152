// Walks a range of tokens and panels in tiles that fit the registers.
#pragma once

#include "kernels/panels.hpp"
#include "kernels/table.hpp"

namespace freehold::FREEHOLD_ISA {

constexpr int64_t cache_line = 64;

// The finished chains of one token and one panel go to its outputs, of which the last panel may have fewer than eight. What
// a job adds to is rounded as if the product had been made first.
FREEHOLD_INLINE void store_outputs(const LinearJob& job, int64_t token, int64_t panel, Floats chain) {
    const int64_t row = panel * panel_rows;
    const Floats result = job.bias != nullptr ? chain + load(job.bias + row) : chain;
    float* to = job.out + token * job.out_stride + row;
    const int64_t rest = job.matrix->rows - row;
    if (rest >= panel_rows)
        store(to, job.adds ? load(to) + result : result);
    else
        store_some(to, job.adds ? load_some(to, rest) + result : result, rest);
}
#if defined(__AVX512F__)
FREEHOLD_INLINE void store_outputs(const LinearJob& job, int64_t token, int64_t panel, Wide chain) {
    store_outputs(job, token, panel, first_half(chain));
    store_outputs(job, token, panel + 1, second_half(chain));
}
#endif

// A few tokens are done with a weight faster than the processor looks ahead by itself. The panels of a range lie one
// after the other, so one token soon needs what follows in memory; a tile of several panels and tokens, which takes
// longer, next needs the same block of as many panels behind.
template <int64_t block_bytes, int Tokens, int Panels>
FREEHOLD_INLINE void prefetch_ahead(const uint8_t* block, int64_t panel_stride) {
    constexpr int64_t ahead_for_one_token = 8192;
    const int64_t ahead = Tokens == 1 ? ahead_for_one_token : Panels * panel_stride;
    for (int64_t line = 0; line < block_bytes; line += cache_line)
        __builtin_prefetch(block + ahead + line, 0, Tokens == 1 ? 0 : 3);
}

// The same for scales that lie beside the codes, of which a tile's panels have too few for the processor to see where
// they lead. They begin at `scales` and follow each other without gaps.
template <int Panels, typename Element>
FREEHOLD_INLINE void prefetch_beside(const Element* scales, int64_t block, int64_t blocks) {
    __builtin_prefetch(scales + (blocks + block) * Panels * panel_rows);
}

template <typename Element>
constexpr int64_t columns_in_line = cache_line / (panel_rows * sizeof(Element));

// Of each of a tile's panels of floats the line 24 ahead; behind the end of a panel that is one of the next tile's.
template <int Panels, typename Element>
FREEHOLD_INLINE void prefetch_columns(const Element* weights, int64_t column, int64_t columns) {
    const int64_t next = column + 24 * columns_in_line<Element>;
    const int64_t ahead = next < columns ? next : next + (Panels - 1) * columns;
    for (int p = 0; p < Panels; ++p) __builtin_prefetch(weights + (p * columns + ahead) * panel_rows);
}

template <typename Kernel, int Tokens, int Panels, bool Fetch>
FREEHOLD_INLINE void run_panels(const LinearJob& job, int64_t token, int64_t first, int64_t last) {
    int64_t panel = first;
    for (; panel + Panels <= last; panel += Panels) Kernel::template tile<Tokens, Panels, Fetch>(job, token, panel);
    if constexpr (Panels > 1) run_panels<Kernel, Tokens, Panels / 2, Fetch>(job, token, panel, last);
}

// The last tiles of a range of panels fetch what the next panels need; if all did, it would drive out their own.
template <typename Kernel, int Tokens>
FREEHOLD_INLINE void run_tokens(const LinearJob& job, int64_t first, int64_t last, int64_t panel, int64_t last_panel) {
    constexpr int64_t fetching = 3 * Kernel::tokens;
    int64_t token = first;
    if constexpr (Tokens == Kernel::tokens)
        for (; last - token > fetching; token += Tokens)
            run_panels<Kernel, Tokens, Kernel::panels, false>(job, token, panel, last_panel);
    for (; token + Tokens <= last; token += Tokens)
        run_panels<Kernel, Tokens, Kernel::panels, true>(job, token, panel, last_panel);
    if constexpr (Tokens > 1) run_tokens<Kernel, Tokens - 1>(job, token, last, panel, last_panel);
}

// Kernel::tile<Tokens, Panels, Fetch>(job, token, panel) computes Tokens x Panels * 8 outputs. For many tokens, a few panels
// stay in the nearest cache while all tokens pass over them.
template <typename Kernel>
void run_tiles(const LinearJob& job, int64_t first_token, int64_t last_token, int64_t first_panel, int64_t last_panel) {
    if (last_token - first_token == 1)
        return run_panels<Kernel, 1, Kernel::panels_for_one, true>(job, first_token, first_panel, last_panel);
    for (int64_t panel = first_panel; panel < last_panel; panel += Kernel::panels) {
        const int64_t end = panel + Kernel::panels < last_panel ? panel + Kernel::panels : last_panel;
        run_tokens<Kernel, Kernel::tokens>(job, first_token, last_token, panel, end);
    }
}

}  // namespace freehold::FREEHOLD_ISA
