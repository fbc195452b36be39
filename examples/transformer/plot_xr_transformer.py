"""
Train a text encoder down the label tree
========================================

:class:`~sklearn_xmr.XRTransformerClassifier` fine-tunes a text encoder to tell the nodes of
the label tree apart, level by level, and ranks on tf-idf and the encoder's embeddings side by
side. In practice the encoder is a pretrained one, named by
``encoder="sentence-transformers/all-MiniLM-L6-v2"`` or a folder. Here a tiny one starts from
random weights, so that nothing is downloaded and all that it knows it learns from the labels.

The texts are passages of the docstrings of NumPy, SciPy and scikit-learn; the labels of a
passage are the function it describes and that function's See Also.
"""

# %%
# Data, and the linear model to compare with.
import time

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from sklearn_xmr import XRLinearClassifier, XRTransformerClassifier
from sklearn_xmr.datasets import load_api_docs
from sklearn_xmr.metrics import precision_at_k

docs = load_api_docs()
train, test = docs.train_indices, docs.test_indices
texts_train, texts_test = docs.texts[train], docs.texts[test]
vectorizer = TfidfVectorizer(sublinear_tf=True, stop_words="english", dtype=np.float32)
linear = XRLinearClassifier(random_state=0).fit(
    vectorizer.fit_transform(texts_train), docs.Y[train]
)

# %%
# A WordPiece tokenizer and a BERT of two layers. Any model and tokenizer of ``transformers``
# will do.
wordpiece = Tokenizer(models.WordPiece(unk_token="[UNK]"))
wordpiece.normalizer = normalizers.BertNormalizer()
wordpiece.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
trainer = trainers.WordPieceTrainer(
    vocab_size=6000, special_tokens=special, show_progress=False
)
wordpiece.train_from_iterator(texts_train, trainer)
wordpiece.post_processor = processors.TemplateProcessing(
    single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
)
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=wordpiece,
    unk_token="[UNK]",
    pad_token="[PAD]",
    cls_token="[CLS]",
    sep_token="[SEP]",
)
torch.manual_seed(0)
model = BertModel(
    BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=64,
    )
)

# %%
# Coarse to fine: first the nodes of the top level, then those of the levels below, down to the
# labels.
start = time.perf_counter()
classifier = XRTransformerClassifier(
    (model, tokenizer),
    vectorizer=vectorizer,
    n_epochs=1,
    batch_size=64,
    learning_rate=2e-3,
    max_length=40,
    n_matched=5,
    evaluation_interval=50,
    embedding_weight=0.5,
    random_state=0,
).fit(texts_train, docs.Y[train])
print(f"fit: {time.perf_counter() - start:.0f} s")
for level in classifier.history_:
    first, *_, last = level["losses"]
    print(f"{level['n_nodes']:5} nodes: {level['step']} steps, loss {first:.3f} to {last:.3f}")

# %%
# The encoder is small and has seen nothing but these passages, so it adds little to tf-idf. The
# user guide has the numbers of a pretrained one.
rankings = {
    "tf-idf": linear.predict_topk(vectorizer.transform(texts_test), k=5),
    "tf-idf and embeddings": classifier.predict_topk(texts_test, k=5),
}
for name, ranking in rankings.items():
    precisions = [precision_at_k(docs.Y[test], ranking, k=k) for k in (1, 3, 5)]
    print(f"{name}: P@1 {precisions[0]:.3f}, P@3 {precisions[1]:.3f}, P@5 {precisions[2]:.3f}")

# %%
# What it learnt shows in the embeddings of held-out passages. Modules were never a target; but
# functions that share words and See Also share nodes of the tree, so they moved together. With
# ``fine_tuning=None`` the encoder is taken as it is.
modules = [
    "numpy.linalg",
    "numpy.ma",
    "scipy.sparse",
    "scipy.special",
    "sklearn.cluster",
    "sklearn.metrics",
]
label_names = np.asarray(docs.label_names)
first_label = docs.Y[test].indices[docs.Y[test].indptr[:-1]]
module_of_text = np.array([".".join(name.split(".")[:2]) for name in label_names[first_label]])
shown = np.isin(module_of_text, modules)
untrained = XRTransformerClassifier(
    (model, tokenizer), fine_tuning=None, max_length=40, random_state=0
)
untrained.fit(texts_train[:100], docs.Y[train][:100])

figure, axes = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
for ax, when, fitted in zip(axes, ["before", "after"], [untrained, classifier], strict=True):
    embeddings = fitted.transform(texts_test[shown])
    neighbours = (
        NearestNeighbors(n_neighbors=5).fit(embeddings).kneighbors(return_distance=False)
    )
    alike = np.mean(module_of_text[shown][neighbours] == module_of_text[shown][:, None])
    points = TSNE(metric="cosine", init="pca", random_state=0).fit_transform(embeddings)
    for module in modules:
        here = module_of_text[shown] == module
        ax.scatter(*points[here].T, s=14, alpha=0.7, label=module)
    ax.set(title=f"{when} training: {alike:.0%}", xticks=[], yticks=[])
figure.suptitle("Embeddings of held-out passages: neighbours in the same module")
_ = figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")

# %%
# Rankings of plain questions.
for question in (
    "solve a sparse linear system",
    "cluster points by density",
    "draw random numbers",
):
    labels, scores = classifier.predict_topk([question], k=2)
    found = ", ".join(
        f"{label_names[j]} ({s:.2f})" for j, s in zip(labels[0], scores[0], strict=True)
    )
    print(f"{question}: {found}")

plt.show()
