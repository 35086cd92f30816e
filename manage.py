#!/usr/bin/env python3
"""Django's command line with the standalone settings."""

from config.cli import main

if __name__ == "__main__":
    main()
