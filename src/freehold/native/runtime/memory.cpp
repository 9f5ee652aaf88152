#include "runtime/memory.hpp"

#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace freehold {
namespace {

constexpr std::size_t cache_line = 64;
constexpr std::size_t huge_page = std::size_t{2} << 20;
// Larger blocks go back as soon as they are freed, and so does what is free beyond so much.
constexpr int largest_kept = 32 << 20;
constexpr int most_kept = 64 << 20;

}  // namespace

void FreeMemory::operator()(void* memory) const { std::free(memory); }

Memory allocate(std::size_t bytes) {
    const std::size_t alignment = bytes >= 2 * huge_page ? huge_page : cache_line;
    const std::size_t size = (bytes + cache_line - 1) / cache_line * cache_line;
    if (size < bytes) throw std::bad_alloc();
    void* memory = nullptr;
    if (posix_memalign(&memory, alignment, size > 0 ? size : cache_line) != 0) throw std::bad_alloc();
#if defined(__linux__)
    // Advice only: without huge pages the kernels are slower, not wrong.
    if (alignment == huge_page) madvise(memory, size / huge_page * huge_page, MADV_HUGEPAGE);
#endif
    return Memory(static_cast<std::byte*>(memory));
}

void keep_freed_memory() {
#if defined(__GLIBC__)
    mallopt(M_MMAP_THRESHOLD, largest_kept);
    mallopt(M_TRIM_THRESHOLD, most_kept);
#endif
}

std::byte* Scratch::bytes(std::size_t count) {
    if (count > size_) {
        memory_ = nullptr;  // first, so that old and new are never both alive
        size_ = 0;
        memory_ = allocate(count);
        size_ = count;
    }
    return memory_.get();
}

}  // namespace freehold
