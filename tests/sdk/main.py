"""Drives a gateway with the official Python clients of OpenAI and Anthropic that this interpreter has.

    python tests/sdk/main.py target/debug/examples/gateway [RESULTS]

It prints every check with what was seen, then how many passed and failed, and exits with 1 if one failed. RESULTS is a
file for `cargo xtask sdk`: a line for each check, with tabs between its name, the client, and what was seen.
"""

import os
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

# Clients read their address, their keys and proxies from the environment, and so does the gateway.
for name in list(os.environ):
    if name.startswith(("OPENAI_", "ANTHROPIC_", "FLASHOPS_")) or name.upper().endswith("_PROXY"):
        del os.environ[name]

import cuts  # noqa: E402, F401
import refusals  # noqa: E402, F401
import successes  # noqa: E402, F401
from checks import CHECKS  # noqa: E402
from gateway import Gateway  # noqa: E402

# Checks mostly wait; more at a time would wait for the processor instead.
AT_ONCE = 6

# How long one may take, in seconds. A client that was not sent away would wait for a day.
AT_MOST = 45


def outcome(check, program):
    """Whether it passed in time, and what was seen or went wrong."""
    outcomes = []
    # A client that waits cannot be interrupted, only left behind.
    thread = threading.Thread(target=lambda: outcomes.append(attempt(check, program)), daemon=True)
    thread.start()
    thread.join(AT_MOST)
    return outcomes[0] if outcomes else (False, f"not ended after {AT_MOST} s")


def attempt(check, program):
    try:
        return True, check.run(program)
    except Exception as error:
        traceback.print_exc()
        return False, f"{type(error).__name__}: {error}".splitlines()[0]


def main(program, results=os.devnull):
    start = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(lambda check: outcome(check, program), CHECKS))
    Gateway.close_all()
    with open(results, "w", encoding="utf-8") as file:
        for check, (passed, what) in zip(CHECKS, outcomes):
            client = f"{check.client.name} {check.client.version}"
            print(f"{'ok    ' if passed else 'FAILED'} {client}: {check.name}: {what}")
            print(check.name, client, what if passed else "FAILED", sep="\t", file=file)
    failed = sum(not passed for passed, _ in outcomes)
    print(f"in {time.monotonic() - start:.0f} s")
    print(f"{len(outcomes) - failed} passed, {failed} failed")
    return 1 if failed or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
