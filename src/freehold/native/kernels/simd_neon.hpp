// What simd.hpp lacks, with what every 64-bit Arm processor has.
#pragma once

#include <arm_neon.h>

namespace freehold::FREEHOLD_ISA {

// None has the sign bit.
FREEHOLD_INLINE uint32_t largest_lane(Words x) { return vmaxvq_u32(vmaxq_u32((uint32x4_t)x.low, (uint32x4_t)x.high)); }
// Of lanes 0, 1, 4 and 5 of a, and of the others; the same of b.
FREEHOLD_INLINE void store_pair_sums(int32_t* to, Ints a, Ints b) {
    store_as(to, vpaddq_s32((int32x4_t)(a.low + a.high), (int32x4_t)(b.low + b.high)));
}
FREEHOLD_INLINE Words widen(Halves x) {
    return {(FourWords)vmovl_u16(vget_low_u16((uint16x8_t)x)), (FourWords)vmovl_high_u16((uint16x8_t)x)};
}
FREEHOLD_INLINE Words widen_bytes(EightBytes x) { return widen((Halves)vmovl_u8((uint8x8_t)x)); }
FREEHOLD_INLINE EightCodes narrow(Ints x) {
    const int16x8_t shorts = vcombine_s16(vmovn_s32((int32x4_t)x.low), vmovn_s32((int32x4_t)x.high));
    return (EightCodes)vmovn_s16(shorts);
}
FREEHOLD_INLINE Floats multiply_add(Floats a, Floats b, Floats c) {
    return {(FourFloats)vfmaq_f32((float32x4_t)c.low, (float32x4_t)a.low, (float32x4_t)b.low),
            (FourFloats)vfmaq_f32((float32x4_t)c.high, (float32x4_t)a.high, (float32x4_t)b.high)};
}
FREEHOLD_INLINE Floats to_floats(Ints x) {
    return {(FourFloats)vcvtq_f32_s32((int32x4_t)x.low), (FourFloats)vcvtq_f32_s32((int32x4_t)x.high)};
}
FREEHOLD_INLINE Floats widen_halves(uint16x8_t halves) {
    const float16x8_t values = vreinterpretq_f16_u16(halves);
    return {(FourFloats)vcvt_f32_f16(vget_low_f16(values)), (FourFloats)vcvt_high_f32_f16(values)};
}
FREEHOLD_INLINE Floats load_half(const uint16_t* from) { return widen_halves((uint16x8_t)load_as<Halves>(from)); }
// E4M3, times 2^-8: a float16 has one more bit of exponent, and a bias larger by 8. The shift repeats the sign where
// that bit goes.
FREEHOLD_INLINE Floats load_float8(const uint8_t* from) {
    const uint16x8_t upper = vshll_n_u8((uint8x8_t)load_as<EightBytes>(from), 8);
    const int16x8_t shifted = vshrq_n_s16(vreinterpretq_s16_u16(upper), 1);
    return widen_halves(vandq_u16(vreinterpretq_u16_s16(shifted), vdupq_n_u16(0xbfff)));
}
FREEHOLD_INLINE Halves to_half(Floats x) {
    const float16x4_t low = vcvt_f16_f32((float32x4_t)x.low);
    return (Halves)vreinterpretq_u16_f16(vcvt_high_f16_f32(low, (float32x4_t)x.high));
}

// The first four lanes of both in turn, and the last four.
FREEHOLD_INLINE Floats interleave(FourFloats a, FourFloats b) {
    return {(FourFloats)vzip1q_f32((float32x4_t)a, (float32x4_t)b),
            (FourFloats)vzip2q_f32((float32x4_t)a, (float32x4_t)b)};
}
FREEHOLD_INLINE Floats interleave_low(Floats a, Floats b) { return interleave(a.low, b.low); }
FREEHOLD_INLINE Floats interleave_high(Floats a, Floats b) { return interleave(a.high, b.high); }

}  // namespace freehold::FREEHOLD_ISA
