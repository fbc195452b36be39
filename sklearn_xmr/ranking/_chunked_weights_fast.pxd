from libc.stdint cimport int32_t, int64_t, uint8_t


cdef struct Block:
    # Weights of a task's children, by feature.
    int64_t n_entries
    int32_t* features
    uint8_t* places           # of the children among those of the task
    float* values
    const int32_t* children   # of the task
    int64_t first_child       # of the cluster


cdef assemble_chunks(const Block* blocks, const int64_t[::1] task_ptr,
                     const int64_t[::1] child_ptr, int slot_size, int n_threads)
