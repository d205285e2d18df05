"""Snakemake, asking Slurm every half second.

The executor waits `init-seconds` before it first asks and ten seconds longer each time that nothing
has finished, which no option shortens: right for a cluster, minutes lost in a test.
"""

import asyncio
import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor


async def _sleep(_executor: RemoteExecutor) -> None:
    await asyncio.sleep(0.5)


RemoteExecutor.sleep = _sleep
sys.exit(main())
