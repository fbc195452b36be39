"""Candidates of each row in plain loops."""


def candidate_sets(child_ptr, counts, parents):
    """Dict node -> target for each row; dense arrays in, as in `candidate_batch`."""
    rows = []
    for counts_of_row, parents_of_row in zip(counts, parents, strict=True):
        targets = {}
        for parent, flag in enumerate(parents_of_row):
            if flag == 1:
                for child in range(child_ptr[parent], child_ptr[parent + 1]):
                    targets[child] = 0.0
        for child, count in enumerate(counts_of_row):
            if count > 0:
                targets[child] = float(count)
        rows.append(targets)
    return rows
