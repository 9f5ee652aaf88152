// Integer dot products of four columns at a time, for eight rows side by side or, where vectors are wide enough, sixteen;
// layout.hpp shows that they are exact.
//
// Every version offers: tile_tokens and tile_panels, of which a kernel holds the sums at once; sums_of_five_bits, how
// many sums a block of codes of 5 bits needs, so as to be exact; load_quad for four activations, repeated for every row;
// first_sums, which makes sums of columns 0, 1 and of columns 2, 3 of every step something to start dots with, for they
// begin with what these say of the codes' offset; scaled_sums for such sums times a factor; byte_offset, what is added to
// codes of 8 bits; NibbleDot for unsigned codes of up to 6 bits; RowScales, signed bytes
// for each row to multiply its totals with; float4_codes to make codes of floats of 4 bits; ByteCodes and ByteDot for
// signed codes of 8 bits.
#pragma once

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__) || defined(__ARM_FEATURE_DOTPROD)
#include "kernels/dots_four.hpp"
#elif defined(__AVX2__)
#include "kernels/dots_avx2.hpp"
#else
#include "kernels/dots_portable.hpp"
#endif
