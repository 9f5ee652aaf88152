// Memory for weights and scratch.
#pragma once

#include <cstddef>
#include <memory>

namespace freehold {

struct FreeMemory {
    void operator()(void* memory) const;
};
using Memory = std::unique_ptr<std::byte[], FreeMemory>;

// Uninitialised memory that starts on a cache line, on a huge page where it is large. Throws std::bad_alloc.
Memory allocate(std::size_t bytes);

// Has the C library keep freed memory for what is allocated next, where it would give it back: the arrays of a step are
// as large as those of the one before, and every page that the system hands out anew it fills with zeros first. Does
// nothing for other libraries than GNU's.
void keep_freed_memory();

// Scratch that grows and is kept by the thread that uses it, so that steps do not pay for fresh pages.
class Scratch {
public:
    template <typename T>
    T* reserve(std::size_t count) {
        return reinterpret_cast<T*>(bytes(count * sizeof(T)));
    }

private:
    std::byte* bytes(std::size_t count);

    Memory memory_;
    std::size_t size_ = 0;
};

}  // namespace freehold
