#include "kernels/table.hpp"

#include "kernels/kernels.hpp"

#define FREEHOLD_TEXT(name) #name
#define FREEHOLD_NAME(name) FREEHOLD_TEXT(name)

namespace freehold::FREEHOLD_ISA {
namespace {

void linear(const LinearJob& job, int64_t first_token, int64_t last_token, int64_t first_panel, int64_t last_panel) {
    const Format format = job.matrix->format;
    const auto run = has_superblocks(format)  ? linear_superblocks
                     : is_quantised(format)   ? linear_quantised
                     : format == Format::fp8  ? linear_fp8
                                              : linear_float;
    run(job, first_token, last_token, first_panel, last_panel);
}

}  // namespace

extern const Kernels kernels;
const Kernels kernels{
    .name = FREEHOLD_NAME(FREEHOLD_ISA),
    .quantise = quantise,
    .linear = linear,
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .rope = rope,
    .activate = activate,
    .gate = gate,
    .gate_up = gate_up,
    .softcap = softcap,
    .write_cache = write_cache,
    .attention_scratch = attention_scratch,
    .attend = attend,
    .write_latent = write_latent,
    .latent_scratch = latent_scratch,
    .attend_latent = attend_latent,
    .delta_inputs = delta_inputs,
    .delta_rule = delta_rule,
    .logit_statistics = logit_statistics,
    .at_least = at_least,
    .exponentials = exponentials,
    .to_half = to_half,
};

}  // namespace freehold::FREEHOLD_ISA
