from libc.stdint cimport int32_t, int64_t


cdef struct Block:
    # Weights of up to 16 children of a cluster, by feature, then by child.
    int64_t n_entries
    int32_t* features
    int32_t* slots
    float* values


cdef assemble_chunks(const Block* blocks, int64_t blocks_per_task, const int64_t[::1] task_ptr,
                     const int64_t[::1] child_ptr, int slot_size, int n_threads)
