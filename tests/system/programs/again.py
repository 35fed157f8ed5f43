"""A script that goes on with its named pool; EDITED stands for what an editor did to it meanwhile."""

import dataclasses
import enum
import os
import sys

from distributed_computing.api import Pool


class Verdict(enum.Enum):
    GOOD = "good"
    BAD = "bad"


@dataclasses.dataclass
class Score:
    rate: float
    verdict: Verdict
    limit = 1  # EDITED

    def passes(self):
        return self.rate > self.limit


class Trainer:
    def run(self, rate):
        score = Score(rate, Verdict.BAD)
        if score.passes():
            score.verdict = Verdict.GOOD
        return score


def main():
    where = os.environ["DISTRIBUTED_COMPUTING_PASSWORD"], "localhost", int(sys.argv[1])
    with Pool(Trainer, None, *where, name="sweep") as pool:
        scores = pool.map({"args": [rate], "key": f"rate={rate}"} for rate in range(4))
        fresh = pool.map([7])[0]
    own = [isinstance(score, Score) for score in [*scores, fresh]]
    good = [score.rate for score in scores if score.verdict is Verdict.GOOD]
    print(good, all(own), any(own), scores[0] == Score(0, Verdict.BAD), type(fresh).limit, fresh.passes())


if __name__ == "__main__":
    main()
