// The kernels of one instruction set, as table.hpp describes them.
#pragma once

#include "kernels/table.hpp"

namespace freehold::FREEHOLD_ISA {

void quantise(const float* x, int64_t x_stride, int64_t columns, const QuantisedRows& out, int64_t first, int64_t last);
void linear_float(const LinearJob& job, int64_t first_token, int64_t last_token, int64_t first_panel,
                  int64_t last_panel);
void linear_fp8(const LinearJob& job, int64_t first_token, int64_t last_token, int64_t first_panel, int64_t last_panel);
void linear_quantised(const LinearJob& job, int64_t first_token, int64_t last_token, int64_t first_panel,
                      int64_t last_panel);
void linear_superblocks(const LinearJob& job, int64_t first_token, int64_t last_token, int64_t first_panel,
                        int64_t last_panel);
void rms_norm(const NormJob& job, int64_t first, int64_t last);
void layer_norm(const NormJob& job, int64_t first, int64_t last);
void rope(float* x, int64_t x_stride, int64_t heads, int64_t head_dim, const float* cosines, const float* sines,
          int64_t pairs, int64_t first, int64_t last);
void activate(const Vectors& x, Activation activation, int64_t first, int64_t last);
void gate(const Vectors& x, const ConstVectors& gates, Activation activation, int64_t first, int64_t last);
void gate_up(float* gate_up, int64_t stride, int64_t width, const Gating& gating, int64_t first, int64_t last);
void softcap(const Vectors& x, float cap, int64_t first, int64_t last);
void write_cache(const AttentionJob& job, const AttentionRange& range);
int64_t attention_scratch(const AttentionJob& job, int64_t positions);
void attend(const AttentionJob& job, const AttentionRange& range, float* scratch);
void write_latent(const LatentJob& job, const AttentionRange& range);
int64_t latent_scratch(const LatentJob& job);
void attend_latent(const LatentJob& job, const AttentionRange& range, float* scratch);
void delta_inputs(const DeltaJob& job, int64_t first, int64_t last);
void delta_rule(const DeltaJob& job, const DeltaRange& range, float* scratch);
LogitStatistics logit_statistics(const float* logits, int64_t count);
int64_t at_least(const float* values, int64_t begin, int64_t end, float bound, int32_t* found);
double exponentials(const float* x, int64_t count, float maximum, float factor, float* out);
void to_half(const float* x, int64_t count, uint16_t* out);

}  // namespace freehold::FREEHOLD_ISA
