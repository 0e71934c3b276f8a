"""Joint policy search on a game of OpenSpiel, and the policy back in OpenSpiel's own form.

    .venv/bin/python examples/openspiel_game.py

Needs the extra `oracle` (`make setup` installs it).
"""

import numpy as np
import pyspiel

from trine.core.seeding import Seeds
from trine.games import joint_policy_search, load_openspiel, random_policy
from trine.games.openspiel import to_openspiel

GAME = "tiny_hanabi"


def main() -> None:
    """Search from ten random policies and let OpenSpiel evaluate the best one."""
    tree = load_openspiel(GAME)
    results = []
    for seed in range(10):
        generator = Seeds(seed).generator("example")
        results.append(
            joint_policy_search(tree, random_policy(tree, generator), generator=generator)
        )
    values = np.array([result.value for result in results])
    print(f"{tree.num_states} states, {tree.num_info_sets} information sets")
    print(f"values over seeds: mean {values.mean():.3g}, best {values.max():.3g}")

    best = results[int(values.argmax())]
    theirs = to_openspiel(tree, best.policy, GAME)
    state = pyspiel.load_game(GAME).new_initial_state()
    print(f"OpenSpiel says: {pyspiel.expected_returns(state, theirs, -1, True)}")


if __name__ == "__main__":
    main()
