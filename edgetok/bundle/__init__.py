"""The directory that edgetok delivers: written all at once, and checked when it is read."""

from edgetok.bundle.manifest import ComponentEntry, FileEntry, Manifest, ParitySummary, TensorEntry, Vectors
from edgetok.bundle.reading import Bundle, read_bundle
from edgetok.bundle.staging import check_output, staged
from edgetok.bundle.writing import list_files, write_manifest

__all__ = [
    "Bundle",
    "ComponentEntry",
    "FileEntry",
    "Manifest",
    "ParitySummary",
    "TensorEntry",
    "Vectors",
    "check_output",
    "list_files",
    "read_bundle",
    "staged",
    "write_manifest",
]
