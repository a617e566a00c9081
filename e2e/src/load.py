"""Clients that ask at a constant rate: ADDRESS CLIENTS PAUSE FILE USERS REQUESTS; they stop when FILE is gone, or after an hour.

Each keeps its connection for so many REQUESTS (0: for all). A server that says "Connection: close" is obeyed; whatever else goes wrong is a failure.
While FILE has a word, the distinct answers for each user are kept under that word.
"""

import collections
import http.client
import itertools
import json
import sys
import threading
import time

address, clients, pause, file, number, most = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4], *map(int, sys.argv[5:])
end = time.monotonic() + 3600
answered = 0
failures = []
kept = collections.defaultdict(lambda: collections.defaultdict(set))
lock = threading.Lock()
users = itertools.count(1)


def ask():
    global answered
    connection = http.client.HTTPConnection(address, 80, timeout=8)
    due = time.monotonic()
    asked = 0
    while time.monotonic() < end:
        try:
            with open(file) as said:
                word = said.read()
        except FileNotFoundError:
            break
        with lock:
            user = next(users) % number + 1
        try:
            connection.request("GET", f"/recommend/{user}")
            answer = connection.getresponse()
            body = answer.read()
            failure = None if answer.status == 200 else f"{answer.status} {body[:200]!r}"
        except Exception as error:  # a broken connection is what we look for
            failure = repr(error)
            connection.close()
        asked += 1
        if most and asked % most == 0:
            connection.close()
        with lock:
            if failure:
                failures.append(f"{time.strftime('%X')} {failure}")
            else:
                answered += 1
                if word:
                    kept[word][user].add(body.decode())
        due = max(due + pause, time.monotonic())
        time.sleep(max(0, due - time.monotonic()))


threads = [threading.Thread(target=ask) for _ in range(clients)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
kept = {word: {user: sorted(bodies) for user, bodies in users.items()} for word, users in kept.items()}
print(json.dumps({"answered": answered, "failed": len(failures), "examples": failures[:5], "kept": kept}))
