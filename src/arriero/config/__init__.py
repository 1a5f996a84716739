"""Flags, environment and config file become every room's Options. The only reader of the environment in a server."""

from arriero.config.address import DEFAULT_PORT, Address, parse_address
from arriero.config.load import Config, load_config
from arriero.config.places import home_folder
from arriero.config.values import ConfigError, truthy

__all__ = [
    "DEFAULT_PORT",
    "Address",
    "Config",
    "ConfigError",
    "home_folder",
    "load_config",
    "parse_address",
    "truthy",
]
