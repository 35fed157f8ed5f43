"""Hyper-parameter search over handwritten digits in Python, with a scikit-learn model.

Usage: python search.py PASSWORD [ADDRESS [PORT]]

Every finished score is sent to all workers as an update; a worker that is asked for settings whose score is already
known answers from its cache instead of training again.
"""

import itertools
import sys

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from tqdm import tqdm

from distributed_computing.api import Pool, WorkerInterface

TRAIN, VALIDATION = 1000, 1400  # rows 1000..1399 choose the settings, rows 1400.. are held out


def load_rows():
    """Return (images, labels) in a fixed random order; images has shape (1797, 64) with values 0..1."""
    digits = load_digits()
    order = np.random.default_rng(1797).permutation(len(digits.target))
    return digits.data[order] / 16.0, digits.target[order]


def model(rate, width, alpha):
    """Return an untrained network; the fixed seed makes equal settings give equal networks."""
    return MLPClassifier((width,), learning_rate_init=rate, alpha=alpha, max_iter=40, tol=0, random_state=1797)


class Trainer(WorkerInterface):
    """Built once per slot: holds the data set and the scores that other workers have found."""

    def __init__(self, images, labels):
        import warnings

        warnings.filterwarnings("ignore", module="sklearn")
        self.images, self.labels = images, labels
        self.scores = {}

    def run(self, rate, width, alpha=0.0001):
        """Return (settings, validation accuracy, whether the score was known already)."""
        settings = (rate, width, alpha)
        if settings in self.scores:
            return settings, self.scores[settings], True
        network = model(*settings).fit(self.images[:TRAIN], self.labels[:TRAIN])
        accuracy = network.score(self.images[TRAIN:VALIDATION], self.labels[TRAIN:VALIDATION])
        return settings, accuracy, False

    def handle_update(self, settings, accuracy):
        """Remember a score that another worker found."""
        self.scores[settings] = accuracy


def evaluate(pool, points, title, scores):
    """Run the points, tell every worker each new score, draw a progress bar."""
    jobs = [{"args": point[:2], "kwargs": {"alpha": point[2]}} for point in points]
    known_already = 0
    for settings, accuracy, known in tqdm(pool.imap_unordered(jobs), total=len(jobs), desc=title):
        known_already += known
        if settings not in scores:
            scores[settings] = accuracy
            pool.update_workers({"args": [settings, accuracy]})
    print(f"{title}: {known_already} of {len(jobs)} were known already")


def main():
    """Coarse grid, then the neighbours of the best points; then the test on held-out rows."""
    password = sys.argv[1]
    address = sys.argv[2] if len(sys.argv) > 2 else "localhost"
    port = int(sys.argv[3]) if len(sys.argv) > 3 else 8899
    images, labels = load_rows()
    scores = {}
    with Pool(Trainer, {"args": [images, labels]}, password, address, port) as pool:
        coarse = itertools.product((0.1, 0.02, 0.004, 0.001), (8, 16, 32, 64), (0.0001, 0.01, 1.0))
        evaluate(pool, list(coarse), "coarse grid", scores)
        best = sorted(scores, key=scores.get, reverse=True)[:4]
        fine = [(r * f, w, a * g) for r, w, a in best for f in (0.5, 1, 2) for g in (0.1, 1, 10)]
        evaluate(pool, fine, "refinement", scores)
    rate, width, alpha = settings = max(scores, key=scores.get)
    final = model(*settings).fit(images[:VALIDATION], labels[:VALIDATION])
    print(
        f"tried {len(scores)} settings; best: learning_rate={rate:g} width={width} alpha={alpha:g} "
        f"(validation accuracy {scores[settings]:.4f})"
    )
    held_out = final.score(images[VALIDATION:], labels[VALIDATION:])
    print(f"held-out accuracy: {held_out:.4f} on {len(labels) - VALIDATION} images")


if __name__ == "__main__":
    main()
