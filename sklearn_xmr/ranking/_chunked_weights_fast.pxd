from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t


cdef struct Block:
    # Weights of a task's children, by feature.
    int64_t n_entries
    int32_t* features
    uint8_t* places           # of the children among those of the task
    float* values
    const int32_t* children   # of the task
    int64_t first_child       # of the cluster


cdef struct Chunk:
    # Weights of a cluster as `ChunkedWeights` stores them, and as what.
    int64_t fan_out
    int slot_size
    int value_size   # 1 and 2: integers, 4: float32
    float scale
    int64_t n_rows
    int64_t n_bytes
    int32_t* features   # of the rows, until they are arranged
    uint32_t* row_ptr   # likewise
    uint8_t* entries
    int64_t n_words     # with one behind the last, that tells where the rows end
    uint64_t* words
    int shift           # log2 of the features of a word


cdef void free_block(Block* block) noexcept nogil

cdef void free_chunk(Chunk* chunk) noexcept nogil

cdef int build_chunk(Block* blocks, int64_t n_blocks, int64_t n_features, Chunk* chunk) noexcept nogil

cdef join_chunks(Chunk* chunks, int64_t n_chunks, int64_t n_features)
