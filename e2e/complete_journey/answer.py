"""Works out the answers of both algorithms directly from the rows of the two tables, to hold the API against.

Written from the rules alone; it shares nothing with the API, and with `fill` only the way to open the tables.
"""

import collections
import datetime
import json
import random

import tables

LIMITS = {"Classic": 100, "NextBasket": 500}
RECOMMENDED = 10
EXPLORE = 5
DECAY = 0.95
HALF_LIFE_DAYS = 7


def add_arguments(parser):
    """Adds the arguments that name a database and choose users; returns the group of the latter."""
    tables.add_arguments(parser.add_mutually_exclusive_group(required=True))
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--sample", type=int, default=200, metavar="N", help="that many users who have rows (200)")
    chosen.add_argument("--ids", type=lambda text: [int(each) for each in text.split(",")], metavar="1,2,3", help="these users")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another sample (1)")
    parser.add_argument("--algorithm", choices=LIMITS, default="NextBasket", help="the ranking (NextBasket, without a model)")
    return chosen


def histories(args):
    """For each chosen user: the id, the newest rows of `searches`, those of `purchase`, as (time, category)."""
    cursor = tables.connect(args, existing=True).cursor()
    users = args.ids or sample(cursor, args.sample, args.seed)
    limit = LIMITS[args.algorithm]
    searches = newest(cursor, "searches", "searched_at", "category", users, limit)
    purchases = newest(cursor, "purchase", "purchased_at", "product_category", users, limit)
    return [(user, searches[user], purchases[user]) for user in users]


def sample(cursor, size, seed):
    """Some of the users who have rows, in a random order that the seed decides."""
    cursor.execute("SELECT id FROM searches UNION SELECT id FROM purchase")
    users = sorted(user for (user,) in cursor.fetchall())
    return random.Random(seed).sample(users, min(size, len(users)))


def newest(cursor, table, time, category, users, limit):
    """Each user's newest rows. Sorted here, not by the database, whose collation may know no bytes."""
    rows = collections.defaultdict(list)
    # One pass over the table for all users: before `migrate` it has no index.
    cursor.execute(f"SELECT id, {time}, {category} FROM {table} WHERE id IN ({', '.join(map(str, users))})")
    for user, at, name in cursor.fetchall():
        rows[user].append((at, name))
    for each in rows.values():
        each.sort(key=age, reverse=True)
        del each[limit:]
    return rows


def age(row):
    """The order of rows: by time, then by the category's bytes; nothing comes before anything."""
    at, category = row
    return str(at or ""), category is not None, (category or "").encode()


def right(algorithm, user, searches, purchases):
    """The answer's JSON body as a dictionary, keys in the API's order."""
    searched, bought = met(searches), met(purchases)
    counted = ranked({name: searched[name] + 3 * bought[name] for name in searched | bought})
    if algorithm == "Classic":
        recommended = [name for name in counted if searched[name] >= 2 or bought[name] >= 2][:RECOMMENDED]
    else:
        recommended = ranked(next_basket(searches, purchases))[:RECOMMENDED]
    # All others, so also those for which the ten had no room.
    others = [name for name in counted if name not in recommended]
    search_tenths, purchase_tenths = tenths(searched, 20), tenths(bought, 30)
    answer = {
        "user_id": user,
        "recommendations": {
            "weightage": (search_tenths + purchase_tenths) / 10,
            "search_weight": search_tenths / 10,
            "purchase_weight": purchase_tenths / 10,
            "recommended_categories": recommended,
            "explore_categories": others[:EXPLORE],
        },
        "metadata": {"search_count": len(searches), "purchase_count": len(purchases)},
    }
    if algorithm != "Classic":
        answer["metadata"]["algorithm"] = algorithm
    if not searches and not purchases:
        answer["message"] = "No data found for this user"
    return answer


def ranked(score):
    """The categories with the greatest score first, then by name."""
    return sorted(score, key=lambda name: (-score[name], name.encode()))


def next_basket(searches, purchases):
    """The score of each category that was bought or searched; every row has a date."""
    bought, searched = days(purchases), days(searches)
    score = collections.Counter()
    weight = 1.0
    for day in sorted(bought, reverse=True):
        for name in bought[day]:
            score[name] += weight
        weight *= DECAY
    newest_day = max([*bought, *searched], default=None)
    found = collections.Counter()
    for day in sorted(searched, reverse=True):
        for name in searched[day]:
            found[name] += 0.5 ** ((newest_day - day).days / HALF_LIFE_DAYS)
    return {name: score[name] + found[name] for name in score | found}


def days(rows):
    """The categories of each day that has rows with a category."""
    of = collections.defaultdict(set)
    for at, category in rows:
        if category:
            of[datetime.date.fromisoformat(str(at)[:10])].add(category)
    return of


def body(answer):
    """An answer as the API writes it: no spaces, nothing escaped that need not be."""
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))


def met(rows):
    """How often each category occurs; rows without one do not count here."""
    return collections.Counter(category for _, category in rows if category)


def tenths(counts, repeat):
    """Tenths of a weight: `repeat` for each repetition of a category, one for each category."""
    return repeat * (counts.total() - len(counts)) + len(counts)
