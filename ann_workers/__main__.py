"""`python -m ann_workers`: one worker process."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Read the settings, serve until SIGTERM, exit 0 after the drain."""
    gc.disable()  # Until settle_memory: what is loaded stays, and looking through it takes time.
    try:
        from ann_workers.process import GROUPS, compute_on_one_core, run_worker

        compute_on_one_core()
        import ann_workers.service  # noqa: F401  # what is missing is told before anything else
        from foundation.settings import load
    except ModuleNotFoundError as error:
        sys.exit(f"ann_workers: {error.name} is missing: pip install 'direct-contact[worker]'")
    settings = load(
        GROUPS,
        program="python -m ann_workers",
        purpose="An ANN worker: owns sessions, batches across them, computes, writes checkpoints.",
    )
    run_worker("ann_workers", settings)


if __name__ == "__main__":
    main()
