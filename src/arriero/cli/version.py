"""What `arriero --version` prints."""

from arriero.core.version import __version__

VERSION_TEXT = f"arriero version is {__version__}"
