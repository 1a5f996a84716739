"""What `arriero --version` prints."""

from arriero import __version__

VERSION_TEXT = f"arriero version is {__version__}"
