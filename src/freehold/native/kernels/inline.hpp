// Functions of the kernels are forced inline: a function that the linker could share between instruction sets must not
// exist.
#pragma once

#define FREEHOLD_INLINE static inline __attribute__((always_inline))
