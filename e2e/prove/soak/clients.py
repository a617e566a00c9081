"""Clients of the soak: ADDRESS CLIENTS PAUSE FILE SEED; the key is in the variable KEY. They stop when FILE is gone.

Each request is of a random kind, and each answer is compared with one that is worked out here from the same rows. Users 1 to
1000 have rows that never change. Each client also has users of its own, whose events it sends: it knows which answers are
possible. At the end, each of those users must have exactly the events that were acknowledged.
"""

import collections
import datetime
import http.client
import json
import os
import random
import sys
import threading
import time

import answer

address, clients, pause, file, seed = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4], int(sys.argv[5])
key = os.environ["KEY"]
USERS = 1000
OWN = 5  # of each client
FRESH = 2.0  # seconds after which each instance has an acknowledged event; the promise is 1
CUT_OFF = 11.0  # the same of an instance that does not reach Redis; the promise is 10

lock = threading.Lock()
counts = collections.Counter()
caches = collections.Counter()
latencies = []
failures = []


def rows(user):
    """Those that the soak's SQL has made."""
    day = lambda days: str(datetime.date(2026, 1, 1) - datetime.timedelta(days))
    category = lambda days: f"category {(user * 7 + days * days) % 23}"
    return [(day(days), category(days)) for days in range(1, 21)], [(day(days), category(days + 3)) for days in range(1, 6)]


def right(user, searches, purchases):
    order = lambda rows: sorted(rows, key=answer.age, reverse=True)
    return answer.right("NextBasket", user, order(searches), order(purchases))


class Failure(Exception):
    def __init__(self, kind, detail):
        self.kind, self.detail = kind, detail


class Own:
    """A user whose only events are this client's. `states[i]` is the answer with the first i events, `known[i]` when it was acknowledged."""

    def __init__(self, user):
        self.user = user
        self.purchases = []
        self.states = [right(user, [], [])]
        self.known = [0.0]
        self.pending = None

    def event(self):
        if not self.pending:
            number = len(self.purchases)
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1767225600 + number * 9 * 3600))
            self.pending = {"id": f"{seed}-{self.user}-{number}", "type": "purchase", "user_id": self.user, "category": f"own {number % 17}", "time": at}
            self.purchases.append((at, self.pending["category"]))
            self.states.append(right(self.user, [], self.purchases))
        return self.pending

    def acknowledged(self):
        self.pending = None
        self.known.append(time.monotonic())

    def check(self, got, asked):
        """The newest state that every instance must have, or a later one."""
        possible = [index for index, state in enumerate(self.states) if state == got]
        if not possible:
            raise Failure("wrong", f"user {self.user}: {got}")
        missing = asked - self.known[possible[-1] + 1] if possible[-1] + 1 < len(self.known) else 0
        if missing > CUT_OFF:
            raise Failure("wrong", f"user {self.user}: an event is missing that was acknowledged {missing:.1f} s before the request")
        if missing > FRESH:
            raise Failure("old", f"user {self.user}: an event is missing that was acknowledged {missing:.1f} s before the request")


class Client:
    def __init__(self, number):
        self.random = random.Random(f"{seed} {number}")
        self.connection = http.client.HTTPConnection(address, 80, timeout=8)
        self.own = [Own(1_000_000 + number * OWN + each) for each in range(OWN)]
        self.left = 0

    def request(self, method, path, body=None):
        """Status 200 and the parsed body; every other outcome is a failure of its kind."""
        if not self.left:
            self.connection.close()  # so that pods which are added get their share
            self.left = 20
        self.left -= 1
        headers = {} if method == "GET" else {"Authorization": f"Bearer {key}"}
        began = time.monotonic()
        try:
            self.connection.request(method, path, body and json.dumps(body), headers)
            response = self.connection.getresponse()
            text = response.read().decode()
        except TimeoutError:
            self.left = 0
            raise Failure("timeout", path)
        except Exception as error:  # a broken connection is what we look for
            self.left = 0
            raise Failure("broken", repr(error))
        with lock:
            latencies.append(time.monotonic() - began)
            caches[response.headers.get("X-Cache", "")] += 1
        if response.status == 200:
            return json.loads(text)
        documented = response.status in (503, 504) and response.headers.get_content_type() == "application/problem+json"
        documented = documented and (response.status == 504 or response.headers.get("Retry-After"))
        raise Failure("unavailable" if documented else "undocumented", f"{response.status} {text[:300]}")

    def recommend(self):
        user = self.random.randint(1, USERS)
        expect(self.request("GET", f"/recommend/{user}"), right(user, *rows(user)))

    def batch(self):
        users = [self.random.randint(1, USERS) for _ in range(10)]
        got = self.request("GET", f"/batch-recommend?user_ids={','.join(map(str, users))}")
        refused = {error["user_id"] for error in got["errors"]}
        expect(got["results"], [right(user, *rows(user)) for user in users if user not in refused])
        if refused:
            raise Failure("unavailable", f"in a batch: {got['errors'][0]}")

    def session(self):
        some = lambda: [(f"2026-03-{self.random.randint(1, 28):02}", f"category {self.random.randint(0, 22)}") for _ in range(self.random.randint(1, 9))]
        searches, purchases = some(), some()
        body = {name: [{"category": category, "at": at} for at, category in rows] for name, rows in (("searches", searches), ("purchases", purchases))}
        expected = right(0, searches, purchases)
        del expected["user_id"]
        expect(self.request("POST", "/recommend", body), expected)

    def invalidate(self):
        user = self.random.randint(1, USERS)
        expect(self.request("POST", f"/invalidate-cache/{user}"), {"message": f"Cache invalidated for user {user}"})

    def event(self):
        own = self.random.choice(self.own)
        got = self.request("POST", "/events", own.event())
        # A repetition of one that was stored is a duplicate.
        if got not in ({"accepted": 1, "duplicates": 0, "ignored": 0}, {"accepted": 0, "duplicates": 1, "ignored": 0}):
            raise Failure("wrong", f"an event: {got}")
        own.acknowledged()

    def own_user(self):
        own = self.random.choice(self.own)
        asked = time.monotonic()
        own.check(self.request("GET", f"/recommend/{own.user}"), asked)

    KINDS = {recommend: 50, batch: 10, session: 10, invalidate: 5, event: 10, own_user: 15}

    def once(self, kind):
        began = time.time()
        try:
            kind(self)
            outcome = "right"
        except Failure as failure:
            outcome = failure.kind
            with lock:
                failures.append({"at": began, "until": time.time(), "request": kind.__name__, "kind": failure.kind, "detail": failure.detail})
        with lock:
            counts[kind.__name__] += 1
        return outcome

    def run(self):
        due = time.monotonic()
        while os.path.exists(file):
            [kind] = self.random.choices(list(self.KINDS), weights=self.KINDS.values())
            self.once(kind)
            due = max(due + pause, time.monotonic())
            time.sleep(max(0, due - time.monotonic()))
        for own in self.own:
            self.ends(own)

    def ends(self, own):
        """Repeats a request that was not acknowledged, and then the answer must have all events, each once."""
        end = time.monotonic() + 30
        last = "not requested"
        while time.monotonic() < end:
            try:
                if own.pending:
                    self.request("POST", "/events", own.pending)
                    own.acknowledged()
                got = self.request("GET", f"/recommend/{own.user}")
                last = got
                if got == own.states[-1]:
                    return
            except Failure as failure:
                last = failure.detail
            time.sleep(0.5)
        with lock:
            failures.append({"at": time.time(), "until": time.time(), "request": "ends", "kind": "wrong", "detail": f"{last} is not {own.states[-1]}"})


def expect(got, expected):
    if got != expected:
        raise Failure("wrong", f"{json.dumps(got)[:600]} is not {json.dumps(expected)[:600]}")


everyone = [Client(number) for number in range(clients)]
threads = [threading.Thread(target=client.run) for client in everyone]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
latencies.sort()
percentile = lambda part: round(latencies[min(len(latencies) - 1, int(part * len(latencies)))] * 1000, 1) if latencies else 0
print(
    json.dumps(
        {
            "requests": counts,
            "events": sum(len(own.purchases) for client in everyone for own in client.own),
            "caches": caches,
            "milliseconds": {"median": percentile(0.5), "p99": percentile(0.99), "greatest": percentile(1)},
            "failures": failures,
        }
    )
)
