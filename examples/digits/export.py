"""Write the UCI handwritten digits (1,797 rows of 64 pixels and a label; scikit-learn ships them) as CSV.

Usage: python export.py FILE.csv
"""

import sys

import numpy as np
from sklearn.datasets import load_digits


def main() -> None:
    """Shuffle with a fixed seed, so that the rows that train, choose and test are the same everywhere."""
    digits = load_digits()
    order = np.random.default_rng(1797).permutation(len(digits.target))
    rows = np.column_stack([digits.data[order].astype(int), digits.target[order]])
    np.savetxt(sys.argv[1], rows, fmt="%d", delimiter=",")


if __name__ == "__main__":
    main()
