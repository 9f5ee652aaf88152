// Names of activations, as Python passes them.
#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "bindings/arrays.hpp"
#include "kernels/table.hpp"

namespace freehold {

inline constexpr std::pair<const char*, Activation> activations[] = {
    {"silu", Activation::silu}, {"gelu", Activation::gelu},       {"gelu_tanh", Activation::gelu_tanh},
    {"relu", Activation::relu}, {"sigmoid", Activation::sigmoid}, {"tanh", Activation::tanh},
};

inline Activation activation_of(const std::string& name) {
    for (const auto& [known, activation] : activations)
        if (name == known) return activation;
    refuse("activation is '", name, "', must be silu, gelu, gelu_tanh, relu, sigmoid or tanh");
}

// For a gated MLP, which takes "clamped_swiglu" and its limit besides.
inline Gating gating_of(const std::string& name, std::optional<float> limit) {
    if (name != "clamped_swiglu") {
        if (limit) refuse("limit is ", *limit, ", but only clamped_swiglu has a limit, not ", name);
        return {activation_of(name), false, 0.0f};
    }
    if (!limit) refuse("clamped_swiglu needs a limit");
    if (!(*limit > 0) || !std::isfinite(*limit)) refuse("limit is ", *limit, ", must be finite and above 0");
    return {Activation::silu, true, *limit};
}

}  // namespace freehold
