"""Chooses who makes the chunks: lanes of this machine, or the workers of a cluster."""

from __future__ import annotations

from encore.chunked.lanes import Crew, Lanes, lanes_for
from encore.chunked.picture import Plan

__all__ = ["check_cluster", "crew_for", "gpus_of"]


def crew_for(planned: Plan, workers: int | None, cluster: str | None, device: str) -> Crew:
    """Who makes a plan's chunks; `device` is "cpu" where no network works on the picture.

    Raises RequestError where a cluster cannot be used.
    """
    if cluster is not None:
        from encore.chunked.cluster import Cluster

        return Cluster(cluster, planned.ledger.folder, planned.tasks[0])
    gpus = gpus_of(device)
    left = len(planned.tasks) - planned.finished
    return Lanes(max(1, min(left, lanes_for(workers, len(gpus)))), gpus=gpus)


def check_cluster(cluster: str | None) -> None:
    """Raise RequestError where a cluster is asked for and cannot be reached."""
    if cluster is not None:
        from encore.chunked.cluster import probe

        probe(cluster)


def gpus_of(device: str) -> list[int]:
    """The numbers of the GPUs that lanes are spread over: all, or none where one was named."""
    if device not in ("auto", "cuda"):
        return []
    import torch

    return list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
