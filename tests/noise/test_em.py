import numpy as np
import pytest
from scipy.optimize import least_squares

from ds2.noise import simulate
from ds2.noise.em import State, diagonal_starts
from ds2.noise.triples import Triples, expected_triples, fit_triples

T = simulate(10).transition
P = np.array([0.05, 0.15, 0.3, 0.25, 0.15, 0.1])


def solve(counts, rho=1.0, n_starts=6):
    observed = counts.sum(axis=(1, 2))
    starts = diagonal_starts(observed, n_starts, np.random.default_rng(0))
    fit = fit_triples(counts, *starts, n_examples=10**9, rho=rho)
    best = fit.log_likelihood.argmax()
    return fit.matrix[best], fit.prior[best], fit


def least_squares_solution(counts):
    """The published way: first, second and third order consensus as equations for T and p."""
    s = len(counts)
    c2, c1 = counts.sum(axis=2), counts.sum(axis=(1, 2))

    def softmax(x):
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    def residual(x):
        m, p = softmax(x[: s * s].reshape(s, s)), softmax(x[s * s :])
        return np.concatenate(
            [
                (p @ m - c1).ravel(),
                (np.einsum("i,ia,ib->ab", p, m, m) - c2).ravel(),
                (np.einsum("i,ia,ib,ic->abc", p, m, m, m) - counts).ravel(),
            ]
        )

    start = np.concatenate([(3 * np.eye(s)).ravel(), np.zeros(s)])
    x = least_squares(residual, start).x
    return softmax(x[: s * s].reshape(s, s)), softmax(x[s * s :])


@pytest.mark.parametrize("rho", [1.0, 0.6])
def test_exact_counts_give_back_the_matrix(rho):
    q = P @ T
    counts = expected_triples(T, P, q, rho)
    matrix, prior, fit = solve(counts, rho)
    np.testing.assert_allclose(matrix, T, atol=0.005)
    np.testing.assert_allclose(prior, P, atol=0.005)
    assert fit.converged[fit.log_likelihood.argmax()]


def test_em_agrees_with_least_squares_on_sampled_counts():
    counts = expected_triples(T, P, P @ T, 1.0)
    rng = np.random.default_rng(3)
    sampled = rng.multinomial(400_000, counts.ravel()).reshape(counts.shape)
    sampled = (sampled + sampled.transpose(0, 2, 1)) / sampled.sum() / 2
    matrix, prior, _ = solve(sampled)
    oracle, oracle_prior = least_squares_solution(sampled)
    assert 0.5 * np.abs(matrix - oracle).sum(axis=1).mean() < 0.03
    assert np.abs(prior - oracle_prior).max() < 0.02


def test_every_step_raises_the_likelihood():
    rng = np.random.default_rng(4)
    counts = rng.dirichlet(np.ones(64)).reshape(4, 4, 4)
    counts = (counts + counts.transpose(0, 2, 1)) / 2
    twice = rng.dirichlet(np.ones(320)).reshape(20, 4, 4)
    twice = (twice + twice.transpose(0, 2, 1)) / 2
    for rho, own_share, table in ((1.0, 1.0, counts), (0.5, 1.0, counts), (0.7, 0.8, twice)):
        problem = Triples.build(table, 5, rho=rho, own_share=own_share)
        state = State(rng.dirichlet(np.ones(4), (5, 4)), rng.dirichlet(np.ones(4), 5))
        last = problem.likelihood(state)
        for _ in range(100):
            state = problem.step(state)
            now = problem.likelihood(state)
            assert (now >= last - 1e-12).all()
            last = now
        np.testing.assert_allclose(state.matrix.sum(axis=2), 1)
        np.testing.assert_allclose(state.prior.sum(axis=1), 1)


def test_a_score_that_was_never_observed_keeps_no_examples():
    counts = np.zeros((7, 7, 7))
    counts[:6, :6, :6] = expected_triples(T, P, P @ T, 1.0)
    _, prior, _ = solve(counts)
    assert prior[6] == 0


def test_acceleration_reaches_at_least_the_likelihood_of_plain_steps():
    counts = expected_triples(T, P, P @ T, 1.0)
    starts = diagonal_starts(counts.sum(axis=(1, 2)), 3, np.random.default_rng(0))
    problem = Triples.build(counts, 3)
    state = State(*starts)
    for _ in range(300):
        state = problem.step(state)
    fit = fit_triples(counts, *starts, n_examples=10**9, max_iterations=300)
    assert (fit.log_likelihood >= problem.likelihood(state) - 1e-9).all()


def test_starts_are_diagonal_heavy_distributions():
    matrices, priors = diagonal_starts(np.array([0.0, 0.5, 0.5]), 14, np.random.default_rng(0))
    assert (matrices.argmax(axis=2) == np.arange(3)).all()
    np.testing.assert_allclose(matrices.sum(axis=2), 1)
    np.testing.assert_allclose(priors.sum(axis=1), 1)
    assert (priors[:, 0] == 0).all()
