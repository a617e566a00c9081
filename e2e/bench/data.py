"""Makes the databases of the benchmark."""

import datetime
import pathlib
import random
import subprocess

import servers
import workloads

SEARCHES, PURCHASES = 4_000_000, 1_500_000
CATEGORIES = 300
START = datetime.datetime(2025, 1, 1)
SECONDS = 365 * 86_400

# Without a covering index, each row that the index finds is read from the table.
ORIGINAL = """
CREATE TABLE searches (id BIGINT, search VARCHAR(255), category VARCHAR(255), SUCCESS TINYINT, searched_at DATETIME,
  INDEX by_user (id, searched_at)) CHARACTER SET utf8mb4;
CREATE TABLE purchase (id BIGINT, product_name VARCHAR(255), product_category VARCHAR(255), SUCCESS TINYINT,
  purchased_at DATETIME, INDEX by_user (id, purchased_at)) CHARACTER SET utf8mb4;
"""


def make(server, binary, directory, names, scale=1):
    """Creates the databases `names`. `scale` multiplies users and rows of the large ones."""
    users = workloads.LARGE_USERS * scale
    files = {}
    for name in names:
        servers.sql(server, f"CREATE DATABASE {name}")
        environment = servers.database_environment(server, name)
        if name == "demo":
            run([binary, "migrate"], environment)
            run([binary, "demo"], environment)
            continue
        if not files:
            files = {"searches": rows(directory, "searches", SEARCHES * scale, users, 1),
                     "purchase": rows(directory, "purchase", PURCHASES * scale, users, 2)}
        servers.sql(server, ORIGINAL, name)
        for table, columns in (("searches", "id, search, category, SUCCESS, searched_at"),
                               ("purchase", "id, product_name, product_category, SUCCESS, purchased_at")):
            servers.sql(server, f"LOAD DATA INFILE '{files[table]}' INTO TABLE {table} ({columns})", name)
        if name == "large":
            run([binary, "migrate"], environment)
        servers.sql(server, "ANALYZE TABLE searches, purchase", name)
    for file in files.values():
        file.unlink()


def rows(directory, table, count, users, seed):
    """A file of rows in the order of time, so that a user's rows are scattered over the table. Half of them belong to a
    tenth of the users, and some categories are more popular than others."""
    file = pathlib.Path(directory) / f"{table}.tsv"
    dice = random.Random(seed)
    names = [f"category {number:03}" for number in range(CATEGORIES)]
    weights = [1 / (number + 1) ** 0.7 for number in range(CATEGORIES)]
    picked = dice.choices(names, weights, k=100_003)
    with open(file, "w") as out:
        for number in range(count):
            user = dice.randrange(1, users // 10 + 1) if number % 2 else dice.randrange(1, users + 1)
            category = picked[(number * 7919 + user) % len(picked)]
            at = START + datetime.timedelta(seconds=SECONDS * number // count)
            out.write(f"{user}\t{category} item\t{category}\t1\t{at:%Y-%m-%d %H:%M:%S}\n")
    file.chmod(0o644)
    return file


def run(command, environment):
    done = subprocess.run(command, env={**servers.os.environ, **environment}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command} failed: {done.stderr}")
