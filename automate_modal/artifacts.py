"""Artifacts: files put into Django's storage with their size and checksum, opened again, and removed."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from typing import Any

from django.core.files.base import ContentFile
from django.db import transaction

from automate_core import conf
from automate_core.errors import NotFound, PermanentError, TransientError
from automate_modal.models import Artifact, Job, artifact_storage

logger = logging.getLogger(__name__)


class ArtifactTooLarge(PermanentError):
    """An output is larger than an artifact may be."""


class ArtifactNotStored(TransientError):
    """The storage did not take the file of an artifact."""


class ArtifactLost(NotFound):
    """The file of an artifact is not in the storage any more, or is not what was stored."""


def put(job: Job, name: str, content: bytes, *, content_type: str) -> Artifact:
    """Store a file and return its artifact, not saved yet: the caller saves it or discards it.

    Args:
        job: the job whose output it is.
        name: what the file is called when it is downloaded; unique in the job.
        content: its bytes, at most `AUTOMATE["ARTIFACT_LIMIT_BYTES"]`.
        content_type: its media type.

    Raises:
        ArtifactTooLarge: it has more bytes.
        ArtifactNotStored: the storage does not take it.
    """
    limit = conf.get().ARTIFACT_LIMIT_BYTES
    if len(content) > limit:
        raise ArtifactTooLarge(f"The output has {len(content)} bytes; an artifact has at most {limit}")
    artifact = Artifact(
        tenant_id=job.tenant_id,
        job=job,
        name=name,
        content_type=content_type,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    try:
        artifact.file.save(name, ContentFile(content), save=False)
    except Exception as error:  # a storage raises what its vendor's client raises
        raise ArtifactNotStored(f"The storage did not take {name!r}: {error}") from error
    return artifact


def read(artifact: Artifact) -> bytes:
    """Return the bytes of an artifact; raises ArtifactLost when they are not those that were stored."""
    try:
        with artifact.file.open("rb") as file:
            content: bytes = file.read(artifact.size + 1)
    except OSError as error:
        raise ArtifactLost(f"The file of artifact {artifact.id} is not in the storage any more") from error
    if hashlib.sha256(content).hexdigest() != artifact.sha256:
        logger.error("artifacts.changed", extra={"artifact": str(artifact.id)})
        raise ArtifactLost(f"The file of artifact {artifact.id} is not what was stored")
    return content


def discard(artifact: Artifact) -> None:
    """Remove a file that no row refers to."""
    remove([artifact.file.name])


def remove_after_commit(artifacts: Iterable[Artifact]) -> None:
    """Remove the files of artifacts that are deleted in this transaction, once it commits."""
    names = [artifact.file.name for artifact in artifacts]
    if names:
        transaction.on_commit(lambda: remove(names), robust=True)


def remove(names: Iterable[Any]) -> None:
    """Remove files from the storage; one that stays is logged and costs nothing but its space."""
    for name in names:
        try:
            artifact_storage().delete(name)
        except Exception:
            logger.exception("artifacts.not_removed", extra={"file": name})
