"""Opens the database that holds the original's two tables: a SQLite file, or MySQL/MariaDB by URL.

Says nothing about what the tables hold.
"""

import pathlib
import sqlite3
import sys
from urllib.parse import unquote, urlsplit


def add_arguments(group):
    """Adds `--sqlite` and `--mysql` to a group of an argument parser."""
    group.add_argument("--sqlite", metavar="FILE", help="a SQLite file")
    group.add_argument("--mysql", metavar="URL", help="mysql://user:password@host:port/database (or MariaDB)")


def connect(args, existing=False):
    """A connection to the database that the arguments name; nothing is committed by itself.

    `existing` is for readers: a SQLite file that is not there is then an error, not made.
    """
    try:
        if args.mysql:
            return connect_mysql(args.mysql)
        mode = "ro" if existing else "rwc"
        return sqlite3.connect(f"{pathlib.Path(args.sqlite).absolute().as_uri()}?mode={mode}", uri=True)
    except Exception as failure:  # each driver has errors of its own, and none of them is to be handled
        sys.exit(f"failed to open {args.sqlite or 'the database'}: {failure}")


def connect_mysql(url):
    """A connection by URL; a part left out means root, no password, port 3306."""
    import pymysql  # only in the virtual environment, which --sqlite readers do without

    url = urlsplit(url)
    return pymysql.connect(
        host=url.hostname,
        port=url.port or 3306,
        user=unquote(url.username or "root"),
        password=unquote(url.password or ""),
        database=unquote(url.path.removeprefix("/")),
        charset="utf8mb4",
    )
