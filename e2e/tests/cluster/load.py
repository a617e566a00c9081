"""Clients that ask at a constant rate: ADDRESS CLIENTS PAUSE FILE; they stop when FILE is gone, or after ten minutes.

Each keeps its connection. A server that says "Connection: close" is obeyed; whatever else goes wrong is a failure.
"""

import http.client
import itertools
import json
import os
import sys
import threading
import time

address, clients, pause, file = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
end = time.monotonic() + 600
answered = 0
failures = []
lock = threading.Lock()
users = itertools.count(1)


def ask():
    global answered
    connection = http.client.HTTPConnection(address, 80, timeout=8)
    due = time.monotonic()
    while os.path.exists(file) and time.monotonic() < end:
        with lock:
            user = next(users) % 4000 + 1
        try:
            connection.request("GET", f"/recommend/{user}")
            answer = connection.getresponse()
            body = answer.read()
            failure = None if answer.status == 200 else f"{answer.status} {body[:200]!r}"
        except Exception as error:  # a broken connection is what we look for
            failure = repr(error)
            connection.close()
        with lock:
            if failure:
                failures.append(f"{time.strftime('%X')} {failure}")
            else:
                answered += 1
        due = max(due + pause, time.monotonic())
        time.sleep(max(0, due - time.monotonic()))


threads = [threading.Thread(target=ask) for _ in range(clients)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps({"answered": answered, "failed": len(failures), "examples": failures[:5]}))
