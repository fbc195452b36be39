"""Label disentanglement in plain loops: leaves of labels, and which copies a row trains."""


def assign(Y, matched, own_leaf, max_parents, cap, objective, min_support, weights=None):
    """Leaves of each label, in the order in which they were given, as a list of lists."""
    n_rows, n_labels = len(Y), len(Y[0])
    n_leaves = len(matched[0])
    weights = [1.0] * n_rows if weights is None else weights
    leaves = [[None] * max_parents for _ in range(n_labels)]

    def gain(label, leaf):
        total = 0.0
        for i in range(n_rows):
            found = any(k is not None and matched[i][k] for k in leaves[label])
            if Y[i][label] and matched[i][leaf] and not (objective == "coverage" and found):
                total += weights[i]
        return total

    for r in range(max_parents):
        bids = []
        for label in range(n_labels):
            for leaf in range(n_leaves):
                g = gain(label, leaf)
                if g > 0 and leaf not in leaves[label] and (r == 0 or g >= min_support):
                    bids.append((-g, leaf != own_leaf[label], label, leaf))
        bids.sort()
        sizes = [sum(leaf in given for given in leaves) for leaf in range(n_leaves)]
        for _, _, label, leaf in bids:
            if leaves[label][r] is None and (cap is None or sizes[leaf] < cap):
                leaves[label][r] = leaf
                sizes[leaf] += 1
        if r == 0:
            for label in range(n_labels):
                if leaves[label][0] is None:
                    leaves[label][0] = own_leaf[label]
            while True:
                filled = {given[0] for given in leaves}
                empty = [leaf for leaf in range(n_leaves) if leaf not in filled]
                if not empty:
                    break
                for label in range(n_labels):
                    if own_leaf[label] in empty:
                        leaves[label][0] = own_leaf[label]
    return leaves


def leaves_of_rows(Y, matched, leaves_of_label):
    """Set of leaves that each row belongs to; `leaves_of_label[l]` lists the leaves of l, ascending."""
    n_rows, n_labels = len(Y), len(Y[0])
    main = []
    for label in range(n_labels):
        counts = [
            sum(bool(Y[i][label] and matched[i][leaf]) for i in range(n_rows))
            for leaf in leaves_of_label[label]
        ]
        main.append(leaves_of_label[label][counts.index(max(counts))])
    belongs = []
    for i in range(n_rows):
        leaves = set()
        for label in range(n_labels):
            if Y[i][label]:
                found = {leaf for leaf in leaves_of_label[label] if matched[i][leaf]}
                leaves |= found or {main[label]}
        belongs.append(leaves)
    return belongs
