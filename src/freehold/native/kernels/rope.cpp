#include "kernels/kernels.hpp"

namespace freehold::FREEHOLD_ISA {

void rope(float* x, int64_t x_stride, int64_t heads, int64_t head_dim, const float* cosines, const float* sines,
          int64_t pairs, int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
        const float* cosine = cosines + row * pairs;
        const float* sine = sines + row * pairs;
        for (int64_t head = 0; head < heads; ++head) {
            float* left = x + row * x_stride + head * head_dim;
            float* right = left + pairs;
            for (int64_t i = 0; i < pairs; ++i) {
                const float a = left[i];
                const float b = right[i];
                left[i] = a * cosine[i] - b * sine[i];
                right[i] = b * cosine[i] + a * sine[i];
            }
        }
    }
}

}  // namespace freehold::FREEHOLD_ISA
