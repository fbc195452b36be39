"""What every indexer must do: scikit-learn's checks, and what the rest of the library relies on."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_xmr import HierarchicalKMeans, LabelTree, OverlappingIndexer

INDEXERS = [
    HierarchicalKMeans(max_leaf_size=20, random_state=0),
    HierarchicalKMeans(max_leaf_size=20, spherical=False, n_init=2, random_state=0),
    OverlappingIndexer(HierarchicalKMeans(max_leaf_size=20), random_state=0),
]


def expected_failed_checks(estimator):
    indexer = getattr(estimator, "base_indexer", estimator) or HierarchicalKMeans()
    if indexer.max_leaf_size >= 50:
        return {"check_clustering": "its 50 samples fit in one leaf, so there is one cluster"}
    return {}


@parametrize_with_checks(
    [HierarchicalKMeans(), OverlappingIndexer(), *INDEXERS], expected_failed_checks=expected_failed_checks
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(params=INDEXERS, ids=repr)
def indexer(request):
    return clone(request.param)


@pytest.fixture
def Z():
    rng = np.random.default_rng(0)
    return sp.random_array((90, 30), density=0.3, rng=rng, format="csr", dtype=np.float32)


def test_tree_and_labels_agree(indexer, Z):
    assert indexer.fit(Z) is indexer
    assert isinstance(indexer.tree_, LabelTree)
    assert indexer.tree_.n_labels == Z.shape[0]
    np.testing.assert_array_equal(indexer.labels_, indexer.tree_.label_leaves())
    np.testing.assert_array_equal(indexer.fit_predict(Z), indexer.labels_)


def test_membership(indexer, Z):
    membership = indexer.fit(Z).transform(Z[:7])
    assert sp.issparse(membership)
    assert membership.format == "csr"
    assert membership.shape == (7, indexer.tree_.n_nodes[-2])
    assert membership.dtype == np.float32
    np.testing.assert_array_equal(membership.sum(axis=1), np.ones(7))
    np.testing.assert_array_equal(indexer.fit_transform(Z).toarray(), indexer.fit(Z).transform(Z).toarray())


def test_output_names(indexer, Z):
    names = indexer.fit(Z).get_feature_names_out()
    assert len(names) == indexer.tree_.n_nodes[-2]
    assert names[0] == type(indexer).__name__.lower() + "0"


def test_transform_needs_fit(indexer, Z):
    with pytest.raises(NotFittedError):
        indexer.transform(Z)


def test_pandas_configuration_leaves_the_membership_alone(indexer, Z):
    with config_context(transform_output="pandas"):
        assert sp.issparse(indexer.fit(Z).transform(Z))


def test_label_vectors_are_not_metadata(indexer):
    assert not hasattr(indexer, "set_fit_request")
    assert not hasattr(indexer, "set_transform_request")


def test_copies_and_frozen(indexer, Z):
    indexer.fit(Z)
    for other in (pickle.loads(pickle.dumps(indexer)), copy.deepcopy(indexer), FrozenEstimator(indexer)):
        assert other.tree_ == indexer.tree_
        np.testing.assert_array_equal(other.transform(Z).indices, indexer.transform(Z).indices)


def test_failed_fit_changes_nothing(indexer, Z):
    before = {name: copy.deepcopy(value) for name, value in vars(indexer.fit(Z)).items()}
    with pytest.raises(ValueError, match="NaN"):
        indexer.fit(np.full((70, 5), np.nan))
    assert vars(indexer).keys() == before.keys()
    assert indexer.n_features_in_ == 30
    assert indexer.tree_ == before["tree_"]


@pytest.mark.parametrize("convert", [sp.csc_array, sp.csr_matrix, sp.coo_matrix, sp.lil_array])
def test_any_sparse_container(indexer, Z, convert):
    assert clone(indexer).fit(convert(Z)).tree_ == indexer.fit(Z).tree_


@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_and_read_only_arrays(indexer, Z, dtype, index_dtype):
    other = sp.csr_array(
        (Z.data.astype(dtype), Z.indices.astype(index_dtype), Z.indptr.astype(index_dtype)), Z.shape
    )
    for array in (other.data, other.indices, other.indptr):
        array.flags.writeable = False
    assert clone(indexer).fit(other).tree_ == indexer.fit(Z).tree_
