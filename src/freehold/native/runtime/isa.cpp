#include "runtime/isa.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#if defined(FREEHOLD_HAVE_AVX2)
#include <cpuid.h>
#endif
#if defined(FREEHOLD_HAVE_NEON) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace freehold {

namespace portable {
extern const Kernels kernels;
}
#if defined(FREEHOLD_HAVE_AVX2)
namespace avx2 {
extern const Kernels kernels;
}
#endif
#if defined(FREEHOLD_HAVE_AVX_VNNI)
namespace avx_vnni {
extern const Kernels kernels;
}
#endif
#if defined(FREEHOLD_HAVE_AVX512)
namespace avx512 {
extern const Kernels kernels;
}
#endif
#if defined(FREEHOLD_HAVE_NEON)
namespace neon {
extern const Kernels kernels;
}
#endif

namespace {

#if defined(FREEHOLD_HAVE_AVX2)
enum Register { eax, ebx, ecx, edx };

// For features that not every compiler which has their instructions knows in __builtin_cpu_supports.
bool has_bit(unsigned leaf, unsigned subleaf, Register where, unsigned bit) {
    unsigned found[4] = {};
    return __get_cpuid_count(leaf, subleaf, &found[eax], &found[ebx], &found[ecx], &found[edx]) != 0 &&
           (found[where] >> bit & 1) != 0;
}
bool has_f16c() { return has_bit(1, 0, ecx, 29); }
#endif
#if defined(FREEHOLD_HAVE_AVX_VNNI)
bool has_avx_vnni() { return has_bit(7, 1, eax, 4); }
#endif

#if defined(FREEHOLD_HAVE_NEON)
bool has_dot_products() {
#if defined(__linux__)
    constexpr unsigned long asimddp_bit = 1ul << 20;
    return (getauxval(AT_HWCAP) & asimddp_bit) != 0;
#elif defined(__APPLE__)
    return true;  // all of Apple's own processors have them
#else
    return false;  // nobody to ask
#endif
}
#endif

std::vector<const Kernels*> available() {
    std::vector<const Kernels*> found{&portable::kernels};
#if defined(FREEHOLD_HAVE_AVX2)
    __builtin_cpu_init();
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    if (has_avx2) found.push_back(&avx2::kernels);
#endif
#if defined(FREEHOLD_HAVE_AVX_VNNI)
    if (has_avx2 && has_avx_vnni()) found.push_back(&avx_vnni::kernels);
#endif
#if defined(FREEHOLD_HAVE_AVX512)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni"))
        found.push_back(&avx512::kernels);
#endif
#if defined(FREEHOLD_HAVE_NEON)
    if (has_dot_products()) found.push_back(&neon::kernels);
#endif
    return found;
}

const Kernels& named(const std::string& name, const char* source) {
    std::string known;
    for (const Kernels* candidate : available()) {
        if (name == candidate->name) return *candidate;
        known += (known.empty() ? "" : ", ") + std::string(candidate->name);
    }
    throw std::invalid_argument(std::string(source) + " is '" + name + "', but this build and this processor offer: " +
                                known);
}

std::atomic<const Kernels*> current{nullptr};

}  // namespace

const Kernels& kernels() {
    if (const Kernels* chosen = current.load(std::memory_order_acquire)) return *chosen;
    const char* wanted = std::getenv("FREEHOLD_ISA");
    const Kernels& chosen =
        wanted != nullptr && *wanted != '\0' ? named(wanted, "FREEHOLD_ISA") : *available().back();
    current.store(&chosen, std::memory_order_release);
    return chosen;
}

std::vector<std::string> available_isas() {
    std::vector<std::string> names;
    for (const Kernels* candidate : available()) names.emplace_back(candidate->name);
    return names;
}

void use_isa(const std::string& name) { current.store(&named(name, "isa"), std::memory_order_release); }

}  // namespace freehold
